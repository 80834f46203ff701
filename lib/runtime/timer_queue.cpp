#include "runtime/timer_queue.hpp"

#include <bit>
#include <cassert>

namespace ringo::detail {

// --- lists: the same links in the wheel's slots and in the heap -----------------

namespace {

void push_front(TimerNode*& head, TimerNode& node) {
  node.next = head;
  node.link = &head;
  if (head) head->link = &node.next;
  head = &node;
}

void unlink(TimerNode& node) {
  *node.link = node.next;
  if (node.next) node.next->link = node.link;
}

}  // namespace

// --- the heap of the current tick --------------------------------------------------

inline bool TimerQueue::before(const TimerNode& a, const TimerNode& b) {
  return a.when != b.when ? a.when < b.when : a.sequence < b.sequence;
}

// Makes the later of two roots a child of the other, and returns that one.
// Leaves the returned root's own links alone.
inline TimerNode* TimerQueue::meld(TimerNode* a, TimerNode* b) {
  if (before(*b, *a)) {
    TimerNode* t = a;
    a = b;
    b = t;
  }
  push_front(a->child, *b);
  return a;
}

// Melds a list of roots, linked by next, to one: in pairs, then from the last
// pair to the first, which is what makes pop cost O(log n) amortised.
TimerNode* TimerQueue::meld_list(TimerNode* first) {
  TimerNode* pairs = nullptr;
  while (first) {
    TimerNode* pair = first;
    if (TimerNode* second = first->next) {
      first = second->next;
      pair = meld(pair, second);
    } else {
      first = nullptr;
    }
    pair->next = pairs;
    pairs = pair;
  }
  TimerNode* root = pairs;
  for (TimerNode* pair = root->next; pair;) {
    TimerNode* following = pair->next;
    root = meld(root, pair);
    pair = following;
  }
  return root;
}

// Melds a tree with the heap.
inline void TimerQueue::heap_insert(TimerNode& tree) {
  heap_ = heap_ ? meld(heap_, &tree) : &tree;
  heap_->next = nullptr;
  heap_->link = &heap_;
}

// --- the wheel --------------------------------------------------------------------------

// Only while some slot is used.
inline TimerQueue::Slot TimerQueue::first_slot() const {
  const auto word = static_cast<unsigned>(std::countr_zero(used_words_));
  const unsigned position = word * 64 + static_cast<unsigned>(std::countr_zero(used_[word]));
  const unsigned shift = position / slot_count * digit_bits;
  const std::int64_t above = base_ >> (shift + digit_bits) << (shift + digit_bits);
  return {position, above | static_cast<std::int64_t>(position % slot_count) << shift};
}

// Puts a node where it belongs relative to base_.
inline void TimerQueue::place(TimerNode& node) {
  const std::int64_t tick = tick_of(node.when);
  if (tick <= base_) return heap_insert(node);
  const auto difference = static_cast<std::uint64_t>(tick ^ base_);
  const auto level = static_cast<unsigned>(std::bit_width(difference) - 1) / digit_bits;
  const unsigned shift = level * digit_bits;
  const unsigned position = level * slot_count + static_cast<unsigned>(tick >> shift) % slot_count;
  push_front(slots_[position].heads[node.sequence % lists_per_slot], node);
  used_[position / 64] |= std::uint64_t{1} << position % 64;
  used_words_ |= 1u << position / 64;
  const std::int64_t start = tick >> shift << shift;
  if (start < wheel_start_) wheel_start_ = start;
}

// A list of the slot at that position became empty.
void TimerQueue::list_emptied(unsigned position) {
  for (const TimerNode* head : slots_[position].heads)
    if (head) return;
  std::uint64_t& word = used_[position / 64];
  word &= ~(std::uint64_t{1} << position % 64);
  if (word == 0) used_words_ &= ~(1u << position / 64);
  if (used_words_ == 0) {
    wheel_start_ = never;
    earliest_ = never;
    earliest_exact_ = true;
  } else if (!earliest_exact_) {
    earliest_ = unknown;
  }
}

// Begins to move the timers of the first used slot, which has begun, down.
void TimerQueue::begin_cascade(const Slot& slot) {
  moving_ = slots_[slot.position];
  slots_[slot.position] = {};
  list_emptied(slot.position);
  base_ = slot.start;
  cascading_ = true;
}

// Goes on with it; whether it is done.
bool TimerQueue::cascade(int& effort) {
  for (bool more = true; more;) {
    if (effort <= 0) {
      // Somebody may remove them meanwhile.
      for (TimerNode*& head : moving_.heads) {
        if (head) head->link = &head;
      }
      return false;
    }
    more = false;
    for (TimerNode*& next : moving_.heads) {
      if (TimerNode* node = next) {
        next = node->next;
        __builtin_prefetch(next, 1);  // read when its turn comes; null does no harm
        more = true;
        --effort;
        place(*node);
      }
    }
  }
  cascading_ = false;
  if (used_words_) earliest_ = unknown;
  return true;
}

// The earliest time in the wheel if that is cheap to find out, else the start of
// its slot.
std::int64_t TimerQueue::wheel_deadline() const {
  if (earliest_ != unknown) return earliest_;
  const Slot slot = first_slot();
  std::int64_t earliest = never;
  int looked_at = 0;
  for (const TimerNode* node : slots_[slot.position].heads) {
    for (; node; node = node->next) {
      if (++looked_at > 16) {
        earliest_exact_ = false;
        return earliest_ = slot.start << tick_bits;
      }
      if (node->when < earliest) earliest = node->when;
    }
  }
  earliest_exact_ = true;
  return earliest_ = earliest;
}

// --- the queue --------------------------------------------------------------------------

void TimerQueue::insert(TimerNode& node, std::int64_t now) {
  assert(!node.home && node.when != never);
  const std::int64_t now_tick = tick_of(now);
  if (now_tick > base_ && !cascading_) {
    // wheel_start_ is too early after the first timers were removed.
    if (now_tick >= wheel_start_) wheel_start_ = first_slot().start;
    if (now_tick < wheel_start_) base_ = now_tick;
  }
  node.home = this;
  node.sequence = next_sequence_++;
  node.child = nullptr;
  ++size_;
  place(node);
  if (tick_of(node.when) > base_ && node.when < earliest_) earliest_ = node.when;
}

bool TimerQueue::remove(TimerNode& node) {
  if (node.home != this) return false;
  node.home = nullptr;
  --size_;
  unlink(node);
  if (tick_of(node.when) > base_) {
    if (node.when == earliest_) earliest_ = unknown;
    if (!node.next) {
      // Was it the last of a list of a slot, and that the last list?
      const auto offset =
          reinterpret_cast<std::uintptr_t>(node.link) - reinterpret_cast<std::uintptr_t>(slots_);
      if (offset < sizeof slots_) list_emptied(static_cast<unsigned>(offset / sizeof slots_[0]));
    }
  } else if (node.child) {
    heap_insert(*meld_list(node.child));
  }
  return true;
}

TimerNode* TimerQueue::pop_due(std::int64_t now, int& effort) {
  // The heap holds the earliest of all only when everything has moved.
  if (cascading_ && !cascade(effort)) return nullptr;
  while (!heap_) {
    if (wheel_start_ > tick_of(now)) return nullptr;
    const Slot slot = first_slot();
    if (slot.start > tick_of(now)) {
      wheel_start_ = slot.start;
      return nullptr;
    }
    begin_cascade(slot);
    if (!cascade(effort)) return nullptr;
  }
  TimerNode* node = heap_;
  if (node->when > now) return nullptr;
  heap_ = nullptr;
  if (node->child) heap_insert(*meld_list(node->child));
  node->home = nullptr;
  --size_;
  --effort;
  return node;
}

std::int64_t TimerQueue::next_deadline() const {
  if (cascading_ && size_ > 0) [[unlikely]] {
    const std::int64_t begun = base_ << tick_bits;
    return heap_ && heap_->when < begun ? heap_->when : begun;
  }
  return heap_ ? heap_->when : wheel_deadline();
}

}  // namespace ringo::detail
