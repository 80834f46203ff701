#include <ringo/time.hpp>

#include <limits>

#include <ringo/go.hpp>
#include <ringo/panic.hpp>

#include <ringo/detail/reference_count.hpp>
#include "runtime/external.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

namespace {
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
}

// --- a moment -----------------------------------------------------------------------------------

bool DeadlineCase::try_take() {
  if (std::exchange(surely_later_, false)) return false;
  return looks_ready();
}

bool DeadlineCase::looks_ready() {
  return !surely_later_ && timer_.when != never && clock_now() >= timer_.when;
}

bool SleepCase::try_take() { return when() <= 0 || DeadlineCase::try_take(); }

Enlist DeadlineCase::enlist() {
  if (timer_.when == never) return Enlist::waiting;
  Worker& worker = *node.g->worker;
  timer_.claim = &DeadlineCase::claim;
  timer_.fire = &DeadlineCase::fire;
  queue_ = &worker.timers;
  node.linked.store(true, std::memory_order_relaxed);
  worker.timers.insert(timer_, worker.coarse_now());
  return Enlist::waiting;
}

Enlist LimitCase::enlist() {
  set_when(due_in(d_));
  return DeadlineCase::enlist();
}

void DeadlineCase::withdraw() noexcept {
  if (queue_->remove(timer_)) node.linked.store(false, std::memory_order_relaxed);
}

bool DeadlineCase::claim(TimerNode* timer) noexcept {
  WaitNode& node = static_cast<Timer*>(timer)->owner->node;
  bool mine = node.seq == 0 || try_claim(node.g, node.seq);
  node.linked.store(false, std::memory_order_release);
  return mine;
}

void DeadlineCase::fire(TimerNode* timer) noexcept {
  complete_at_tail(static_cast<Timer*>(timer)->owner->node);
}

// --- timers that are shared ---------------------------------------------------------------------

/// A Timer, Ticker or AfterFunc. Its value is not stored when it expires but computed from `due_`
/// when somebody asks, so nothing stale is left behind by stop() and reset(), and it is armed in a
/// worker's queue only while somebody waits (or while a function is to be run).
///
/// Locks: lock_ before the lock of the worker's timers. Expiry comes from below: claim() runs under
/// the worker's lock and only keeps us alive; fire() then takes lock_ and looks at what is due now,
/// whatever stop() and reset() have done in between.
class TimerState final : private TimerNode, private Resource {
 public:
  TimerState(std::int64_t due, std::int64_t period) noexcept : due_(due), period_(period) {}

  void retain() noexcept { add_reference(references_); }
  void release() noexcept {
    if (drop_reference(references_)) delete this;
  }

  /// The handle is gone: no more expiry, unless a function is still to run.
  void abandon() noexcept {
    if (action_ == nullptr) set(never);
    release();
  }

  bool set(std::int64_t due) {
    bool was_pending = false;
    bool dropped = false;
    {
      SpinGuard guard(lock_);
      check_thread(due != never);
      forget_ended_runtime();
      was_pending = due_ != never;
      due_ = due;
      rearm();
      dropped = action_ != nullptr && !keep(due != never);
    }
    if (dropped) release();
    return was_pending;
  }

  bool set_period(std::int64_t period) {
    std::int64_t now = clock_now();
    SpinGuard guard(lock_);
    check_thread(true);
    forget_ended_runtime();
    bool was_pending = due_ != never;
    period_ = period;
    due_ = period > never - now ? never : now + period;
    rearm();
    return was_pending;
  }

  bool take(std::int64_t& due) noexcept {
    SpinGuard guard(lock_);
    return take_locked(due);
  }

  bool is_due() noexcept {
    SpinGuard guard(lock_);
    return due_ != never && clock_now() >= due_;
  }

  template <class ClaimSelf>
  Enlist enlist(WaitNode& node, std::int64_t& due, ClaimSelf&& claim_self) noexcept {
    SpinGuard guard(lock_);
    if (due_ != never && clock_now() >= due_) {
      if (!claim_self()) return Enlist::lost;
      take_locked(due);
      return Enlist::taken;
    }
    forget_ended_runtime();
    waiters_.push_back(node);
    rearm();
    return Enlist::waiting;
  }

  void withdraw(WaitNode& node) noexcept {
    SpinGuard guard(lock_);
    if (!node.linked.load(std::memory_order_relaxed)) return;
    waiters_.remove(node);
    if (waiters_.empty() && action_ == nullptr) disarm();
  }

  void run_when_due(std::unique_ptr<TimerAction> action, std::source_location site) {
    action_ = std::move(action);
    site_ = site;
    SpinGuard guard(lock_);
    keep(due_ != never);
    rearm();
  }

 private:
  ~TimerState() = default;

  bool take_locked(std::int64_t& due) noexcept {
    if (due_ == never) return false;
    std::int64_t now = clock_now();
    if (now < due_) return false;
    due = due_;
    due_ = period_ == 0 ? never : due_ + period_ * (1 + (now - due_) / period_);
    return true;
  }

  void rearm() noexcept {
    if (due_ == never || (waiters_.empty() && action_ == nullptr)) return disarm();
    if (armed_) {
      if (when <= due_) return;            // it fires earlier, and then arms itself again
      if (!queue_->remove(*this)) return;  // it is firing, the same
    }
    Worker& worker = *Worker::current();
    queue_ = &worker.timers;
    queue_runtime_ = worker.runtime_id();
    when = due_;
    TimerNode::claim = &TimerState::hold;
    TimerNode::fire = &TimerState::expired;
    armed_ = true;
    queue_->insert(*this, worker.coarse_now());
  }

