// blocking: calling what blocks a thread, without blocking the goroutines beside it.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <ringo/detail/spin_lock.hpp>
#include <ringo/go.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {

class BlockingPool;

/// A call on its way through the pool. It lies on the heap, shared by the goroutine that awaits it
/// and the thread that runs it, because a goroutine may be abandoned at the runtime's end while
/// the thread is still at work.
class BlockingCall : private Message {
 public:
  BlockingCall() = default;
  BlockingCall(const BlockingCall&) = delete;
  BlockingCall& operator=(const BlockingCall&) = delete;

  void retain() noexcept;
  void release() noexcept;

 protected:
  virtual ~BlockingCall() = default;
  /// Calls the function, keeps its outcome, destroys the function. On a thread of the pool.
  virtual void invoke() noexcept = 0;

 private:
  friend class BlockingPool;
  friend class BlockingCallCase;
  friend class BlockingCallEnd;
  enum class Place : std::uint8_t { nowhere, queued, running };

  static void deliver(Worker& worker, Message* node) noexcept;

  std::atomic<std::uint32_t> references_{1};
  // The pool's, under its mutex.
  Place place_ = Place::nowhere;
  BlockingCall* next_ = nullptr;
  BlockingCall* prev_ = nullptr;
  Worker* worker_ = nullptr;  // hears of the end
  // The workers', under lock_.
  SpinLock lock_;
  bool done_ = false;
  WaitNode* waiter_ = nullptr;
};

/// Submits the call and waits for its end.
Task<> carry_out(BlockingCall& call);

[[noreturn]] void throw_blocking_awaited_twice();

/// What a call gave: a value or an exception.
template <class R>
class BlockingOutcome : public BlockingCall {
 public:
  R take() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    if constexpr (std::is_reference_v<R>) {
      return static_cast<R>(*value_);
    } else if constexpr (!std::is_void_v<R>) {
      return *std::move(value_);
    }
  }

 protected:
  struct Nothing {};
  using Stored =
      std::conditional_t<std::is_void_v<R>, Nothing,
                         std::conditional_t<std::is_reference_v<R>, std::remove_reference_t<R>*,
                                            std::optional<std::remove_cv_t<R>>>>;
  Stored value_{};
  std::exception_ptr error_;
};

template <class R, class F, class... Args>
class BlockingInvocation final : public BlockingOutcome<R> {
 public:
  template <class G, class... Given>
  explicit BlockingInvocation(G&& f, Given&&... args)
      : closure_(std::in_place, std::forward<G>(f), std::forward<Given>(args)...) {}

 private:
  using Held = Closure<F, Args...>;

  void invoke() noexcept override {
    try {
      if constexpr (std::is_void_v<R>) {
        call();
      } else if constexpr (std::is_reference_v<R>) {
        R result = call();
        this->value_ = std::addressof(result);
      } else {
        this->value_.emplace(call());
      }
    } catch (...) { this->error_ = std::current_exception(); }
    closure_.reset();
  }
  R call() {
    return std::apply(
        [this](Args&... stored) -> R {
          return std::invoke(std::move(closure_->f), Held::unwrap(stored)...);
        },
        closure_->args);
  }

  std::optional<Held> closure_;
};

template <class R>
class BlockingHandle {
 public:
  explicit BlockingHandle(BlockingOutcome<R>* owned) noexcept : call_(owned) {}
  BlockingHandle(BlockingHandle&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  BlockingHandle& operator=(BlockingHandle&& other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  ~BlockingHandle() {
    if (call_ != nullptr) call_->release();
  }
  explicit operator bool() const noexcept { return call_ != nullptr; }
  BlockingOutcome<R>& operator*() const noexcept { return *call_; }
  BlockingOutcome<R>* operator->() const noexcept { return call_; }

 private:
  BlockingOutcome<R>* call_;
};

template <class R>
class [[nodiscard]] BlockingAwaiter {
 public:
  explicit BlockingAwaiter(BlockingHandle<R> call)
      : call_(std::move(call)), task_(carry_out(*call_)), awaiter_(task_) {}
  BlockingAwaiter(const BlockingAwaiter&) = delete;
  BlockingAwaiter& operator=(const BlockingAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <class P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> parent) noexcept {
    return awaiter_.await_suspend(parent);
  }
  R await_resume() {
    awaiter_.await_resume();
    return call_->take();
  }

 private:
  BlockingHandle<R> call_;
  Task<> task_;
  TaskAwaiter<void> awaiter_;
};

}  // namespace detail

/// A call that blocks, not yet begun; see blocking().
template <class R>
class [[nodiscard("co_await it: nothing is called before")]] Blocking {
 public:
  explicit Blocking(detail::BlockingHandle<R> call) noexcept : call_(std::move(call)) {}
  Blocking(Blocking&&) noexcept = default;
  Blocking& operator=(Blocking&&) noexcept = default;

  detail::BlockingAwaiter<R> ringo_await(detail::Goroutine*) {
    if (!call_) detail::throw_blocking_awaited_twice();
    return detail::BlockingAwaiter<R>(std::move(call_));
  }

 private:
  detail::BlockingHandle<R> call_;
};

/// Calls f(args...) on a thread of its own kind, made for calls that block (getaddrinfo, a database
/// library, a long computation), while this goroutine waits and the others run on:
/// `auto rows = co_await blocking(query, connection, text)` yields what f returns, or rethrows what
/// it throws. Go does as much for every system call (SC-09); here it is said.
///
/// f is moved in and the arguments are decay-copied, as std::thread does; pass std::ref for a
/// reference. They are destroyed on that thread, before the await ends. The result may be
/// move-only.
///
/// The runtime has up to 64 such threads (RINGO_BLOCKING_THREADS), made when they are needed; one
/// that had nothing to do for ten seconds ends. When all are busy, calls wait in line. The threads
/// are plain ones: f may call send_blocking, recv_blocking and join_blocking.
///
/// Cancellable while it waits in line: then f is not called. Once f runs the wait goes on to its
/// end, and the cancellation is met by the next wait. Not a case of select, since it cannot be
/// taken back: start it with go() and send its result through a channel. If no thread can be made
/// at all, the await throws std::system_error. When the runtime ends, calls in line are dropped,
/// and run() waits up to five seconds for those that run; their results reach nobody. After that
/// it leaves them behind, with a line in the log.
///
/// With GCC 12 a lambda that owns something must be named before the await and moved in, or take
/// it as an argument: `co_await blocking(&load, path)`.
template <class F, class... Args>
auto blocking(F&& f, Args&&... args) {
  using Stored = std::decay_t<F>;
  static_assert(std::is_invocable_v<Stored, std::unwrap_ref_decay_t<Args>...>,
                "blocking(f, args...): f cannot be called with copies of these arguments");
  using R = std::invoke_result_t<Stored, std::unwrap_ref_decay_t<Args>...>;
  static_assert(!detail::is_task<std::remove_cvref_t<R>>,
                "blocking() calls plain functions: a coroutine is awaited, or started with go()");
  return Blocking<R>(
      detail::BlockingHandle<R>(new detail::BlockingInvocation<R, Stored, std::decay_t<Args>...>(
          std::forward<F>(f), std::forward<Args>(args)...)));
}

}  // namespace ringo
