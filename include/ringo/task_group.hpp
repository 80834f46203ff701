// task_group: goroutines that end before the block that started them does.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/cancellation.hpp>
#include <ringo/detail/go_overloads.hpp>
#include <ringo/go.hpp>
#include <ringo/semaphore.hpp>
#include <ringo/wait_group.hpp>

namespace ringo {

namespace detail {

struct ThrowTrace;

/// The group itself; lies in the frame of task_group().
class GroupState {
 public:
  explicit GroupState();
  GroupState(const GroupState&) = delete;
  GroupState& operator=(const GroupState&) = delete;
  ~GroupState();

  const Context& context() const noexcept { return context_; }
  void cancel() const noexcept { cancel_(); }

  void set_limit(std::int64_t n);
  bool limited() const noexcept { return limit_.has_value(); }
  Semaphore& limit() noexcept { return *limit_; }

  /// The current exception leaves a child (or the body): the first failure is kept and cancels the
  /// others. Canceled and goexit() are no failures.
  void child_failed() noexcept;
  void body_failed() noexcept;

  /// Waits for all children, whatever happens; then throws the first failure, or what left the
  /// body.
  Task<> join();

  /// One more child; given back by Leave at the end of its wrapper.
  struct Leave {
    explicit Leave(GroupState& g) noexcept : group(&g) {}
    Leave(const Leave&) = delete;
    Leave& operator=(const Leave&) = delete;
    ~Leave();
    GroupState* group;
    bool holds_place = false;
  };
  void enter();

 private:
  void fail(std::exception_ptr error) noexcept;

  Context context_;
  CancelCauseFunc cancel_;
  WaitGroup members_;
  std::atomic<std::int64_t> active_{0};
  std::optional<Semaphore> limit_;
  SpinLock lock_;
  std::exception_ptr first_;    // the failure that counts
  std::unique_ptr<ThrowTrace> origin_;  // and the way it took
  std::exception_ptr leaving_;  // Canceled or goexit() out of the body
  std::atomic<bool> cut_short_{false};  // a child was cancelled
};

/// The body of a child: waits for its place, runs, reports a failure. The callable and what it
/// returned are gone before the group hears of the end (Leave stands first).
template <class R, class C>
Task<R> group_child(GroupState* group, std::unique_ptr<C> given, bool has_place) {
  GroupState::Leave leave(*group);
  leave.holds_place = has_place;
  std::unique_ptr<C> closure = std::move(given);
  try {
    if (group->limited() && !has_place) {
      co_await group->limit().acquire();
      leave.holds_place = true;
      // The place may be that of one who was cancelled just before us.
      if (group->context().err()) throw Canceled{};
    }
    if constexpr (is_task<decltype(closure->call())>) {
      co_return co_await closure->call();
    } else {
      co_return closure->call();
    }
  } catch (...) {
    group->child_failed();
    throw;
  }
}

/// A Task as a callable.
template <class T>
struct GivenTask {
  Task<T> operator()() noexcept { return std::move(task); }
  Task<T> task;
};

}  // namespace detail

/// Starts the children of a task_group().
class TaskGroup : public detail::GoOverloads<TaskGroup> {
 public:
  explicit TaskGroup(detail::GroupState& state) noexcept : state_(&state) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // go(f, args...), up to eight arguments: starts a child, as ringo::go does, and returns its
  // JoinHandle, which may be dropped whatever happens: the group takes care of a failure. With a
  // limit, a child that finds the group full waits for its place before it begins.

  /// As go(), but only if fewer children than the limit are there; false otherwise (Go's TryGo).
  template <class F>
  bool try_go(F&& f, std::source_location site = std::source_location::current()) const {
    if (state_->limited() && !state_->limit().try_acquire()) return false;
    start(state_->limited(), site, std::forward<F>(f));
    return true;
  }

  /// Waits until a child may begin at once: `co_await group.room()` before go() keeps children that
  /// only wait from piling up. Cancellable.
  Task<> room() const;

  /// At most n children at work at once (Go's SetLimit). Throws Panic if n < 1, and if there are
  /// children.
  void set_limit(std::int64_t n) const { state_->set_limit(n); }

