// What a goroutine is doing, told in Go's manner: its state, its chain of awaiting frames by file
// and line, innermost first, and where it was started.
//
// Frames may be read only while the goroutine cannot run: by its own thread (in a signal handler
// too, since `leaf` is changed before a frame begins and before one is gone), or while all workers
// stand still, or when none is left.
#pragma once

#include <cstdint>
#include <source_location>
#include <string_view>
#include <vector>

#include <ringo/detail/goroutine.hpp>

#include "runtime/text_sink.hpp"

namespace ringo::detail {

/// The chain of a goroutine as it stood at some moment, for a report that comes later.
struct ChainCopy {
  static constexpr std::size_t most = 40;  // frames

  std::vector<std::source_location> sites;  // innermost first
  std::uint64_t goroutine = 0;
  std::uint64_t spawner = 0;
  std::source_location spawn_site;
};

/// Of a goroutine that runs on this thread, or cannot run now. Throws std::bad_alloc.
ChainCopy copy_chain(const Goroutine& g);

/// Its frames, and on demand "created by".
void write_chain(TextSink& out, const ChainCopy& chain, bool with_birth) noexcept;

/// What a goroutine does while nothing runs.
enum class Activity : std::uint8_t { running, runnable, waiting };

/// `g` is not running. Only while no worker runs.
Activity activity_of(const Goroutine& g) noexcept;

/// The runtime of a live goroutine; 0 for free records and ended goroutines. A moment's guess,
/// unless that runtime stands still or is gone.
std::uint32_t lives_in(const Goroutine& g) noexcept;

/// A live goroutine of that runtime, which stands still or is gone?
bool is_live(const Goroutine& g, std::uint32_t runtime_id) noexcept;

/// The name of a function as people write it: without result, parameters, and what the compiler
/// adds for coroutines.
std::string_view plain_name(std::string_view function) noexcept;

/// "goroutine 7 [chan receive, 3 minutes]:", then the frames. `now` in ns of the worker's clock;
/// waits of less than a second are given without their length.
void write_goroutine(TextSink& out, const Goroutine& g, Activity activity,
                     std::int64_t now) noexcept;

/// Its frames alone, and "created by".
void write_frames(TextSink& out, const Goroutine& g) noexcept;

/// One frame; nothing for those that are ringo's own wrapping.
void write_frame(TextSink& out, const std::source_location& site) noexcept;

/// "created by", of goroutine `id`; nothing for main's.
void write_birth(TextSink& out, std::uint64_t id, std::uint64_t spawner,
                 const std::source_location& site) noexcept;

/// "chan receive", or "running" and the like.
std::string_view state_name(const Goroutine& g, Activity activity) noexcept;

}  // namespace ringo::detail
