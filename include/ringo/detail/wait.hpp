// Waiting, from the side of the goroutine: nodes, queues, and the awaiter of a single operation.
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include <ringo/detail/goroutine.hpp>

namespace ringo {

/// Ends a cancelled goroutine: thrown out of its wait, so that destructors run. Deliberately not a
/// std::exception; do not swallow it. A detached goroutine that it leaves ends silently.
struct Canceled {};

namespace detail {

class WaitQueue;
class ChannelCase;

/// A select treats channels together; the rest is of one kind for it.
enum class CaseKind : std::uint8_t { other, channel_receive, channel_send };

/// One registered operation of a wait; lives in the awaiter, in the waiting frame.
struct WaitNode {
  WaitNode* next = nullptr;
  WaitNode* prev = nullptr;
  Goroutine* g = nullptr;
  std::uint64_t seq = 0;    // 0: the queue's lock alone decides; else try_claim(g, seq)
  void* slot = nullptr;     // where the value goes to or comes from
  std::uint32_t index = 0;  // of the case in its select
  bool ok = false;          // what the completer reports
  std::atomic<bool> linked{false};
  CaseKind kind = CaseKind::other;
  bool of_select = false;      // one of several: set by a select while locks are checked
};

/// FIFO of waiters, doubly linked so that a loser leaves in O(1). Guarded by the owner's lock.
class WaitQueue {
 public:
  /// Without the lock: a moment's guess.
  bool empty() const noexcept { return front() == nullptr; }
  WaitNode* front() const noexcept { return head_.load(std::memory_order_relaxed); }

  void push_back(WaitNode& node) noexcept {
    node.next = nullptr;
    node.prev = tail_;
    if (tail_ != nullptr) {
      tail_->next = &node;
    } else {
      set_front(&node);
    }
    tail_ = &node;
    node.linked.store(true, std::memory_order_relaxed);
  }

  void push_front(WaitNode& node) noexcept {
    node.prev = nullptr;
    node.next = front();
    (node.next != nullptr ? node.next->prev : tail_) = &node;
    set_front(&node);
    node.linked.store(true, std::memory_order_relaxed);
  }

  /// The release pairs with withdraw_from(): who reads `false` may free the node.
  void remove(WaitNode& node) noexcept {
    if (node.prev != nullptr) {
      node.prev->next = node.next;
    } else {
      set_front(node.next);
    }
    (node.next != nullptr ? node.next->prev : tail_) = node.prev;
    node.linked.store(false, std::memory_order_release);
  }

  /// Unlinks the first waiter whose wait is still open and claims it; drops those who have been
  /// claimed elsewhere. Null if none is left. The caller owns the completion of the returned node.
  WaitNode* pop_claimed() noexcept {
    while (WaitNode* node = front()) {
      // Claim first: once unlinked, a node whose claim is lost may be gone.
      bool mine = node->seq == 0 || try_claim(node->g, node->seq);
      remove(*node);
      if (mine) return node;
    }
    return nullptr;
  }

  /// Forgets all nodes without touching them.
  void forget() noexcept {
    set_front(nullptr);
    tail_ = nullptr;
  }

 private:
  void set_front(WaitNode* node) noexcept { head_.store(node, std::memory_order_relaxed); }

  std::atomic<WaitNode*> head_{nullptr};  // atomic for guesses only
  WaitNode* tail_ = nullptr;
};

/// Ends the wait of a claimed (or exclusively unlinked) node whose result is filled in. The node
/// and its frame must not be touched afterwards. Call without locks.
inline void complete(WaitNode& node) noexcept {
  Goroutine* g = node.g;
  if (node.seq == 0) return make_ready(g);
  g->winner = node.index;
  if ((claim_set(g, claim_complete) & claim_armed) != 0) make_ready(g);
}

/// As complete(), for one of several waiters released together: they run in the order given.
inline void complete_at_tail(WaitNode& node) noexcept {
  Goroutine* g = node.g;
  if (node.seq == 0) return make_ready_at_tail(g);
  g->winner = node.index;
  if ((claim_set(g, claim_complete) & claim_armed) != 0) make_ready_at_tail(g);
}

/// Waiters taken out of a queue under its lock, to be completed after it was dropped: unlocking is
/// the last touch of a sync object, whose owner may destroy it as soon as somebody else can run.
class WakeList {
 public:
  void push(WaitNode& node) noexcept {
    node.next = nullptr;
    (tail_ != nullptr ? tail_->next : head_) = &node;
    tail_ = &node;
  }
  bool empty() const noexcept { return head_ == nullptr; }
  void complete_all() noexcept {
    WaitNode* node = head_;
    head_ = tail_ = nullptr;
    while (node != nullptr) {
      WaitNode* next = node->next;
      complete_at_tail(*node);
      node = next;
    }
  }

