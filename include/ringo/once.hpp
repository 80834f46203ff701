// Once, OnceValue: something that happens a single time, whoever asks for it first.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/unwrap.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/panic.hpp>
#include <ringo/task.hpp>

namespace ringo {

class Once;

namespace detail {

class OnceCase;

/// Waits for one's turn: true if it is ours to run, false once it has run.
struct OnceTurn {
  using Case = OnceCase;
  Once* once;
};

/// Awaits a Task made only if it is needed.
template <class Make, class Finish>
class LazyTaskAwaiter {
 public:
  LazyTaskAwaiter(bool needed, Make make, Finish finish)
      : needed_(needed), make_(std::move(make)), finish_(std::move(finish)) {}
  LazyTaskAwaiter(const LazyTaskAwaiter&) = delete;
  LazyTaskAwaiter& operator=(const LazyTaskAwaiter&) = delete;

  bool await_ready() const noexcept { return !needed_; }
  template <class P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> frame) {
    task_ = make_();
    inner_.emplace(task_);
    return inner_->await_suspend(frame);
  }
  decltype(auto) await_resume() {
    if (inner_) inner_->await_resume();
    return finish_();
  }

 private:
  bool needed_;
  Make make_;
  Finish finish_;
  Task<> task_;
  std::optional<TaskAwaiter<void>> inner_;
};

template <class F, class... Args>
class OnceCall;

}  // namespace detail

/// Runs something once (Go's sync.Once): `co_await once.call(open_database)`. Not copyable, not
/// movable. Destroying it while goroutines wait is a fatal error. For the goroutines of one
/// runtime; one that an earlier runtime abandoned in the middle is run again by the next.
class Once {
 public:
  Once() noexcept = default;
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;
  ~Once() {
    if (!waiters_.empty()) [[unlikely]]
      destroyed();
  }

  /// Runs f(args...), a function giving Task<> or a plain one, unless that has been done; suspends
  /// while another goroutine is at it (ON-01). What f did is visible afterwards. f and the
  /// arguments are copied or moved in, std::ref for a reference; what f returns is dropped.
  ///
  /// If f throws, its caller gets the exception, and it counts as done: for all others call()
  /// returns as if nothing had happened (ON-02). If the goroutine that runs f is cancelled in it,
  /// it does not count: whoever waits, or comes next, runs its own. call() inside f waits for
  /// itself (ON-03). Cancellable. Costs no more than a load once it is done. Throws Panic if
  /// another live runtime uses this Once.
  template <class F, class... Args>
  detail::OnceCall<std::decay_t<F>, std::decay_t<Args>...> call(F&& f, Args&&... args) {
    return {*this, std::forward<F>(f), std::forward<Args>(args)...};
  }

  /// True once f has returned or thrown. From any thread.
  bool done() const noexcept { return state_.load(std::memory_order_acquire) == State::done; }

 private:
  friend class detail::OnceCase;
  template <class F, class... Args>
  friend class detail::OnceCall;

  enum class State : std::uint8_t { idle, running, done };

  /// In the frame of the one that runs f: says at the end how it went.
  class Turn {
   public:
    explicit Turn(Once& once) noexcept : once_(once) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() { once_.finish(canceled); }
    bool canceled = false;

   private:
    Once& once_;
  };

  template <class F, class... Args>
  static Task<> run(Once& once, std::tuple<F, Args...> call);
  void finish(bool canceled) noexcept;
  void bind(std::uint32_t runtime_id);
  void destroyed() noexcept;

  // Everything under the lock, but for done(), which is for ever.
  detail::SpinLock lock_;
  std::atomic<State> state_{State::idle};  // waiters only while it is running
  std::atomic<std::uint32_t> runtime_id_{0};
  detail::WaitQueue waiters_;  // touched only by goroutines of runtime_id_
};

namespace detail {

/// node.ok: it is ours to run, and the goroutine does not know it yet.
class OnceCase final : public CaseBase {
 public:
  explicit OnceCase(OnceTurn op) noexcept : once_(op.once) {}
  ~OnceCase() {
    if (node.ok) [[unlikely]]
      once_->finish(true);
  }
  bool try_take() override;
  Enlist enlist() override;
  void withdraw() noexcept override;
  bool looks_ready() override;
  WaitReason reason() const noexcept { return WaitReason::once; }
  bool result() noexcept { return std::exchange(node.ok, false); }

 private:
  void check_runtime();

  Once* once_;
};

/// `once.call(f, args...)`, not yet started.
template <class F, class... Args>
class [[nodiscard("co_await it")]] OnceCall {
 public:
  template <class... Given>
  OnceCall(Once & once, Given && ... given) : once_(&once), call_(std::forward<Given>(given)...) {}

  auto ringo_await(Goroutine*) {
    return LazyTaskAwaiter(
        !once_->done(), [this] { return Once::run(*once_, std::move(call_)); }, [] {});
  }

