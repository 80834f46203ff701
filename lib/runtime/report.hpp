// The last words of a process: uncaught panics and fatal errors, in Go's manner.
#pragma once

#include <exception>
#include <string>

#include <ringo/detail/goroutine.hpp>

namespace ringo::detail {

/// Writes the text to standard error (standard output is flushed before) and ends the process with
/// status 2.
[[noreturn]] void last_words(const std::string& text) noexcept;

/// "what()" of an exception, or its type if it has none; nested exceptions (std::nested_exception)
/// follow, oldest first, as in Go's chain of panics.
std::string describe(const std::exception_ptr& error);

/// Did it end by Canceled or goexit(), which nobody reports?
bool ended_quietly(const std::exception_ptr& error) noexcept;

/// By goexit()?
bool ended_by_goexit(const std::exception_ptr& error) noexcept;

/// An exception left goroutine g and nobody holds a handle that could carry it: reports and exits
/// with status 2, unless it ended quietly.
void report_unseen(Goroutine* g) noexcept;

/// An exception left main.
void report_uncaught(Goroutine* g) noexcept;

}  // namespace ringo::detail