  /// The Context of the children and of the body: done when a child fails, at cancel(), when the
  /// Context around the group is, and when the group ends.
  const Context& context() const noexcept { return state_->context(); }

  /// Ends the work of all without a failure: task_group() returns when they have unwound, normally
  /// if the body gives no value, else by throwing JoinCanceled unless it had returned.
  void cancel() const noexcept { state_->cancel(); }

 private:
  friend detail::GoOverloads<TaskGroup>;

  template <class F, class... Args>
  auto go_at(std::source_location site, F&& f, Args&&... args) const {
    return start(false, site, std::forward<F>(f), std::forward<Args>(args)...);
  }

  template <class F, class... Args>
  auto start(bool has_place, std::source_location site, F&& f, Args&&... args) const {
    using Stored = std::decay_t<F>;
    if constexpr (detail::is_task<Stored>) {
      static_assert(sizeof...(Args) == 0, "a Task takes no arguments");
      static_assert(!std::is_lvalue_reference_v<F>, "go(std::move(task))");
      return start(has_place, site,
                   detail::GivenTask<typename Stored::value_type>{std::move(f)});
    } else {
      static_assert(std::is_invocable_v<Stored, std::unwrap_ref_decay_t<Args>...>,
                    "go(f, args...): f cannot be called with copies of these arguments (is a "
                    "parameter a reference? then pass std::ref; is an argument not copyable? then "
                    "std::move it)");
      using C = detail::Closure<Stored, std::decay_t<Args>...>;
      using Called = std::invoke_result_t<Stored, std::unwrap_ref_decay_t<Args>...>;
      auto closure = std::make_unique<C>(std::forward<F>(f), std::forward<Args>(args)...);
      return launch<Called>(std::move(closure), has_place, site);
    }
  }

  template <class Called, class C>
  auto launch(std::unique_ptr<C> closure, bool has_place, std::source_location site) const {
    if constexpr (detail::is_task<Called>) {
      return launch_task(
          detail::group_child<typename Called::value_type, C>(state_, std::move(closure),
                                                              has_place),
          site);
    } else {
      return launch_task(detail::group_child<Called, C>(state_, std::move(closure), has_place),
                         site);
    }
  }

  template <class R>
  JoinHandle<R> launch_task(Task<R> child, std::source_location site) const {
    const detail::Placement placement = here();
    state_->enter();
    return detail::SpawnAccess::start(std::move(child), nullptr, placement, site);
  }

  detail::Placement here() const;

  detail::GroupState* state_;
};

/// Runs body(group), which starts children with group.go(f, args...), and returns what it returns
/// when it and all children have ended, so that children may use what lies outside the group by
/// reference (Go's errgroup, made so that it cannot be left without joining):
///
///     co_await task_group([&](TaskGroup& group) -> Task<> {
///       for (Url& url : urls) group.go(fetch, std::ref(url));
///       co_return;
///     });
///
/// The first exception that leaves a child or the body cancels the others and is rethrown here once
/// they have unwound; later ones are dropped. Should nobody catch it, the report of the panic has
/// the await chain of the child, too. A cancellation from outside reaches all of them, and comes
/// out of here when they have ended. `body` is a callable with a TaskGroup& that gives a Task; it
/// is moved in.
template <class Body>
auto task_group(Body body) -> std::invoke_result_t<Body&, TaskGroup&> {
  using Returned = std::invoke_result_t<Body&, TaskGroup&>;
  static_assert(detail::is_task<Returned>,
                "the body of task_group is a coroutine: it gives a Task");
  using R = typename Returned::value_type;
  detail::GroupState state;
  TaskGroup group(state);
  if constexpr (std::is_void_v<R>) {
    try {
      co_await with_context(state.context(), body(group));
    } catch (...) { state.body_failed(); }
    co_await state.join();
  } else {
    std::optional<R> result;
    try {
      result.emplace(co_await with_context(state.context(), body(group)));
    } catch (...) { state.body_failed(); }
    co_await state.join();
    if (!result) throw JoinCanceled();
    co_return std::move(*result);
  }
}

}  // namespace ringo