 private:
  Once* once_;
  std::tuple<F, Args...> call_;
};

}  // namespace detail

template <class F, class... Args>
Task<> Once::run(Once& once, std::tuple<F, Args...> call) {
  detail::OnceTurn turn{&once};
  if (!co_await turn) co_return;
  Turn running(once);
  auto invoke = [](F& f, Args&... args) -> decltype(auto) {
    return std::invoke(std::move(f), detail::unwrap_stored(args)...);
  };
  using R = decltype(std::apply(invoke, call));
  try {
    if constexpr (detail::is_task<std::remove_cvref_t<R>>) {
      (void)co_await std::apply(invoke, call);
    } else {
      (void)std::apply(invoke, call);
    }
  } catch (const Canceled&) {
    running.canceled = true;
    throw;
  }
}

namespace detail {

template <class T>
using OnceStored = std::conditional_t<std::is_void_v<T>, std::tuple<>, T>;

}  // namespace detail

/// A value computed when somebody asks for it first (Go's sync.OnceValue and OnceFunc):
///
///     OnceValue<Config> config{load_config};     // a function giving Config or Task<Config>
///     const Config& c = co_await config.get();
///
/// An exception of the function is kept instead of a value and thrown at every get() (ON-04); if it
/// calls goexit() later ones get a Panic. The function is destroyed when it has run. Otherwise as
/// Once. OnceValue<> has no value.
template <class T = void>
class OnceValue {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, OnceValue>) explicit OnceValue(F&& f)
      : function_(new Holder<std::decay_t<F>>(std::forward<F>(f))) {}
  OnceValue(const OnceValue&) = delete;
  OnceValue& operator=(const OnceValue&) = delete;

  class [[nodiscard("co_await it")]] Get {
   public:
    explicit Get(OnceValue & value) noexcept : value_(&value) {}
    auto ringo_await(detail::Goroutine*) {
      return detail::LazyTaskAwaiter(
          !value_->done(), [value = value_] { return value->compute(); },
          [value = value_]() -> decltype(auto) { return value->look(); });
    }

   private:
    OnceValue* value_;
  };

  /// Yields `const T&`, valid as long as this object; nothing if T is void. The first get() runs
  /// the function, others suspend while it runs. Cancellable. Throws what the function threw.
  Get get() noexcept { return Get(*this); }
  Get operator()() noexcept { return Get(*this); }

  /// True once there is a value or an exception. From any thread.
  bool done() const noexcept { return once_.done(); }

 private:
  struct Function {
    virtual ~Function() = default;
    virtual Task<> run(OnceValue& value) = 0;
  };

  template <class F>
  struct Holder final : Function {
    template <class G>
    explicit Holder(G&& g) : f(std::forward<G>(g)) {}
    Task<> run(OnceValue& value) override {
      using R = std::invoke_result_t<F&>;
      if constexpr (std::is_same_v<std::remove_cvref_t<R>, Task<void>>) {
        co_await std::invoke(f);
        value.value_.emplace();
      } else if constexpr (detail::is_task<std::remove_cvref_t<R>>) {
        value.value_.emplace(co_await std::invoke(f));
      } else if constexpr (std::is_void_v<R>) {
        std::invoke(f);
        value.value_.emplace();
        co_return;
      } else {
        value.value_.emplace(std::invoke(f));
        co_return;
      }
    }
    F f;
  };

  Task<> compute() {
    co_await once_.call([this]() -> Task<> {
      try {
        co_await function_->run(*this);
      } catch (const Canceled&) {
        throw;  // the next one tries again
      } catch (const detail::Goexit&) {
        error_ = std::make_exception_ptr(Panic("sync: the function of a OnceValue called goexit"));
        function_.reset();
        throw;
      } catch (...) { error_ = std::current_exception(); }
      function_.reset();
    });
  }

  std::conditional_t<std::is_void_v<T>, void, std::add_lvalue_reference_t<const T>> look() const {
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<T>) return *value_;
  }

  Once once_;
  std::unique_ptr<Function> function_;
  std::exception_ptr error_;
  std::optional<detail::OnceStored<T>> value_;
};

namespace detail {

template <class R>
struct OnceResult {
  using type = std::decay_t<R>;
};
template <class R>
struct OnceResult<Task<R>> {
  using type = std::decay_t<R>;
};

}  // namespace detail

/// OnceValue of what f returns: `auto config = once_value(load_config); co_await config();`
template <class F>
auto once_value(F&& f) {
  using T = typename detail::OnceResult<std::invoke_result_t<std::decay_t<F>&>>::type;
  return OnceValue<T>(std::forward<F>(f));
}

/// Go's OnceFunc: `auto init = once_func(f); co_await init();` runs f at the first call, and throws
/// what f threw at every call.
template <class F>
OnceValue<> once_func(F&& f) {
  return OnceValue<>(std::forward<F>(f));
}

}  // namespace ringo
