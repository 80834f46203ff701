// Event and Broadcast: signals to all who wait, where Go closes a channel.
#pragma once

#include <atomic>
#include <cstdint>

#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait.hpp>

namespace ringo {

class Event;
class Broadcast;

namespace detail {

class EventCase;

/// What Event and Broadcast have in common: those who wait.
class SignalBase {
 public:
  SignalBase(const SignalBase&) = delete;
  SignalBase& operator=(const SignalBase&) = delete;

 protected:
  SignalBase() noexcept = default;
  ~SignalBase() = default;

  friend EventCase;

  /// Lets all go on that wait now; with `keep`, and all who come later.
  void wake_all(bool keep, const char* type);
  void change(bool set, const char* type);
  bool looks_ready(std::uint32_t runtime_id, const char* type);
  void destroyed(const char* type) noexcept;
  bool nobody_waits() const noexcept { return waiters_.empty(); }

  // Under the lock; unlocking is the last touch.
  SpinLock lock_;
  std::atomic<std::uint32_t> runtime_id_{0};
  std::atomic<bool> set_{false};  // atomic for is_set()
  WaitQueue waiters_;             // touched only by goroutines of runtime_id_
};

/// `event.wait()` or `broadcast.wait()`, not yet started.
class [[nodiscard("co_await it, or make it a case of select_any")]] SignalWait {
 public:
  using Case = EventCase;
  SignalWait(SignalBase & signal, const char* type) noexcept : signal_(&signal), type_(type) {}

 private:
  friend Case;
  SignalBase* signal_;
  const char* type_;
};

/// One wait under way.
class EventCase final : public CaseBase {
 public:
  explicit EventCase(SignalWait op) noexcept : signal_(op.signal_), type_(op.type_) {}
  bool try_take() override { return looks_ready(); }
  Enlist enlist() override;
  void withdraw() noexcept override;
  bool looks_ready() override;
  WaitReason reason() const noexcept { return WaitReason::event_wait; }
  void result() const noexcept {}

 private:
  SignalBase* signal_;
  const char* type_;
};

}  // namespace detail

/// A flag that one can wait for (a closed `chan struct{}` in Go, and it can be taken back):
///
///     Event stop;
///     go([&]() -> Task<> {
///       co_await select_any{on(stop.wait(), [] {}), on(after(1s), [] {})};
///     });
///     stop.set();
///
/// What was done before set() is visible after the wait() that it ends. A waiter may destroy the
/// Event at once; destroying it while goroutines wait is a fatal error. For the goroutines of one
/// runtime; set(), reset() and is_set() also for plain threads. Not copyable, not movable.
class Event : public detail::SignalBase {
 public:
  Event() noexcept = default;
  ~Event() {
    if (!nobody_waits()) [[unlikely]]
      destroyed("Event");
  }

  /// Sets the flag; all who wait go on. Nothing happens if it is set. Does not suspend.
  void set() { change(true, "Event"); }
  /// Clears the flag: who waits from now on waits for the next set(). Those that a set() before has
  /// let go on do so. Does not suspend.
  void reset() { change(false, "Event"); }
  /// Does not suspend; any thread. Only after a wait() may one destroy the Event.
  bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }

  /// Waits until the flag is set, not at all if it is: `co_await event.wait()`, or a case of
  /// select_any. Cancellable. Throws Panic if another live runtime uses this Event.
  detail::SignalWait wait() noexcept { return detail::SignalWait(*this, "Event"); }
};

/// Wakes all who wait at this moment and remembers nothing, like closing a channel and making a new
/// one in its place; or Cond::broadcast() without a lock. Who comes later waits for the next one,
/// so look at what it tells about first in a way that cannot miss it, or use an Event.
///
/// Lifetime, runtimes and threads as for Event.
class Broadcast : public detail::SignalBase {
 public:
  Broadcast() noexcept = default;
  ~Broadcast() {
    if (!nobody_waits()) [[unlikely]]
      destroyed("Broadcast");
  }

  /// All who wait go on. Does not suspend.
  void send() { wake_all(false, "Broadcast"); }

  /// Waits for the next send(); a case of select_any, too. Always suspends. Cancellable.
  detail::SignalWait wait() noexcept { return detail::SignalWait(*this, "Broadcast"); }
};

}  // namespace ringo
