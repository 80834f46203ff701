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

bool RunQueue::take_back(const Goroutine* goroutine, std::uint64_t position) {
  const auto is_there = [&] {
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    return position - head < tail_.load(std::memory_order_relaxed) - head &&
           slots_[position & mask_].load(std::memory_order_relaxed) == goroutine;
  };
  if (!is_there() || !try_hold()) return false;
  const Hold hold{*this};
  if (!is_there()) return false;
  slots_[position & mask_].store(nullptr, std::memory_order_relaxed);
  const std::uint64_t head = head_.load(std::memory_order_relaxed);
  std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  while (tail != head && slots_[(tail - 1) & mask_].load(std::memory_order_relaxed) == nullptr)
    --tail;
  tail_.store(tail, std::memory_order_release);
  return true;
}

Goroutine* RunQueue::steal_into(RunQueue& mine) {
  assert(stealable_ && this != &mine);
  if (empty() || !try_hold()) return nullptr;
  const Hold hold{*this};
  return steal_held(mine);
}

Goroutine* RunQueue::steal_held(RunQueue& mine) {
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
    Goroutine* first = nullptr;
    std::uint64_t more = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      Goroutine* goroutine = ring.slots[(head + i) & ring.mask].load(std::memory_order_relaxed);
      if (goroutine == nullptr) continue;
      if (first == nullptr) {
        first = goroutine;
      } else {
        mine.slots_[(my_tail + more++) & mine.mask_].store(goroutine, std::memory_order_relaxed);
      }
    }

    if (head_.compare_exchange_strong(head, head + count, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
      head += count;
      if (first == nullptr) continue;
      if (more > 0) mine.tail_.store(my_tail + more, std::memory_order_release);
      return first;
    }
  }
}

}  // namespace ringo::detail
