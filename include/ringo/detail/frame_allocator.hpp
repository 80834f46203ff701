// Memory of coroutine frames.
//
// Every Task call allocates a frame and every co_return frees one, so these two
// functions are as hot as anything in the library. They serve small frames from
// a free list of the calling thread and never take a lock there; see
// lib/base/frame_allocator.cpp for how lists are refilled and shared.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ringo::detail {

/// Returns memory for a frame of `size` bytes, aligned to 16.
/// Throws std::bad_alloc when the system has no more. Callable from every
/// thread, also from threads without a worker, before main, and from destructors
/// of thread_local and static objects.
///
/// Neither function is inline on purpose: a coroutine may continue on another
/// thread, and compilers keep the address of a thread_local in a register across
/// a suspension.
[[gnu::noinline, gnu::returns_nonnull]] void* frame_allocate(std::size_t size);

/// Gives back what frame_allocate(size) returned, with the same size, from any
/// thread: a frame that was freed elsewhere returns to its origin in batches.
[[gnu::noinline]] void frame_free(void* frame, std::size_t size) noexcept;

/// What the allocator holds, for metrics and tests. Exact while no other thread
/// allocates or frees; a snapshot of moving numbers otherwise.
struct FrameStats {
  std::uint64_t live = 0;         ///< frames handed out and not given back yet
  std::uint64_t live_large = 0;   ///< those of them too large for a size class
  std::uint64_t cached = 0;       ///< free blocks, in the lists of threads and in the shared ones
  std::uint64_t chunk_bytes = 0;  ///< what size classes took from the system; never returned
};

/// Walks the caches of all threads under a lock: cheap, but not for hot paths.
FrameStats frame_stats();

}  // namespace ringo::detail
