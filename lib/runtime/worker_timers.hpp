// The timers of a worker: a TimerQueue behind a lock, since a goroutine that moved to another
// worker leaves the queue from there.
#pragma once

#include <ringo/detail/spin_lock.hpp>

#include "runtime/timer_queue.hpp"

namespace ringo::detail {

class WorkerTimers {
 public:
  /// On the owner's thread.
  void insert(TimerNode& node, std::int64_t now) {
    SpinGuard guard(lock_);
    queue_.insert(node, now);
  }

  /// From any worker. True if it was still queued and will not fire.
  bool remove(TimerNode& node) noexcept {
    SpinGuard guard(lock_);
    return queue_.remove(node);
  }

  std::int64_t next_deadline() noexcept {
    SpinGuard guard(lock_);
    return queue_.next_deadline();
  }

  /// Fires what is due, in its order, up to a limit: a million timers that are due at once would
  /// keep the worker from everything else, and others who want the lock waiting, for a tenth of a
  /// second. What is left is due still, so the next call goes on with it.
  ///
  /// A timer is claimed under the lock (it may belong to a wait that another event ends at this
  /// moment, after which its memory is gone) and acts after it was dropped. Returns whether
  /// anything was done.
  bool fire_due(std::int64_t now) {
    TimerNode* fired = nullptr;
    TimerNode** end = &fired;
    int effort = round_limit;
    {
      SpinGuard guard(lock_);
      while (effort > 0) {
        TimerNode* node = queue_.pop_due(now, effort);
        if (node == nullptr) break;
        if (!node->claim(node)) continue;
        node->next = nullptr;
        *end = node;
        end = &node->next;
      }
    }
    const bool any = fired != nullptr || effort <= 0;
    while (fired != nullptr) {
      TimerNode* node = fired;
      fired = node->next;
      node->fire(node);
    }
    return any;
  }

  /// Timers fired or moved in one call of fire_due().
  static constexpr int round_limit = 512;

 private:
  SpinLock lock_;
  TimerQueue queue_;
};

}  // namespace ringo::detail
