// What every ringo coroutine carries: its goroutine, its awaiter, its result.
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <new>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/frame_allocator.hpp>
#include <ringo/detail/goroutine.hpp>
#include <ringo/detail/site.hpp>
#include <ringo/detail/wait.hpp>

namespace ringo {

template <class T>
class Task;

namespace detail {

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<Task<T>> = true;

template <class>
inline constexpr bool always_false = false;

template <class T>
class TaskAwaiter;

struct SpawnAccess;

/// Base of all promises, at the same place in every frame (promises are aligned to at most 16), so
/// that a frame can be reached from its promise without knowing its type.
struct PromiseBase {
  // g and parent are not neighbours: GCC would write both with one vector instruction, and who
  // reads one of them right after waits for it (doc/performance.md: two nanoseconds an await).
  Goroutine* g = nullptr;
  std::source_location site;      // where this frame awaits, or awaited last, or begins
  PromiseBase* parent = nullptr;  // awaits us; null at the root
  std::exception_ptr error;

  PromiseBase() = default;
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  static void* operator new(std::size_t size) { return frame_allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { frame_free(frame, size); }

  std::suspend_always initial_suspend(Site where = __builtin_source_location()) noexcept {
    site = location_of(where);
    return {};
  }

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> frame) const noexcept {
      PromiseBase& promise = frame.promise();
      if (promise.parent != nullptr) [[likely]] {
        return transfer(promise.g, promise.parent->handle());
      }
      finish_root(promise.g);
      return std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  FinalAwaiter final_suspend() const noexcept { return {}; }

  void unhandled_exception() noexcept {
    error = std::current_exception();
    note_thrown(*this);
  }

  std::coroutine_handle<> handle() noexcept {
    return std::coroutine_handle<PromiseBase>::from_promise(*this);
  }

  /// co_await takes Tasks, operations (channels, timers, locks, I/O), select and handles.
  template <class A>
  auto await_transform(A&& awaited, Site where = __builtin_source_location()) {
    using Awaited = std::remove_cvref_t<A>;
    site = location_of(where);
    if constexpr (is_task<Awaited>) {
      return TaskAwaiter<typename Awaited::value_type>(awaited);
    } else if constexpr (IsEager<Awaited> && !std::is_lvalue_reference_v<A>) {
      return EagerAwaiter<Awaited>(g, awaited);
    } else if constexpr (IsOperation<Awaited>) {
      return OperationAwaiter<typename Awaited::Case>(g, std::forward<A>(awaited));
    } else if constexpr (requires { std::forward<A>(awaited).ringo_await(g); }) {
      return std::forward<A>(awaited).ringo_await(g);
    } else {
      static_assert(always_false<A>,
                    "ringo coroutines await ringo Tasks and operations; let a foreign awaitable "
                    "run in blocking() or wait for its descriptor with readable()");
    }
  }
};

/// Storage of a result; constructed by co_return.
template <class T>
class Promise : public PromiseBase {
  static_assert(alignof(T) <= 16, "both compilers misalign more than 16 in a coroutine frame");

 public:
  Promise() noexcept {}
  ~Promise() {
    if (has_value_) std::destroy_at(std::addressof(value_));
  }

  Task<T> get_return_object() noexcept;

  template <class U = T>
  requires std::is_constructible_v<T, U&&>
  void return_value(U&& value) noexcept(std::is_nothrow_constructible_v<T, U&&>) {
    ::new (static_cast<void*>(std::addressof(value_))) T(std::forward<U>(value));
    has_value_ = true;
  }

  T take() {
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
    return std::move(value_);
  }

 private:
  union {
    T value_;
  };
  bool has_value_ = false;
};

template <class T>
class Promise<T&> : public PromiseBase {
 public:
  Task<T&> get_return_object() noexcept;
  void return_value(T& value) noexcept { value_ = std::addressof(value); }
  T& take() {
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
    return *value_;
  }

 private:
  T* value_ = nullptr;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() {
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
  }
};

}  // namespace detail
}  // namespace ringo
