// go: starting goroutines, and joining them.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include <ringo/detail/wait.hpp>
#include <ringo/task.hpp>

namespace ringo {

/// Thrown to whoever joins a goroutine that ended by cancellation, so that a child's cancellation
/// never looks like one's own.
class JoinCanceled : public std::exception {
 public:
  const char* what() const noexcept override { return "joined goroutine was cancelled"; }
};

namespace detail {

/// Makes the record of a goroutine whose root frame exists, and queues it.
Goroutine* spawn(PromiseBase& root, AtEnd* at_end, Placement placement, std::source_location site);

/// The handle of g is gone: with its end or now, the goroutine's memory is freed.
void drop_handle(Goroutine* g) noexcept;

/// Rethrows how g ended, unless it ended well. Marks the outcome as seen; throws Panic if it had
/// been taken before.
void take_outcome(Goroutine* g);

/// What g returned, a T; throws as take_outcome(). Its frame is there as long as its handle.
template <class T>
T take_result(Goroutine* g) {
  take_outcome(g);
  return static_cast<Promise<T>*>(g->root)->take();
}

/// Throws Panic for a negative number.
Placement pinned_to(int worker);

[[noreturn]] void throw_empty_handle();
[[noreturn]] void throw_go_of_nil();

/// Waits for the end of a goroutine.
class JoinCaseBase : public CaseBase {
 public:
  bool try_take() final;
  Enlist enlist() final;
  void withdraw() noexcept final;
  bool looks_ready() final;
  WaitReason reason() const noexcept { return WaitReason::join; }

 protected:
  explicit JoinCaseBase(Goroutine* joined) noexcept : joined_(joined) {}
  ~JoinCaseBase() = default;
  Goroutine* joined_;
};

/// Blocks a plain thread until g has ended.
void join_blocking(Goroutine* g);

template <class T>
class JoinCase;

}  // namespace detail

/// A goroutine that was started, and its result to come: `co_await handle` yields what it returned
/// or rethrows what it threw (JoinCanceled if it was cancelled). Also a case of select_any.
///
/// Dropping the handle detaches the goroutine. While the handle lives it holds the exception; one
/// that is dropped with an exception nobody has seen, before or after the throw, ends the process
/// as an uncaught panic does: report, exit status 2. Awaited once; a second await throws Panic.
/// Losing a select or being cancelled leaves the handle as it was. Move-only; may be dropped on any
/// thread.
template <class T = void>
class JoinHandle {
 public:
  using Case = detail::JoinCase<T>;

  JoinHandle() noexcept = default;
  JoinHandle(JoinHandle&& other) noexcept : g_(std::exchange(other.g_, nullptr)) {}
  /// Drops the one it had.
  JoinHandle& operator=(JoinHandle&& other) noexcept {
    JoinHandle taken(std::move(other));
    std::swap(g_, taken.g_);
    return *this;
  }
  ~JoinHandle() {
    if (g_ != nullptr) detail::drop_handle(g_);
  }

  /// False after detach() and for a moved-from handle.
  bool joinable() const noexcept { return g_ != nullptr; }
  /// Whether the goroutine has ended. From any thread.
  bool done() const noexcept {
    return g_ != nullptr && (g_->join.load(std::memory_order_acquire) & detail::join_finished) != 0;
  }
  /// Its number, as in reports; main's is 1.
  std::uint64_t id() const noexcept { return g_ != nullptr ? g_->id : 0; }
  /// As dropping the handle.
  void detach() noexcept {
    if (g_ != nullptr) detail::drop_handle(std::exchange(g_, nullptr));
  }

  /// Joins from a plain thread, which blocks. Throws Panic inside a goroutine.
  T join_blocking() {
    if (g_ == nullptr) detail::throw_empty_handle();
    detail::join_blocking(g_);
    return detail::take_result<T>(g_);
  }

 private:
  friend struct detail::SpawnAccess;
  friend Case;
  explicit JoinHandle(detail::Goroutine* g) noexcept : g_(g) {}

  detail::Goroutine* g_ = nullptr;
};

namespace detail {

template <class T>
class JoinCase final : public JoinCaseBase {
 public:
  explicit JoinCase(JoinHandle<T>& handle) : JoinCaseBase(handle.g_) {
    if (joined_ == nullptr) throw_empty_handle();
  }
  explicit JoinCase(JoinHandle<T>&& handle) : JoinCase(handle) {}
  T result() { return take_result<T>(joined_); }
};

template <class F>
struct is_function_pointer : std::is_function<std::remove_pointer_t<F>> {};

/// Does calling F with stored arguments leave references to them in the coroutine's frame? Known
/// for plain functions: parameters by value are copied into the frame, and a reference bound to a
/// std::ref is the caller's own affair.
template <class F, class... Args>
struct BorrowsArguments : std::true_type {};
template <class R, class... Params, class... Args>
requires(sizeof...(Params) == sizeof...(Args)) struct BorrowsArguments<R (*)(Params...), Args...>
    : std::bool_constant<((std::is_reference_v<Params> &&
                           std::is_same_v<std::unwrap_reference_t<Args>, Args>) ||
                          ...)> {
};

/// A callable with its arguments, kept beside the root frame while the goroutine lives.
template <class F, class... Args>
struct Closure : OwnedByGoroutine {
  template <class G, class... Given>
  explicit Closure(G&& g, Given&&... given)
      : OwnedByGoroutine(free_closure), f(std::forward<G>(g)), args(std::forward<Given>(given)...) {}

