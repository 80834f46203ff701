// A worker that has nothing to run: it looks around, steals, spins, and sleeps in its driver.
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

namespace {

constexpr std::int64_t nap_min_ns = 100'000;
constexpr std::int64_t nap_max_ns = 5'000'000;

}  // namespace

/// Looks for work, and sleeps if there is none. What it stole; null: the queue is to be looked at
/// again.
Goroutine* Worker::idle() {
  if (look_around()) return nullptr;
  if (!alone_ && runtime_.begin_search()) {
    Goroutine* g = steal();
    runtime_.end_search();
    if (g != nullptr) {
      idle_rounds_ = 0;
      return g;
    }
  }
  if (environment_ == nullptr) {
    const std::int64_t time = now();
    if (spin_policy_.end_turn(time)) {
      const SpinPolicy::End end = spin(time + SpinPolicy::spin_max_ns);
      spin_policy_.spun(end, now());
      if (end != SpinPolicy::End::time) return nullptr;
    }
  }
  park();
  return nullptr;
}

/// Looks for work without sleeping, for a while (see SpinPolicy).
SpinPolicy::End Worker::spin(std::int64_t until) {
  using End = SpinPolicy::End;
  for (;;) {
    for (int i = 0; i < 16; ++i) {
      if (inbox_.load(std::memory_order_relaxed) != nullptr || runtime_.stopping() ||
          runtime_.world().wanted()) {
        drain_inbox();
        return End::work;
      }
      if (driver_->in_flight() > 0 && driver_->may_have_work() && driver_->poll(0) > 0) {
        return End::work;
      }
      if (!alone_ && slot_.load(std::memory_order_relaxed) != nullptr) return End::work;
      cpu_relax();
    }
    std::int64_t time = now();
    if (timers.next_deadline() <= time && timers.fire_due(time)) return End::timer;
    if (time >= until) return End::time;
  }
}

/// How long this worker may sleep: to its next timer, and only for a nap while another worker
/// holds work that this one might have to take (a goroutine that stays in a busy worker's slot).
std::int64_t Worker::park_limit() noexcept {
  std::int64_t limit = -1;
  std::int64_t deadline = timers.next_deadline();
  if (deadline != INT64_MAX) {
    std::int64_t time = now();
    limit = deadline > time ? deadline - time : 0;
  }
  if (runtime_.draining()) [[unlikely]] {
    std::int64_t left = runtime_.drain_deadline() - now();
    if (limit < 0 || left < limit) limit = left > 0 ? left : 0;
  }
  if (alone_) return limit;
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    const Worker& other = runtime_.worker(i);
    if (&other == this || other.asleep()) continue;
    std::int64_t nap = nap_min_ns << (idle_rounds_ < 6 ? idle_rounds_ : 6);
    if (nap > nap_max_ns) nap = nap_max_ns;
    if (limit < 0 || nap < limit) limit = nap;
    ++idle_rounds_;
    break;
  }
  return limit;
}

/// The handshake with those who bring work, each side storing first and looking second, all
/// sequentially consistent: a poster pushes to the inbox, then reads asleep_; we set asleep_, then
/// read the inbox. One of us sees the other. A worker that pushes to its own queue reads
/// runtime.sleeping after having been awake (asleep_ stored false) before; we raise `sleeping`,
/// then look at the queues and at who is awake, and take only a nap if anybody is.
void Worker::park() {
  WorkerCounters::add(counters.parks);
  publish_driver_stats();
  in_flight_.store(driver_->in_flight() != 0, std::memory_order_relaxed);
  asleep_.store(true, std::memory_order_seq_cst);
  if (!alone_) runtime_.sleeping.fetch_add(1, std::memory_order_seq_cst);
  bool look_again = inbox_.load(std::memory_order_seq_cst) != nullptr || runtime_.stopping() ||
                    runtime_.world().wanted();
  if (!alone_ && !look_again && !runtime_.options().pinned) {
    for (std::size_t i = 0; i < runtime_.worker_count() && !look_again; ++i) {
      look_again = !runtime_.worker(i).queue_.empty();
    }
  }
  std::int64_t limit = look_again ? 0 : park_limit();
  if (limit != 0) limit = runtime_.deadlock_watch().before_sleep(*this, limit);
  std::int64_t began = 0;
  std::int64_t ended = 0;
  if (limit != 0) {
    if (environment_ == nullptr) began = now();
    driver_->poll(limit);
    if (environment_ == nullptr) ended = now();
  }
  if (!alone_) runtime_.sleeping.fetch_sub(1, std::memory_order_seq_cst);
  asleep_.store(false, std::memory_order_seq_cst);
  runtime_.watchdog().worker_is_awake();
  drain_inbox();
  const bool fired = timers.next_deadline() != INT64_MAX && timers.fire_due(now());
  if (ended != 0) spin_policy_.slept(began, ended, fired);
}

// --- stealing -----------------------------------------------------------------------------------

Goroutine* Worker::steal() noexcept {
  std::size_t count = runtime_.worker_count();
  if (runtime_.options().pinned) return nullptr;
  std::size_t start = random_.below(static_cast<std::uint32_t>(count));
  for (std::size_t i = 0; i < count; ++i) {
    Worker& victim = runtime_.worker((start + i) % count);
    if (&victim == this) continue;
    if (Goroutine* g = victim.queue_.steal_into(queue_)) {
      WorkerCounters::add(counters.steals);
      if (!queue_.empty()) runtime_.wake_sleeper();
      return g;
    }
  }
  return steal_slot();
}

/// A goroutine in the slot runs next on its worker, usually at once, and is left there: taking it
/// would tear a ping-pong apart. Only if the worker has not moved on since we looked last (it is
/// held by a goroutine that does not suspend) is it taken.
Goroutine* Worker::steal_slot() noexcept {
  std::size_t count = runtime_.worker_count();
  for (std::size_t i = 0; i < count; ++i) {
    Worker& victim = runtime_.worker(i);
    if (&victim == this) continue;
    Goroutine* g = victim.slot_.load(std::memory_order_relaxed);
    if (g == nullptr) continue;
    std::uint64_t resumptions = victim.resumptions_.load(std::memory_order_relaxed);
    if (g == seen_slot_ && resumptions == seen_resumptions_) {
      seen_slot_ = nullptr;
      if (victim.slot_.compare_exchange_strong(g, nullptr, std::memory_order_acq_rel)) {
        WorkerCounters::add(counters.steals);
        return g;
      }
      continue;
    }
    seen_slot_ = g;
    seen_resumptions_ = resumptions;
    return nullptr;
  }
  seen_slot_ = nullptr;
  return nullptr;
}

}  // namespace ringo::detail
