// Time: sleeping, timers, tickers, and timeouts.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/duration.hpp>
#include <ringo/detail/select_core.hpp>
#include <ringo/detail/timer_node.hpp>
#include <ringo/result.hpp>
#include <ringo/task.hpp>

namespace ringo {

/// Points in time that timers yield.
using TimePoint = std::chrono::steady_clock::time_point;

namespace detail {

class WorkerTimers;
class TimerState;

inline TimePoint time_point(std::int64_t ns) noexcept {
  return TimePoint(std::chrono::duration_cast<TimePoint::duration>(std::chrono::nanoseconds(ns)));
}

/// Waits until a moment; the timer lies in the frame, and in a worker's queue only while it waits.
class DeadlineCase : public CaseBase {
 public:
  bool try_take() override;
  Enlist enlist() override;
  void withdraw() noexcept final;
  bool looks_ready() final;
  WaitReason reason() const noexcept { return WaitReason::sleep; }

 protected:
  explicit DeadlineCase(std::int64_t when, bool surely_later = false) noexcept
      : surely_later_(surely_later) {
    timer_.when = when;
    timer_.owner = this;
  }
  ~DeadlineCase() = default;
  std::int64_t when() const noexcept { return timer_.when; }
  void set_when(std::int64_t when) noexcept { timer_.when = when; }

 private:
  struct Timer : TimerNode {
    DeadlineCase* owner = nullptr;
  };
  static bool claim(TimerNode* node) noexcept;
  static void fire(TimerNode* node) noexcept;

  Timer timer_;
  WorkerTimers* queue_ = nullptr;
  bool surely_later_;  // the moment was computed just now: no need to look at the clock
};

class SleepCase final : public DeadlineCase {
 public:
  template <class Op>
  explicit SleepCase(const Op& op) noexcept : DeadlineCase(op.when_, op.surely_later_) {}
  bool try_take() override;
  void result() const noexcept {}
};

class AfterCase;
class TimerCase;

}  // namespace detail

/// A pause, see sleep_for and sleep_until.
class [[nodiscard("co_await it")]] Sleep {
 public:
  using Case = detail::SleepCase;
  Sleep(std::int64_t when, bool surely_later) noexcept
      : when_(when), surely_later_(surely_later) {}

 private:
  friend Case;
  std::int64_t when_;
  bool surely_later_;
};

/// Pauses the goroutine for at least d (Go's time.Sleep); returns at once, without yielding, if d
/// is not positive. Absurdly long times never end. Cancellable; also a case of select. The moment
/// of waking is fixed at the call; an idle worker wakes up to the timer slack of its thread later
/// (PR_SET_TIMERSLACK of prctl(2); 50 us unless set).
template <class Rep, class Period>
Sleep sleep_for(std::chrono::duration<Rep, Period> d) noexcept {
  std::chrono::nanoseconds ns = detail::saturate(d);
  return Sleep(ns.count() > 0 ? detail::due_in(ns) : 0, ns.count() > 0);
}

/// Pauses until that moment has come; std::chrono::steady_clock, or system_clock as it stands now.
inline Sleep sleep_until(TimePoint moment) noexcept {
  return Sleep(std::chrono::nanoseconds(moment.time_since_epoch()).count(), false);
}
inline Sleep sleep_until(std::chrono::system_clock::time_point moment) noexcept {
  return sleep_for(moment - std::chrono::system_clock::now());
}

/// A timeout (Go's time.After): its moment is fixed when it is made. As a case of select or awaited
/// it yields the TimePoint at which it was due, once; after that it is never ready again. It may be
/// a case of many selects one after another (`auto t = after(1s)` before a loop), costs nothing
/// between them and need not be stopped. Not to be waited for by two goroutines at once.
class [[nodiscard("co_await it, or make it a case of select_any")]] After {
 public:
  using Case = detail::AfterCase;
  [[nodiscard("co_await it, or make it a case of select_any")]] explicit After(
      std::chrono::nanoseconds d) noexcept
      : when_(detail::due_in(d)), surely_later_(d.count() > 0) {}
  /// When it is, or was, due.
  TimePoint due() const noexcept { return detail::time_point(when_); }

