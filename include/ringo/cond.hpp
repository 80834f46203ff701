// Cond: waiting until something under a Mutex has changed.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/mutex.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {

class CondCase;

/// `cond.wait(guard)`, not yet started. Not an operation: having unlocked and locked again, it
/// could not be taken back, so it cannot be a case of select_any.
class [[nodiscard("co_await it")]] CondWait {
 public:
  explicit CondWait(Task<> task) noexcept : task_(std::move(task)) {}
  TaskAwaiter<void> ringo_await(Goroutine*) { return TaskAwaiter<void>(task_); }

 private:
  Task<> task_;
};

}  // namespace detail

/// A meeting point of goroutines that wait for a condition with those that bring it about (Go's
/// sync.Cond). The condition itself is data under the mutex:
///
///     auto guard = co_await mu.lock();
///     while (queue.empty()) co_await cond.wait(guard);
///
/// or `co_await cond.wait(guard, [&] { return !queue.empty(); })`. A channel is often simpler, can
/// be a case of select_any, and can be waited for with a timeout.
///
/// Destruction, runtimes and plain threads as for Mutex; the Mutex must outlive it. Not copyable,
/// not movable.
class Cond {
 public:
  explicit Cond(Mutex& mutex) noexcept : mutex_(&mutex) {}
  Cond(const Cond&) = delete;
  Cond& operator=(const Cond&) = delete;
  ~Cond() {
    if (!waiters_.empty()) [[unlikely]]
      destroyed();
  }

  /// Unlocks the mutex and waits, as one step: a signal() or broadcast() of anybody who locks it
  /// from then on is not missed; locks it again before it returns (CO-01). There are no spurious
  /// wake-ups, but somebody else may have had the mutex in between, so look at the condition again.
  /// Always suspends. Cancellable: then too the mutex is locked again first, and the guard holds it
  /// while Canceled leaves. A fatal error if the guard holds nothing (CO-02); throws Panic if it
  /// holds another mutex. The guard must outlive the wait and is not used by others meanwhile.
  detail::CondWait wait(Mutex::Guard& guard) { return detail::CondWait(wait_once(guard)); }

  /// Waits until predicate() is true, which it may be at once. It is called with the mutex locked.
  template <class Predicate>
  detail::CondWait wait(Mutex::Guard& guard, Predicate predicate) {
    return detail::CondWait(wait_until(*this, guard, std::move(predicate)));
  }

  /// Wakes the goroutine that has waited longest, exactly one, if any waits (CO-03). With or
  /// without the mutex locked (CO-06). Does not suspend.
  void signal();

  /// Wakes all that wait now (CO-04, CO-05). Otherwise as signal().
  void broadcast();

 private:
  friend class detail::CondCase;

  Task<> wait_once(Mutex::Guard& guard);
  template <class Predicate>
  static Task<> wait_until(Cond& cond, Mutex::Guard& guard, Predicate predicate) {
    while (!predicate()) co_await cond.wait(guard);
  }
  template <class F>
  void at_home(F&& call);
  void bind(std::uint32_t runtime_id);
  void destroyed() noexcept;

  Mutex* const mutex_;
  // The queue under the lock; dropping it is the last touch of whoever changed it.
  detail::SpinLock lock_;
  std::atomic<std::uint32_t> runtime_id_{0};
  detail::WaitQueue waiters_;  // touched only by goroutines of runtime_id_
};

}  // namespace ringo
