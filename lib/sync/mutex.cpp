#include <ringo/mutex.hpp>

#include <utility>

#include <ringo/panic.hpp>

#include "runtime/lock_check.hpp"
#include "sync/owner.hpp"

namespace ringo {

namespace {

detail::LockUse use_of(const Mutex* mutex) noexcept {
  return {mutex, detail::LockKind::mutex, false};
}

}  // namespace

void Mutex::bind(std::uint32_t runtime_id) {
  detail::change_owner(runtime_id_, lock_, runtime_id, "Mutex", [this] { forget_waiters(); });
}

void Mutex::forget_waiters() noexcept {
  waiters_.forget();
  turn_ = Turn::none;
}

void Mutex::destroyed() noexcept {
  detail::WaitQueue* queues[] = {&waiters_};
  detail::destroyed_with_waiters("Mutex", lock_, runtime_id_.load(std::memory_order_relaxed),
                                 queues, 1, turn_ == Turn::woken ? 1 : 0);
}

Mutex::Guard Mutex::try_lock() {
  bool taken = false;
  if (detail::at_home(runtime_id_)) [[likely]] {
    taken = take();
  } else {
    detail::call_from_afar(
        runtime_id_, lock_, "Mutex", [this] { forget_waiters(); }, [&] { taken = take(); });
  }
  if (taken && detail::checks_locks()) [[unlikely]]
    detail::lock_taken(use_of(this), detail::current_goroutine(), false);
  return taken ? Guard(*this) : Guard();
}

// Without a stack frame as long as nobody waits; the rest are tail calls.
void Mutex::unlock() noexcept {
  if (detail::checks_locks()) [[unlikely]]
    return unlock_checked();
  if (!detail::at_home(runtime_id_)) [[unlikely]]
    return unlock_afar<false>();
  if (!lock_.try_lock()) [[unlikely]]
    return unlock_here<false>();
  if (!held_ || !waiters_.empty()) [[unlikely]]
    return unlock_locked<false>();
  held_ = false;
  lock_.unlock();
}

void Mutex::unlock_checked() noexcept {
  if (detail::at_home(runtime_id_)) return unlock_here<true>();
  unlock_afar<true>();
}

template <bool checked>
void Mutex::unlock_afar() noexcept {
  detail::call_from_afar_or_die(
      runtime_id_, lock_, "Mutex", [this] { forget_waiters(); },
      [this] { unlock_here<checked>(); });
}

void Mutex::note_taken(detail::Goroutine* g, bool of_select) const noexcept {
  detail::lock_taken(use_of(this), g, !of_select);
}

template <bool checked>
void Mutex::unlock_here() noexcept {
  if constexpr (checked) detail::lock_given_back(this, false);
  lock_.lock();
  unlock_locked<checked>();
}

/// Under the lock, which it drops.
template <bool checked>
void Mutex::unlock_locked() noexcept {
  const bool held = std::exchange(held_, false);
  detail::WaitNode* next = held && !waiters_.empty() ? next_turn() : nullptr;
  lock_.unlock();
  if (next != nullptr) return give_turn<checked>(*next);
  if (!held) [[unlikely]]
    detail::fatal("sync: unlock of unlocked mutex");
}

/// Under the lock, while nobody holds it: whom to wake, or (ok) to hand it to, if anybody. Whoever
/// is woken is as one that was put off (see put_off()): its worker has it lock before it runs. A
/// select has decided for this case, and cannot find it locked: it gets it.
detail::WaitNode* Mutex::next_turn() noexcept {
  if (turn_ == Turn::woken) return nullptr;
  detail::WaitNode* next = waiters_.pop_claimed();
  const bool owed = std::exchange(turn_, Turn::none) == Turn::owed;
  if (next == nullptr) return nullptr;
  detail::Goroutine* g = next->g;
  const bool is_single = g->wait != nullptr && &g->wait->node == next;
  if (owed || !is_single) {
    held_ = next->ok = true;
    return next;
  }
  static_cast<detail::MutexCase*>(g->wait)->woken_ = true;
  g->budget = detail::budget_put_off;
  turn_ = Turn::woken;
  return next;
}

template <bool checked>
inline void Mutex::give_turn(detail::WaitNode& next) noexcept {
  if constexpr (checked) {
    if (next.ok) {
      detail::lock_taken(use_of(this), next.g, false);
    } else if (next.g->lock_waits) {
      detail::lock_wait_is_over(*next.g);
    }
  }
  detail::complete(next);
}

bool Mutex::take_turn(detail::MutexCase& woken) noexcept {
  {
    detail::SpinGuard guard(lock_);
    if (held_) return false;
    held_ = true;
    turn_ = Turn::none;
    woken.woken_ = false;
  }
  if (detail::checks_locks()) [[unlikely]]
    note_taken(woken.node.g, false);
  return true;
}

/// One that was woken has been cancelled before it could lock.
void Mutex::pass_on() noexcept {
  detail::WaitNode* next = nullptr;
  {
    detail::SpinGuard guard(lock_);
    turn_ = Turn::none;
    if (!held_ && !waiters_.empty()) next = next_turn();
  }
  if (next == nullptr) return;
  if (detail::checks_locks()) return give_turn<true>(*next);
  give_turn<false>(*next);
}

namespace detail {

Enlist MutexCase::enlist() {
  const bool checked = checks_locks();
  if (checked && !node.of_select) [[unlikely]]
    lock_awaited(use_of(mutex_), node);
  {
    SpinGuard guard(mutex_->lock_);
    if (mutex_->held_) {
      if (std::exchange(woken_, false)) {
        mutex_->turn_ = Mutex::Turn::owed;
        mutex_->waiters_.push_front(node);
      } else {
        mutex_->waiters_.push_back(node);
      }
      return Enlist::waiting;
    }
    if (!claim_self()) return Enlist::lost;
    if (std::exchange(woken_, false)) mutex_->turn_ = Mutex::Turn::none;
    mutex_->held_ = true;
    node.ok = true;
  }
  if (checked) [[unlikely]]
    lock_taken(use_of(mutex_), node.g, false);
  return Enlist::taken;
}

void MutexCase::withdraw() noexcept {
  SpinGuard guard(mutex_->lock_);
  if (node.linked.load(std::memory_order_relaxed)) mutex_->waiters_.remove(node);
}

bool MutexCase::looks_ready() {
  mutex_->check_runtime(node.g);
  SpinGuard guard(mutex_->lock_);
  return !mutex_->held_;
}

void unlock_of_empty_guard() noexcept { fatal("sync: unlock by a guard that holds nothing"); }

}  // namespace detail
}  // namespace ringo
