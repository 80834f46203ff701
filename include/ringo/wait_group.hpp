// WaitGroup: waiting until a number of goroutines have ended.
#pragma once

#include <atomic>
#include <cstdint>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/go.hpp>

namespace ringo {

class WaitGroup;

namespace detail {

class WaitGroupCase;

/// `wg.wait()`, not yet started.
class [[nodiscard("co_await it")]] WaitGroupOp {
 public:
  using Case = WaitGroupCase;
  explicit WaitGroupOp(WaitGroup & group) noexcept : group_(&group) {}

 private:
  friend Case;
  WaitGroup* group_;
};

struct CountedSpawn;

}  // namespace detail

/// A counter of goroutines at work (Go's sync.WaitGroup): add() before one starts, done() when it
/// ends, wait() until the counter is 0; or go(), which does all but the waiting.
///
///     WaitGroup wg;
///     for (Url& url : urls) wg.go(fetch, std::ref(url));
///     co_await wg.wait();
///
/// Any number of goroutines may wait, and it may be used again, also before all waiters of the last
/// round have gone on. What was done before done() is visible after the wait() it ends (WG-06).
///
/// The waiter may destroy it at once: the call that brings the counter to 0 touches it no more when
/// a waiter, or a wait() that need not suspend, goes on. Destroying it while goroutines wait is a
/// fatal error. Not copyable (WG-07), not movable.
///
/// For the goroutines of one runtime; add() and done() also for plain threads, on whose behalf a
/// worker carries them out while a runtime uses it.
class WaitGroup : private detail::AtEnd {
 public:
  WaitGroup() noexcept : AtEnd(true) {}
  WaitGroup(const WaitGroup&) = delete;
  WaitGroup& operator=(const WaitGroup&) = delete;
  ~WaitGroup() {
    if (!waiters_.empty()) [[unlikely]]
      destroyed();
  }

  /// Adds n, which may be negative, to the counter; at 0 all waiters go on. Throws Panic "sync:
  /// negative WaitGroup counter" and changes nothing if it would fall below 0 (WG-02). Does not
  /// suspend. An add() that may run while the counter is 0 should come before wait(); Go calls the
  /// two at once a misuse and looks for it (WG-03), here the wait simply sees the one or the other.
  void add(std::int64_t n);

  /// add(-1).
  void done() { add(-1); }

  /// Waits until the counter is 0: `co_await wg.wait()`, or a case of select_any. Suspends unless
  /// it is 0 already. Cancellable. Throws Panic if another live runtime uses this WaitGroup.
  detail::WaitGroupOp wait() noexcept { return detail::WaitGroupOp(*this); }

  /// add(1), and a goroutine as of ringo::go(f, args...) whose end does done(): when f returns, is
  /// cancelled or calls goexit(), after its frame and arguments were destroyed. If f throws, the
  /// process ends with the report of an uncaught panic and done() is never called (WG-05).
  template <class F>
  void go(F&& f, std::source_location site = std::source_location::current());
  template <class F, class A1>
  void go(F&& f, A1&& a1, std::source_location site = std::source_location::current());
  template <class F, class A1, class A2>
  void go(F&& f, A1&& a1, A2&& a2, std::source_location site = std::source_location::current());
  template <class F, class A1, class A2, class A3>
  void go(F&& f, A1&& a1, A2&& a2, A3&& a3,
          std::source_location site = std::source_location::current());
  template <class F, class A1, class A2, class A3, class A4>
  void go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4,
          std::source_location site = std::source_location::current());
  template <class F, class A1, class A2, class A3, class A4, class A5>
  void go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5,
          std::source_location site = std::source_location::current());
  template <class F, class A1, class A2, class A3, class A4, class A5, class A6>
  void go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6,
          std::source_location site = std::source_location::current());

 private:
  friend class detail::WaitGroupCase;
  friend struct detail::CountedSpawn;
  friend void detail::count_down(detail::AtEnd& group) noexcept;

  void add_here(std::int64_t n);
  void bind(std::uint32_t runtime_id);
  void destroyed() noexcept;

  // Everything under the lock; dropping it is the last touch of whoever changed something, and
  // everybody looks at the counter under it.
  detail::SpinLock lock_;
  std::atomic<std::uint32_t> runtime_id_{0};
  std::int64_t count_ = 0;     // 0 implies that nobody waits
  detail::WaitQueue waiters_;  // touched only by goroutines of runtime_id_
};

namespace detail {

/// One wait() under way.
class WaitGroupCase final : public CaseBase {
 public:
  explicit WaitGroupCase(WaitGroupOp op) noexcept : group_(op.group_) {}
  bool try_take() override { return looks_ready(); }
  Enlist enlist() override;
  void withdraw() noexcept override;
  bool looks_ready() override;
  WaitReason reason() const noexcept { return WaitReason::wait_group_wait; }
  void result() const noexcept {}

