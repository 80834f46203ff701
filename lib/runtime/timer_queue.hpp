// The timers of one worker, ordered exactly and cheap by the million.
//
// Most timers are far away when they are set, and many are removed before they
// are due (deadlines). A heap would sort all of them. Here a wheel sorts them
// coarsely, which takes no comparisons: a tick is 2^16 ns (65 us), level L has
// 256 slots of 256^L ticks each. Only the timers of the current tick are sorted
// exactly, in a pairing heap.
//
// Invariants:
//  * base_ is a tick and only grows. The heap holds the timers of ticks <= base_,
//    the wheel those of ticks > base_; hence all in the heap come before all in
//    the wheel. Exactness rests on this alone: where base_ is matters for speed
//    only.
//  * A timer in the wheel lies in level L, slot d, if L is the highest base-256
//    digit in which its tick differs from base_, and d is its digit there; d is
//    larger than base_'s. Hence the first used slot of the lowest used level
//    comes before all others.
//  * base_ may grow to a tick before the start of the first used slot: no timer's
//    place changes by that.
//  * wheel_start_ is not after the first used slot's start; it is looked up again
//    when it has come and that matters.
//
// When the heap is empty and the first slot has begun, base_ moves to its start
// and its timers move down ("a cascade"), to a lower level or to the heap, if they
// are many in several steps. Until all have moved nothing is popped. A timer of
// 1 s moves once to a lower level and once to the heap. What it costs
// then is the cache miss on its node, for the node lies in a coroutine frame that
// nobody touched for a second; hence the lists of a slot, see Lists.
#pragma once

#include <ringo/detail/timer_node.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

namespace ringo::detail {

/// Not thread safe: the worker's lock covers every call, next_deadline included.
/// No call allocates. A queue that dies forgets the nodes in it.
class TimerQueue {
 public:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  /// Inserts a node that is in no queue. `now` is a recent reading of the clock
  /// and matters for speed only; node.when may be before it.
  void insert(TimerNode& node, std::int64_t now);

  /// Takes the node out if it is in this queue; whether it was.
  bool remove(TimerNode& node);

  /// Takes out and returns the earliest node with when <= now, the first inserted
  /// among equals; null if there is none.
  TimerNode* pop_due(std::int64_t now) {
    int unlimited = std::numeric_limits<int>::max();
    return pop_due(now, unlimited);
  }

  /// The same with a limit to the work of this call: `effort` goes down by one for each timer that
  /// is popped or moved nearer to its turn, and null may also mean that it has come to 0 (or a
  /// little below). There may be more then, which next_deadline() tells, and the next call goes on.
  /// (Timers of one tick, 65 us, cost more than that when the first of them is popped: they are
  /// compared then.)
  TimerNode* pop_due(std::int64_t now, int& effort);

  /// When pop_due may next have something, `never` if the queue is empty. Not
  /// later than the earliest timer. Earlier only when that one has many others
  /// near it; the call of pop_due at that time makes progress. After pop_due(now)
  /// returned null it is after now.
  std::int64_t next_deadline() const;

  std::size_t size() const { return size_; }

 private:
  static constexpr int tick_bits = 16;
  static constexpr int digit_bits = 8;
  static constexpr unsigned slot_count = 1u << digit_bits;
  static constexpr unsigned level_count = 6;
  static constexpr unsigned lists_per_slot = 4;
  static_assert(tick_bits + digit_bits * level_count >= 63);
  static constexpr unsigned position_count = level_count * slot_count;
  static constexpr unsigned word_count = position_count / 64;
  static_assert(word_count <= 32);
  static constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::min();

  // The timers of a slot, in no order, spread over a few lists: a cascade follows
  // all of them at once, and so waits for the memory of several timers at a time
  // rather than for one after the other.
  struct Lists {
    TimerNode* heads[lists_per_slot];
  };

  struct Slot {
    unsigned position;
    std::int64_t start;  // its first tick
  };

  static std::int64_t tick_of(std::int64_t when) { return when >> tick_bits; }
  Slot first_slot() const;
  void place(TimerNode& node);
  void begin_cascade(const Slot& slot);
  bool cascade(int& effort);
  void list_emptied(unsigned position);
  std::int64_t wheel_deadline() const;

  static bool before(const TimerNode& a, const TimerNode& b);
  static TimerNode* meld(TimerNode* a, TimerNode* b);
  static TimerNode* meld_list(TimerNode* first);
  void heap_insert(TimerNode& tree);

  std::int64_t base_ = 0;
  std::int64_t wheel_start_ = never;
  TimerNode* heap_ = nullptr;  // its root
  std::uint64_t next_sequence_ = 0;

  // Timers on their way down: what is left of the slot whose start base_ is.
  bool cascading_ = false;
  Lists moving_ = {};

  // The wheel's part of next_deadline(); `unknown` when it has to be looked up.
  mutable std::int64_t earliest_ = never;
  mutable bool earliest_exact_ = true;  // a timer's time, not a slot's start
  std::size_t size_ = 0;

  // Slot d of level L has position 256 L + d, so the first used position is the
  // first slot. Bit p % 64 of used_[p / 64]: slot p has timers. Bit w of
  // used_words_: used_[w] is not 0.
  std::uint32_t used_words_ = 0;
  std::uint64_t used_[word_count] = {};
  Lists slots_[position_count] = {};
};

}  // namespace ringo::detail
