// protect: the exception of a Task as a value.
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/panic.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {
struct NoValue {};
/// The text of an exception as in the report of a panic.
std::string describe(const std::exception_ptr& error);
[[noreturn]] void throw_no_value();
}  // namespace detail

/// How a Task ended: with a value, or by an exception, which it carries whole, since it may be of
/// any type (a Result<T> holds an Error only, and would lose it). Tests true if there is a value.
template <class T>
class [[nodiscard("it may have failed")]] Outcome {
  static_assert(!std::is_reference_v<T>, "a Task of a reference has no Outcome");
  using Held = std::conditional_t<std::is_void_v<T>, detail::NoValue, T>;

 public:
  using value_type = T;

  /// A success.
  Outcome() requires std::is_void_v<T> : value_(std::in_place) {}
  Outcome(Held value) : value_(std::move(value)) {}
  /// A failure; Panic if there is no exception in it.
  explicit Outcome(std::exception_ptr error) : error_(std::move(error)) {
    if (error_ == nullptr) detail::throw_no_value();
  }

  bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; if there is none, its exception is thrown again.
  T value()&& {
    check();
    if constexpr (!std::is_void_v<T>) return std::move(*value_);
  }
  decltype(auto) value()& {
    check();
    if constexpr (!std::is_void_v<T>) return static_cast<Held&>(*value_);
  }
  /// The value, which there must be.
  Held& operator*() noexcept requires(!std::is_void_v<T>) { return *value_; }
  Held* operator->() noexcept requires(!std::is_void_v<T>) { return &*value_; }

  /// The exception; null if there is a value.
  const std::exception_ptr& error() const noexcept { return error_; }
  /// Its text, as the report of an uncaught panic would show it; "" if there is a value.
  std::string message() const { return error_ == nullptr ? "" : detail::describe(error_); }
  /// Is it an exception of this type (or one derived from it)?
  template <class E>
  bool holds() const noexcept {
    if (error_ == nullptr) return false;
    try {
      std::rethrow_exception(error_);
    } catch (const E&) {
      return true;
    } catch (...) { return false; }
  }

 private:
  void check() const {
    if (error_ != nullptr) std::rethrow_exception(error_);
  }

  std::optional<Held> value_;
  std::exception_ptr error_;
};

/// Awaits a Task and yields how it ended, in place of throwing (Go's recover in a function of its
/// own):
///
///     auto outcome = co_await protect(parse(text));
///     if (!outcome) log(outcome.message());
///
/// Canceled and goexit() pass through: they end the goroutine, and are no failure of the Task.
template <class T>
Task<Outcome<T>> protect(Task<T> task) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(task);
      co_return Outcome<T>();
    } else {
      co_return Outcome<T>(co_await std::move(task));
    }
  } catch (const Canceled&) {
    throw;
  } catch (const detail::Goexit&) {
    throw;
  } catch (...) { co_return Outcome<T>(std::current_exception()); }
}

}  // namespace ringo