 private:
  friend Case;
  std::int64_t when_;
  bool surely_later_;
  bool fired_ = false;
};

template <class Rep, class Period>
After after(std::chrono::duration<Rep, Period> d) noexcept {
  return After(detail::saturate(d));
}

namespace detail {

class AfterCase final : public DeadlineCase {
 public:
  explicit AfterCase(After& timer) noexcept
      : DeadlineCase(timer.fired_ ? INT64_MAX : timer.when_, timer.surely_later_), timer_(timer) {
    timer.surely_later_ = false;
  }
  explicit AfterCase(After&& timer) noexcept : AfterCase(timer) {}
  TimePoint result() noexcept {
    timer_.fired_ = true;
    return timer_.due();
  }

 private:
  After& timer_;
};

}  // namespace detail

/// A timer that can be stopped and set again (Go's time.Timer, with the rules of Go 1.23): awaited
/// or as a case of select it yields the TimePoint at which it was due, once per setting. After
/// stop() or reset() has returned, no earlier expiry can be received. Any number of goroutines may
/// wait; an expiry goes to one of them. In a worker's queue only while somebody waits. Goroutines
/// only; stop() and reset() from any worker, and from plain threads while no goroutine waits (Panic
/// otherwise, and nothing changes). Move-only.
class Timer {
 public:
  using Case = detail::TimerCase;

