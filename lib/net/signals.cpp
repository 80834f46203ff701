#include <ringo/signals.hpp>

#include <signal.h>

#include <mutex>
#include <string>

#include <ringo/panic.hpp>

#include "net/signal_registry.hpp"
#include "runtime/external.hpp"

namespace ringo {

namespace {

using detail::signal_bit;
using detail::SignalRegistry;
using detail::signals_max;
using detail::SignalSet;

constexpr SignalSet faults =
    signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGFPE) | signal_bit(SIGILL);

bool has_action(int number) noexcept {
  struct sigaction now {};
  return number >= 1 && number <= signals_max && number != SIGKILL && number != SIGSTOP &&
         ::sigaction(number, nullptr, &now) == 0;
}

SignalSet all_with_action() noexcept {
  SignalSet set = 0;
  for (int number = 1; number <= signals_max; ++number) {
    if (has_action(number)) set |= signal_bit(number);
  }
  return set;
}

[[noreturn]] void refuse(const char* what, int number, const char* why) {
  panic((std::string(what) + ": signal " + std::to_string(number) + why).c_str());
}

}  // namespace

void signals::notify(const Sender<int>& channel, std::initializer_list<int> numbers) {
  if (channel.is_nil()) panic("signals::notify: the channel is nil");
  detail::Worker* worker = detail::Worker::current();
  if (worker == nullptr) panic("signals::notify: called outside a goroutine");
  SignalSet set = 0;
  for (int number : numbers) {
    if (!has_action(number) || (signal_bit(number) & faults) != 0) {
      refuse("signals::notify", number, " cannot be caught");
    }
    set |= signal_bit(number);
  }
  if (numbers.size() == 0) set = all_with_action() & ~faults;
  SignalRegistry& registry = SignalRegistry::instance();
  std::lock_guard guard(registry.mutex);
  registry.add(registry.hub_of(*worker), channel, set);
}

void signals::stop(const Sender<int>& channel) {
  SignalRegistry& registry = SignalRegistry::instance();
  std::uint32_t runtime = 0;
  {
    std::lock_guard guard(registry.mutex);
    detail::SignalHub* hub = registry.find(channel);
    if (hub == nullptr) return;
    runtime = hub->home.runtime_id();
  }
  // What has come is sent to the channel, so this is the runtime's business.
  detail::with_runtime_of(runtime, [&] {
    std::lock_guard guard(registry.mutex);
    registry.remove(channel);
  });
}

void signals::reset(std::initializer_list<int> numbers) {
  SignalSet set = numbers.size() == 0 ? ~SignalSet{0} : 0;
  for (int number : numbers) {
    if (number >= 1 && number <= signals_max) set |= signal_bit(number);
  }
  SignalRegistry& registry = SignalRegistry::instance();
  std::lock_guard guard(registry.mutex);
  registry.remove(set, false);
}

void signals::ignore(std::initializer_list<int> numbers) {
  SignalSet set = numbers.size() == 0 ? all_with_action() & ~faults : 0;
  for (int number : numbers) {
    if (!has_action(number)) refuse("signals::ignore", number, " cannot be ignored");
    set |= signal_bit(number);
  }
  SignalRegistry& registry = SignalRegistry::instance();
  std::lock_guard guard(registry.mutex);
  registry.remove(set, true);
}

bool signals::ignored(int number) noexcept {
  struct sigaction now {};
  return ::sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace ringo
