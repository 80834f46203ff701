// Panic: the exception for broken rules, and how a goroutine or the process ends.
#pragma once

#include <exception>
#include <source_location>

namespace ringo {

/// A broken rule of the program, such as a send on a closed channel (Go's panic). Caught like any
/// exception; one that leaves a detached goroutine or main ends the process with exit status 2 and
/// a report, a JoinHandle carries it to whoever joins. The text is kept in a shared, immutable
/// buffer, so copying does not throw.
class Panic : public std::exception {
 public:
  explicit Panic(const char* what, std::source_location where = std::source_location::current());
  Panic(const Panic& other) noexcept;
  Panic& operator=(const Panic& other) noexcept;
  ~Panic() override;

  const char* what() const noexcept override;
  /// Where it was made.
  const std::source_location& where() const noexcept { return where_; }

 private:
  struct Text;
  Text* text_;
  std::source_location where_;
};

/// Throws Panic(what). Copies the text. From any thread.
[[noreturn]] void panic(const char* what,
                        std::source_location where = std::source_location::current());

/// Ends the calling goroutine: unwinds it (destructors and Defers run), nobody else is affected
/// (Go's runtime.Goexit). Who joins it gets Panic "goroutine called goexit". Throws a type that is
/// no std::exception: a catch (...) in between must rethrow. Throws Panic outside a goroutine.
[[noreturn]] void goexit();

namespace detail {

/// What goexit() throws.
struct Goexit {};

/// Ends the process for a misuse that nobody can recover from: prints "fatal error: " and the text
/// with the goroutine, exit status 2 (DP-16).
[[noreturn]] void fatal(const char* what) noexcept;

}  // namespace detail
}  // namespace ringo
