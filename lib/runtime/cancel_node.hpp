// What a cancellation reaches: the layers of Contexts that can be cancelled, as a tree, and the
// goroutines, waits and functions that hang on each.
//
// Locks: each node has one, and they are taken from a parent to its child. A cancellation goes
// through its subtree depth first and keeps the locks of the whole path from where it started, so
// that whoever cancels a node a second time, or its child at the same moment, returns only when
// all below it is done too (CX-02, CX-06). Nothing is allocated and nothing recurses, however
// deep the tree. Under these locks come those of a worker's timers, and of nobody else.
//
// A node's memory: a child is in its parent's list without a reference. Its destructor takes the
// parent's lock (the parent lives, its child holds a reference), so whoever holds that lock may
// touch what the list names. A node with an armed timer or a pending function holds itself, until
// the end of the runtime at most.
//
// A goroutine whose Context can be cancelled is in the list of its innermost CancelNode from birth
// to end, and `attached` says so. A canceller flags it, ends its wait if that is open, and lets go
// of it with the store of attached = false, its last touch; the goroutine, or the worker that ends
// it, takes the lock only if it reads true.
//
// State is touched by the workers of one runtime only (see sync/owner.hpp); the outermost node of
// a tree says which.
#pragma once

#include <atomic>
#include <cstdint>
#include <source_location>

#include <ringo/detail/context_node.hpp>
#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/timer_node.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/error.hpp>
#include <ringo/task.hpp>

#include "runtime/runtime.hpp"

namespace ringo::detail {

/// A function to run when a node is cancelled. Shared by its handle and, while it is pending, the
/// node.
class CancelFunction {
 public:
  CancelFunction(Task<> task, ContextNode* context, std::source_location site) noexcept;
  void retain() noexcept { add_reference(references_); }
  void release() noexcept {
    if (drop_reference(references_)) delete this;
  }
  /// Starts its goroutine. On a worker, without locks.
  void start() noexcept;

  CancelFunction* next = nullptr;
  CancelFunction* prev = nullptr;
  bool pending = false;      // to be started; in the list of its node, whose lock guards all three
  ContextNode* const context;  // the goroutine's; a reference. Values, but no cancellation

 private:
  ~CancelFunction();

  std::atomic<std::uint32_t> references_{1};
  Task<> task_;
  std::source_location site_;
};

class CancelNode final : public ContextNode, private TimerNode, private Resource {
 public:
  static constexpr std::int64_t never = INT64_MAX;

  /// `deadline` is its own, `never` for none; `late_cause` is what cause() says if it passes (no
  /// error: the same as err()). Not yet in its parent's list: adopt() comes next.
  CancelNode(ContextNode* parent, std::int64_t deadline, const Error& late_cause) noexcept;

  CancelNode& top() noexcept { return *top_; }
  CancelNode* above() const noexcept { return above_; }
  /// The earliest deadline of this node and those above.
  std::int64_t deadline() const noexcept { return deadline_; }
  bool has_own_deadline() const noexcept { return own_deadline_; }

  bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  // Only if done().
  const Error& error() const noexcept { return error_; }
  const Error& cause() const noexcept { return cause_; }
  const Error& late_cause() const noexcept { return late_cause_; }

  /// What is left to release when no lock is held any more, neither of this tree nor the one that
  /// plain threads exclude each other with: it may run destructors of users.
  class Remains;

  /// Hangs a new node into the tree, or ends it if its parent is done or its deadline over.
  void adopt(Remains& remains) noexcept;

  /// Cancels this node and all below. Nothing happens if it is done.
  void cancel(const Error& error, const Error& cause, Remains& remains) noexcept;

  /// Takes a goroutine that is starting, or is not waiting, into the list; it may find itself
  /// cancelled at once.
  void attach(Goroutine* g) noexcept;
  /// By g itself, or by the worker that ends it.
  void detach(Goroutine* g) noexcept;

  // As a case of a wait.
  template <class ClaimSelf>
  Enlist enlist(WaitNode& node, ClaimSelf&& claim_self) noexcept {
    SpinGuard guard(lock_);
    if (done()) return claim_self() ? Enlist::taken : Enlist::lost;
    waiters_.push_back(node);
    return Enlist::waiting;
  }
  void withdraw(WaitNode& node) noexcept {
    SpinGuard guard(lock_);
    if (node.linked.load(std::memory_order_relaxed)) waiters_.remove(node);
  }

  /// False: it is done, and the function is the caller's to start.
  bool add(CancelFunction& function) noexcept;
  /// True if that keeps it from being started.
  bool remove(CancelFunction& function) noexcept;

  // Of the outermost node: the runtime whose workers touch the tree.
  std::atomic<std::uint32_t> runtime_id{0};
  SpinLock owner_lock;
  /// The tree changes hands, and nobody else touches it: what waited was abandoned with its
  /// runtime; deadlines are armed if this is a worker.
  void take_over(Remains& remains) noexcept;

 private:
  struct Ending;

  ~CancelNode() override = default;
  void destroy() noexcept override;
  void end_locked(const Error& error, const Error& cause, Ending& ending) noexcept;
  void unlink_child(CancelNode& child) noexcept;
  void leave_parent() noexcept;
  void drop_functions(Remains& remains) noexcept;
  void arm() noexcept;
  void keep() noexcept;
  bool keep_no_more() noexcept;
  static bool claim_timer(TimerNode*) noexcept { return true; }
  static void deadline_passed(TimerNode* node) noexcept;
  void runtime_ended() noexcept override;

  CancelNode* const above_;  // the next one that can be cancelled; null: this is the outermost
  CancelNode* const top_;
  const std::int64_t deadline_;
  const bool own_deadline_;

  // Under the lock of above_.
  CancelNode* next_ = nullptr;
  CancelNode* prev_ = nullptr;
  bool listed_ = false;

  // Under our own.
  SpinLock lock_;
  bool armed_ = false;  // in queue_, or about to fire
  bool kept_ = false;   // armed_, or functions_: a resource of runtime_, which holds a reference
  std::atomic<bool> done_{false};
  CancelNode* children_ = nullptr;
  Goroutine* goroutines_ = nullptr;
  CancelFunction* functions_ = nullptr;
  WaitQueue waiters_;
  WorkerTimers* queue_ = nullptr;
  Runtime* runtime_ = nullptr;
  CancelNode* release_next_ = nullptr;
  Error error_;
  Error cause_;
  const Error late_cause_;
};

class CancelNode::Remains {
 public:
  Remains() = default;
  Remains(const Remains&) = delete;
  Remains& operator=(const Remains&) = delete;
  ~Remains();

 private:
  friend CancelNode;
  friend Ending;
  CancelFunction* functions_ = nullptr;
  CancelNode* let_go_ = nullptr;  // each with the reference by which it was kept
};

/// Gives a goroutine a Context (null: the background): the reference passes to its GoroutineExtra,
/// which it must have unless it is null. When it is born, or by itself while it runs.
void enter_context(Goroutine* g, ContextNode* context) noexcept;

/// The goroutine has ended: leaves its Context.
void leave_context(Goroutine* g) noexcept;

}  // namespace ringo::detail
