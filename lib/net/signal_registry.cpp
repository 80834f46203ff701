#include "net/signal_registry.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include <ringo/panic.hpp>

#include "base/log.hpp"

namespace ringo::detail {

// --- what the handler touches -------------------------------------------------------------------

namespace {

std::atomic<SignalBell*> bells{nullptr};
std::atomic<int> handlers_at_work{0};
static_assert(std::atomic<SignalSet>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

extern "C" void ringo_handle_signal(int number) {
  const int saved = errno;
  bool heard = false;
  handlers_at_work.fetch_add(1, std::memory_order_seq_cst);
  for (SignalBell* bell = bells.load(std::memory_order_acquire); bell != nullptr;
       bell = bell->next) {
    if ((bell->wanted.load(std::memory_order_seq_cst) & signal_bit(number)) == 0) continue;
    heard = true;
    bell->pending.fetch_or(signal_bit(number), std::memory_order_seq_cst);
    const std::uint64_t one = 1;
    while (::write(bell->fd.load(std::memory_order_relaxed), &one, sizeof one) < 0 &&
           errno == EINTR) {}
  }
  handlers_at_work.fetch_sub(1, std::memory_order_seq_cst);
  if (!heard) {
    // We were on the way when the last channel was stopped. The former action has been restored
    // before that (or a new one set), and is taken as soon as we return.
    struct sigaction now {};
    ::sigaction(number, nullptr, &now);
    if (now.sa_handler != &ringo_handle_signal) ::raise(number);
  }
  errno = saved;
}

}  // namespace

// --- who wants what -----------------------------------------------------------------------------

SignalSet SignalRegistry::wanted(const SignalHub& hub) noexcept {
  SignalSet set = 0;
  for (const SignalSubscription& one : hub.subscriptions) set |= one.set;
  return set;
}

SignalSet SignalRegistry::wanted() const noexcept {
  SignalSet set = 0;
  for (const SignalHub* hub : hubs_) set |= wanted(*hub);
  return set;
}

SignalBell& SignalRegistry::take_bell() {
  SignalBell* bell = bells.load(std::memory_order_relaxed);
  while (bell != nullptr && bell->taken) bell = bell->next;
  const bool fresh = bell == nullptr;
  auto made = fresh ? std::make_unique<SignalBell>() : nullptr;
  if (fresh) bell = made.get();
  const int old = bell->fd.load(std::memory_order_relaxed);
  if (bell->owner != ::getpid()) {
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
      throw std::system_error(errno, std::generic_category(), "signals::notify: eventfd");
    }
    if (old >= 0) ::close(old);
    bell->fd.store(fd, std::memory_order_relaxed);
    bell->owner = ::getpid();
  }
  bell->taken = true;
  if (fresh) {
    bell->next = bells.load(std::memory_order_relaxed);
    bells.store(made.release(), std::memory_order_release);
  }
  return *bell;
}

SignalHub& SignalRegistry::hub_of(Worker& worker) {
  for (SignalHub* hub : hubs_) {
    if (&hub->home.runtime() == &worker.runtime()) return *hub;
  }
  hubs_.reserve(hubs_.size() + 1);
  auto* hub = new SignalHub(worker, take_bell());
  hubs_.push_back(hub);
  worker.runtime().add_resource(*hub);
  worker.driver().want(*hub, Direction::in);
  return *hub;
}

SignalHub* SignalRegistry::find(const Sender<int>& channel) noexcept {
  for (SignalHub* hub : hubs_) {
    for (const SignalSubscription& one : hub->subscriptions) {
      if (one.channel == channel) return hub;
    }
  }
  return nullptr;
}

void SignalRegistry::add(SignalHub& hub, const Sender<int>& channel, SignalSet set) {
  SignalSubscription* mine = nullptr;
  for (SignalSubscription& one : hub.subscriptions) {
    if (one.channel == channel) mine = &one;
  }
  if (mine == nullptr) mine = &hub.subscriptions.emplace_back(SignalSubscription{channel, 0});
  mine->set |= set;
  // First wanted, then caught: a handler that finds nobody who wants its signal raises it again.
  hub.bell.wanted.fetch_or(set, std::memory_order_seq_cst);
  for_each_signal(set, [this](int number) {
    SignalAction& action = actions_[static_cast<std::size_t>(number)];
    if (action.mode == SignalAction::Mode::caught) return;
    struct sigaction ours {};
    ours.sa_handler = &ringo_handle_signal;
    ours.sa_flags = SA_RESTART | SA_ONSTACK;
    sigfillset(&ours.sa_mask);
    struct sigaction before {};
    ::sigaction(number, &ours, &before);
    if (action.mode == SignalAction::Mode::untouched) action.before = before;
    action.mode = SignalAction::Mode::caught;
  });
}

/// Gives signals that are caught, but that no channel wants, back to their former action.
void SignalRegistry::restore_unwanted() {
  const SignalSet still = wanted();
  for (int number = 1; number <= signals_max; ++number) {
    SignalAction& action = actions_[static_cast<std::size_t>(number)];
    if (action.mode != SignalAction::Mode::caught || (still & signal_bit(number)) != 0) continue;
    ::sigaction(number, &action.before, nullptr);
    action.mode = SignalAction::Mode::untouched;
  }
}

void SignalRegistry::remove(const Sender<int>& channel) {
  SignalHub* hub = find(channel);
  if (hub == nullptr) return;
  // It wants nothing from now on, but is there until what has come is delivered.
  SignalSet set = 0;
  for (SignalSubscription& one : hub->subscriptions) {
    if (one.channel == channel) set = std::exchange(one.set, 0);
  }
  restore_unwanted();
  hub->bell.wanted.store(wanted(*hub), std::memory_order_seq_cst);
  // A handler that has found us wanting is counted; one that comes later does not find us, and lets
  // the restored action act. So each signal is either delivered here or acts.
  while (handlers_at_work.load(std::memory_order_seq_cst) != 0) sched_yield();
  for (SignalSubscription& one : hub->subscriptions) {
    if (one.channel == channel) one.set = set;
  }
  // Elsewhere the runtime has ended, or the caller belongs to another one.
  Worker* worker = Worker::current();
  if (worker != nullptr && &worker->runtime() == &hub->home.runtime()) deliver(*hub);
  std::erase_if(hub->subscriptions,
                [&](const SignalSubscription& one) { return one.channel == channel; });
}

void SignalRegistry::remove(SignalSet set, bool ignore) {
  for (SignalHub* hub : hubs_) {
    for (SignalSubscription& one : hub->subscriptions) one.set &= ~set;
    std::erase_if(hub->subscriptions, [](const SignalSubscription& one) { return one.set == 0; });
  }
  for_each_signal(set, [&](int number) {
    SignalAction& action = actions_[static_cast<std::size_t>(number)];
    if (ignore) {
      struct sigaction nothing {};
      nothing.sa_handler = SIG_IGN;
      struct sigaction before {};
      ::sigaction(number, &nothing, &before);
      if (action.mode == SignalAction::Mode::untouched) action.before = before;
      action.mode = SignalAction::Mode::ignored;
    } else if (action.mode != SignalAction::Mode::untouched) {
      ::sigaction(number, &action.before, nullptr);
      action.mode = SignalAction::Mode::untouched;
    }
  });
  for (SignalHub* hub : hubs_) hub->bell.wanted.store(wanted(*hub), std::memory_order_seq_cst);
}

void SignalRegistry::remove(SignalHub& hub) {
  hub.subscriptions.clear();
  std::erase(hubs_, &hub);
  restore_unwanted();
  hub.bell.wanted.store(0, std::memory_order_seq_cst);
  while (handlers_at_work.load(std::memory_order_seq_cst) != 0) sched_yield();
  hub.bell.pending.store(0, std::memory_order_seq_cst);
  hub.bell.taken = false;
}

void SignalRegistry::deliver(SignalHub& hub) {
  const SignalSet pending = hub.bell.pending.exchange(0, std::memory_order_seq_cst);
  bool lost = false;
  for_each_signal(pending, [&](int number) {
    for (SignalSubscription& one : hub.subscriptions) {
      if ((one.set & signal_bit(number)) == 0) continue;
      try {
        one.channel.try_send(number);
      } catch (const Panic& error) {
        log_warn("signals: " + std::string(error.what()) + ": the channel gets no more signals");
        one.set = 0;
        lost = true;
      }
    }
  });
  if (!lost) return;
  std::erase_if(hub.subscriptions, [](const SignalSubscription& one) { return one.set == 0; });
  restore_unwanted();
  hub.bell.wanted.store(wanted(hub), std::memory_order_seq_cst);
}

// --- the bell rings -----------------------------------------------------------------------------

void SignalHub::on_ready(Direction, int error) {
  if (home.runtime().stopping()) return;
  if (error != 0) {
    log_error("signals: the driver does not watch for them any more: " +
              std::generic_category().message(error));
    return;
  }
  std::uint64_t count = 0;
  // Read first, look second; the handler marks first, rings second.
  while (::read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
  SignalRegistry& registry = SignalRegistry::instance();
  {
    std::lock_guard guard(registry.mutex);
    registry.deliver(*this);
  }
  driver->want(*this, Direction::in);
}

bool SignalHub::is_alive() noexcept {
  std::lock_guard guard(SignalRegistry::instance().mutex);
  for (const SignalSubscription& one : subscriptions) {
    if (one.set != 0 && ChannelAccess::core(one.channel).has_receiver()) return true;
  }
  return false;
}

void SignalHub::runtime_ended() noexcept {
  SignalRegistry& registry = SignalRegistry::instance();
  {
    std::lock_guard guard(registry.mutex);
    registry.remove(*this);
  }
  release();
}

}  // namespace ringo::detail
