#include "runtime/run_queue.hpp"

#include <bit>
#include <cassert>
#include <new>

namespace ringo::detail {

RunQueue::RunQueue(bool stealable, std::uint64_t capacity)
    : stealable_(stealable), first_capacity_(capacity), rings_{} {
  assert(std::has_single_bit(capacity));
  use_ring(0);
}

RunQueue::~RunQueue() = default;

// Makes sure that `count` more goroutines fit behind the tail.
void RunQueue::make_room(std::uint64_t count) {
  const std::uint64_t head = head_.load(std::memory_order_acquire);
  const std::uint64_t needed = tail_.load(std::memory_order_relaxed) + count - head;
  unsigned level = level_;
  while (needed > first_capacity_ << level)
    if (++level == ring_levels) throw std::bad_alloc();
  if (level != level_) return use_ring(level);
  full_at_ = head + mask_ + 1;
}

// Moves to the ring of that level, which is large enough for what is queued.
void RunQueue::use_ring(unsigned level) {
  Ring& ring = rings_[level];
  if (!ring.slots) {
    const std::uint64_t capacity = first_capacity_ << level;
    ring.slots.reset(new Slot[capacity]());
    ring.mask = capacity - 1;
  }
  // Thieves may take from the head meanwhile; copying what they took is harmless.
  const std::uint64_t head = head_.load(std::memory_order_acquire);
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  for (std::uint64_t p = head; p != tail; ++p)
    ring.slots[p & ring.mask].store(slots_[p & mask_].load(std::memory_order_relaxed),
                                    std::memory_order_relaxed);
  level_ = level;
  slots_ = ring.slots.get();
  mask_ = ring.mask;
  full_at_ = head + mask_ + 1;
  ring_.store(&ring, std::memory_order_release);
}

Goroutine* RunQueue::steal_into(RunQueue& mine) {
  assert(stealable_ && this != &mine);
  std::uint64_t head = head_.load(std::memory_order_acquire);
  for (;;) {
    const std::uint64_t tail = tail_.load(std::memory_order_acquire);
    // Never below head: whoever moved head_ there had read a tail_ as large.
    std::uint64_t count = tail - head;
    if (count == 0) return nullptr;
    count -= count / 2;
    if (count > steal_max) count = steal_max;
    const Ring& ring = *ring_.load(std::memory_order_acquire);

    // Not visible to anyone before `mine`'s tail moves.
    const std::uint64_t my_tail = mine.tail_.load(std::memory_order_relaxed);
    if (my_tail + count - 1 > mine.full_at_) mine.make_room(count - 1);
    for (std::uint64_t i = 1; i < count; ++i)
      mine.slots_[(my_tail + i - 1) & mine.mask_].store(
          ring.slots[(head + i) & ring.mask].load(std::memory_order_relaxed),
          std::memory_order_relaxed);
    Goroutine* first = ring.slots[head & ring.mask].load(std::memory_order_relaxed);

    if (head_.compare_exchange_strong(head, head + count, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
      if (count > 1) mine.tail_.store(my_tail + count - 1, std::memory_order_release);
      return first;
    }
  }
}

}  // namespace ringo::detail
