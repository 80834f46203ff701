// Where a cancellation reaches: work with a Context of its own, work that is shielded, and Tasks
// against a timeout.
#pragma once

#include <chrono>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/result.hpp>
#include <ringo/task.hpp>
#include <ringo/time.hpp>

namespace ringo {

namespace detail {

/// Another Context for the running goroutine, for a while.
class ContextScope {
 public:
  ContextScope(Context context, bool shield) noexcept
      : context_(std::move(context)), shield_(shield) {}
  /// Throws Panic for an empty Context and for one that another live runtime uses.
  void enter(Goroutine* g);
  void leave() noexcept;

 private:
  Context context_;  // the one before, while entered
  Goroutine* g_ = nullptr;
  bool shield_;
  bool exempt_before_ = false;
};

template <class T>
class [[nodiscard]] ScopedTaskAwaiter {
 public:
  ScopedTaskAwaiter(Goroutine* g, Context context, bool shield, Task<T>& task)
      : g_(g), scope_(std::move(context), shield), inner_(task) {}
  ScopedTaskAwaiter(const ScopedTaskAwaiter&) = delete;
  ScopedTaskAwaiter& operator=(const ScopedTaskAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <class P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> parent) {
    scope_.enter(g_);
    return inner_.await_suspend(parent);
  }
  T await_resume() {
    scope_.leave();
    return inner_.await_resume();
  }

 private:
  Goroutine* g_;
  ContextScope scope_;
  TaskAwaiter<T> inner_;
};

template <class T>
class [[nodiscard("co_await it")]] ScopedTask {
 public:
  ScopedTask(Context context, bool shield, Task<T> task) noexcept
      : context_(std::move(context)), task_(std::move(task)), shield_(shield) {}
  ScopedTask(const ScopedTask&) = delete;
  ScopedTask& operator=(const ScopedTask&) = delete;

  ScopedTaskAwaiter<T> ringo_await(Goroutine* g) {
    return ScopedTaskAwaiter<T>(g, shield_ ? without_cancel(this_context()) : std::move(context_),
                                shield_, task_);
  }

 private:
  Context context_;
  Task<T> task_;
  bool shield_;
};

}  // namespace detail

/// Awaits a Task with another Context: `co_await with_context(ctx, work())`. The goroutine has that
/// Context meanwhile (this_context(), the goroutines it starts, cancellation of its waits) and its
/// own again afterwards. A cancellation of its own Context reaches the work only if ctx was made
/// from it. If ctx is cancelled, the waits of the work end with Canceled, which comes out of here
/// unless it catches it: with_timeout() and task_group() know whose it is. Throws Panic for an
/// empty Context.
template <class T>
detail::ScopedTask<T> with_context(Context context, Task<T> task) noexcept {
  return {std::move(context), false, std::move(task)};
}

/// Awaits a Task that a cancellation does not reach: `co_await shield(give_back())`, for what must
/// be brought to its end. Its Context has the values of the goroutine's and is never done, also for
/// the goroutines it starts. A cancellation that comes meanwhile is met by the next wait after it.
/// Without Options::drain the end of main's goroutine ends it all the same.
template <class T>
detail::ScopedTask<T> shield(Task<T> task) noexcept {
  return {Context(), true, std::move(task)};
}

namespace detail {

inline auto limited(TimePoint deadline) { return with_deadline(this_context(), deadline); }
inline auto limited(std::chrono::nanoseconds d) { return with_timeout(this_context(), d); }

template <class When, class T>
Task<typename TimedResult<T>::type> run_until(When when, Task<T> task) {
  using Outcome = typename TimedResult<T>::type;
  auto [limit, cancel] = limited(when);
  try {
    if constexpr (std::is_void_v<T>) {
      co_await with_context(limit, std::move(task));
      co_return Outcome();
    } else {
      Outcome outcome(co_await with_context(limit, std::move(task)));
      if (outcome || !(outcome.error() == std::errc::operation_canceled) || this_context().err() ||
          !limit.err()) {
        co_return outcome;
      }
    }
  } catch (const Canceled&) {
    if (this_context().err() || !limit.err()) throw;
  }
  co_return Errc::timeout;
}

}  // namespace detail

/// Awaits a Task for at most d: yields Result<T> of what it returns (Result<R> itself if it returns
/// one), with Errc::timeout (equal to std::errc::timed_out) if it did not end in time. Then its
/// waits were cancelled and it has unwound; so this returns when the Task has ended, which takes
/// longer than d if it does not wait or shields what it does. d begins with the co_await.
template <class Rep, class Period, class T>
Task<typename detail::TimedResult<T>::type> with_timeout(std::chrono::duration<Rep, Period> d,
                                                         Task<T> task) {
  return detail::run_until(detail::saturate(d), std::move(task));
}

/// Awaits a Task until that moment at the latest; as with_timeout(d, task).
template <class T>
Task<typename detail::TimedResult<T>::type> with_deadline(TimePoint deadline, Task<T> task) {
  return detail::run_until(deadline, std::move(task));
}

}  // namespace ringo
