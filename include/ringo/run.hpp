// run(): where a ringo program begins, and what it may ask about itself.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/deadlock.hpp>
#include <ringo/task.hpp>

namespace ringo {

/// Which kernel interface the event loops use.
enum class DriverKind { automatic, uring, epoll };

/// "auto", "uring" or "epoll"; nothing for other names.
std::optional<DriverKind> parse_driver(std::string_view name) noexcept;

/// Whether something is done: `automatic` leaves that to the environment and the build.
enum class Switch { automatic, on, off };

/// How run() sets the runtime up.
struct Options {
  /// Event loops, one thread each; the first is the thread that calls run(). 0: RINGO_WORKERS if
  /// set, else the cores this process may use (affinity and cgroup quota). At most 256.
  unsigned workers = 0;
  /// automatic: RINGO_DRIVER if set, else io_uring where the kernel allows it (6.1 or later), else
  /// epoll, which is said in one line of the log.
  DriverKind driver = DriverKind::automatic;
  /// Goroutines stay on the worker that started them: nothing is stolen.
  bool pinned = false;
  /// What happens to goroutines that are left when main's returns. 0: as in Go they are abandoned
  /// where they stand, and none of their code runs any more. Otherwise they are cancelled and have
  /// this long to unwind; they must own what they touch, since main's locals are gone.
  std::chrono::nanoseconds drain{0};
  /// What happens when all goroutines wait for each other and nothing from outside (a timer, I/O, a
  /// call of blocking(), a thread in a _blocking call, a KeepAlive, a signal that a goroutine waits
  /// for) can wake one. While the process has threads that are not ringo's, only a line in the log
  /// says so.
  DeadlockPolicy on_deadlock = DeadlockPolicy::report_and_exit;
  /// SIGQUIT (Ctrl-\) writes a dump() to standard error and ends the process with status 2, unless
  /// the program has an action of its own for it.
  bool dump_on_sigquit = true;
  /// A goroutine that holds its worker for longer than this without suspending is named in the log,
  /// with its await chain and its native stack, at most once a second. It takes a thread, which
  /// sleeps while the workers do, and a signal (SIGURG) to the worker in question. 0: off. Negative:
  /// RINGO_WATCHDOG if set (milliseconds, 0: off), else 10 ms where there are several workers, and
  /// off with one (a second thread makes reference counts dearer) and under sanitizers.
  std::chrono::nanoseconds watchdog{-1};
  /// Looks for mistakes with locks, and logs each as an error with the goroutines and their await
  /// chains: one that locks a Mutex or SharedMutex which it holds already (it waits for itself);
  /// goroutines that wait for each other in a circle, through locks and joins, while the rest of
  /// the program goes on; two that take two locks in opposite orders, though it went well this
  /// time. With libringo_locks.so preloaded (LD_PRELOAD), also one that suspends while its thread
  /// holds a std::mutex, or another pthread mutex, that it has locked. Nothing is prevented.
  ///
  /// A goroutine counts as the holder while the guard is where lock() put it: once that is moved or
  /// released nobody knows who will unlock. A try_lock(), and a wait with alternatives (select_any,
  /// with_timeout(d, mu.lock())), is no mistake of these, but what it has locked is held.
  ///
  /// automatic: RINGO_CHECK_LOCKS if set (0 or 1), else on in debug builds of ringo, except under
  /// ThreadSanitizer, and with libringo_locks.so. While the runtime lives it counts for the whole
  /// process. Every lock and unlock then goes through one table.
  Switch check_locks = Switch::automatic;
};

namespace detail {

/// What f(args...) gives; void where it cannot be called, which run() has said by then.
template <class F, class... Args>
struct RunResult {
  using type = void;
};
template <class F, class... Args>
  requires std::is_invocable_v<F, Args...>
struct RunResult<F, Args...> : std::invoke_result<F, Args...> {};

/// Runs `main_task` as the main goroutine of a new runtime until it returns.
void run_main(const Options& options, Task<> main_task);

}  // namespace detail

/// Starts a runtime, runs f(args...) in its main goroutine, and returns its value when that
/// goroutine returns (0 for Task<>); f is a coroutine function or a plain one. An exception out of
/// it ends the process with a report and exit status 2.
///
/// Blocks the calling thread, which serves as the first worker. May be called again afterwards, and
/// in several threads at once, for runtimes that share nothing. Throws Panic inside a goroutine and
/// for impossible options. If the kernel refuses what RINGO_DRIVER, RINGO_WORKERS or
/// Options::driver demand, the process ends with a message and exit status 2.
template <class F, class... Args>
auto run(const Options& options, F&& f, Args&&... args) {
  static_assert(!detail::is_task<std::remove_cvref_t<F>>,
                "run(f, args...): pass the function and its arguments, not the Task that a call of "
                "it gives");
  static_assert(detail::is_task<std::remove_cvref_t<F>> || std::is_invocable_v<F, Args...>,
                "run(f, args...): f cannot be called with these arguments");
  using Returned = typename detail::RunResult<F, Args...>::type;
  if constexpr (detail::is_task<Returned>) {
    using T = typename Returned::value_type;
    if constexpr (std::is_void_v<T>) {
      detail::run_main(options, [&]() -> Task<> {
        co_await std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
      }());
      return 0;
    } else {
      std::optional<T> result;
      detail::run_main(options, [&]() -> Task<> {
        result.emplace(co_await std::invoke(std::forward<F>(f), std::forward<Args>(args)...));
      }());
      return *std::move(result);
    }
  } else if constexpr (std::is_void_v<Returned>) {
    detail::run_main(options, [&]() -> Task<> {
      std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
      co_return;
    }());
    return 0;
  } else {
    std::optional<Returned> result;
    detail::run_main(options, [&]() -> Task<> {
      result.emplace(std::invoke(std::forward<F>(f), std::forward<Args>(args)...));
      co_return;
    }());
    return *std::move(result);
  }
}

template <class F, class... Args>
requires(!std::is_same_v<std::remove_cvref_t<F>, Options>) auto run(F&& f, Args&&... args) {
  return run(Options{}, std::forward<F>(f), std::forward<Args>(args)...);
}

/// Goroutines that have been started and have not ended, main's included (Go's
/// runtime.NumGoroutine). A snapshot; from any goroutine. 0 outside a runtime. What the body of a
/// goroutine did happens before the call that no longer counts it.
std::size_t num_goroutines() noexcept;

/// Event loops of the runtime this goroutine belongs to (Go's GOMAXPROCS); 0 outside.
unsigned num_workers() noexcept;

/// Index of the worker this goroutine runs on at the moment, from 0.
unsigned this_worker() noexcept;

/// The driver of the runtime this goroutine belongs to: "uring" or "epoll"; "" outside.
std::string_view driver_name() noexcept;

/// Goes to the tail of the ready queue and lets the others run first (Go's runtime.Gosched):
/// `co_await yield()`. Always suspends; throws Canceled if the goroutine has been cancelled.
class [[nodiscard("co_await it")]] yield {
 public:
  [[nodiscard("co_await it")]] yield() noexcept {}

  class Awaiter {
   public:
    explicit Awaiter(detail::Goroutine* g) noexcept : g_(g) {}
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> frame) const noexcept {
      detail::Goroutine* g = g_;
      g->leaf = frame;
      detail::reschedule(g);
    }
    void await_resume() const {
      if (g_->guarded && detail::cancellation_pending(g_)) [[unlikely]]
        throw Canceled{};
    }

   private:
    detail::Goroutine* g_;
  };
  Awaiter ringo_await(detail::Goroutine * g) const noexcept { return Awaiter(g); }
};

}  // namespace ringo
