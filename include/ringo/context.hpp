// Context: the life of a piece of work, as a tree that is cancelled from above.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/detail/context_node.hpp>
#include <ringo/detail/duration.hpp>
#include <ringo/detail/go_overloads.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/error.hpp>
#include <ringo/go.hpp>
#include <ringo/task.hpp>

namespace ringo {

class Context;

/// Names a value that a Context can carry. It is known by its address, so it should be a constant
/// of a namespace:
///
///     inline const ContextKey<std::string> user_key{"user"};
template <class T>
class ContextKey {
 public:
  using value_type = T;
  /// `name` shows in to_string() of a Context and must live for ever.
  explicit constexpr ContextKey(const char* name) noexcept : name_(name) {}
  ContextKey(const ContextKey&) = delete;
  ContextKey& operator=(const ContextKey&) = delete;
  const char* name() const noexcept { return name_; }

 private:
  const char* name_;
};

namespace detail {
class ContextDoneCase;
class CancelFunction;
struct ContextAccess;
}  // namespace detail

/// `ctx.done()`, not yet started.
class [[nodiscard("co_await it, or make it a case of select_any")]] ContextDone {
 public:
  using Case = detail::ContextDoneCase;
  explicit ContextDone(detail::ContextNode * node) noexcept : node_(node) {
    if (node_ != nullptr) node_->retain();
  }
  ContextDone(const ContextDone& other) noexcept : ContextDone(other.node_) {}
  ContextDone(ContextDone && other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  ContextDone& operator=(const ContextDone&) = delete;
  ~ContextDone() { detail::ContextNode::release(node_); }

 private:
  friend Case;
  detail::ContextNode* node_;
};

/// Says when work is to end, and why, and carries values that go with it (Go's context.Context).
/// Contexts form a tree: with_cancel(), with_timeout(), with_value() and the like make a new one
/// from another, and whoever cancels one cancels all that were made from it.
///
/// A handle: copies name the same Context. A default-constructed or moved-from one is empty, and
/// everything but assigning to it throws Panic. background() is the root.
///
/// Every goroutine has one, this_context(): that of the goroutine that started it, unless
/// Context::go() or with_context() chose another. When it is cancelled, the waits of the goroutine
/// end: by the exception Canceled, or with std::errc::operation_canceled from I/O. shield() keeps
/// that off. A program that gives its Contexts to functions and has done() among its cases, as in
/// Go, need not care: Context arguments change nothing about the goroutine.
///
/// `ctx.go(f, args...)` starts a goroutine that has this Context; as ringo::go otherwise. In
/// goroutines only.
///
/// The Contexts of one tree belong to one runtime, whose goroutines use them; err(), cause(),
/// deadline(), value(), cancelling and copying are for plain threads too.
class Context : public detail::GoOverloads<Context> {
 public:
  Context() noexcept = default;
  Context(const Context& other) noexcept : GoOverloads(), node_(other.node_) {
    if (node_ != nullptr) node_->retain();
  }
  Context(Context&& other) noexcept : GoOverloads(), node_(std::exchange(other.node_, nullptr)) {}
  Context& operator=(Context other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Context() { detail::ContextNode::release(node_); }

  bool empty() const noexcept { return node_ == nullptr; }

  /// Waits until this Context is cancelled or its deadline has passed: a case of select_any, or
  /// `co_await ctx.done()`. Never if it cannot be cancelled. Cancellable.
  ContextDone done() const;

  /// No error until it is done; then Errc::canceled ("context canceled") or
  /// Errc::deadline_exceeded ("context deadline exceeded"), for ever (CX-03). Does not suspend.
  Error err() const;

  /// Why: what was given to the first cancellation on the path from here to the root, err() if
  /// nothing was given; no error until it is done (CX-10). Does not suspend.
  Error cause() const;

  /// When it will be done at the latest; nothing if there is no deadline.
  std::optional<std::chrono::steady_clock::time_point> deadline() const;

  /// The value of this key given to the innermost with_value(), or null. Lives as long as this
  /// Context or one made from it.
  template <class T>
  const T* value(const ContextKey<T>& key) const {
    return static_cast<const T*>(find(&key));
  }

  /// The same Context?
  friend bool operator==(const Context& a, const Context& b) noexcept {
    return a.node_ == b.node_;
  }

 private:
  friend struct detail::ContextAccess;
  friend detail::GoOverloads<Context>;
  explicit Context(detail::ContextNode* node) noexcept : node_(node) {}
  const void* find(const void* key) const;
  detail::ContextNode* bound_node() const;

  template <class F, class... Args>
  auto go_at(std::source_location site, F&& f, Args&&... args) const {
    return detail::SpawnAccess::go(detail::Placement(-1, bound_node()), site, std::forward<F>(f),
                                   std::forward<Args>(args)...);
  }

  detail::ContextNode* node_ = nullptr;
};

/// The root: never done, no deadline, no values (Go's context.Background). todo() is another one,
/// for where it is not clear yet which Context to use.
Context background() noexcept;
Context todo() noexcept;

/// The Context of this goroutine; background() outside of one.
Context this_context() noexcept;

/// "context.Background.WithCancel.WithValue(user).WithDeadline([1.5s])", for logs.
std::string to_string(const Context& context);

/// Cancels a Context when called, and when it goes out of scope: a forgotten one leaks nothing.
/// Calling it again does nothing, nor does calling one that was detached or moved from. When the
/// call returns, everything made from that Context is done too (CX-02); it does not wait for the
/// work to end. From any thread. Throws Panic (out of scope: a fatal error) in a goroutine if
/// another live runtime uses the Context. Move-only.
class CancelFunc {
 public:
  CancelFunc() noexcept = default;
  explicit CancelFunc(Context context) noexcept : context_(std::move(context)) {}
  CancelFunc(CancelFunc&&) noexcept = default;
  CancelFunc& operator=(CancelFunc&& other) noexcept {
    CancelFunc taken(std::move(other));
    std::swap(context_, taken.context_);
    return *this;
  }
  ~CancelFunc() {
    if (!context_.empty()) end();
  }
  void operator()() const { cancel(Error()); }
  /// Goes without cancelling: the Context ends with its parent or its deadline.
  void detach() noexcept { context_ = Context(); }