  static void* operator new(std::size_t size) { return frame_allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { frame_free(memory, size); }
  static void free_closure(OwnedByGoroutine* self) noexcept { delete static_cast<Closure*>(self); }

  auto call() {
    return std::apply(
        [this](Args&... stored) { return std::invoke(std::move(f), unwrap(stored)...); }, args);
  }
  template <class A>
  static A&& unwrap(A& stored) noexcept {
    return std::move(stored);
  }
  template <class A>
  static A& unwrap(std::reference_wrapper<A>& stored) noexcept {
    return stored.get();
  }

  F f;
  std::tuple<Args...> args;
};

/// Turns a plain call into the body of a goroutine.
template <class R, class C>
Task<R> call_plain(C* closure) {
  co_return closure->call();
}

struct SpawnAccess {
  // For run(), which makes the goroutine of a Task itself.
  template <class T>
  static std::coroutine_handle<Promise<T>> root_of(const Task<T>& task) noexcept {
    return task.frame_;
  }
  template <class T>
  static void disown(Task<T>& task) noexcept {
    task.frame_ = nullptr;
  }

  template <class T>
  static JoinHandle<T> start(Task<T>&& task, AtEnd* at_end, Placement placement,
                             std::source_location site) {
    auto frame = task.frame_;
    if (!frame) throw_go_of_nil();
    Goroutine* g = spawn(frame.promise(), at_end, placement, site);
    task.frame_ = nullptr;
    return JoinHandle<T>(g);
  }

  template <class F, class... Args>
  static auto go(Placement placement, std::source_location site, F&& f, Args&&... args) {
    using Stored = std::decay_t<F>;
    if constexpr (is_task<Stored> && sizeof...(Args) == 0) {
      static_assert(!std::is_lvalue_reference_v<F>, "go(std::move(task))");
      return start(std::move(f), nullptr, placement, site);
    } else {
      static_assert(std::is_invocable_v<Stored, std::unwrap_ref_decay_t<Args>...>,
                    "go(f, args...): f cannot be called with copies of these arguments (is a "
                    "parameter a reference? then pass std::ref; is an argument not copyable? then "
                    "std::move it)");
      using R = std::invoke_result_t<Stored, std::unwrap_ref_decay_t<Args>...>;
      if constexpr (std::is_pointer_v<std::remove_reference_t<F>> ||
                    std::is_member_pointer_v<Stored>) {
        if (f == nullptr) throw_go_of_nil();
      }
      if constexpr (is_task<R> && std::is_empty_v<Stored> && sizeof...(Args) == 0 &&
                    std::is_trivially_destructible_v<Stored>) {
        // The closure object holds nothing: the frame may name one that is gone.
        return start(std::invoke(f), nullptr, placement, site);
      } else if constexpr (is_task<R> && is_function_pointer<Stored>::value &&
                           !BorrowsArguments<Stored, std::decay_t<Args>...>::value) {
        return start(f(static_cast<std::unwrap_ref_decay_t<Args>>(std::forward<Args>(args))...),
                     nullptr, placement, site);
      } else {
        using C = Closure<Stored, std::decay_t<Args>...>;
        struct Owner {
          C* closure;
          ~Owner() { delete closure; }
        } owner{new C(std::forward<F>(f), std::forward<Args>(args)...)};
        if constexpr (is_task<R>) {
          auto handle = start(owner.closure->call(), owner.closure, placement, site);
          owner.closure = nullptr;
          return handle;
        } else {
          auto handle = start(call_plain<R>(owner.closure), owner.closure, placement, site);
          owner.closure = nullptr;
          return handle;
        }
      }
    }
  }
};

}  // namespace detail

// A default argument cannot follow a pack, and the spawn site must not cost the caller a word:
// hence one overload for each number of arguments up to eight.
#define RINGO_DETAIL_SITE std::source_location site = std::source_location::current()

/// Starts a goroutine (Go's go statement): go(f, args...), go(lambda), or go(task). Owns what it is
/// given: the callable is moved in and the arguments are decay-copied, as std::thread does; pass
/// std::ref for a reference. f and the arguments are evaluated here, the body runs later, on any
/// worker. A plain function works too. Does not suspend. Dropping the returned JoinHandle detaches
/// the goroutine.
///
/// From a goroutine, the new one belongs to the same runtime; from a plain thread, to the only one
/// running (Panic if there is none or more than one). A null function throws Panic (GO-03).
template <class F>
auto go(F&& f, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(-1, site, std::forward<F>(f));
}
template <class F, class A1>
auto go(F&& f, A1&& a1, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(-1, site, std::forward<F>(f), std::forward<A1>(a1));
}
template <class F, class A1, class A2>
auto go(F&& f, A1&& a1, A2&& a2, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(-1, site, std::forward<F>(f), std::forward<A1>(a1),
                                 std::forward<A2>(a2));
}
template <class F, class A1, class A2, class A3>
auto go(F&& f, A1&& a1, A2&& a2, A3&& a3, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(-1, site, std::forward<F>(f), std::forward<A1>(a1),
                                 std::forward<A2>(a2), std::forward<A3>(a3));
}
template <class F, class A1, class A2, class A3, class A4>
auto go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(-1, site, std::forward<F>(f), std::forward<A1>(a1),
                                 std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4));
}
template <class F, class A1, class A2, class A3, class A4, class A5>
auto go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(-1, site, std::forward<F>(f), std::forward<A1>(a1),
                                 std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                                 std::forward<A5>(a5));
}
template <class F, class A1, class A2, class A3, class A4, class A5, class A6>
auto go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(-1, site, std::forward<F>(f), std::forward<A1>(a1),
                                 std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                                 std::forward<A5>(a5), std::forward<A6>(a6));
}
template <class F, class A1, class A2, class A3, class A4, class A5, class A6, class A7>
auto go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(-1, site, std::forward<F>(f), std::forward<A1>(a1),
                                 std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                                 std::forward<A5>(a5), std::forward<A6>(a6), std::forward<A7>(a7));
}
template <class F, class A1, class A2, class A3, class A4, class A5, class A6, class A7, class A8>
auto go(F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7, A8&& a8,
        RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(-1, site, std::forward<F>(f), std::forward<A1>(a1),
                                 std::forward<A2>(a2), std::forward<A3>(a3), std::forward<A4>(a4),
                                 std::forward<A5>(a5), std::forward<A6>(a6), std::forward<A7>(a7),
                                 std::forward<A8>(a8));
}

