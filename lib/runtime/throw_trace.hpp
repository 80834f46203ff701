// The way that an exception took, for the report of a panic: the frames are gone by then.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>

#include <ringo/detail/goroutine.hpp>

#include "runtime/text_sink.hpp"

namespace ringo::detail {

/// The frames of one goroutine that an exception has left, innermost first. If another goroutine
/// threw it, and this one only passes it on (a join, the end of a group), that one's way is its
/// origin.
///
/// A record owns the trace of its goroutine, and that owns its origin. Written by the goroutine
/// itself; by its joiner once it has finished.
struct ThrowTrace {
  static constexpr unsigned most = 40;         // frames; the others are only counted
  static constexpr unsigned most_origins = 8;  // goroutines

  const void* object = nullptr;  // the exception, for comparison only
  const PromiseBase* next = nullptr;  // the frame it will reach next; null: it has left the root
  unsigned count = 0;
  std::source_location sites[most];

  std::unique_ptr<ThrowTrace> origin;
  unsigned origins = 0;    // their number
  bool was_cut = false;    // more goroutines have passed it on than are kept
  // Of the goroutine, once the trace is taken from it.
  std::uint64_t goroutine = 0;
  std::uint64_t spawner = 0;
  std::source_location spawn_site;
};

/// Takes from g, which runs on this thread or has finished, the way of the exception that it ends
/// with or is in the handler of. Null if none is known.
std::unique_ptr<ThrowTrace> take_trace(Goroutine& g, const std::exception_ptr& error) noexcept;

/// The goroutine of this thread, if there is one, is about to throw on an exception with that way.
void throw_on(std::unique_ptr<ThrowTrace> origin) noexcept;

/// "goroutine 7 [running]:", then the way of the exception that ended it.
void write_thrown(TextSink& out, const Goroutine& g) noexcept;

}  // namespace ringo::detail