 protected:
  void cancel(const Error& cause) const;

 private:
  void end() const noexcept;

  Context context_;
};

/// As CancelFunc, and says why: the argument is what cause() of the Context gives from then on.
class CancelCauseFunc : public CancelFunc {
 public:
  using CancelFunc::CancelFunc;
  using CancelFunc::operator();
  void operator()(const Error& cause) const { cancel(cause); }
};

/// A new Context and what cancels it: `auto [ctx, cancel] = with_cancel(parent);`.
template <class Cancel>
struct Cancelable {
  Cancelable(Context made) : ctx(std::move(made)), cancel(ctx) {}
  Context ctx;
  Cancel cancel;
};

/// A Context that is done when it is cancelled or its parent is done, whichever comes first. All of
/// these throw Panic for an empty parent, and in a goroutine if another live runtime uses it.
[[nodiscard]] Cancelable<CancelFunc> with_cancel(const Context& parent);
[[nodiscard]] Cancelable<CancelCauseFunc> with_cancel_cause(const Context& parent);

/// ... or that moment has come (Errc::deadline_exceeded); at once if it is in the past. A parent's
/// earlier deadline holds. The cause forms say what cause() gives if it ends by the deadline.
[[nodiscard]] Cancelable<CancelFunc> with_deadline(
    const Context& parent, std::chrono::steady_clock::time_point deadline);
[[nodiscard]] Cancelable<CancelFunc> with_deadline_cause(
    const Context& parent, std::chrono::steady_clock::time_point deadline, const Error& cause);

namespace detail {
Context context_until(const Context& parent, std::int64_t deadline, const Error& cause);
Context context_for(const Context& parent, std::chrono::nanoseconds d, const Error& cause);
}  // namespace detail

/// ... d from now; at once if d is not positive.
template <class Rep, class Period>
[[nodiscard]] Cancelable<CancelFunc> with_timeout(const Context& parent,
                                                  std::chrono::duration<Rep, Period> d) {
  return {detail::context_for(parent, detail::saturate(d), Error())};
}
template <class Rep, class Period>
[[nodiscard]] Cancelable<CancelFunc> with_timeout_cause(const Context& parent,
                                                        std::chrono::duration<Rep, Period> d,
                                                        const Error& cause) {
  return {detail::context_for(parent, detail::saturate(d), cause)};
}

/// A Context without end or deadline of its own, with the values of its parent (CX-11).
[[nodiscard]] Context without_cancel(const Context& parent);

namespace detail {

template <class T>
class ContextValueOf final : public ContextValue {
 public:
  template <class U>
  ContextValueOf(ContextNode* parent, const ContextKey<T>& key, U&& value)
      : ContextValue(parent, &key, key.name()), value_(std::forward<U>(value)) {}
  const void* value() const noexcept override { return std::addressof(value_); }

