// A timer, as it lies in the awaiter that waits for it.
#pragma once

#include <cstdint>

namespace ringo::detail {

class TimerQueue;

/// The owner sets `when`, `claim` and `fire` and keeps the node in place while it
/// is queued. Everything else belongs to the queue, under the lock of the worker
/// that has it. Members stand in the order in which a queue touches them.
struct TimerNode {
  /// Due time in nanoseconds of the steady clock. INT64_MAX: never; such a node
  /// is not inserted.
  std::int64_t when = 0;

  /// Breaks ties between equal times: first inserted, first fired.
  std::uint64_t sequence = 0;

  TimerNode* next = nullptr;   ///< sibling in a list
  TimerNode** link = nullptr;  ///< what points here: the head of the list or a sibling's next
  TimerNode* child = nullptr;  ///< head of the list of children while in the heap

  /// The queue the node is in, or null.
  TimerQueue* home = nullptr;

  /// Called under the lock of the worker's timers right after the due node was
  /// taken out of the queue: may it fire? If not, its wait was ended by
  /// something else, and the node must not be touched any more.
  bool (*claim)(TimerNode* node) noexcept = nullptr;

  /// Called by the worker after that, without the lock.
  void (*fire)(TimerNode* node) noexcept = nullptr;
};
static_assert(sizeof(TimerNode) <= 64);

}  // namespace ringo::detail
