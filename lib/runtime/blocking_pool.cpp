#include "runtime/blocking_pool.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include <ringo/panic.hpp>

#include "base/log.hpp"
#include "runtime/runtime.hpp"

namespace ringo::detail {

namespace {
constexpr std::chrono::seconds idle_time{10};
}

// --- the line and its threads -------------------------------------------------------------------

void BlockingPool::submit(BlockingCall& call, Worker& worker) {
  std::vector<std::unique_ptr<Thread>> ended;
  {
    std::lock_guard guard(mutex_);
    ended = take_ended();
    if (queued_ >= idle_ && threads_.size() < limit_) {
      try {
        start_thread();
      } catch (const std::system_error&) {
        // The threads that are there will come to it.
        if (threads_.empty()) throw;
      }
    }
    call.worker_ = &worker;
    call.place_ = BlockingCall::Place::queued;
    call.retain();
    calls_.fetch_add(1, std::memory_order_seq_cst);
    call.next_ = nullptr;
    call.prev_ = tail_;
    (tail_ != nullptr ? tail_->next_ : head_) = &call;
    tail_ = &call;
    ++queued_;
  }
  work_.notify_one();
  for (auto& thread : ended) thread->thread.join();
}

void BlockingPool::unlink(BlockingCall& call) noexcept {
  (call.prev_ != nullptr ? call.prev_->next_ : head_) = call.next_;
  (call.next_ != nullptr ? call.next_->prev_ : tail_) = call.prev_;
  --queued_;
}

bool BlockingPool::take_back(BlockingCall& call) noexcept {
  {
    std::lock_guard guard(mutex_);
    if (call.place_ != BlockingCall::Place::queued) return false;
    unlink(call);
    call.place_ = BlockingCall::Place::nowhere;
  }
  call_ended();
  call.release();
  return true;
}

// With mutex_ held. A new thread finds the call in line even if nobody notifies it.
void BlockingPool::start_thread() {
  threads_.push_back(std::make_unique<Thread>());
  Thread& thread = *threads_.back();
  try {
    thread.thread = std::thread([pool = shared_from_this(), &thread] { pool->serve(thread); });
  } catch (...) {
    threads_.pop_back();
    throw;
  }
}

void BlockingPool::serve(Thread& self) noexcept {
  pthread_setname_np(pthread_self(), "ringo-blocking");
  std::unique_lock lock(mutex_);
  self.id = static_cast<int>(::syscall(SYS_gettid));
  for (;;) {
    while (head_ == nullptr && !closed_) {
      ++idle_;
      const bool timed_out = work_.wait_for(lock, idle_time) == std::cv_status::timeout;
      --idle_;
      if (timed_out && head_ == nullptr) break;
    }
    if (head_ == nullptr) break;
    BlockingCall& call = *head_;
    unlink(call);
    call.place_ = BlockingCall::Place::running;
    lock.unlock();
    call.invoke();
    lock.lock();
    finish(call);
  }
  self.ended = true;
  changed_.notify_all();
}

// With mutex_ held, so that the worker lives.
void BlockingPool::finish(BlockingCall& call) noexcept {
  if (closed_) return call.release();  // its goroutine was abandoned, and holds it for ever
  call.run = &BlockingCall::deliver;
  call.worker_->post(&call);
}

std::vector<std::unique_ptr<BlockingPool::Thread>> BlockingPool::take_ended() {
  std::vector<std::unique_ptr<Thread>> ended;
  auto first = std::partition(threads_.begin(), threads_.end(),
                              [](const auto& thread) { return !thread->ended; });
  std::move(first, threads_.end(), std::back_inserter(ended));
  threads_.erase(first, threads_.end());
  return ended;
}

std::vector<int> BlockingPool::threads() {
  std::lock_guard guard(mutex_);
  std::vector<int> ids;
  for (const auto& thread : threads_) ids.push_back(thread->id);
  return ids;
}

// --- the end ------------------------------------------------------------------------------------

void BlockingPool::close() noexcept {
  std::lock_guard guard(mutex_);
  closed_ = true;
  while (BlockingCall* call = head_) {
    unlink(*call);
    call->release();
  }
  work_.notify_all();
}

void BlockingPool::join(std::chrono::nanoseconds patience) noexcept {
  std::vector<std::unique_ptr<Thread>> ended;
  std::size_t left = 0;
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] {
      return std::all_of(threads_.begin(), threads_.end(),
                         [](const auto& thread) { return thread->ended; });
    });
    ended = take_ended();
    left = threads_.size();
    // They hold the pool, and with it their handles, until they end, if ever.
    for (auto& thread : threads_) thread->thread.detach();
  }
  for (auto& thread : ended) thread->thread.join();
  if (left == 0) return;
  log_warn("blocking: " + std::to_string(left) + (left == 1 ? " call is" : " calls are") +
           " still running though the runtime has ended; left behind with what they hold");
}