  void disarm() noexcept {
    if (!armed_) return;
    if (queue_->remove(*this)) armed_ = false;
  }

  /// Queues of timers are for workers. Where no queue is touched any thread will do, as it must at
  /// the end of a program.
  void check_thread(bool arms) const {
    if (on_worker_thread()) return;
    if ((armed_ && runtime_is_alive(queue_runtime_)) ||
        (arms && (!waiters_.empty() || action_ != nullptr))) {
      panic("a timer was stopped or reset outside a goroutine, while goroutines use it");
    }
  }

  /// A timer may outlive the runtime in whose queue the goroutines it abandoned had left it.
  void forget_ended_runtime() noexcept {
    if (!armed_ || queue_runtime_ == current_runtime_id()) return;
    armed_ = false;
    home = nullptr;  // that queue is gone
    waiters_.forget();
  }

  static bool hold(TimerNode* node) noexcept {
    static_cast<TimerState*>(node)->retain();
    return true;
  }

  static void expired(TimerNode* node) noexcept {
    auto* self = static_cast<TimerState*>(node);
    self->deliver();
    self->release();
  }

  void deliver() noexcept {
    WakeList wake;
    bool run = false;
    bool dropped = false;
    {
      SpinGuard guard(lock_);
      armed_ = false;
      if (due_ != never && clock_now() >= due_) {
        if (action_ != nullptr) {
          due_ = never;
          run = true;
          dropped = !keep(false);
        } else if (WaitNode* waiter = waiters_.pop_claimed()) {
          take_locked(*static_cast<std::int64_t*>(waiter->slot));
          wake.push(*waiter);
        }
      }
      rearm();
    }
    wake.complete_all();
    if (run) start_action();
    if (dropped) release();
  }

  struct Reference {
    explicit Reference(TimerState* held) noexcept : state(held) { state->retain(); }
    Reference(Reference&& other) noexcept : state(std::exchange(other.state, nullptr)) {}
    ~Reference() {
      if (state != nullptr) state->release();
    }
    TimerState* state;
  };

  void start_action() noexcept {
    Reference self(this);
    auto body = [self = std::move(self)]() -> Task<> { co_await self.state->action_->run(); };
    SpawnAccess::go(-1, site_, std::move(body));
  }

  /// A pending function keeps its timer alive though nobody may hold a handle, to the end of the
  /// runtime at most. Under lock_. False: the caller has a reference to release after unlocking.
  bool keep(bool pending) noexcept {
    if (pending == kept_) return true;
    kept_ = pending;
    if (pending) {
      retain();
      runtime_ = current_runtime();
      runtime_->add_resource(*this);
      return true;
    }
    runtime_->remove_resource(*this);
    return false;
  }
  void runtime_ended() noexcept override {
    armed_ = false;
    kept_ = false;
    due_ = never;
    release();
  }

  std::atomic<std::uint32_t> references_{1};
  SpinLock lock_;
  bool armed_ = false;  // in queue_, or popped from it and about to fire
  bool kept_ = false;   // a function is pending
  std::int64_t due_;
  std::int64_t period_;
  WaitQueue waiters_;
  WorkerTimers* queue_ = nullptr;
  std::uint32_t queue_runtime_ = 0;
  std::unique_ptr<TimerAction> action_;
  std::source_location site_;
  Runtime* runtime_ = nullptr;
};

namespace {

void check_interval(std::chrono::nanoseconds interval) {
  if (interval.count() <= 0) panic("non-positive interval for Ticker");
}

}  // namespace

TimerCase::TimerCase(Timer& timer) : state_(timer.state_) {
  state_->retain();
  node.slot = &due_;
}
TimerCase::~TimerCase() { state_->release(); }
bool TimerCase::try_take() { return state_->take(due_); }
bool TimerCase::looks_ready() { return state_->is_due(); }
void TimerCase::withdraw() noexcept { state_->withdraw(node); }
Enlist TimerCase::enlist() {
  return state_->enlist(node, due_, [this] { return claim_self(); });
}

TimerState* start_after_func(std::chrono::nanoseconds d, std::unique_ptr<TimerAction> action,
                             std::source_location site) {
  if (!on_worker_thread()) panic("after_func: called outside a goroutine");
  auto* state = new TimerState(due_in(d), 0);
  state->run_when_due(std::move(action), site);
  return state;
}

}  // namespace ringo::detail

namespace ringo {

Timer::Timer(std::chrono::nanoseconds d)
    : state_(new detail::TimerState(detail::due_in(d), 0)) {}

Timer::Timer(Periodic, std::chrono::nanoseconds period) : state_(nullptr) {
  detail::check_interval(period);
  state_ = new detail::TimerState(detail::due_in(period), period.count());
}

Timer::~Timer() {
  if (state_ != nullptr) state_->abandon();
}

bool Timer::stop() { return state_->set(detail::never); }
bool Timer::reset(std::chrono::nanoseconds d) { return state_->set(detail::due_in(d)); }
bool Timer::reset_period(std::chrono::nanoseconds period) {
  detail::check_interval(period);
  return state_->set_period(period.count());
}

AfterFunc::~AfterFunc() {
  if (state_ != nullptr) state_->abandon();
}
bool AfterFunc::stop() { return state_->set(detail::never); }
bool AfterFunc::reset(std::chrono::nanoseconds d) { return state_->set(detail::due_in(d)); }

}  // namespace ringo
