// Once: something that happens once, whoever asks first.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <ringo/mutex.hpp>
#include <ringo/panic.hpp>
#include <ringo/task.hpp>

namespace ringo {

/// Runs a function once (Go's sync.Once): `co_await once.call(f)`. The first caller runs f, a plain
/// function or one that gives a Task; others wait until it has returned (ON-01). If f throws, that
/// caller gets the exception and the call counts as done (ON-02). Calling it inside f waits for
/// ever (ON-03). Cancelling a caller that waits changes nothing; if the one inside f is cancelled,
/// that counts as done too. Goroutines only. Not copyable.
class Once {
 public:
  Once() = default;
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;

  template <class F>
  Task<> call(F f) {
    if (done_.load(std::memory_order_acquire)) co_return;
    auto guard = co_await mutex_.lock();
    if (done_.load(std::memory_order_relaxed)) co_return;
    struct Mark {
      explicit Mark(std::atomic<bool>& d) noexcept : done(d) {}
      ~Mark() { done.store(true, std::memory_order_release); }
      std::atomic<bool>& done;
    } mark(done_);
    if constexpr (detail::is_task<std::invoke_result_t<F&>>) {
      co_await std::invoke(f);
    } else {
      std::invoke(f);
    }
  }

  /// Whether the call has been made and has ended.
  bool done() const noexcept { return done_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> done_{false};
  Mutex mutex_;
};

/// A value computed at its first use (Go's sync.OnceValue): `co_await value.get()` yields the same
/// object to all, or throws the same exception every time (ON-04). F gives a T or a Task<T> and is
/// destroyed after its run. Otherwise as Once.
template <class F>
class OnceValue {
  using Returned = std::invoke_result_t<F&>;
  template <class R>
  struct ValueOf {
    using type = R;
  };
  template <class R>
  struct ValueOf<Task<R>> {
    using type = R;
  };

 public:
  using value_type = typename ValueOf<Returned>::type;
  static_assert(!std::is_void_v<value_type>, "a function without a value is for Once");

  explicit OnceValue(F f) : f_(std::move(f)) {}
  OnceValue(const OnceValue&) = delete;
  OnceValue& operator=(const OnceValue&) = delete;

  Task<const value_type&> get() {
    if (!once_.done()) co_await once_.call([this] { return fill(); });
    if (error_) std::rethrow_exception(error_);
    co_return *value_;
  }

 private:
  Task<> fill() {
    struct Release {
      explicit Release(std::optional<F>& f) noexcept : f(f) {}
      ~Release() { f.reset(); }
      std::optional<F>& f;
    } release(f_);
    try {
      if constexpr (detail::is_task<Returned>) {
        value_.emplace(co_await std::invoke(*f_));
      } else {
        value_.emplace(std::invoke(*f_));
      }
    } catch (const Canceled&) {
      error_ = std::make_exception_ptr(Panic("OnceValue: the function was cancelled"));
      throw;
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  Once once_;
  std::optional<F> f_;
  std::optional<value_type> value_;
  std::exception_ptr error_;
};

}  // namespace ringo