  explicit Timer(std::chrono::nanoseconds d);
  template <class Rep, class Period>
  explicit Timer(std::chrono::duration<Rep, Period> d) : Timer(detail::saturate(d)) {}
  Timer(Timer&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Timer& operator=(Timer&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Timer();

  /// Disarms it. True if that prevented a delivery: false if it was received or stopped before
  /// (TM-07). Who waits goes on waiting.
  bool stop();
  /// Sets it to d from now; returns as stop() (TM-08).
  bool reset(std::chrono::nanoseconds d);
  template <class Rep, class Period>
  bool reset(std::chrono::duration<Rep, Period> d) {
    return reset(detail::saturate(d));
  }

 protected:
  struct Periodic {};
  Timer(Periodic, std::chrono::nanoseconds period);
  bool reset_period(std::chrono::nanoseconds period);

 private:
  friend Case;
  detail::TimerState* state_;
};

/// Ticks at an interval (Go's time.Ticker): yields the TimePoint of the tick. At most one tick
/// waits for a slow receiver: the first one missed; later ones keep the phase (TM-16). Throws Panic
/// if the interval is not positive. Everything else as for Timer.
class Ticker : private Timer {
 public:
  using Case = detail::TimerCase;

  explicit Ticker(std::chrono::nanoseconds interval) : Timer(Periodic{}, interval) {}
  template <class Rep, class Period>
  explicit Ticker(std::chrono::duration<Rep, Period> interval)
      : Ticker(detail::saturate(interval)) {}

  /// No more ticks. Who waits goes on waiting.
  void stop() { Timer::stop(); }
  /// Ticks at a new interval from now on.
  void reset(std::chrono::nanoseconds interval) { reset_period(interval); }
  template <class Rep, class Period>
  void reset(std::chrono::duration<Rep, Period> interval) {
    reset_period(detail::saturate(interval));
  }

 private:
  friend Case;
};

namespace detail {

/// Waits for the expiry of a shared timer.
class TimerCase final : public CaseBase {
 public:
  explicit TimerCase(Timer& timer);
  explicit TimerCase(Ticker& ticker) : TimerCase(static_cast<Timer&>(ticker)) {}
  ~TimerCase();
  bool try_take() override;
  Enlist enlist() override;
  void withdraw() noexcept override;
  bool looks_ready() override;
  WaitReason reason() const noexcept { return WaitReason::sleep; }
  TimePoint result() const noexcept { return time_point(due_); }

 private:
  TimerState* state_;
  std::int64_t due_ = 0;
};

/// What an AfterFunc runs; type-erased.
class TimerAction {
 public:
  virtual ~TimerAction() = default;
  virtual Task<> run() = 0;
};

template <class F>
class TimerActionOf final : public TimerAction {
 public:
  explicit TimerActionOf(F f) : f_(std::move(f)) {}
  Task<> run() override {
    if constexpr (is_task<std::invoke_result_t<F&>>) {
      co_await f_();
    } else {
      f_();
      co_return;
    }
  }

 private:
  F f_;
};

TimerState* start_after_func(std::chrono::nanoseconds d, std::unique_ptr<TimerAction> action,
                             std::source_location site);

}  // namespace detail

/// The handle of after_func(). Dropping it changes nothing. stop() and reset() from any worker; a
/// plain thread may stop it once the runtime has ended, and gets a Panic otherwise. Move-only.
class AfterFunc {
 public:
  explicit AfterFunc(detail::TimerState* state) noexcept : state_(state) {}
  AfterFunc(AfterFunc&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  AfterFunc& operator=(AfterFunc&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~AfterFunc();

  /// True if that kept f from running. False: f was started or the timer stopped before; does not
  /// wait for f (TM-13).
  bool stop();
  /// Lets f run (again) in d; returns as stop(). The runs may overlap.
  bool reset(std::chrono::nanoseconds d);
  template <class Rep, class Period>
  bool reset(std::chrono::duration<Rep, Period> d) {
    return reset(detail::saturate(d));
  }

 private:
  detail::TimerState* state_;
};

/// Runs f in a goroutine of its own after d (Go's time.AfterFunc). f is moved in; it may be a
/// coroutine. Goroutines only.
template <class Rep, class Period, class F>
AfterFunc after_func(std::chrono::duration<Rep, Period> d, F f,
                     std::source_location site = std::source_location::current()) {
  return AfterFunc(detail::start_after_func(
      detail::saturate(d), std::make_unique<detail::TimerActionOf<F>>(std::move(f)), site));
}

namespace detail {

template <class R>
struct TimedResult {
  using type = Result<R>;
};
template <class R>
struct TimedResult<Result<R>> {
  using type = Result<R>;
};

/// Ends a wait that has lasted for so long. An operation that does not have to wait does not read
/// the clock.
class LimitCase final : public DeadlineCase {
 public:
  explicit LimitCase(std::chrono::nanoseconds d) noexcept
      : DeadlineCase(d.count() > 0 ? INT64_MAX : 0, d.count() > 0), d_(d) {}
  Enlist enlist() override;

 private:
  std::chrono::nanoseconds d_;
};

/// An operation against a limit: a wait with two cases, of which the operation has precedence.
template <class Case>
class TimeoutAwaiter final : public SelectBase {
  using Yield = decltype(std::declval<Case&>().result());

 public:
  using Outcome = typename TimedResult<Yield>::type;

  template <class Op>
  TimeoutAwaiter(Goroutine* g, Op&& op, std::chrono::nanoseconds limit)
      : SelectBase(g, list_, 2, false, true), case_(std::forward<Op>(op)), limit_(limit) {
    case_.node.g = g;
    limit_.node.g = g;
    list_[0] = &case_;
    list_[1] = &limit_;
  }
  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> frame) {
    return start(frame);
  }
  Outcome await_resume() {
    if (finish() == 1) return Error(Errc::timeout);
    if constexpr (std::is_void_v<Yield>) {
      case_.result();
      return Outcome();
    } else {
      return Outcome(case_.result());
    }
  }

 private:
  CaseBase* list_[2];
  Case case_;
  LimitCase limit_;
};

template <class Op>
class [[nodiscard("co_await it")]] WithTimeout {
 public:
  WithTimeout(std::chrono::nanoseconds d, Op&& op) : limit_(d), op_(std::forward<Op>(op)) {}
  WithTimeout(const WithTimeout&) = delete;
  WithTimeout& operator=(const WithTimeout&) = delete;

  auto ringo_await(Goroutine* g) {
    return TimeoutAwaiter<typename std::remove_cvref_t<Op>::Case>(g, std::forward<Op>(op_), limit_);
  }

 private:
  std::chrono::nanoseconds limit_;
  Op op_;
};

}  // namespace detail

/// Awaits an operation for at most d: `auto r = co_await with_timeout(1s, ch.recv())` yields
/// Result<R> of what the operation yields (Result<R> itself for I/O), with Errc::timeout (equal to
/// std::errc::timed_out) if it did not take place in time; then it had no effect. d begins with the
/// co_await. One that is not positive still lets an operation succeed that can proceed at once.
/// Cancellable.
template <class Rep, class Period, class Op>
  requires detail::IsOperation<std::remove_cvref_t<Op>>
detail::WithTimeout<Op> with_timeout(std::chrono::duration<Rep, Period> d, Op&& operation) {
  return {detail::saturate(d), std::forward<Op>(operation)};
}

}  // namespace ringo
