// Which channels want which signals, and what the process does about each signal.
//
// A signal's way: the handler, on whichever thread the kernel chose, marks the signal at the bell
// of each runtime that wants it and rings; the runtime's driver sees the bell, an eventfd, and the
// hub sends what is marked to the channels.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <mutex>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/detail/reference_count.hpp>

#include "driver/driver.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

/// A set of signals, 1 to 64.
using SignalSet = std::uint64_t;
inline constexpr int signals_max = 64;
constexpr SignalSet signal_bit(int number) noexcept { return SignalSet{1} << (number - 1); }

/// Calls f(number) for each signal of the set.
template <class F>
void for_each_signal(SignalSet set, F&& f) {
  for (; set != 0; set &= set - 1) f(std::countr_zero(set) + 1);
}

/// What the handler touches of a hub. Never freed, since a handler may be looking at it at any
/// time; taken by one runtime after another.
struct SignalBell {
  std::atomic<SignalSet> wanted{0};
  std::atomic<SignalSet> pending{0};
  std::atomic<int> fd{-1};
  SignalBell* next = nullptr;  // constant once it is in the list
  // Under the mutex of the registry:
  bool taken = false;
  pid_t owner = 0;  // of fd, which a child process must not share
};

struct SignalSubscription {
  Sender<int> channel;
  SignalSet set;
};

/// The channels of one runtime. Its source is watched by the worker that made it.
class SignalHub final : public IoSource, public Resource {
 public:
  SignalHub(Worker& worker, SignalBell& its_bell) : home(worker), bell(its_bell) {
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
  bool is_alive() noexcept override;

  Worker& home;
  SignalBell& bell;
  std::vector<SignalSubscription> subscriptions;

 private:
  ~SignalHub() = default;
  std::atomic<std::uint32_t> references_{1};
};

/// What the process does about a signal.
struct SignalAction {
  enum class Mode : std::uint8_t { untouched, caught, ignored };
  Mode mode = Mode::untouched;
  struct sigaction before {};  // unless untouched
};

/// Everything below the mutex. It is held while signals are sent to channels (which never blocks),
/// so whoever has it knows that none is under way.
class SignalRegistry {
 public:
  static SignalRegistry& instance() {
    static auto* registry = new SignalRegistry;  // hubs may be stopped by static destructors
    return *registry;
  }

  std::mutex mutex;

  /// The hub of the worker's runtime, made if need be. On the worker.
  SignalHub& hub_of(Worker& worker);
  /// The hub at which the channel has subscribed, or null.
  SignalHub* find(const Sender<int>& channel) noexcept;
  void add(SignalHub& hub, const Sender<int>& channel, SignalSet set);
  /// Sends what has come to the channels that want it. On a worker of the hub's runtime.
  void deliver(SignalHub& hub);

  /// A channel stops, having got what came before.
  void remove(const Sender<int>& channel);
  /// Nobody gets these signals any more; they do what they did at first, or nothing.
  void remove(SignalSet set, bool ignore);
  /// The hub's runtime has ended.
  void remove(SignalHub& hub);

 private:
  SignalBell& take_bell();
  void restore_unwanted();
  SignalSet wanted() const noexcept;
  static SignalSet wanted(const SignalHub& hub) noexcept;

  std::vector<SignalHub*> hubs_;
  std::array<SignalAction, signals_max + 1> actions_;
};

}  // namespace ringo::detail
