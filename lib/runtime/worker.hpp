// A worker: one thread, its driver, its ready goroutines, its timers.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <utility>

#include <ringo/detail/goroutine.hpp>

#include "driver/driver.hpp"
#include "runtime/records.hpp"
#include "runtime/run_queue.hpp"
#include "runtime/spin_policy.hpp"
#include "runtime/worker_timers.hpp"

namespace ringo::detail {

class Environment;
class Runtime;

/// xorshift64*: random numbers for select cases and stealing; seeded by the environment.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed | 1) {}
  std::uint64_t next() noexcept {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dULL;
  }
  /// Uniform in [0, bound), bound > 0 (Lemire's multiplication; the bias is below 2^-32).
  std::uint32_t below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
  }

 private:
  std::uint64_t state_;
};

/// What a worker has counted. Written by its own thread only.
struct WorkerCounters {
  std::atomic<std::uint64_t> started{0};
  std::atomic<std::uint64_t> ended{0};
  std::atomic<std::uint64_t> steals{0};
  std::atomic<std::uint64_t> parks{0};
  // The driver's own, as they were a little while ago.
  std::atomic<std::uint64_t> enters{0};
  std::atomic<std::uint64_t> completions{0};
  std::atomic<std::uint64_t> bells{0};

  static void add(std::atomic<std::uint64_t>& counter,
                  std::memory_order order = std::memory_order_relaxed) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + 1, order);
  }
};

class alignas(64) Worker {
 public:
  Worker(Runtime& runtime, unsigned index);

  /// The worker of this thread, or null. Not in the body of a coroutine: compilers may keep the
  /// address of a thread_local across a suspension.
  static Worker* current() noexcept { return current_; }

  /// Runs goroutines until the runtime stops. On this worker's thread, driver set.
  void loop();

  // --- on this worker's thread
  void ready(Goroutine* g) noexcept;          // freshest: runs next
  void ready_at_tail(Goroutine* g) noexcept;  // after all that is ready
  /// If it waits in this worker's queue, it runs next.
  void bring_forward(Goroutine* g) noexcept;
  Runtime& runtime() const noexcept { return runtime_; }
  std::uint32_t runtime_id() const noexcept { return runtime_id_; }
  unsigned index() const noexcept { return index_; }
  Random& random() noexcept { return random_; }
  Driver& driver() const noexcept { return *driver_; }
  void set_driver(std::unique_ptr<Driver> driver) noexcept { driver_ = std::move(driver); }
  RecordCache& records() noexcept { return records_; }
  Goroutine* current_goroutine() const noexcept {
    return running_.load(std::memory_order_relaxed);
  }
  std::int64_t now();
  /// The clock as it was read last: somewhat behind.
  std::int64_t coarse_now() const noexcept { return coarse_now_; }
  /// Makes the record of a goroutine whose root frame exists; the caller queues it. Throws Panic
  /// for a worker that there is not.
  Goroutine* make_goroutine(PromiseBase& root, AtEnd* at_end, Placement placement,
                            std::source_location site);
  /// Takes a free goroutine number.
  std::uint64_t next_id() noexcept { return std::exchange(next_id_, next_id_ + id_step_); }
  void set_bounced(std::coroutine_handle<> next) noexcept { bounced_ = next; }
  void set_finished(Goroutine* g) noexcept { finished_ = g; }
  /// Copies the driver's counters to where other threads may read them.
  void publish_driver_stats() noexcept;
  /// Attaches and detaches the thread.
  void enter_thread() noexcept;
  void leave_thread() noexcept;
  /// Runs what is left in the inbox once no loop runs any more.
  void drain_inbox() noexcept;
  bool has_posts() const noexcept { return inbox_.load(std::memory_order_acquire) != nullptr; }