 private:
  const T value_;
};

struct ContextAccess {
  static Context wrap(ContextNode* node) noexcept { return Context(node); }
  /// Throws Panic for an empty one.
  static ContextNode* parent(const Context& context);
  static ContextNode* node(const Context& context) noexcept { return context.node_; }
  static ContextNode* unwrap(Context context) noexcept {
    return std::exchange(context.node_, nullptr);
  }
  static ContextNode* bound(const Context& context) { return context.bound_node(); }
};

}  // namespace detail

/// A Context in which the key has this value. Later values of the same key hide earlier ones.
template <class T, class U>
[[nodiscard]] Context with_value(const Context& parent, const ContextKey<T>& key, U&& value) {
  detail::ContextNode* above = detail::ContextAccess::parent(parent);
  return detail::ContextAccess::wrap(
      new detail::ContextValueOf<T>(above, key, std::forward<U>(value)));
}

namespace detail {

/// Waits for the end of a Context.
class ContextDoneCase final : public CaseBase {
 public:
  /// Throws Panic for one that was moved from.
  explicit ContextDoneCase(ContextDone op);
  bool try_take() override { return looks_ready(); }
  Enlist enlist() override;
  void withdraw() noexcept override;
  bool looks_ready() override;
  WaitReason reason() const noexcept { return WaitReason::context_done; }
  void result() const noexcept {}

 private:
  ContextDone op_;
};

template <class F>
Task<> call_once(F f) {
  if constexpr (is_task<std::invoke_result_t<F&>>) {
    co_await f();
  } else {
    f();
    co_return;
  }
}

CancelFunction* run_after(const Context& context, Task<> task, std::source_location site);

}  // namespace detail

/// The handle of after_func(ctx, f). Dropping it changes nothing. Move-only.
class ContextFunc {
 public:
  explicit ContextFunc(Context context, detail::CancelFunction* function) noexcept
      : context_(std::move(context)), function_(function) {}
  ContextFunc(ContextFunc&& other) noexcept
      : context_(std::move(other.context_)), function_(std::exchange(other.function_, nullptr)) {}
  ContextFunc& operator=(ContextFunc&& other) noexcept {
    ContextFunc taken(std::move(other));
    std::swap(context_, taken.context_);
    std::swap(function_, taken.function_);
    return *this;
  }
  ~ContextFunc();

  /// True if that keeps f from running; does not wait for an f that runs (CX-12).
  bool stop();

 private:
  Context context_;
  detail::CancelFunction* function_;
};

/// Runs f in a goroutine of its own when the Context is done, at once if it is (Go's
/// context.AfterFunc). That goroutine has the Context's values and is not cancelled by it. f is
/// moved in; it may be a coroutine. In goroutines.
template <class F>
ContextFunc after_func(const Context& context, F f,
                       std::source_location site = std::source_location::current()) {
  return ContextFunc(context,
                     detail::run_after(context, detail::call_once<F>(std::move(f)), site));
}

}  // namespace ringo