/// As go(), and the goroutine stays on that worker for good (0 to num_workers() - 1; Panic beyond).
template <class F>
auto go_on(int worker_index, F&& f, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(detail::pinned_to(worker_index), site, std::forward<F>(f));
}
template <class F, class A1>
auto go_on(int worker_index, F&& f, A1&& a1, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(detail::pinned_to(worker_index), site, std::forward<F>(f),
                                 std::forward<A1>(a1));
}
template <class F, class A1, class A2>
auto go_on(int worker_index, F&& f, A1&& a1, A2&& a2, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(detail::pinned_to(worker_index), site, std::forward<F>(f),
                                 std::forward<A1>(a1), std::forward<A2>(a2));
}
template <class F, class A1, class A2, class A3>
auto go_on(int worker_index, F&& f, A1&& a1, A2&& a2, A3&& a3, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(detail::pinned_to(worker_index), site, std::forward<F>(f),
                                 std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3));
}
template <class F, class A1, class A2, class A3, class A4>
auto go_on(int worker_index, F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(detail::pinned_to(worker_index), site, std::forward<F>(f),
                                 std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
                                 std::forward<A4>(a4));
}
template <class F, class A1, class A2, class A3, class A4, class A5>
auto go_on(int worker_index, F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5,
           RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(detail::pinned_to(worker_index), site, std::forward<F>(f),
                                 std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
                                 std::forward<A4>(a4), std::forward<A5>(a5));
}
template <class F, class A1, class A2, class A3, class A4, class A5, class A6>
auto go_on(int worker_index, F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6,
           RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(detail::pinned_to(worker_index), site, std::forward<F>(f),
                                 std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
                                 std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6));
}
template <class F, class A1, class A2, class A3, class A4, class A5, class A6, class A7>
auto go_on(int worker_index, F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7,
           RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(detail::pinned_to(worker_index), site, std::forward<F>(f),
                                 std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
                                 std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6),
                                 std::forward<A7>(a7));
}
template <class F, class A1, class A2, class A3, class A4, class A5, class A6, class A7, class A8>
auto go_on(int worker_index, F&& f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7,
           A8&& a8, RINGO_DETAIL_SITE) {
  return detail::SpawnAccess::go(detail::pinned_to(worker_index), site, std::forward<F>(f),
                                 std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
                                 std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6),
                                 std::forward<A7>(a7), std::forward<A8>(a8));
}

#undef RINGO_DETAIL_SITE

}  // namespace ringo