  // --- from any thread
  /// Has the goroutine queued, or the message run, on this worker's thread, soon. Only while the
  /// runtime is known to live.
  void post(InboxNode* node) noexcept;
  /// Ends a wait of the loop, so that it looks at its flags again.
  void wake() noexcept;
  bool asleep() const noexcept { return asleep_.load(std::memory_order_seq_cst); }
  /// Had its driver operations in flight when it announced its sleep?
  bool has_in_flight() const noexcept { return in_flight_.load(std::memory_order_relaxed); }
  std::uint64_t resumptions() const noexcept {
    return resumptions_.load(std::memory_order_relaxed);
  }
  /// Ready goroutines, as seen from any thread: a moment's guess.
  std::size_t queue_depth() const noexcept {
    return stealable() + pinned_count_.load(std::memory_order_relaxed);
  }
  /// Those of them that another worker may take.
  std::size_t stealable() const noexcept {
    return queue_.size() + (slot_.load(std::memory_order_relaxed) != nullptr);
  }
  /// The id of its thread.
  int thread() const noexcept { return thread_.load(std::memory_order_relaxed); }

  WorkerTimers timers;
  WorkerCounters counters;

 private:
  friend class Runtime;

  static constexpr unsigned look_around_every = 61;  // resumptions, a prime as in Go's scheduler
  static constexpr unsigned driver_patience = 1000;  // resumptions, at most

  Goroutine* take() noexcept;
  [[gnu::noinline]] Goroutine* take_other() noexcept;
  bool branch_goes_on() noexcept;
  Goroutine* take_slot() noexcept;
  Goroutine* take_pinned() noexcept;
  void resume(Goroutine* g);
  void resume_checked(Goroutine* g);
  void run_until_suspended(Goroutine* g);
  void resume_put_off(Goroutine* g);
  void finish(Goroutine* g) noexcept;
  bool look_around();
  bool look_at_driver();
  Goroutine* idle();
  Goroutine* steal() noexcept;
  Goroutine* steal_slot() noexcept;
  SpinPolicy::End spin(std::int64_t until);
  void park();
  std::int64_t park_limit() noexcept;

  // Initial-exec: the library is not made to be loaded by dlopen, and this saves a call per access.
  [[gnu::tls_model("initial-exec")]] static constinit thread_local Worker* current_;

  Runtime& runtime_;
  const std::uint32_t runtime_id_;
  const unsigned index_;
  const bool alone_;  // the only worker: nobody steals
  Environment* const environment_;

  // The owner's own.
  std::coroutine_handle<> bounced_;
  Goroutine* finished_ = nullptr;
  std::atomic<Goroutine*> running_{nullptr};
  std::uint64_t look_around_at_ = look_around_every;  // resumptions
  std::uint64_t look_at_driver_at_ = 0;               // or with fewer ready goroutines
  unsigned looks_ = 0;
  unsigned slot_runs_ = 0;
  bool brought_forward_ = false;   // since branch_goes_on() was asked last
  std::int64_t branch_began_ = 0;  // when the queue had its turn last
  unsigned idle_rounds_ = 0;
  SpinPolicy spin_policy_;
  std::int64_t coarse_now_ = 0;
  Goroutine* pinned_head_ = nullptr;
  Goroutine* pinned_tail_ = nullptr;
  std::atomic<std::size_t> pinned_count_{0};
  bool pinned_turn_ = false;
  std::uint64_t next_id_;
  std::uint64_t id_step_ = 1;  // the number of workers
  Random random_;
  RecordCache records_;
  std::unique_ptr<Driver> driver_;
  Goroutine* seen_slot_ = nullptr;  // of the victim looked at last by steal_slot()
  std::uint64_t seen_resumptions_ = 0;

  RunQueue queue_;
  std::atomic<Goroutine*> slot_{nullptr};
  std::atomic<std::uint64_t> resumptions_{0};  // others see by it whether the owner moves on
  std::atomic<bool> in_flight_{false};         // as it went to sleep
  std::atomic<int> thread_{0};

  // Written by others.
  alignas(64) std::atomic<InboxNode*> inbox_{nullptr};
  std::atomic<bool> asleep_{false};
};

}  // namespace ringo::detail
