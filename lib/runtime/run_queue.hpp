// The queue of ready goroutines of one worker: first in, first out.
//
// The owner pushes at the tail and pops from the head; idle workers steal half
// from the head. The ring grows when it is full, so a push never fails.
//
// Proof sketch.
//
//   head_ and tail_ are counters that only grow (64 bits: no wrap, hence no ABA);
//   the queue holds the positions [head_, tail_), position p in slot p & mask of
//   the current ring. Only the owner writes tail_, slots and ring_; head_ moves
//   by compare-and-swap, by the owner or a thief.  (A thief copies what it takes
//   into slots of its own queue, of which it is the owner.)
//
//   1. Nobody runs twice. Each position is taken by exactly one successful CAS
//      of head_ that passes over it.
//   2. A successful thief has read the right slots. It reads head_ = h, then
//      tail_ = t (acquire), then ring_, then slots [h, t'), then succeeds to CAS
//      head_ from h. As head_ only grows, it was h all along, so when t was read
//      the queue was [h, t).
//      - The ring it read is the one in which t - 1 was pushed or a later one,
//        since ring_ is stored before that tail_. A later ring was made while
//        head_ was still h, so it holds copies of all of [h, t). An older ring
//        is excluded for the same reason.
//      - No slot had been overwritten: the owner writes another position into
//        the slot of p, by a push or by a copy, only after it has read
//        head_ > p >= h (acquire). That value is the one this thief's CAS wrote
//        or a later one, or else the CAS from h would have failed; so the CAS
//        (release), and the reads before it, happened before the owner's write.
//      A thief whose CAS fails may have read anything (slots of a ring that is
//      used no more, goroutines that run elsewhere): it uses none of it.
//   3. Rings are never freed while the queue lives, for a thief may be slow.
//      There is one for each capacity, at most; an empty queue goes back to its
//      smallest ring, to stay in the cache after a burst. Reuse is safe by 2:
//      whoever finds [h, t) unchanged finds the ring that is current for it.
//   4. Nobody is lost.  tail_ is published after the slot; head_ passes a
//      position only by 1.
//   5. The owner may take back what it has pushed (take_back), which leaves an
//      empty position, and moves tail_ back over empty ones. It holds held_
//      meanwhile, as a thief does from before it reads head_ until after its CAS:
//      so no thief reads a slot before the owner empties it and passes head_ over
//      it after that, and none knows a tail_ of before it moved back. Neither
//      waits for the other: who finds held_ set goes without.
//
//   A queue of a runtime with one worker is never stolen from, and its owner then
//   moves head_ with a plain store.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace ringo::detail {

struct Goroutine;

class RunQueue {
 public:
  /// At most this many move in one steal.
  static constexpr std::uint64_t steal_max = 128;

  /// stealable: whether other threads may call steal_into on this queue.
  /// capacity: of the first ring, a power of two.
  explicit RunQueue(bool stealable = true, std::uint64_t capacity = 256);
  ~RunQueue();
  RunQueue(const RunQueue&) = delete;
  RunQueue& operator=(const RunQueue&) = delete;

  /// Owner only. Appends; throws std::bad_alloc when the ring cannot grow, and
  /// the queue is as before.
  void push(Goroutine* goroutine) {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == full_at_) [[unlikely]]
      make_room(1);
    slots_[tail & mask_].store(goroutine, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_release);
  }
  /// Owner only: of what is pushed next.
  std::uint64_t next_position() const { return tail_.load(std::memory_order_relaxed); }

  /// Owner only. Takes it out of the middle, if it is still at that position (any number will do)
  /// and no thief is at work here.
  bool take_back(const Goroutine* goroutine, std::uint64_t position);

  /// Owner only. The oldest goroutine, or null when the queue is empty.
  Goroutine* pop() {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    while (head != tail) {
      Goroutine* goroutine = slots_[head & mask_].load(std::memory_order_relaxed);
      if (!stealable_) {
        head_.store(++head, std::memory_order_release);
      } else if (head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel,
                                             std::memory_order_acquire)) {
        ++head;
      } else {
        continue;
      }
      if (goroutine != nullptr) [[likely]]
        return goroutine;
    }
    if (level_ > 0) [[unlikely]]
      use_ring(0);
    return nullptr;
  }

  /// Any thread, which must be the owner of `mine`. Takes half of this queue,
  /// rounded up, but no more than steal_max; returns the oldest and appends the
  /// others to `mine` in their order. Null when there is nothing to take, or when
  /// another thief or take_back() is at work.
  Goroutine* steal_into(RunQueue& mine);

  /// What was taken back counts as long as its place is not reused. Any thread; for others than the
  /// owner a moment's guess.
  std::size_t size() const {
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    return static_cast<std::size_t>(tail_.load(std::memory_order_acquire) - head);
  }
  bool empty() const { return size() == 0; }

  /// Owner only. Calls f(Goroutine*) for each, oldest first, until none is left.
  template <class F>
  void drain_to(F&& f) {
    while (Goroutine* goroutine = pop()) f(goroutine);
  }

 private:
  using Slot = std::atomic<Goroutine*>;
  struct Ring {
    std::uint64_t mask;
    std::unique_ptr<Slot[]> slots;
  };

  static constexpr unsigned ring_levels = 40;  // more than memory can hold

  Goroutine* steal_held(RunQueue& mine);
  bool try_hold() noexcept {
    return !stealable_ || (!held_.load(std::memory_order_relaxed) &&
                           !held_.exchange(true, std::memory_order_acquire));
  }
  struct Hold {
    RunQueue& queue;
    ~Hold() { queue.held_.store(false, std::memory_order_release); }
  };
  void make_room(std::uint64_t count);
  void use_ring(unsigned level);

  // Written by the owner and by thieves.
  alignas(64) std::atomic<std::uint64_t> head_{0};
  std::atomic<bool> held_{false};  // by a thief at work, or by the owner in take_back()

  // Written by the owner, read by thieves.
  alignas(64) std::atomic<std::uint64_t> tail_{0};
  std::atomic<Ring*> ring_{nullptr};

  // The owner's own.
  Slot* slots_ = nullptr;      // those of *ring_
  std::uint64_t mask_ = 0;     // that of *ring_
  std::uint64_t full_at_ = 0;  // the tail at which head_ must be looked at again
  unsigned level_ = 0;         // ring_ == &rings_[level_]
  const bool stealable_;
  const std::uint64_t first_capacity_;
  Ring rings_[ring_levels];  // rings_[i] has first_capacity_ << i slots, or none yet
};

}  // namespace ringo::detail
