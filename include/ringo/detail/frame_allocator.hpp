// Memory of coroutine frames.
//
// Every Task call allocates a frame and every co_return frees one, so these two
// functions are as hot as anything in the library. They serve small frames from
// a free list of the calling thread and never take a lock there; see
// lib/base/frame_allocator.cpp for how lists are refilled and shared.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

// A coroutine may continue on another thread, and a compiler must not keep the
// address of a thread_local across a suspension. GCC cuts a coroutine into
// functions before it optimises anything, each of which ends at a suspension, so
// it cannot. Clang optimises before it cuts, and has kept such addresses
// (doc/compilers.md): there these two are calls.
#if defined(__clang__)
#define RINGO_NOT_INTO_COROUTINES [[gnu::noinline]]
#else
#define RINGO_NOT_INTO_COROUTINES
#endif

namespace ringo::detail {

// Size classes: one every 16 bytes up to 512, from there four per doubling to 64 KiB.
inline constexpr std::size_t fine_frame_step = 16;
inline constexpr std::size_t fine_frame_max = 512;
inline constexpr std::size_t fine_frame_classes = fine_frame_max / fine_frame_step;
inline constexpr std::size_t frame_classes = fine_frame_classes + 28;

/// A free block. `next_batch` and `count` mean something only in the first block of a batch that
/// lies in the shared part.
struct FrameBlock {
  FrameBlock* next;
  FrameBlock* next_batch;
  std::uint32_t count;
};

/// The free blocks of one class that a thread has at hand, and how many more it may take. `room`
/// is atomic only so that frame_stats() may read it.
struct FrameList {
  FrameBlock* head;
  std::atomic<std::uint32_t> room;

  /// The block that was put last, or null.
  FrameBlock* take() noexcept {
    FrameBlock* block = head;
    if (block != nullptr) [[likely]] {
      head = block->next;
      room.store(room.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    return block;
  }

  /// False if the list is full.
  bool put(void* frame) noexcept {
    const std::uint32_t left = room.load(std::memory_order_relaxed);
    if (left == 0) [[unlikely]]
      return false;
    auto* block = static_cast<FrameBlock*>(frame);
    block->next = head;
    head = block;
    room.store(left - 1, std::memory_order_relaxed);
    return true;
  }
};

// initial-exec: one load from the thread pointer instead of a call.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local FrameList
    frame_lists[frame_classes];

/// For sizes beyond the fine classes, and for lists that are empty or full.
[[gnu::noinline, gnu::returns_nonnull]] void* frame_allocate_slow(std::size_t size);
[[gnu::noinline]] void frame_free_slow(void* frame, std::size_t size) noexcept;

/// Returns memory for a frame of `size` bytes, aligned to 16.
/// Throws std::bad_alloc when the system has no more. Callable from every
/// thread, also from threads without a worker, before main, and from destructors
/// of thread_local and static objects.
RINGO_NOT_INTO_COROUTINES inline void* frame_allocate(std::size_t size) {
  if (size - 1 < fine_frame_max) [[likely]] {
    if (void* block = frame_lists[(size - 1) / fine_frame_step].take()) [[likely]]
      return block;
  }
  return frame_allocate_slow(size);
}

/// Gives back what frame_allocate(size) returned, with the same size, from any
/// thread: a frame that was freed elsewhere returns to its origin in batches.
RINGO_NOT_INTO_COROUTINES inline void frame_free(void* frame, std::size_t size) noexcept {
  if (size - 1 < fine_frame_max) [[likely]] {
    if (frame_lists[(size - 1) / fine_frame_step].put(frame)) [[likely]]
      return;
  }
  frame_free_slow(frame, size);
}

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

#undef RINGO_NOT_INTO_COROUTINES