 private:
  WaitNode* head_ = nullptr;
  WaitNode* tail_ = nullptr;
};

/// What enlist() did.
enum class Enlist : std::uint8_t {
  waiting,  ///< the node is in the queue
  taken,    ///< it had become ready: claimed, and the operation took effect
  lost,     ///< it had become ready, but another case of this wait was already claimed
};

/// One operation of a wait. A case of its own type derives from this for each kind of operation;
/// `node.g` is set before anything else, `node.seq` and `node.index` by whoever arms it.
class CaseBase {
 public:
  CaseBase() = default;
  CaseBase(const CaseBase&) = delete;
  CaseBase& operator=(const CaseBase&) = delete;

  WaitNode node;

  /// Carries the operation out if that is possible now. Called while registered nowhere.
  virtual bool try_take() = 0;

  /// Carries it out if it has become possible (claiming itself first if node.seq says so),
  /// registers the node otherwise. Both under the lock of the object. After it has registered,
  /// the frame may be running elsewhere.
  virtual Enlist enlist() = 0;

  /// Leaves the queue if it is still there. Any worker; takes the object's lock.
  virtual void withdraw() noexcept = 0;

  /// Of a wait that nobody claims (node.seq 0), when the runtime drains: has it end early by itself,
  /// where leaving the queue would not do. False: withdraw() does.
  virtual bool ask_to_end() noexcept { return false; }

  /// Could try_take() succeed? Without side effects; used where a case of higher rank decides.
  virtual bool looks_ready() = 0;

  /// Can something other than a goroutine end this wait: time, or the kernel? Asked while nothing
  /// runs, to tell a program that waits from one that hangs.
  virtual bool ends_from_outside() const noexcept { return false; }

 protected:
  ~CaseBase() = default;

  /// Inside enlist(), under the object's lock, when the operation is possible: claims the wait.
  bool claim_self() noexcept { return node.seq == 0 || try_claim(node.g, node.seq); }
};

/// An operation is a movable value with a Case that carries it out: building it does nothing.
/// Case(op) is built in place in the frame, gives `reason()` (a WaitReason) and
/// `result()`, which returns what the await yields.
template <class T>
concept IsOperation = requires {
  typename T::Case;
}
&&std::derived_from<typename T::Case, CaseBase>;

/// Lets cancellers see a wait whose operations are registered: published first, then looked again,
/// since they set their flag and then look for waits. True: it was cancelled meanwhile, and is over.
bool publish_wait(Goroutine* g, std::uint64_t seq) noexcept;

/// While it lives, a cancellation of this goroutine is not delivered; it stays pending.
class ShieldScope {
 public:
  explicit ShieldScope(Goroutine* g) noexcept : g_(g), before_(g->shielded) { g->shielded = true; }
  ShieldScope(const ShieldScope&) = delete;
  ShieldScope& operator=(const ShieldScope&) = delete;
  ~ShieldScope() { g_->shielded = before_; }

 private:
  Goroutine* g_;
  bool before_;
};

/// Arms the wait of a goroutine that can be cancelled. True: suspend.
bool arm_guarded(CaseBase& operation, Goroutine* g);

/// Does a Case say of itself that what it gets is held, as a lock is? A goroutine that has run for
/// long enough then goes behind the others before it takes, not after: they would all find it
/// locked and queue up, and where locks are handed on in order such a queue never ends.
template <class Case>
concept IsHeld = Case::is_held;

/// Does a Case say of itself that it mostly has to wait, and that its enlist(), of a wait that nobody
/// claims, does all that try_take() would? Then that one is not asked first.
template <class Case>
concept MostlyWaits = Case::mostly_waits;

/// g, whose frame is suspended, goes behind all that is ready; when it is to run again, its worker
/// first does what the await would have done (arm_put_off; true: it waits). Throws what the await
/// would have thrown. Meanwhile g->wait is the operation, and its budget is budget_put_off. Whoever
/// completes a wait may leave g so, too, instead of giving it what it waits for: it is woken to try
/// again.
void put_off(CaseBase& operation, Goroutine* g);
bool arm_put_off(Goroutine* g) noexcept;

/// After a wait decided by the claim word: true if it ended by cancellation (node left).
bool ended_by_cancellation(CaseBase& operation) noexcept;

/// Awaits one operation.
template <class Case>
class [[nodiscard]] OperationAwaiter {
 public:
  template <class Op>
  OperationAwaiter(Goroutine* g, Op&& operation) : case_(std::forward<Op>(operation)) {
    case_.node.g = g;
  }
  OperationAwaiter(const OperationAwaiter&) = delete;
  OperationAwaiter& operator=(const OperationAwaiter&) = delete;
  ~OperationAwaiter() {
    if (case_.node.linked.load(std::memory_order_acquire)) case_.withdraw();
  }

