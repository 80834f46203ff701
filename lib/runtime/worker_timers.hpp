// The timers of a worker: a TimerQueue behind a lock, since a goroutine that moved to another
// worker leaves the queue from there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

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

  /// Is anything armed that will do something? From any worker. `idle` becomes the number of those
  /// that may be armed for nobody.
  bool armed(std::size_t& idle) noexcept {
    SpinGuard guard(lock_);
    idle = idle_.load(std::memory_order_relaxed);
    return queue_.size() > idle;
  }

  std::size_t size() noexcept {
    SpinGuard guard(lock_);
    return queue_.size();
  }

  /// A timer that is going to be inserted, or is out again, may fire for nobody: it belongs to a
  /// socket, which leaves it armed when its waiter goes. From any worker.
  void idle_inserted() noexcept { idle_.fetch_add(1, std::memory_order_relaxed); }
  void idle_gone() noexcept { idle_.fetch_sub(1, std::memory_order_relaxed); }

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
  std::atomic<std::size_t> idle_{0};
};

}  // namespace ringo::detail
