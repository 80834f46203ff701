#include "runtime/worker.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <ringo/detail/duration.hpp>
#include <ringo/detail/lock_check.hpp>
#include <ringo/detail/promise.hpp>

#include "runtime/runtime.hpp"

namespace ringo::detail {

namespace {

constexpr unsigned slot_runs_limit = 32;  // in a row, before the queue has its turn
// So long children run before the queue has its turn if they run because they are joined: a branch
// of a tree of goroutines is mostly at its end by then, and what the queue gives opens another one.
constexpr std::int64_t branch_time_ns = 100'000;

}  // namespace

constinit thread_local Worker* Worker::current_ = nullptr;

Worker::Worker(Runtime& runtime, unsigned index)
    : runtime_(runtime),
      runtime_id_(runtime.id()),
      index_(index),
      alone_(runtime.options().workers == 1),
      environment_(runtime.environment()),
      next_id_(1 + index),
      random_(0),
      queue_(!alone_) {}

void Worker::enter_thread() noexcept {
  current_ = this;
  thread_.store(static_cast<int>(::syscall(SYS_gettid)), std::memory_order_relaxed);
  runtime_.world().enter(*this);
  id_step_ = runtime_.worker_count();
}

void Worker::publish_driver_stats() noexcept {
  const DriverStats& stats = driver_->stats();
  counters.enters.store(stats.enters, std::memory_order_relaxed);
  counters.completions.store(stats.completions, std::memory_order_relaxed);
  counters.bells.store(stats.bells, std::memory_order_relaxed);
}

void Worker::leave_thread() noexcept { current_ = nullptr; }

std::int64_t Worker::now() {
  coarse_now_ = environment_ != nullptr ? environment_->now() : steady_now();
  return coarse_now_;
}

std::int64_t clock_now() noexcept {
  Worker* worker = Worker::current();
  return worker != nullptr ? worker->now() : steady_now();
}

std::int64_t due_in(std::chrono::nanoseconds d) noexcept {
  const std::int64_t now = clock_now();
  return d.count() > INT64_MAX - now ? INT64_MAX : now + d.count();
}

// --- ready goroutines ---------------------------------------------------------------------------

namespace {

// What was put off keeps the operation there.
void clear_wait(Goroutine* g) noexcept {
  if (g->budget != budget_put_off) [[likely]]
    g->wait = nullptr;
}

}  // namespace

void Worker::ready(Goroutine* g) noexcept {
  if (g->pinned || environment_ != nullptr) [[unlikely]] return ready_at_tail(g);
  clear_wait(g);
  Goroutine* displaced = nullptr;
  if (alone_) {
    displaced = slot_.load(std::memory_order_relaxed);
    slot_.store(g, std::memory_order_relaxed);
  } else {
    displaced = slot_.exchange(g, std::memory_order_acq_rel);
  }
  if (displaced != nullptr) ready_at_tail(displaced);
}

void Worker::ready_at_tail(Goroutine* g) noexcept {
  clear_wait(g);
  if (g->pinned) [[unlikely]] {
    if (g->worker != this) return g->worker->post(g);
    g->set_next(nullptr);
    if (pinned_tail_ != nullptr) {
      pinned_tail_->set_next(g);
    } else {
      pinned_head_ = g;
    }
    pinned_tail_ = g;
    pinned_count_.store(pinned_count_.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
    return;
  }
  g->place.store(queue_.next_position(), std::memory_order_relaxed);
  queue_.push(g);  // and it may run elsewhere, or have ended
  // A single one is about to run here; a sleeper that wakes for it would only tear it away. If
  // it has to wait after all, a worker that naps will find it (park_limit).
  if (!alone_ && queue_.size() >= 2) runtime_.wake_sleeper();
}

void Worker::bring_forward(Goroutine* g) noexcept {
  if (g == slot_.load(std::memory_order_relaxed) || environment_ != nullptr) return;
  if (!queue_.take_back(g, g->place.load(std::memory_order_relaxed))) return;
  brought_forward_ = true;
  ready(g);
}

Goroutine* Worker::take_slot() noexcept {
  if (slot_.load(std::memory_order_relaxed) == nullptr) return nullptr;
  if (alone_) {
    Goroutine* g = slot_.load(std::memory_order_relaxed);
    slot_.store(nullptr, std::memory_order_relaxed);
    return g;
  }
  return slot_.exchange(nullptr, std::memory_order_acq_rel);
}

Goroutine* Worker::take_pinned() noexcept {
  Goroutine* g = pinned_head_;
  if (g == nullptr) return nullptr;
  pinned_head_ = static_cast<Goroutine*>(g->next());
  if (pinned_head_ == nullptr) pinned_tail_ = nullptr;
  pinned_count_.store(pinned_count_.load(std::memory_order_relaxed) - 1,
                      std::memory_order_relaxed);
  return g;
}

bool Worker::branch_goes_on() noexcept {
  slot_runs_ = 0;
  if (!std::exchange(brought_forward_, false)) return false;
  const std::int64_t time = now();
  if (time - branch_began_ < branch_time_ns) return true;
  branch_began_ = time;
  return false;
}

/// The next one but for the slot's, where there is more than the queue to look at.
Goroutine* Worker::take_other() noexcept {
  if (pinned_head_ != nullptr) {
    // Taken in turn with the others.
    pinned_turn_ = !pinned_turn_;
    if (pinned_turn_ || queue_.empty()) return take_pinned();
  }
  if (environment_ != nullptr) {
    // Only one worker then, so size() is exact: the chosen one comes to the head.
    std::size_t count = queue_.size();
    for (std::size_t skip = count > 1 ? environment_->pick_ready(count) : 0; skip > 0; --skip) {
      queue_.push(queue_.pop());
    }
  }
  return queue_.pop();
}

inline Goroutine* Worker::take() noexcept {
  if (slot_runs_ < slot_runs_limit || branch_goes_on()) [[likely]] {
    if (Goroutine* g = take_slot()) {
      ++slot_runs_;
      return g;
    }
  }
  slot_runs_ = 0;
  Goroutine* const g = pinned_head_ == nullptr && environment_ == nullptr ? queue_.pop()
                                                                          : take_other();
  return g != nullptr ? g : take_slot();
}

void Worker::resume(Goroutine* g) {
  if (checks_locks()) [[unlikely]]
    return resume_checked(g);
  run_until_suspended(g);
  if (finished_ != nullptr) finish(std::exchange(finished_, nullptr));
}

void Worker::run_until_suspended(Goroutine* g) {
  if (g->budget == budget_put_off) [[unlikely]]
    return resume_put_off(g);
  g->worker = this;
  g->budget = operation_budget;
  g->resumed_at.store(coarse_moment(coarse_now_), std::memory_order_relaxed);
  running_.store(g, std::memory_order_relaxed);
  std::coroutine_handle<> next = g->leaf;
  for (;;) {
    g->depth = transfer_depth;
    next.resume();
    // After this g may run elsewhere or be gone: look only at what is this worker's own.
    if (!bounced_) break;
    next = std::exchange(bounced_, nullptr);
  }
  running_.store(nullptr, std::memory_order_relaxed);
}

void Worker::resume_put_off(Goroutine* g) {
  g->worker = this;
  g->budget = operation_budget;
  running_.store(g, std::memory_order_relaxed);
  const bool waits = arm_put_off(g);
  running_.store(nullptr, std::memory_order_relaxed);
  if (!waits) run_until_suspended(g);
}

// --- the loop -----------------------------------------------------------------------------------

void Worker::loop() {
  now();
  while (!runtime_.stopping()) {
    if (runtime_.world().wanted()) [[unlikely]] {
      runtime_.world().stand(*this);
      if (runtime_.draining()) runtime_.check_drained();
      continue;
    }
    const std::uint64_t resumptions = resumptions_.load(std::memory_order_relaxed);
    if (resumptions >= look_around_at_) [[unlikely]] {
      look_around_at_ = resumptions + look_around_every;
      look_around();
      // What reports tell about time goes by this clock.
      if ((++looks_ & 15) == 0) {
        if (environment_ == nullptr) now();
        publish_driver_stats();
      }
    }
    Goroutine* g = take();
    if (g == nullptr) {
      g = idle();
      if (g == nullptr) continue;
    }
    resumptions_.store(resumptions + 1, std::memory_order_relaxed);
    resume(g);
  }
}

bool Worker::look_around() {
  bool any = false;
  if (runtime_.draining()) [[unlikely]] runtime_.check_drained();
  if (inbox_.load(std::memory_order_relaxed) != nullptr) {
    drain_inbox();
    any = true;
  }
  if (timers.next_deadline() != INT64_MAX) any |= timers.fire_due(now());
  return look_at_driver() || any;
}

/// What the kernel has is left there until what was ready after the last look has had its turn: a
/// worker that takes in more than it runs makes its queue longer and longer, in which everybody
/// holds a buffer, until there are none left, and nothing is in the caches any more. It costs hardly
/// anybody time, since what comes would go behind those in the queue. What is for the kernel goes
/// out.
bool Worker::look_at_driver() {
  if (driver_->in_flight() == 0) return false;
  const std::uint64_t resumptions = resumptions_.load(std::memory_order_relaxed);
  if (resumptions < look_at_driver_at_ && queue_depth() >= look_around_every) {
    driver_->submit();
    return false;
  }
  if (!driver_->may_have_work()) return false;
  const bool any = driver_->poll(0) > 0;
  look_at_driver_at_ = resumptions + std::min<std::uint64_t>(queue_depth(), driver_patience);
  return any;
}

// --- the inbox ----------------------------------------------------------------------------------

void Worker::post(InboxNode* node) noexcept {
  InboxNode* head = inbox_.load(std::memory_order_relaxed);
  do {
    node->set_next(head);
  } while (!inbox_.compare_exchange_weak(head, node, std::memory_order_seq_cst,
                                         std::memory_order_relaxed));
  if (asleep()) driver_->wake();
}

void Worker::wake() noexcept {
  if (asleep()) driver_->wake();
}

void Worker::drain_inbox() noexcept {
  InboxNode* node = inbox_.exchange(nullptr, std::memory_order_acquire);
  // Pushed last in first: reversed, they run in the order in which they came.
  InboxNode* ordered = nullptr;
  while (node != nullptr) {
    InboxNode* next = node->next();
    node->set_next(ordered);
    ordered = std::exchange(node, next);
  }
  while (ordered != nullptr) {
    InboxNode* next = ordered->next();
    if (ordered->is_goroutine) {
      ready_at_tail(static_cast<Goroutine*>(ordered));
    } else {
      auto* message = static_cast<Message*>(ordered);
      message->run(*this, message);
    }
    ordered = next;
  }
}

}  // namespace ringo::detail