  bool await_ready() {
    if constexpr (MostlyWaits<Case>) return false;
    Goroutine* g = case_.node.g;
    if (g->budget <= 0 || g->guarded) [[unlikely]]
      return false;
    --g->budget;
    return case_.try_take();
  }

  template <class P>
  bool await_suspend(std::coroutine_handle<P> frame) {
    Goroutine* g = case_.node.g;
    g->leaf = frame;
    g->reason.store(case_.reason(), std::memory_order_relaxed);
    if constexpr (IsHeld<Case>) {
      // One is what arm_guarded() is about to spend.
      if (g->budget <= (g->guarded ? 1 : 0)) [[unlikely]] {
        put_off(case_, g);
        return true;
      }
    }
    if (g->guarded) [[unlikely]] {
      const bool suspends = arm_guarded(case_, g);
      if constexpr (IsHeld<Case>) {
        if (!suspends && g->budget == budget_put_off) {
          reschedule(g);  // woken already: only to try again
          return true;
        }
      }
      return suspends;
    }
    if (g->budget <= 0 && case_.try_take()) {
      // It has run for long enough: it keeps what it got, and the others go first.
      reschedule(g);
      return true;
    }
    if constexpr (MostlyWaits<Case>) --g->budget;
    g->wait = &case_;
    return case_.enlist() == Enlist::waiting;
  }

  decltype(auto) await_resume() {
    if (case_.node.seq != 0 && ended_by_cancellation(case_)) [[unlikely]] {
      if constexpr (requires { case_.canceled_result(); }) {
        return case_.canceled_result();
      } else {
        throw Canceled{};
      }
    }
    return case_.result();
  }

 private:
  Case case_;
};

/// An operation that can be tried as it is, before a Case is made of it: most need not wait.
/// try_now(g, early) does what Case::try_take() would, and result_of(early) gives its result.
/// Early is trivial; result_of() is called once after try_now() was true.
template <class T>
concept IsEager = IsOperation<T> && requires(T& operation, Goroutine* g, typename T::Early& early) {
  static_cast<bool>(operation.try_now(g, early));
  operation.result_of(early);
};

/// Awaits one such operation, a temporary of the awaiting expression. Tries it as it is made, which
/// leaves less for the frame to remember than a try in await_ready().
template <class Op>
class [[nodiscard]] EagerAwaiter {
  using Waiter = OperationAwaiter<typename Op::Case>;

 public:
  EagerAwaiter(Goroutine* g, Op& operation) : try_(operation) {
    if (g->budget <= 0 || g->guarded) [[unlikely]]
      return;
    --g->budget;
    taken_ = operation.try_now(g, try_.early);
  }
  EagerAwaiter(const EagerAwaiter&) = delete;
  EagerAwaiter& operator=(const EagerAwaiter&) = delete;
  ~EagerAwaiter() {
    if (waited_) waiter_.~Waiter();
  }

  bool await_ready() const noexcept { return taken_; }

  template <class P>
  bool await_suspend(std::coroutine_handle<P> frame) {
    Goroutine* g = frame.promise().g;
    Op* operation = try_.operation;
    ::new (static_cast<void*>(&waiter_)) Waiter(g, std::move(*operation));
    waited_ = true;
    return waiter_.await_suspend(frame);
  }

  decltype(auto) await_resume() {
    if (waited_) return waiter_.await_resume();
    return try_.operation->result_of(try_.early);
  }

 private:
  struct Try {
    explicit Try(Op& op) noexcept : operation(&op) {}
    Op* operation;
    typename Op::Early early;  // as big as an element, and left as it is until there is one
  };
  static_assert(std::is_trivially_destructible_v<Try>);

  union {
    Try try_;
    Waiter waiter_;
  };
  bool taken_ = false;
  bool waited_ = false;
};

}  // namespace detail
}  // namespace ringo
