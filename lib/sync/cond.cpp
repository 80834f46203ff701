#include <ringo/cond.hpp>

#include <ringo/panic.hpp>

#include "runtime/lock_check.hpp"
#include "sync/owner.hpp"

namespace ringo {

namespace detail {

namespace {

/// How a wait for a signal ended. `refused`: cancelled before it began, the mutex is still locked.
enum class CondOutcome : std::uint8_t { signaled, canceled, refused };

}  // namespace

struct CondOp {
  using Case = CondCase;
  Cond* cond;
  Mutex* mutex;
};

/// Unlocks the mutex and waits for a signal. Never ready at once.
class CondCase final : public CaseBase {
 public:
  explicit CondCase(CondOp op) noexcept : cond_(op.cond), mutex_(op.mutex) {}

  bool try_take() override {
    if (cond_->runtime_id_.load(std::memory_order_relaxed) != node.g->runtime_id) [[unlikely]]
      cond_->bind(node.g->runtime_id);
    return false;
  }

  /// Queued first, unlocked then: whoever locks the mutex from now on finds us. As soon as the
  /// queue's lock is dropped this frame may run elsewhere; it cannot get past locking the mutex
  /// again, though, so the mutex is still there.
  Enlist enlist() override {
    Mutex* mutex = mutex_;
    unlocked_ = true;
    // The waiter may lock it again elsewhere before it is unlocked here.
    if (checks_locks()) [[unlikely]]
      lock_given_back(mutex, false);
    {
      SpinGuard guard(cond_->lock_);
      cond_->waiters_.push_back(node);
    }
    mutex->unlock();
    return Enlist::waiting;
  }

  void withdraw() noexcept override {
    SpinGuard guard(cond_->lock_);
    if (node.linked.load(std::memory_order_relaxed)) cond_->waiters_.remove(node);
  }

  bool looks_ready() override { return false; }
  WaitReason reason() const noexcept { return WaitReason::cond_wait; }
  CondOutcome result() const noexcept { return CondOutcome::signaled; }
  CondOutcome canceled_result() const noexcept {
    return unlocked_ ? CondOutcome::canceled : CondOutcome::refused;
  }

 private:
  Cond* cond_;
  Mutex* mutex_;
  bool unlocked_ = false;
};

namespace {

/// A lock() that says whether it got the lock, where another one would throw Canceled.
struct RelockOp {
  class Case final : public MutexCase {
   public:
    explicit Case(RelockOp op) noexcept : MutexCase(op.mutex->lock()) {}
    bool result() noexcept {
      node.ok = false;
      return true;
    }
    bool canceled_result() const noexcept { return false; }
  };
  Mutex* mutex;
};

}  // namespace
}  // namespace detail

void Cond::bind(std::uint32_t runtime_id) {
  detail::change_owner(runtime_id_, lock_, runtime_id, "Cond", [this] { waiters_.forget(); });
}

void Cond::destroyed() noexcept {
  detail::WaitQueue* queues[] = {&waiters_};
  detail::destroyed_with_waiters("Cond", lock_, runtime_id_.load(std::memory_order_relaxed), queues,
                                 1);
}

template <class F>
void Cond::at_home(F&& call) {
  if (detail::at_home(runtime_id_)) [[likely]]
    return call();
  detail::call_from_afar(
      runtime_id_, lock_, "Cond", [this] { waiters_.forget(); }, call);
}

/// The guard is left as it is: it says that it holds the mutex, which is true again whenever its
/// owner can look.
Task<> Cond::wait_once(Mutex::Guard& guard) {
  Mutex* mutex = guard.mutex();
  if (mutex == nullptr) detail::fatal("sync: unlock of unlocked mutex");
  if (mutex != mutex_) panic("Cond::wait: the guard holds another mutex");
  const bool is_holder = detail::checks_locks() &&
                         detail::lock_is_held_by(mutex, detail::current_goroutine());
  detail::CondOp wait{this, mutex};
  detail::CondOutcome outcome = co_await wait;
  if (outcome != detail::CondOutcome::refused) {
    const detail::ShieldScope until_locked(detail::current_goroutine());
    detail::RelockOp lock{mutex};
    while (!co_await lock) {}
    // The guard may be where others can unlock it, as before.
    if (!is_holder && detail::checks_locks()) [[unlikely]]
      detail::lock_disowned(mutex);
  }
  if (outcome != detail::CondOutcome::signaled) throw Canceled{};
}

void Cond::signal() {
  at_home([this] {
    detail::WaitNode* waiter = nullptr;
    {
      detail::SpinGuard guard(lock_);
      waiter = waiters_.pop_claimed();
    }
    if (waiter != nullptr) detail::complete_at_tail(*waiter);
  });
}

void Cond::broadcast() {
  at_home([this] {
    detail::WakeList wake;
    {
      detail::SpinGuard guard(lock_);
      while (detail::WaitNode* waiter = waiters_.pop_claimed()) wake.push(*waiter);
    }
    wake.complete_all();
  });
}

}  // namespace ringo
