// Task<T>: a function that can wait.
#pragma once

#include <coroutine>
#include <utility>

#include <ringo/detail/promise.hpp>

namespace ringo {

namespace detail {
[[noreturn]] void throw_task_awaited_twice();
}

/// A coroutine that gives a T. It is lazy: calling it only makes its frame, `co_await` starts it
/// and yields its result or rethrows its exception, and it runs as part of the goroutine that
/// awaits it. Start it as a goroutine of its own with go().
///
/// Awaited at most once: a second await throws Panic. A Task that is never awaited never runs; its
/// parameters are destroyed with it. Move-only. Awaiting costs no atomic operation, and its frame
/// comes from ringo's own allocator.
///
/// \code
/// Task<int> twice(Channel<int> in) { co_return 2 * (co_await in.recv()).value(); }
/// \endcode
template <class T = void>
class [[nodiscard("a Task does nothing until it is awaited or given to go()")]] Task {
 public:
  using value_type = T;
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() noexcept = default;
  Task(Task && other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (frame_) frame_.destroy();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (frame_) frame_.destroy();
  }

  /// False once it was awaited, moved from or given to go().
  bool valid() const noexcept { return frame_ != nullptr; }

 private:
  friend promise_type;
  friend class detail::TaskAwaiter<T>;
  friend struct detail::SpawnAccess;

  explicit Task(Handle frame) noexcept : frame_(frame) {}
  Handle release() {
    if (!frame_) detail::throw_task_awaited_twice();
    return std::exchange(frame_, nullptr);
  }

  Handle frame_;
};

namespace detail {

/// Starts a child frame in the same goroutine and destroys it when its result was taken.
template <class T>
class [[nodiscard]] TaskAwaiter {
 public:
  explicit TaskAwaiter(Task<T>& task) : frame_(task.release()) {}
  TaskAwaiter(const TaskAwaiter&) = delete;
  TaskAwaiter& operator=(const TaskAwaiter&) = delete;
  ~TaskAwaiter() { frame_.destroy(); }

  bool await_ready() const noexcept { return false; }

  template <class P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> parent) noexcept {
    PromiseBase& caller = parent.promise();
    PromiseBase& child = frame_.promise();
    child.parent = &caller;
    child.g = caller.g;
    return transfer(caller.g, frame_);
  }

  T await_resume() { return frame_.promise().take(); }

 private:
  std::coroutine_handle<Promise<T>> frame_;
};

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
template <class T>
Task<T&> Promise<T&>::get_return_object() noexcept {
  return Task<T&>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace detail
}  // namespace ringo
