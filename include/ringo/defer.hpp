// Defer: what is to be done when a scope ends, however it ends.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <ringo/detail/frame_allocator.hpp>
#include <ringo/detail/promise.hpp>
#include <ringo/detail/unwrap.hpp>

namespace ringo {

namespace detail {

[[noreturn]] void throw_deferred_nil();

/// Inside a catch handler: a deferred call has thrown while another exception unwinds.
void deferred_call_failed() noexcept;

/// A callable with its arguments, taken at once.
template <class F, class... Args>
class DeferredCall {
 public:
  template <class... Given>
  explicit DeferredCall(Given&&... given) : call_(std::forward<Given>(given)...) {}

  void run() {
    std::apply(
        [](F& f, Args&... args) {
          static_assert(
              !is_task<std::remove_cvref_t<decltype(std::invoke(f, unwrap_stored(args)...))>>,
              "a deferred call cannot be a coroutine: destructors cannot await");
          if (is_nil(f)) throw_deferred_nil();
          (void)std::invoke(f, unwrap_stored(args)...);
        },
        call_);
  }

 private:
  /// A null function pointer, or an empty std::function and its like. (A lambda without captures
  /// compares with nullptr too, but is not made from it.)
  static bool is_nil(const F& f) noexcept {
    if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F>) {
      return f == nullptr;
    } else if constexpr (std::is_constructible_v<F, std::nullptr_t> &&
                         requires { static_cast<bool>(f == nullptr); }) {
      return static_cast<bool>(f == nullptr);
    } else {
      return false;
    }
  }

  std::tuple<F, Args...> call_;
};

}  // namespace detail

/// Calls something when it goes out of scope (Go's defer, but at the end of the block it stands in,
/// not of the function; see DeferStack):
///
///     Defer close{[&] { file.close(); }};
///     Defer log{write_line, "left"};      // arguments are taken now (DP-01)
///
/// Several run in the reverse of their order (DP-02), also when the scope is left by an exception,
/// Canceled or goexit() (DP-04); not in a goroutine that is abandoned when main returns. The call
/// cannot suspend: it is made in a destructor. A null function throws Panic, when it would be
/// called (DP-06). Usable inside and outside of coroutines.
///
/// If the call throws, its exception leaves the scope like any other, and the remaining Defers run.
/// While an exception unwinds the scope already, C++ cannot replace it by another as Go does
/// (DP-10): the newer one is written to the log and dropped, the older one goes on. DeferStack
/// replaces among its own calls.
template <class F, class... Args>
class [[nodiscard("give it a name: it acts when that goes out of scope")]] Defer {
 public:
  [[nodiscard("give it a name: it acts when that goes out of scope")]] explicit Defer(F f,
                                                                                      Args... args)
      : call_(std::move(f), std::move(args)...) {}
  Defer(const Defer&) = delete;
  Defer& operator=(const Defer&) = delete;
  ~Defer() noexcept(false) {
    if (dismissed_) return;
    if (std::uncaught_exceptions() == unwinding_) {
      call_.run();
      return;
    }
    try {
      call_.run();
    } catch (...) { detail::deferred_call_failed(); }
  }

  /// Calls off the call.
  void dismiss() noexcept { dismissed_ = true; }

 private:
  detail::DeferredCall<F, Args...> call_;
  // Exceptions in flight: counted per thread, but none is in flight where a coroutine suspends.
  int unwinding_ = std::uncaught_exceptions();
  bool dismissed_ = false;
};
template <class F, class... Args>
Defer(F, Args...) -> Defer<F, Args...>;

/// Any number of deferred calls, for those of a loop or under a condition, which Go runs at the end
/// of the function (DP-02, DP-03): declare it at the top of the function.
///
///     DeferStack defers;
///     for (auto& name : names) defers.push(remove_file, name);
///
/// They run last in, first out when it goes out of scope. If one throws, the others still run; then
/// the exception leaves the scope. If several throw the last one replaces those before, as in Go
/// (DP-10); if it is a Panic it nests the one it replaced (std::nested_exception), and the report
/// of an uncaught one shows them all. While an exception unwinds the scope: as Defer. Not copyable,
/// not movable; for one goroutine.
class [[nodiscard("give it a name: it acts when that goes out of scope")]] DeferStack {
 public:
  [[nodiscard("give it a name: it acts when that goes out of scope")]] DeferStack() noexcept =
      default;
  DeferStack(const DeferStack&) = delete;
  DeferStack& operator=(const DeferStack&) = delete;
  ~DeferStack() noexcept(false) {
    if (top_ != nullptr) finish();
  }

  /// Defers f(args...); takes them now, std::ref for a reference. Also from inside a deferred call,
  /// which it then follows.
  template <class F, class... Args>
  void push(F && f, Args && ... args) {
    auto* entry = new EntryOf<std::decay_t<F>, std::decay_t<Args>...>(std::forward<F>(f),
                                                                      std::forward<Args>(args)...);
    entry->below = top_;
    top_ = entry;
  }

  /// Runs them now. Throws as the end of the scope would.
  void run();

  /// Calls them all off.
  void dismiss() noexcept;

  bool empty() const noexcept { return top_ == nullptr; }

 private:
  struct Entry {
    virtual ~Entry() = default;
    virtual void run() = 0;
    Entry* below = nullptr;
  };

  template <class F, class... Args>
  struct EntryOf final : Entry {
    template <class... Given>
    explicit EntryOf(Given&&... given) : call(std::forward<Given>(given)...) {}
    static void* operator new(std::size_t size) { return detail::frame_allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
      detail::frame_free(memory, size);
    }
    void run() override { call.run(); }
    detail::DeferredCall<F, Args...> call;
  };

  void finish();
  void pop_and_run();

  Entry* top_ = nullptr;
  int unwinding_ = std::uncaught_exceptions();
};

}  // namespace ringo
