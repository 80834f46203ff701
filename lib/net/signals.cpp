// A signal's way: the handler, on whichever thread the kernel chose, marks the signal at the bell
// of each runtime that wants it and rings; the runtime's driver sees the bell, an eventfd, and the
// hub sends what is marked to the channels.
#include <ringo/signals.hpp>

#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <ringo/detail/reference_count.hpp>
#include <ringo/panic.hpp>

#include "base/log.hpp"
#include "driver/driver.hpp"
#include "runtime/external.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {
namespace {

/// A set of signals, 1 to 64.
using SignalSet = std::uint64_t;
constexpr int signals_max = 64;
constexpr SignalSet bit_of(int number) noexcept { return SignalSet{1} << (number - 1); }

/// Calls f(number) for each signal of the set.
template <class F>
void for_each(SignalSet set, F&& f) {
  for (; set != 0; set &= set - 1) f(std::countr_zero(set) + 1);
}

// --- what the handler touches -------------------------------------------------------------------

/// Never freed, since a handler may be looking at it at any time; taken by one runtime after
/// another.
struct Bell {
  std::atomic<SignalSet> wanted{0};
  std::atomic<SignalSet> pending{0};
  std::atomic<int> fd{-1};
  Bell* next = nullptr;  // constant once it is in the list
  // Under the mutex of the registry:
  bool taken = false;
  pid_t owner = 0;  // of fd, which a child process must not share
};

std::atomic<Bell*> bells{nullptr};
std::atomic<int> handlers_at_work{0};
static_assert(std::atomic<SignalSet>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

extern "C" void ringo_handle_signal(int number) {
  const int saved = errno;
  bool heard = false;
  handlers_at_work.fetch_add(1, std::memory_order_seq_cst);
  for (Bell* bell = bells.load(std::memory_order_acquire); bell != nullptr; bell = bell->next) {
    if ((bell->wanted.load(std::memory_order_seq_cst) & bit_of(number)) == 0) continue;
    heard = true;
    bell->pending.fetch_or(bit_of(number), std::memory_order_seq_cst);
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

// --- who wants what -----------------------------------------------------------------------------

struct Subscription {
  Sender<int> channel;
  SignalSet set;
};

/// The channels of one runtime. Its source is watched by the worker that made it.
class Hub final : public IoSource, public Resource {
 public:
  Hub(Worker& worker, Bell& its_bell) : home(worker), bell(its_bell) {
    fd = bell.fd.load(std::memory_order_relaxed);
    one_shot = true;
  }
  void retain() noexcept override { add_reference(references_); }
  void release() noexcept override {
    if (drop_reference(references_)) delete this;
  }
  void on_ready(Direction, int error) override;
  void on_received(ReceivedBuffer, int, bool) override {}
  void runtime_ended() noexcept override;

  Worker& home;
  Bell& bell;
  std::vector<Subscription> subscriptions;

 private:
  ~Hub() = default;
  std::atomic<std::uint32_t> references_{1};
};

/// What the process does about a signal.
struct Action {
  enum class Mode : std::uint8_t { untouched, caught, ignored };
  Mode mode = Mode::untouched;
  struct sigaction before {};  // unless untouched
};

/// Everything below the mutex. It is held while signals are sent to channels (which never blocks),
/// so whoever has it knows that none is under way.
class Registry {
 public:
  static Registry& instance() {
    static auto* registry = new Registry;  // hubs may be stopped by static destructors
    return *registry;
  }

  std::mutex mutex;

  Hub& hub_of(Worker& worker);
  void add(Hub& hub, const Sender<int>& channel, SignalSet set);
  void remove(const Sender<int>& channel);
  void remove(SignalSet set, bool ignore);
  void remove(Hub& hub);
  void deliver(Hub& hub);
  Hub* find(const Sender<int>& channel) noexcept;

 private:
  Bell& take_bell();
  void restore_unwanted();
  SignalSet wanted() const noexcept;
  static SignalSet wanted(const Hub& hub) noexcept;

  std::vector<Hub*> hubs_;
  std::array<Action, signals_max + 1> actions_;
};

SignalSet Registry::wanted(const Hub& hub) noexcept {
  SignalSet set = 0;
  for (const Subscription& one : hub.subscriptions) set |= one.set;
  return set;
}

SignalSet Registry::wanted() const noexcept {
  SignalSet set = 0;
  for (const Hub* hub : hubs_) set |= wanted(*hub);
  return set;
}

Bell& Registry::take_bell() {
  Bell* bell = bells.load(std::memory_order_relaxed);
  while (bell != nullptr && bell->taken) bell = bell->next;
  const bool fresh = bell == nullptr;
  auto made = fresh ? std::make_unique<Bell>() : nullptr;
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

Hub& Registry::hub_of(Worker& worker) {
  for (Hub* hub : hubs_) {
    if (&hub->home.runtime() == &worker.runtime()) return *hub;
  }
  hubs_.reserve(hubs_.size() + 1);
  auto* hub = new Hub(worker, take_bell());
  hubs_.push_back(hub);
  worker.runtime().add_resource(*hub);
  worker.driver().want(*hub, Direction::in);
  return *hub;
}

Hub* Registry::find(const Sender<int>& channel) noexcept {
  for (Hub* hub : hubs_) {
    for (const Subscription& one : hub->subscriptions) {
      if (one.channel == channel) return hub;
    }
  }
  return nullptr;
}

void Registry::add(Hub& hub, const Sender<int>& channel, SignalSet set) {
  Subscription* mine = nullptr;
  for (Subscription& one : hub.subscriptions) {
    if (one.channel == channel) mine = &one;
  }
  if (mine == nullptr) mine = &hub.subscriptions.emplace_back(Subscription{channel, 0});
  mine->set |= set;
  // First wanted, then caught: a handler that finds nobody who wants its signal raises it again.
  hub.bell.wanted.fetch_or(set, std::memory_order_seq_cst);
  for_each(set, [this](int number) {
    Action& action = actions_[static_cast<std::size_t>(number)];
    if (action.mode == Action::Mode::caught) return;
    struct sigaction ours {};
    ours.sa_handler = &ringo_handle_signal;
    ours.sa_flags = SA_RESTART | SA_ONSTACK;
    sigfillset(&ours.sa_mask);
    struct sigaction before {};
    ::sigaction(number, &ours, &before);
    if (action.mode == Action::Mode::untouched) action.before = before;
    action.mode = Action::Mode::caught;
  });
}

/// Gives signals that are caught, but that no channel wants, back to their former action.
void Registry::restore_unwanted() {
  const SignalSet still = wanted();
  for (int number = 1; number <= signals_max; ++number) {
    Action& action = actions_[static_cast<std::size_t>(number)];
    if (action.mode != Action::Mode::caught || (still & bit_of(number)) != 0) continue;
    ::sigaction(number, &action.before, nullptr);
    action.mode = Action::Mode::untouched;
  }
}

void Registry::remove(const Sender<int>& channel) {
  Hub* hub = find(channel);
  if (hub == nullptr) return;
  // It wants nothing from now on, but is there until what has come is delivered.
  SignalSet set = 0;
  for (Subscription& one : hub->subscriptions) {
    if (one.channel == channel) set = std::exchange(one.set, 0);
  }
  restore_unwanted();
  hub->bell.wanted.store(wanted(*hub), std::memory_order_seq_cst);
  // A handler that has found us wanting is counted; one that comes later does not find us, and lets
  // the restored action act. So each signal is either delivered here or acts.
  while (handlers_at_work.load(std::memory_order_seq_cst) != 0) sched_yield();
  for (Subscription& one : hub->subscriptions) {
    if (one.channel == channel) one.set = set;
  }
  // Elsewhere the runtime has ended, or the caller belongs to another one.
  Worker* worker = Worker::current();
  if (worker != nullptr && &worker->runtime() == &hub->home.runtime()) deliver(*hub);
  std::erase_if(hub->subscriptions,
                [&](const Subscription& one) { return one.channel == channel; });
}

void Registry::remove(SignalSet set, bool ignore) {
  for (Hub* hub : hubs_) {
    for (Subscription& one : hub->subscriptions) one.set &= ~set;
    std::erase_if(hub->subscriptions, [](const Subscription& one) { return one.set == 0; });
  }
  for_each(set, [&](int number) {
    Action& action = actions_[static_cast<std::size_t>(number)];
    if (ignore) {
      struct sigaction nothing {};
      nothing.sa_handler = SIG_IGN;
      struct sigaction before {};
      ::sigaction(number, &nothing, &before);
      if (action.mode == Action::Mode::untouched) action.before = before;
      action.mode = Action::Mode::ignored;
    } else if (action.mode != Action::Mode::untouched) {
      ::sigaction(number, &action.before, nullptr);
      action.mode = Action::Mode::untouched;
    }
  });
  for (Hub* hub : hubs_) hub->bell.wanted.store(wanted(*hub), std::memory_order_seq_cst);
}

void Registry::remove(Hub& hub) {
  hub.subscriptions.clear();
  std::erase(hubs_, &hub);
  restore_unwanted();
  hub.bell.wanted.store(0, std::memory_order_seq_cst);
  while (handlers_at_work.load(std::memory_order_seq_cst) != 0) sched_yield();
  hub.bell.pending.store(0, std::memory_order_seq_cst);
  hub.bell.taken = false;
}

/// Sends what has come to the channels that want it. On a worker of the hub's runtime.
void Registry::deliver(Hub& hub) {
  const SignalSet pending = hub.bell.pending.exchange(0, std::memory_order_seq_cst);
  bool lost = false;
  for_each(pending, [&](int number) {
    for (Subscription& one : hub.subscriptions) {
      if ((one.set & bit_of(number)) == 0) continue;
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
  std::erase_if(hub.subscriptions, [](const Subscription& one) { return one.set == 0; });
  restore_unwanted();
  hub.bell.wanted.store(wanted(hub), std::memory_order_seq_cst);
}

// --- the bell rings -----------------------------------------------------------------------------

void Hub::on_ready(Direction, int error) {
  if (home.runtime().stopping()) return;
  if (error != 0) {
    log_error("signals: the driver does not watch for them any more: " +
              std::generic_category().message(error));
    return;
  }
  std::uint64_t count = 0;
  // Read first, look second; the handler marks first, rings second.
  while (::read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
  Registry& registry = Registry::instance();
  {
    std::lock_guard guard(registry.mutex);
    registry.deliver(*this);
  }
  driver->want(*this, Direction::in);
}

void Hub::runtime_ended() noexcept {
  Registry& registry = Registry::instance();
  {
    std::lock_guard guard(registry.mutex);
    registry.remove(*this);
  }
  release();
}

// --- sets from users ----------------------------------------------------------------------------

constexpr SignalSet faults = bit_of(SIGSEGV) | bit_of(SIGBUS) | bit_of(SIGFPE) | bit_of(SIGILL);

bool has_action(int number) noexcept {
  struct sigaction now {};
  return number >= 1 && number <= signals_max && number != SIGKILL && number != SIGSTOP &&
         ::sigaction(number, nullptr, &now) == 0;
}

SignalSet all_with_action() noexcept {
  SignalSet set = 0;
  for (int number = 1; number <= signals_max; ++number) {
    if (has_action(number)) set |= bit_of(number);
  }
  return set;
}

[[noreturn]] void refuse(const char* what, int number, const char* why) {
  panic((std::string(what) + ": signal " + std::to_string(number) + why).c_str());
}

}  // namespace
}  // namespace ringo::detail

namespace ringo::signals {

using detail::Registry;
using detail::SignalSet;

void notify(const Sender<int>& channel, std::initializer_list<int> numbers) {
  if (channel.is_nil()) panic("signals::notify: the channel is nil");
  detail::Worker* worker = detail::Worker::current();
  if (worker == nullptr) panic("signals::notify: called outside a goroutine");
  SignalSet set = 0;
  for (int number : numbers) {
    if (!detail::has_action(number) || (detail::bit_of(number) & detail::faults) != 0) {
      detail::refuse("signals::notify", number, " cannot be caught");
    }
    set |= detail::bit_of(number);
  }
  if (numbers.size() == 0) set = detail::all_with_action() & ~detail::faults;
  Registry& registry = Registry::instance();
  std::lock_guard guard(registry.mutex);
  registry.add(registry.hub_of(*worker), channel, set);
}

void stop(const Sender<int>& channel) {
  Registry& registry = Registry::instance();
  std::uint32_t runtime = 0;
  {
    std::lock_guard guard(registry.mutex);
    detail::Hub* hub = registry.find(channel);
    if (hub == nullptr) return;
    runtime = hub->home.runtime().id();
  }
  // What has come is sent to the channel, so this is the runtime's business.
  detail::with_runtime_of(runtime, [&] {
    std::lock_guard guard(registry.mutex);
    registry.remove(channel);
  });
}

void reset(std::initializer_list<int> numbers) {
  SignalSet set = numbers.size() == 0 ? ~SignalSet{0} : 0;
  for (int number : numbers) {
    if (number >= 1 && number <= detail::signals_max) set |= detail::bit_of(number);
  }
  Registry& registry = Registry::instance();
  std::lock_guard guard(registry.mutex);
  registry.remove(set, false);
}

void ignore(std::initializer_list<int> numbers) {
  SignalSet set = numbers.size() == 0 ? detail::all_with_action() & ~detail::faults : 0;
  for (int number : numbers) {
    if (!detail::has_action(number)) {
      detail::refuse("signals::ignore", number, " cannot be ignored");
    }
    set |= detail::bit_of(number);
  }
  Registry& registry = Registry::instance();
  std::lock_guard guard(registry.mutex);
  registry.remove(set, true);
}

bool ignored(int number) noexcept {
  struct sigaction now {};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace ringo::signals
