// Defer: something to be done when a scope is left (Go's defer).
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringo {

namespace detail {

[[noreturn]] void throw_deferred_nil();

/// A deferred call threw while an exception was under way already, which C++ cannot replace: says
/// so in the log and lets the first one go on.
void note_suppressed(std::exception_ptr error) noexcept;

/// A callable with the arguments it was given.
template <class F, class... Args>
class DeferredCall {
 public:
  template <class G, class... Given>
  explicit DeferredCall(std::in_place_t, G&& f, Given&&... args)
      : f_(std::forward<G>(f)), args_(std::forward<Given>(args)...) {}

  void operator()() {
    if constexpr (requires { f_ == nullptr; }) {
      if (f_ == nullptr) throw_deferred_nil();
    }
    std::apply([this](Args&... args) { std::invoke(f_, unwrap(args)...); }, args_);
  }

 private:
  template <class A>
  static A&& unwrap(A& stored) noexcept {
    return std::move(stored);
  }
  template <class A>
  static A& unwrap(std::reference_wrapper<A>& stored) noexcept {
    return stored.get();
  }

  F f_;
  std::tuple<Args...> args_;
};

}  // namespace detail

/// Calls f(args...) when it goes out of scope, whether by return, co_return, an exception or
/// goexit; several run in reverse order. f is moved in, the arguments are copied at once, as Go
/// evaluates them (DP-01); capture by [&] to see later changes. The call cannot wait: co_await in a
/// destructor is no C++.
///
/// An exception of f leaves the scope, unless one is under way already: then it is logged and
/// dropped (Go would let it take the other one's place). A null function throws Panic when it is
/// called, not before (DP-06).
///
///     Defer done{[&] { wg.done(); }};
///     Defer close{std::fclose, file};
template <class F, class... Args>
class [[nodiscard("give it a name: an unnamed Defer runs at once")]] Defer {
 public:
  template <class G, class... Given>
    requires(!std::is_same_v<std::remove_cvref_t<G>, Defer>)
  explicit Defer(G&& f, Given&&... args)
      : call_(std::in_place, std::forward<G>(f), std::forward<Given>(args)...) {}
  Defer(const Defer&) = delete;
  Defer& operator=(const Defer&) = delete;
  ~Defer() noexcept(false) {
    if (dismissed_) return;
    if (std::uncaught_exceptions() == 0) {
      call_();
      return;
    }
    try {
      call_();
    } catch (...) {
      detail::note_suppressed(std::current_exception());
    }
  }

  /// Nothing will be called.
  void dismiss() noexcept { dismissed_ = true; }

 private:
  detail::DeferredCall<F, Args...> call_;
  bool dismissed_ = false;
};
template <class F, class... Args>
Defer(F&&, Args&&...) -> Defer<std::decay_t<F>, std::decay_t<Args>...>;

/// Defers to the end of a function what a loop collects: push() in the loop, and all calls run in
/// reverse order when the stack goes out of scope (DP-02), every one of them though others throw;
/// the last exception thrown is the one that leaves. Otherwise as Defer.
class [[nodiscard("give it a name")]] DeferStack {
 public:
  DeferStack() = default;
  DeferStack(const DeferStack&) = delete;
  DeferStack& operator=(const DeferStack&) = delete;
  ~DeferStack() noexcept(false) { run(); }

  template <class F, class... Args>
  void push(F&& f, Args&&... args) {
    using Call = detail::DeferredCall<std::decay_t<F>, std::decay_t<Args>...>;
    calls_.push_back(std::make_unique<Holder<Call>>(std::in_place, std::forward<F>(f),
                                                    std::forward<Args>(args)...));
  }

  /// Calls what is deferred now; the stack is empty then.
  void run() {
    const bool unwinding = std::uncaught_exceptions() > 0;
    std::exception_ptr last;
    while (!calls_.empty()) {
      std::unique_ptr<HolderBase> call = std::move(calls_.back());
      calls_.pop_back();
      try {
        call->run();
      } catch (...) {
        if (last) detail::note_suppressed(last);
        last = std::current_exception();
      }
    }
    if (!last) return;
    if (!unwinding) std::rethrow_exception(last);
    detail::note_suppressed(last);
  }

  /// Nothing will be called.
  void dismiss() noexcept { calls_.clear(); }

 private:
  struct HolderBase {
    virtual ~HolderBase() = default;
    virtual void run() = 0;
  };
  template <class Call>
  struct Holder final : HolderBase {
    template <class... Given>
    explicit Holder(Given&&... given) : call(std::forward<Given>(given)...) {}
    void run() override { call(); }
    Call call;
  };

  std::vector<std::unique_ptr<HolderBase>> calls_;
};

}  // namespace ringo
