// Frames come in few sizes and are born and die in great numbers, often on
// different threads. So:
//
//   thread      per size class one list in use and at most one full spare list;
//               plain loads and stores, no atomic read-modify-write
//   shared      per size class a stack of whole lists ("batches") under a mutex;
//               a thread exchanges a batch in O(1), once for dozens of frames
//   chunks      new blocks are cut from chunks which are never given back
//
// Blocks have no header: a coroutine's operator delete is told the size.
//
// Invariants:
//  * A block is in one place: with the user, in one thread's list or spare list,
//    in one batch, or in the uncut rest of a chunk.
//  * `spare` is null or a full list of `limit` blocks.
//  * `room` + (length of `head`) == limit while the cache is live. Before first
//    use and after the thread's end head is null and room is 0, so both fast
//    paths fall through to the slow ones, which look at `state`.
//  * All globals are constant-initialised and trivially destructible, so they
//    work before main and after it.
#include <ringo/detail/frame_allocator.hpp>

#include <array>
#include <atomic>
#include <mutex>
#include <new>
#include <type_traits>

#include "base/sanitizers.hpp"

namespace ringo::detail {
namespace {

// Counts of frames that bypass the size classes.
constinit std::atomic<std::uint64_t> heap_live{0};

void* allocate_from_heap(std::size_t size) {
  void* frame = ::operator new(size);
  heap_live.fetch_add(1, std::memory_order_relaxed);
  return frame;
}

void free_to_heap(void* frame, std::size_t size) noexcept {
  heap_live.fetch_sub(1, std::memory_order_relaxed);
  ::operator delete(frame, size);
}

}  // namespace

constinit thread_local FrameList frame_lists[frame_classes]{};

#if RINGO_ASAN

// A recycled block would hide use after free from AddressSanitizer, whose
// quarantine and poisoning work on heap blocks: give it one for each frame. The
// lists stay without blocks and without room.

void* frame_allocate_slow(std::size_t size) { return allocate_from_heap(size); }
void frame_free_slow(void* frame, std::size_t size) noexcept { free_to_heap(frame, size); }

FrameStats frame_stats() {
  FrameStats stats;
  stats.live = heap_live.load(std::memory_order_relaxed);
  stats.live_large = stats.live;
  return stats;
}

#else

namespace {

// --- size classes -----------------------------------------------------------

constexpr std::size_t coarse_step = 128;
constexpr std::size_t small_max = 65536;

constexpr std::array<std::uint32_t, frame_classes> block_sizes = [] {
  std::array<std::uint32_t, frame_classes> sizes{};
  for (std::size_t c = 0; c < fine_frame_classes; ++c)
    sizes[c] = static_cast<std::uint32_t>((c + 1) * fine_frame_step);
  sizes[0] = 2 * fine_frame_step;  // to hold a FrameBlock; no real frame is this small
  std::size_t size = fine_frame_max;
  for (std::size_t c = fine_frame_classes; c < frame_classes; ++c) {
    std::size_t octave = fine_frame_max;
    while (octave * 2 <= size) octave *= 2;
    size += octave / 4;
    sizes[c] = static_cast<std::uint32_t>(size);
  }
  return sizes;
}();
static_assert(block_sizes[frame_classes - 1] == small_max);

// Class of a size in (fine_frame_max, small_max], by steps of 128 bytes.
constexpr auto coarse_class = [] {
  std::array<std::uint8_t, (small_max - fine_frame_max) / coarse_step> table{};
  std::size_t c = fine_frame_classes;
  for (std::size_t i = 0; i < table.size(); ++i) {
    while (block_sizes[c] < fine_frame_max + (i + 1) * coarse_step) ++c;
    table[i] = static_cast<std::uint8_t>(c);
  }
  return table;
}();

// Only for 1 <= size <= small_max.
inline std::size_t class_of(std::size_t size) {
  if (size <= fine_frame_max) [[likely]]
    return (size - 1) / fine_frame_step;
  return coarse_class[(size - fine_frame_max - 1) / coarse_step];
}

// Size 0 wraps around and counts as large; operator new accepts it.
inline bool is_small(std::size_t size) { return size - 1 < small_max; }

// Blocks per batch: about 16 KiB, so that the lock is rare for small frames and
// idle threads do not hoard large ones, but at least a few of those as well: the
// blocks that net::Buffer leases are of 16 and 64 KiB.
constexpr std::uint32_t batch_limit(std::size_t c) {
  std::uint32_t n = 16384u / block_sizes[c];
  const std::uint32_t least = block_sizes[c] > 16384 ? 2 : block_sizes[c] > 4096 ? 4 : 8;
  return n > 64 ? 64 : n < least ? least : n;
}

// --- shared lists -------------------------------------------------------------

static_assert(sizeof(FrameBlock) <= block_sizes[0]);

struct alignas(64) Chunk {
  Chunk* next;
  std::size_t bytes;
};

constexpr std::size_t first_chunk_bytes = std::size_t{64} << 10;
// Large enough to hold huge pages, where glibc is told to ask for them (doc/performance.md).
constexpr std::size_t last_chunk_bytes = std::size_t{4} << 20;

// All chunks: keeps them, and what the frames in them point to, reachable for a
// leak checker.
constinit std::atomic<Chunk*> chunks{nullptr};

Chunk* new_chunk(std::size_t bytes) {
  auto* chunk = static_cast<Chunk*>(::operator new (bytes, std::align_val_t{alignof(Chunk)}));
  chunk->bytes = bytes;
  chunk->next = chunks.load(std::memory_order_relaxed);
  while (!chunks.compare_exchange_weak(chunk->next, chunk, std::memory_order_release,
                                       std::memory_order_relaxed)) {}
  return chunk;
}

// The shared part of one size class.
class alignas(64) Central {
 public:
  // A batch of 1 to `limit` blocks linked by next and ended by null; its length
  // goes to `count`.
  FrameBlock* take_batch(std::size_t block_size, std::uint32_t limit, std::uint32_t& count) {
    std::byte* cut;
    {
      std::lock_guard lock(mutex_);
      if (FrameBlock* batch = batches_) {
        batches_ = batch->next_batch;
        free_ -= batch->count;
        count = batch->count;
        return batch;
      }
      count = cut_locked(block_size, limit, cut);
    }
    // Linking touches fresh pages; no reason to hold the lock for that.
    for (std::uint32_t i = 0; i + 1 < count; ++i)
      at(cut, block_size, i)->next = at(cut, block_size, i + 1);
    at(cut, block_size, count - 1)->next = nullptr;
    return at(cut, block_size, 0);
  }

