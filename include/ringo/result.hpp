// Result<T>: a value, or the Error that there is in its place.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <ringo/error.hpp>

namespace ringo {

/// What I/O returns: `auto n = co_await conn.read(buf); if (!n) co_return n.error();`, or
/// `.value()`, which throws BadResult on an error. If T is trivially destructible it can be taken
/// apart: `auto [n, error] = co_await conn.read(buf)` (T{} stands in for a missing value). A
/// success costs no initialisation of an Error.
template <class T>
class [[nodiscard("it may be an error")]] Result {
  static_assert(!std::is_reference_v<T> && !std::is_same_v<std::remove_cv_t<T>, Error>);

 public:
  using value_type = T;

  Result(const T& value) : ok_(true) { ::new (static_cast<void*>(&value_)) T(value); }
  Result(T&& value) noexcept(std::is_nothrow_move_constructible_v<T>) : ok_(true) {
    ::new (static_cast<void*>(&value_)) T(std::move(value));
  }
  Result(const Error& error) noexcept : ok_(false), error_(error) {}
  Result(std::errc code) noexcept : Result(Error(code)) {}
  Result(Errc code) noexcept : Result(Error(code)) {}
  Result(std::error_code code) noexcept : Result(Error(code)) {}

  Result(const Result& other)
    requires std::is_trivially_copy_constructible_v<T>
  = default;
  Result(const Result& other)
    requires(!std::is_trivially_copy_constructible_v<T> && std::is_copy_constructible_v<T>)
      : ok_(other.ok_) {
    assign(other);
  }
  Result(Result&& other)
    requires std::is_trivially_move_constructible_v<T>
  = default;
  Result(Result&& other) noexcept(std::is_nothrow_move_constructible_v<T>)
    requires(!std::is_trivially_move_constructible_v<T>)
      : ok_(other.ok_) {
    assign(std::move(other));
  }
  Result& operator=(Result other) noexcept(std::is_nothrow_move_constructible_v<T>) {
    destroy();
    ok_ = other.ok_;
    assign(std::move(other));
    return *this;
  }
  ~Result()
    requires std::is_trivially_destructible_v<T>
  = default;
  ~Result()
    requires(!std::is_trivially_destructible_v<T>)
  {
    destroy();
  }

  bool has_value() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }

  /// The value; there must be one.
  T& operator*() & noexcept { return value_; }
  const T& operator*() const& noexcept { return value_; }
  T&& operator*() && noexcept { return std::move(value_); }
  T* operator->() noexcept { return std::addressof(value_); }
  const T* operator->() const noexcept { return std::addressof(value_); }

  /// The value; throws BadResult if there is none.
  T& value() & { return check(), value_; }
  const T& value() const& { return check(), value_; }
  T&& value() && { return check(), std::move(value_); }
  template <class U>
  T value_or(U&& otherwise) const& {
    return ok_ ? value_ : static_cast<T>(std::forward<U>(otherwise));
  }
  template <class U>
  T value_or(U&& otherwise) && {
    return ok_ ? std::move(value_) : static_cast<T>(std::forward<U>(otherwise));
  }

  /// The error; an empty one if there is a value.
  Error error() const noexcept { return ok_ ? Error() : error_; }

 private:
  void check() const {
    if (!ok_) detail::throw_bad_result(error_);
  }
  template <class R>
  void assign(R&& other) {
    if (ok_) {
      ::new (static_cast<void*>(&value_)) T(std::forward<R>(other).value_);
    } else {
      ::new (static_cast<void*>(&error_)) Error(other.error_);
    }
  }
  void destroy() noexcept {
    if constexpr (!std::is_trivially_destructible_v<T>) {
      if (ok_) std::destroy_at(std::addressof(value_));
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

  Result() noexcept = default;
  Result(const Error& error) noexcept : error_(error) {}
  Result(std::errc code) noexcept : Result(Error(code)) {}
  Result(Errc code) noexcept : Result(Error(code)) {}
  Result(std::error_code code) noexcept : Result(Error(code)) {}

  bool has_value() const noexcept { return !error_; }
  explicit operator bool() const noexcept { return !error_; }
  /// Throws BadResult on an error.
  void value() const {
    if (error_) detail::throw_bad_result(error_);
  }
  const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

/// For structured bindings.
template <std::size_t I, class T>
auto get(const Result<T>& result) {
  static_assert(std::is_trivially_destructible_v<T>,
                "structured bindings are for trivially destructible results only: GCC 15 and 16 "
                "skip a destructor in `auto [a, b] = co_await x`");
  if constexpr (I == 0) {
    return result ? *result : T{};
  } else {
    return result.error();
  }
}

}  // namespace ringo

template <class T>
struct std::tuple_size<ringo::Result<T>> : std::integral_constant<std::size_t, 2> {};
template <class T>
struct std::tuple_element<0, ringo::Result<T>> {
  using type = T;
};
template <class T>
struct std::tuple_element<1, ringo::Result<T>> {
  using type = ringo::Error;
};
