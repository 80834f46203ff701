// Result<T>: a value, or the Error that there is in its place.
#pragma once

#include <cassert>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include <ringo/error.hpp>

namespace ringo {

template <class T>
class Result;

namespace detail {
// What a Result<T> takes for an error, or for itself, and never for a value.
template <class U, class T>
inline constexpr bool is_no_value =
    std::is_same_v<U, Error> || std::is_same_v<U, std::errc> || std::is_same_v<U, Errc> ||
    std::is_same_v<U, std::error_code> || std::is_same_v<U, Result<T>>;
}  // namespace detail

/// What I/O returns: `auto n = co_await conn.read(buf); if (!n) co_return n.error();`, or
/// `.value()`, which throws BadResult on an error. If T is trivially destructible it can be taken
/// apart: `auto [n, error] = co_await conn.read(buf)` (T{} stands in for a missing value). A
/// success costs no initialisation of an Error. T may be movable only.
template <class T>
class [[nodiscard("it may be an error")]] Result {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && !detail::is_no_value<T, T>);

 public:
  using value_type = T;

  /// A success.
  Result(const T& value) noexcept(std::is_nothrow_copy_constructible_v<T>)
      : ok_(true), value_(value) {}
  Result(T && value) noexcept(std::is_nothrow_move_constructible_v<T>)
      : ok_(true), value_(std::move(value)) {}
  /// A success, from what converts to T: a literal to a string, say.
  template <class U>
  requires(std::is_class_v<T> && std::is_convertible_v<U, T> &&
           !std::is_same_v<std::remove_cvref_t<U>, T> &&
           !detail::is_no_value<std::remove_cvref_t<U>, T>) Result(U && value)
  noexcept(std::is_nothrow_constructible_v<T, U>) : ok_(true), value_(std::forward<U>(value)) {}

  /// A failure; `error` must be one.
  Result(const Error& error) noexcept : ok_(false), error_(error) { assert(error); }
  Result(std::errc code) noexcept : Result(Error(code)) {}
  Result(Errc code) noexcept : Result(Error(code)) {}
  Result(std::error_code code) noexcept : Result(Error(code)) {}

  Result(const Result& other) requires std::is_trivially_copy_constructible_v<T>
  = default;
  Result(const Result& other) noexcept(std::is_nothrow_copy_constructible_v<T>) requires(
      !std::is_trivially_copy_constructible_v<T> && std::is_copy_constructible_v<T>)
      : ok_(other.ok_) {
    construct(other);
  }
  Result(Result && other) requires std::is_trivially_move_constructible_v<T>
  = default;
  Result(Result && other) noexcept(std::is_nothrow_move_constructible_v<T>) requires(
      !std::is_trivially_move_constructible_v<T>)
      : ok_(other.ok_) {
    construct(std::move(other));
  }

  Result& operator=(const Result& other) requires std::is_trivially_copyable_v<T>
  = default;
  Result& operator=(Result&& other) requires std::is_trivially_copyable_v<T>
  = default;
  // A template, for GCC 12 counts even an excluded assignment as one that is not trivial.
  template <class R = Result>
  requires(!std::is_trivially_copyable_v<T>) Result& operator=(
      std::type_identity_t<R> other) noexcept {
    static_assert(std::is_nothrow_move_constructible_v<T>, "a failed move would leave no value");
    destroy();
    ok_ = other.ok_;
    construct(std::move(other));
    return *this;
  }

  ~Result() requires std::is_trivially_destructible_v<T>
  = default;
  ~Result() requires(!std::is_trivially_destructible_v<T>) { destroy(); }

  bool has_value() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }

  /// The value; there must be one.
  T& operator*()& noexcept { return assert(ok_), value_; }
  const T& operator*() const& noexcept { return assert(ok_), value_; }
  T&& operator*()&& noexcept { return assert(ok_), std::move(value_); }
  T* operator->() noexcept { return assert(ok_), __builtin_addressof(value_); }
  const T* operator->() const noexcept { return assert(ok_), __builtin_addressof(value_); }

  /// The value; throws BadResult if there is none.
  T& value()& { return check(), value_; }
  const T& value() const& { return check(), value_; }
  T&& value()&& { return check(), std::move(value_); }
  /// Moves the value out; throws BadResult if there is none.
  T take() { return check(), std::move(value_); }
  template <class U>
  T value_or(U && otherwise) const& {
    return ok_ ? value_ : static_cast<T>(std::forward<U>(otherwise));
  }
  template <class U>
  T value_or(U && otherwise)&& {
    return ok_ ? std::move(value_) : static_cast<T>(std::forward<U>(otherwise));
  }

  /// The error; an empty one if there is a value.
  Error error() const noexcept { return ok_ ? Error() : error_; }

 private:
  void check() const {
    if (!ok_) [[unlikely]]
      detail::throw_bad_result(error_);
  }
  template <class R>
  void construct(R && other) {
    if (ok_) {
      ::new (static_cast<void*>(__builtin_addressof(value_))) T(std::forward<R>(other).value_);
    } else {
      ::new (static_cast<void*>(&error_)) Error(other.error_);
    }
  }
  void destroy() noexcept {
    if constexpr (!std::is_trivially_destructible_v<T>) {
      if (ok_) value_.~T();
    }
  }

  bool ok_;
  union {
    T value_;
    Error error_;
  };
};

/// The outcome of an operation without a value.
template <>
class [[nodiscard("it may be an error")]] Result<void> {
 public:
  using value_type = void;

  /// A success.
  Result() noexcept : ok_(true), none_() {}
  /// A failure, or a success if `error` is none.
  Result(const Error& error) noexcept : ok_(!error), error_(error) {}
  Result(std::errc code) noexcept : Result(Error(code)) {}
  Result(Errc code) noexcept : Result(Error(code)) {}
  Result(std::error_code code) noexcept : Result(Error(code)) {}

  bool has_value() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }
  /// Throws BadResult on an error.
  void value() const {
    if (!ok_) [[unlikely]]
      detail::throw_bad_result(error_);
  }
  /// The error; an empty one on success.
  Error error() const noexcept { return ok_ ? Error() : error_; }

 private:
  bool ok_;
  union {
    char none_;
    Error error_;
  };
};

static_assert(std::is_trivially_copyable_v<Result<void>>);
static_assert(std::is_trivially_copyable_v<Result<std::size_t>>);

/// For structured bindings.
template <std::size_t I, class T>
auto get(const Result<T>& result) {
  static_assert(std::is_trivially_destructible_v<T>,
                "structured bindings are for trivially destructible results only: GCC 15 and 16 "
                "skip a destructor in `auto [a, b] = co_await x`");
  if constexpr (I == 0) {
    static_assert(std::is_default_constructible_v<T>,
                  "structured bindings need a T{} to stand in for a missing value");
    return result ? *result : T{};
  } else {
    return result.error();
  }
}

}  // namespace ringo

template <class T>
requires(!std::is_void_v<T>) struct std::tuple_size<ringo::Result<T>>
    : std::integral_constant<std::size_t, 2> {
};
template <class T>
requires(!std::is_void_v<T>) struct std::tuple_element<0, ringo::Result<T>> {
  using type = T;
};
template <class T>
requires(!std::is_void_v<T>) struct std::tuple_element<1, ringo::Result<T>> {
  using type = ringo::Error;
};