  void put_batch(FrameBlock* batch, std::uint32_t count) noexcept {
    batch->count = count;
    std::lock_guard lock(mutex_);
    batch->next_batch = batches_;
    batches_ = batch;
    free_ += count;
  }

  // One block, for threads whose cache is gone.
  FrameBlock* take_one(std::size_t block_size) {
    std::lock_guard lock(mutex_);
    if (FrameBlock* block = batches_) {
      if (FrameBlock* rest = block->next) {
        rest->next_batch = block->next_batch;
        rest->count = block->count - 1;
        batches_ = rest;
      } else {
        batches_ = block->next_batch;
      }
      --free_;
      return block;
    }
    std::byte* cut;
    cut_locked(block_size, 1, cut);
    return at(cut, block_size, 0);
  }

  void put_one(FrameBlock* block, std::uint32_t limit) noexcept {
    std::lock_guard lock(mutex_);
    FrameBlock* top = batches_;
    if (top && top->count < limit) {
      block->next = top;
      block->next_batch = top->next_batch;
      block->count = top->count + 1;
    } else {
      block->next = nullptr;
      block->next_batch = top;
      block->count = 1;
    }
    batches_ = block;
    ++free_;
  }

  void add_to(FrameStats& stats, std::uint64_t& cut) {
    std::lock_guard lock(mutex_);
    stats.cached += free_;
    cut += cut_;
  }

 private:
  static FrameBlock* at(std::byte* cut, std::size_t block_size, std::uint32_t i) {
    return reinterpret_cast<FrameBlock*>(cut + block_size * i);
  }

  // Cuts up to `limit` new blocks off the class's chunk; returns how many.
  std::uint32_t cut_locked(std::size_t block_size, std::uint32_t limit, std::byte*& cut) {
    if (rest_ < block_size) {
      while (next_chunk_bytes_ < 2 * block_size) next_chunk_bytes_ *= 2;
      Chunk* chunk = new_chunk(next_chunk_bytes_);
      position_ = reinterpret_cast<std::byte*>(chunk + 1);
      rest_ = next_chunk_bytes_ - sizeof(Chunk);
      if (next_chunk_bytes_ < last_chunk_bytes) next_chunk_bytes_ *= 2;
    }
    const std::size_t fit = rest_ / block_size;
    const auto n = fit < limit ? static_cast<std::uint32_t>(fit) : limit;
    cut = position_;
    position_ += block_size * n;
    rest_ -= block_size * n;
    cut_ += n;
    return n;
  }