 private:
  WaitGroup* group_;
};

/// How WaitGroup::go starts goroutines: the runtime destroys what a goroutine owns beside its frame
/// once it has ended and its frame is gone, and has reported an exception before. So done() hangs
/// there, and costs neither a frame around f nor a test.
struct CountedSpawn {
  template <class C>
  struct Counted final : C {
    template <class... Given>
    explicit Counted(WaitGroup& g, Given&&... given)
        : C(std::forward<Given>(given)...), group(&g) {
      this->destroy = free_and_count;
    }
    static void free_and_count(OwnedByGoroutine* self) noexcept {
      WaitGroup* group = static_cast<Counted*>(self)->group;
      delete static_cast<Counted*>(self);
      count_down(*group);
    }
    WaitGroup* group;
  };

  /// Takes the 1 back if no goroutine comes of it.
  struct Pending {
    explicit Pending(WaitGroup& g) : group(&g) { g.add(1); }
    ~Pending() {
      if (group != nullptr) count_down(*group);
    }
    WaitGroup* group;
  };

  template <class F, class... Args>
  static void go(WaitGroup& group, std::source_location site, F&& f, Args&&... args) {
    using Stored = std::decay_t<F>;
    if constexpr (is_task<Stored>) {
      static_assert(sizeof...(Args) == 0, "a Task takes no arguments");
      static_assert(!std::is_lvalue_reference_v<F>, "go(std::move(task))");
      start(group, std::move(f), site);
    } else {
      static_assert(
          std::is_invocable_v<Stored, std::unwrap_ref_decay_t<Args>...>,
          "go(f, args...): f cannot be called with copies of these arguments (is a parameter a "
          "reference? then std::ref; is an argument not copyable? then std::move)");
      using R = std::invoke_result_t<Stored, std::unwrap_ref_decay_t<Args>...>;
      if constexpr (std::is_pointer_v<Stored> || std::is_member_pointer_v<Stored>) {
        if constexpr (!std::is_function_v<std::remove_reference_t<F>>) {
          if (f == nullptr) throw_go_of_nil();
        }
      }
      if constexpr (is_task<R> && is_function_pointer<Stored>::value &&
                    !BorrowsArguments<Stored, std::decay_t<Args>...>::value) {
        start(group, f(static_cast<std::unwrap_ref_decay_t<Args>>(std::forward<Args>(args))...),
              site);
      } else {
        using C = Counted<Closure<Stored, std::decay_t<Args>...>>;
        struct Owner {
          C* closure;
          ~Owner() { delete closure; }
        } owner{new C(group, std::forward<F>(f), std::forward<Args>(args)...)};
        Pending pending(group);
        if constexpr (is_task<R>) {
          SpawnAccess::start(owner.closure->call(), owner.closure, -1, site);
        } else {
          SpawnAccess::start(call_plain<R>(owner.closure), owner.closure, -1, site);
        }
        owner.closure = nullptr;
        pending.group = nullptr;
      }
    }
  }

  template <class T>
  static void start(WaitGroup& group, Task<T>&& task, std::source_location site) {
    Pending pending(group);
    SpawnAccess::start(std::move(task), &group, -1, site);
    pending.group = nullptr;
  }
};

}  // namespace detail

template <class F>
void WaitGroup::go(F&& f, std::source_location site) {
  detail::CountedSpawn::go(*this, site, std::forward<F>(f));
}
template <class F, class A1>
void WaitGroup::go(F&& f, A1&& a1, std::source_location site) {
  detail::CountedSpawn::go(*this, site, std::forward<F>(f), std::forward<A1>(a1));
}
template <class F, class A1, class A2>
void WaitGroup::go(F&& f, A1&& a1, A2&& a2, std::source_location site) {
  detail::CountedSpawn::go(*this, site, std::forward<F>(f), std::forward<A1>(a1),
                           std::forward<A2>(a2));
}
template <class F, class A1, class A2, class A3>
void WaitGroup::go(F&& f, A1&& a1, A2&& a2, A3&& a3, std::source_location site) {
  detail::CountedSpawn::go(*this, site, std::forward<F>(f), std::forward<A1>(a1),
                           std::forward<A2>(a2), std::forward<A3>(a3));
}
template <class F, class A1, class A2, class A3, class A4>
void WaitGroup::go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, std::source_location site) {
  detail::CountedSpawn::go(*this, site, std::forward<F>(f), std::forward<A1>(a1),
                           std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4));
}
template <class F, class A1, class A2, class A3, class A4, class A5>
void WaitGroup::go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, std::source_location site) {
  detail::CountedSpawn::go(*this, site, std::forward<F>(f), std::forward<A1>(a1),
                           std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                           std::forward<A5>(a5));
}
template <class F, class A1, class A2, class A3, class A4, class A5, class A6>
void WaitGroup::go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6,
                   std::source_location site) {
  detail::CountedSpawn::go(*this, site, std::forward<F>(f), std::forward<A1>(a1),
                           std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                           std::forward<A5>(a5), std::forward<A6>(a6));
}

}  // namespace ringo
