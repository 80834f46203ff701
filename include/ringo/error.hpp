// Errors of I/O: what failed, on what, and why.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace ringo {

/// Errors that no errno stands for.
enum class Errc {
  eof = 1,     ///< the end of the stream (Go's io.EOF)
  closed,      ///< use of a closed connection (Go's net.ErrClosed)
  timeout,     ///< a timeout or deadline came first; equal to std::errc::timed_out
  canceled,    ///< a Context was cancelled; equal to std::errc::operation_canceled
  deadline_exceeded,  ///< the deadline of a Context has passed; equal to std::errc::timed_out
};

/// The category of Errc, named "ringo".
const std::error_category& ringo_category() noexcept;
/// Names that do not resolve: the codes of getaddrinfo(3).
const std::error_category& lookup_category() noexcept;

inline std::error_code make_error_code(Errc code) noexcept {
  return {static_cast<int>(code), ringo_category()};
}

}  // namespace ringo

template <>
struct std::is_error_code_enum<ringo::Errc> : std::true_type {};

namespace ringo {

/// Why an operation failed: a std::error_code, the name of the operation, and what it was about
/// ("127.0.0.1:8080"). Trivially copyable, so it costs nothing to carry; a detail of more than 39
/// bytes is cut and ends in "...". Tests true if it is an error. Compares with std::errc, Errc and
/// std::error_code, whatever the operation and detail.
class [[nodiscard]] Error {
 public:
  Error() noexcept = default;
  /// `op` must be a string that lives for ever; `detail` is copied.
  Error(std::error_code code, const char* op = "", std::string_view detail = {}) noexcept;
  Error(Errc code) noexcept : Error(make_error_code(code)) {}
  Error(std::errc code) noexcept : Error(std::make_error_code(code)) {}

  /// From a positive errno value. `op` must be a string that lives for ever.
  static Error from_errno(int code, const char* op, std::string_view detail = {}) noexcept {
    return Error(std::error_code(code, std::generic_category()), op, detail);
  }
  /// From what getaddrinfo(3) returned, with errno as it was then: EAI_SYSTEM says no more than
  /// that errno does.
  static Error from_lookup(int code, const char* op, std::string_view detail = {}) noexcept;

  explicit operator bool() const noexcept { return static_cast<bool>(code_); }
  const std::error_code& code() const noexcept { return code_; }
  /// What was done: "listen tcp", "read", ... or "".
  const char* op() const noexcept { return op_; }
  /// On what, or "".
  std::string_view detail() const noexcept { return detail_; }
  /// True if a deadline or timeout ended it.
  bool timeout() const noexcept { return code_ == std::errc::timed_out; }
  /// "listen tcp 127.0.0.1:8080: Address already in use".
  std::string message() const;

  friend bool operator==(const Error& error, std::errc code) noexcept {
    return error.code_ == code;
  }
  friend bool operator==(const Error& error, Errc code) noexcept {
    return error.code_ == make_error_code(code);
  }
  friend bool operator==(const Error& error, const std::error_code& code) noexcept {
    return error.code_ == code;
  }

 private:
  static constexpr std::size_t detail_size = 40;

  std::error_code code_;
  const char* op_ = "";
  char detail_[detail_size] = {};
};

static_assert(std::is_trivially_copyable_v<Error> && std::is_trivially_destructible_v<Error>);

/// Thrown by Result::value() on an error; what() is its message.
class BadResult : public std::system_error {
 public:
  explicit BadResult(const Error& error);
  const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

namespace detail {
[[noreturn]] void throw_bad_result(const Error& error);
}

}  // namespace ringo
