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

#if RINGO_ASAN

// A recycled block would hide use after free from AddressSanitizer, whose
// quarantine and poisoning work on heap blocks: give it one for each frame.

void* frame_allocate(std::size_t size) { return allocate_from_heap(size); }
void frame_free(void* frame, std::size_t size) noexcept { free_to_heap(frame, size); }

FrameStats frame_stats() {
  FrameStats stats;
  stats.live = heap_live.load(std::memory_order_relaxed);
  stats.live_large = stats.live;
  return stats;
}

#else

namespace {

// --- size classes -----------------------------------------------------------

constexpr std::size_t fine_step = 16;
constexpr std::size_t fine_max = 512;  // up to here a class every 16 bytes
constexpr std::size_t coarse_step = 128;
constexpr std::size_t small_max = 65536;  // up to here four classes per doubling
constexpr std::size_t fine_classes = fine_max / fine_step;
constexpr std::size_t class_count = fine_classes + 28;

constexpr std::array<std::uint32_t, class_count> block_sizes = [] {
  std::array<std::uint32_t, class_count> sizes{};
  for (std::size_t c = 0; c < fine_classes; ++c)
    sizes[c] = static_cast<std::uint32_t>((c + 1) * fine_step);
  sizes[0] = 2 * fine_step;  // a free block must hold a Block; no real frame is this small
  std::size_t size = fine_max;
  for (std::size_t c = fine_classes; c < class_count; ++c) {
    std::size_t octave = fine_max;
    while (octave * 2 <= size) octave *= 2;
    size += octave / 4;
    sizes[c] = static_cast<std::uint32_t>(size);
  }
  return sizes;
}();
static_assert(block_sizes[class_count - 1] == small_max);

// Class of a size in (fine_max, small_max], by steps of 128 bytes.
constexpr auto coarse_class = [] {
  std::array<std::uint8_t, (small_max - fine_max) / coarse_step> table{};
  std::size_t c = fine_classes;
  for (std::size_t i = 0; i < table.size(); ++i) {
    while (block_sizes[c] < fine_max + (i + 1) * coarse_step) ++c;
    table[i] = static_cast<std::uint8_t>(c);
  }
  return table;
}();

// Only for 1 <= size <= small_max.
inline std::size_t class_of(std::size_t size) {
  if (size <= fine_max) [[likely]]
    return (size - 1) / fine_step;
  return coarse_class[(size - fine_max - 1) / coarse_step];
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

// A free block.  next_batch and count mean something only in the first block of
// a batch that lies in a Central.
struct Block {
  Block* next;
  Block* next_batch;
  std::uint32_t count;
};
static_assert(sizeof(Block) <= block_sizes[0]);

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
  Block* take_batch(std::size_t block_size, std::uint32_t limit, std::uint32_t& count) {
    std::byte* cut;
    {
      std::lock_guard lock(mutex_);
      if (Block* batch = batches_) {
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

  void put_batch(Block* batch, std::uint32_t count) noexcept {
    batch->count = count;
    std::lock_guard lock(mutex_);
    batch->next_batch = batches_;
    batches_ = batch;
    free_ += count;
  }

  // One block, for threads whose cache is gone.
  Block* take_one(std::size_t block_size) {
    std::lock_guard lock(mutex_);
    if (Block* block = batches_) {
      if (Block* rest = block->next) {
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

  void put_one(Block* block, std::uint32_t limit) noexcept {
    std::lock_guard lock(mutex_);
    Block* top = batches_;
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
  static Block* at(std::byte* cut, std::size_t block_size, std::uint32_t i) {
    return reinterpret_cast<Block*>(cut + block_size * i);
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
  Block* batches_ = nullptr;
  std::byte* position_ = nullptr;  // uncut part of the newest chunk
  std::size_t rest_ = 0;
  std::size_t next_chunk_bytes_ = first_chunk_bytes;
  std::uint64_t free_ = 0;  // blocks in batches_
  std::uint64_t cut_ = 0;   // blocks ever cut
};
static_assert(std::is_trivially_destructible_v<Central>, "must outlive every static object");

constinit Central central[class_count];

// --- per thread -----------------------------------------------------------------

// `room` and `spare` are atomic only so that frame_stats() may read them.
struct List {
  Block* head;
  std::atomic<std::uint32_t> room;
};

enum class CacheState : std::uint8_t { fresh, live, dead };

struct Cache {
  List lists[class_count];
  std::atomic<Block*> spare[class_count];
  CacheState state;
  Cache* next;
  Cache* previous;
};
static_assert(std::is_trivially_destructible_v<Cache>,
              "must be usable to the very end of a thread");

// initial-exec: one load from the thread pointer instead of a call.
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
    for (std::size_t c = 0; c < class_count; ++c) {
      List& list = cache.lists[c];
      const std::uint32_t held = batch_limit(c) - list.room.load(std::memory_order_relaxed);
      if (list.head) central[c].put_batch(list.head, held);
      list.head = nullptr;
      list.room.store(0, std::memory_order_relaxed);
      if (Block* spare = cache.spare[c].exchange(nullptr, std::memory_order_relaxed))
        central[c].put_batch(spare, batch_limit(c));
    }
  }
};
thread_local CacheOwner cache_owner;

void make_live() {
  cache_owner.armed = true;  // constructs it, and so registers its destructor
  for (std::size_t c = 0; c < class_count; ++c)
    cache.lists[c].room.store(batch_limit(c), std::memory_order_relaxed);
  cache.state = CacheState::live;
  std::lock_guard lock(caches_mutex);
  cache.next = caches;
  if (caches) caches->previous = &cache;
  caches = &cache;
}

// The list is empty, or the frame is large.
[[gnu::noinline]] void* allocate_slow(std::size_t size) {
  if (!is_small(size)) return allocate_from_heap(size);
  const std::size_t c = class_of(size);
  if (cache.state == CacheState::fresh) make_live();
  if (cache.state == CacheState::dead) return central[c].take_one(block_sizes[c]);

  const std::uint32_t limit = batch_limit(c);
  std::uint32_t count = limit;
  Block* block = cache.spare[c].load(std::memory_order_relaxed);
  if (block)
    cache.spare[c].store(nullptr, std::memory_order_relaxed);
  else
    block = central[c].take_batch(block_sizes[c], limit, count);
  cache.lists[c].head = block->next;
  cache.lists[c].room.store(limit - (count - 1), std::memory_order_relaxed);
  return block;
}

// The list is full, or the frame is large.
[[gnu::noinline]] void free_slow(void* frame, std::size_t size) noexcept {
  if (!is_small(size)) return free_to_heap(frame, size);
  const std::size_t c = class_of(size);
  const std::uint32_t limit = batch_limit(c);
  auto* block = static_cast<Block*>(frame);
  if (cache.state == CacheState::fresh) make_live();
  if (cache.state == CacheState::dead) return central[c].put_one(block, limit);

  List& list = cache.lists[c];
  if (list.head) {
    if (Block* spare = cache.spare[c].load(std::memory_order_relaxed))
      central[c].put_batch(spare, limit);
    cache.spare[c].store(list.head, std::memory_order_relaxed);
  }
  block->next = nullptr;
  list.head = block;
  list.room.store(limit - 1, std::memory_order_relaxed);
}

}  // namespace

void* frame_allocate(std::size_t size) {
  if (is_small(size)) [[likely]] {
    List& list = cache.lists[class_of(size)];
    if (Block* block = list.head) [[likely]] {
      list.head = block->next;
      list.room.store(list.room.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return block;
    }
  }
  return allocate_slow(size);
}

void frame_free(void* frame, std::size_t size) noexcept {
  if (is_small(size)) [[likely]] {
    List& list = cache.lists[class_of(size)];
    const std::uint32_t room = list.room.load(std::memory_order_relaxed);
    if (room != 0) [[likely]] {
      auto* block = static_cast<Block*>(frame);
      block->next = list.head;
      list.head = block;
      list.room.store(room - 1, std::memory_order_relaxed);
      return;
    }
  }
  free_slow(frame, size);
}

FrameStats frame_stats() {
  FrameStats stats;
  std::uint64_t cut = 0;
  std::lock_guard lock(caches_mutex);
  for (Central& shared : central) shared.add_to(stats, cut);
  for (const Cache* each = caches; each; each = each->next) {
    for (std::size_t c = 0; c < class_count; ++c) {
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