// --- one call -----------------------------------------------------------------------------------

void BlockingCall::retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }

void BlockingCall::release() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

/// On the worker: the function has returned.
void BlockingCall::deliver(Worker& worker, Message* node) noexcept {
  auto* call = static_cast<BlockingCall*>(node);
  worker.runtime().blocking_pool().call_ended();
  WaitNode* waiter = nullptr;
  {
    SpinGuard guard(call->lock_);
    call->done_ = true;
    if (call->waiter_ != nullptr) {
      WaitNode& waiting = *std::exchange(call->waiter_, nullptr);
      // Claim first: once it is no longer linked, a node whose claim is lost may be gone.
      bool mine = waiting.seq == 0 || try_claim(waiting.g, waiting.seq);
      waiting.linked.store(false, std::memory_order_release);
      if (mine) waiter = &waiting;
    }
  }
  if (waiter != nullptr) complete(*waiter);
  call->release();
}

/// Waits for the end of a submitted call, until cancelled.
class BlockingCallCase final : public CaseBase {
 public:
  struct Operation {
    using Case = BlockingCallCase;
    BlockingCall& call;
  };

  explicit BlockingCallCase(const Operation& operation) noexcept : call_(operation.call) {}

  bool try_take() override { return looks_ready(); }
  bool looks_ready() override {
    SpinGuard guard(call_.lock_);
    return call_.done_;
  }
  Enlist enlist() override {
    SpinGuard guard(call_.lock_);
    if (call_.done_) return claim_self() ? Enlist::taken : Enlist::lost;
    call_.waiter_ = &node;
    node.linked.store(true, std::memory_order_relaxed);
    return Enlist::waiting;
  }
  void withdraw() noexcept override {
    SpinGuard guard(call_.lock_);
    if (!node.linked.load(std::memory_order_relaxed)) return;
    call_.waiter_ = nullptr;
    node.linked.store(false, std::memory_order_relaxed);
  }
  WaitReason reason() const noexcept { return WaitReason::blocking_call; }
  /// Whether the wait was cancelled.
  bool result() const noexcept { return false; }
  bool canceled_result() const noexcept { return true; }

 private:
  BlockingCall& call_;
};

/// Waits for the end of a call that runs, deaf to cancellation: the wait names no operation and
/// opens no claim, so only the call itself ends it.
class BlockingCallEnd {
 public:
  explicit BlockingCallEnd(BlockingCall& call) noexcept : call_(call) {}
  BlockingCallEnd(const BlockingCallEnd&) = delete;
  BlockingCallEnd& operator=(const BlockingCallEnd&) = delete;

  class Awaiter {
   public:
    Awaiter(Goroutine* g, BlockingCall& call) noexcept : call_(call) { node_.g = g; }
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    bool await_ready() const noexcept { return false; }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> frame) noexcept {
      Goroutine* g = node_.g;
      g->leaf = frame;
      g->reason.store(WaitReason::blocking_call_end, std::memory_order_relaxed);
      g->wait = nullptr;
      SpinGuard guard(call_.lock_);
      if (call_.done_) return false;
      call_.waiter_ = &node_;
      node_.linked.store(true, std::memory_order_relaxed);
      return true;
    }
    void await_resume() const noexcept {
      node_.g->reason.store(WaitReason::none, std::memory_order_relaxed);
    }

   private:
    BlockingCall& call_;
    WaitNode node_;
  };
  Awaiter ringo_await(Goroutine* g) const noexcept { return Awaiter(g, call_); }

 private:
  BlockingCall& call_;
};

Task<> carry_out(BlockingCall& call) {
  Goroutine* g = current_goroutine();
  if (g->guarded && cancellation_pending(g)) throw Canceled{};
  Worker& worker = *g->worker;
  BlockingPool& pool = worker.runtime().blocking_pool();
  pool.submit(call, worker);
  BlockingCallCase::Operation end{call};
  const bool canceled = co_await end;
  if (!canceled) co_return;
  if (pool.take_back(call)) throw Canceled{};
  co_await BlockingCallEnd(call);
}

void throw_blocking_awaited_twice() { panic("this blocking() was awaited or moved from before"); }

}  // namespace ringo::detail