  std::mutex mutex_;
  FrameBlock* batches_ = nullptr;
  std::byte* position_ = nullptr;  // uncut part of the newest chunk
  std::size_t rest_ = 0;
  std::size_t next_chunk_bytes_ = first_chunk_bytes;
  std::uint64_t free_ = 0;  // blocks in batches_
  std::uint64_t cut_ = 0;   // blocks ever cut
};
static_assert(std::is_trivially_destructible_v<Central>, "must outlive every static object");

constinit Central central[frame_classes];

// --- per thread -----------------------------------------------------------------

enum class CacheState : std::uint8_t { fresh, live, dead };

// What a thread has beside its lists. `spare` is atomic only so that frame_stats() may read it.
struct Cache {
  FrameList* lists;  // frame_lists of its thread, once live
  std::atomic<FrameBlock*> spare[frame_classes];
  CacheState state;
  Cache* next;
  Cache* previous;
};
static_assert(std::is_trivially_destructible_v<Cache> &&
                  std::is_trivially_destructible_v<FrameList>,
              "must be usable to the very end of a thread");

[[gnu::tls_model("initial-exec")]] constinit thread_local Cache cache{};

constinit std::mutex caches_mutex;
constinit Cache* caches = nullptr;  // the live ones

// Its destructor runs when the thread ends, after those of thread_local objects
// that were constructed later and before those constructed earlier; the latter
// meet a dead cache.
struct CacheOwner {
  bool armed = false;
  ~CacheOwner() {
    std::lock_guard lock(caches_mutex);
    (cache.previous ? cache.previous->next : caches) = cache.next;
    if (cache.next) cache.next->previous = cache.previous;
    cache.state = CacheState::dead;
    for (std::size_t c = 0; c < frame_classes; ++c) {
      FrameList& list = frame_lists[c];
      const std::uint32_t held = batch_limit(c) - list.room.load(std::memory_order_relaxed);
      if (list.head) central[c].put_batch(list.head, held);
      list.head = nullptr;
      list.room.store(0, std::memory_order_relaxed);
      if (FrameBlock* spare = cache.spare[c].exchange(nullptr, std::memory_order_relaxed))
        central[c].put_batch(spare, batch_limit(c));
    }
  }
};
thread_local CacheOwner cache_owner;

void make_live() {
  cache_owner.armed = true;  // constructs it, and so registers its destructor
  for (std::size_t c = 0; c < frame_classes; ++c)
    frame_lists[c].room.store(batch_limit(c), std::memory_order_relaxed);
  cache.lists = frame_lists;
  cache.state = CacheState::live;
  std::lock_guard lock(caches_mutex);
  cache.next = caches;
  if (caches) caches->previous = &cache;
  caches = &cache;
}

// The list is empty.
FrameBlock* refill(std::size_t c) {
  if (cache.state == CacheState::fresh) make_live();
  if (cache.state == CacheState::dead) return central[c].take_one(block_sizes[c]);

  const std::uint32_t limit = batch_limit(c);
  std::uint32_t count = limit;
  FrameBlock* block = cache.spare[c].load(std::memory_order_relaxed);
  if (block)
    cache.spare[c].store(nullptr, std::memory_order_relaxed);
  else
    block = central[c].take_batch(block_sizes[c], limit, count);
  frame_lists[c].head = block->next;
  frame_lists[c].room.store(limit - (count - 1), std::memory_order_relaxed);
  return block;
}

// The list is full.
void spill(FrameBlock* block, std::size_t c) noexcept {
  const std::uint32_t limit = batch_limit(c);
  if (cache.state == CacheState::fresh) make_live();
  if (cache.state == CacheState::dead) return central[c].put_one(block, limit);

  FrameList& list = frame_lists[c];
  if (list.head) {
    if (FrameBlock* spare = cache.spare[c].load(std::memory_order_relaxed))
      central[c].put_batch(spare, limit);
    cache.spare[c].store(list.head, std::memory_order_relaxed);
  }
  block->next = nullptr;
  list.head = block;
  list.room.store(limit - 1, std::memory_order_relaxed);
}

}  // namespace

void* frame_allocate_slow(std::size_t size) {
  if (!is_small(size)) return allocate_from_heap(size);
  const std::size_t c = class_of(size);
  FrameBlock* block = frame_lists[c].take();
  return block ? block : refill(c);
}

void frame_free_slow(void* frame, std::size_t size) noexcept {
  if (!is_small(size)) return free_to_heap(frame, size);
  const std::size_t c = class_of(size);
  if (!frame_lists[c].put(frame)) spill(static_cast<FrameBlock*>(frame), c);
}

FrameStats frame_stats() {
  FrameStats stats;
  std::uint64_t cut = 0;
  std::lock_guard lock(caches_mutex);
  for (Central& shared : central) shared.add_to(stats, cut);
  for (const Cache* each = caches; each; each = each->next) {
    for (std::size_t c = 0; c < frame_classes; ++c) {
      stats.cached += batch_limit(c) - each->lists[c].room.load(std::memory_order_relaxed);
      if (each->spare[c].load(std::memory_order_relaxed)) stats.cached += batch_limit(c);
    }
  }
  for (const Chunk* chunk = chunks.load(std::memory_order_acquire); chunk; chunk = chunk->next)
    stats.chunk_bytes += chunk->bytes;
  stats.live_large = heap_live.load(std::memory_order_relaxed);
  // While other threads move blocks the two sums may disagree; never wrap around.
  stats.live = (cut > stats.cached ? cut - stats.cached : 0) + stats.live_large;
  return stats;
}

#endif

}  // namespace ringo::detail
