#include <ringo/mutex.hpp>

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
  detail::change_owner(runtime_id_, lock_, runtime_id, "Mutex", [this] { waiters_.forget(); });
}

void Mutex::destroyed() noexcept {
  detail::WaitQueue* queues[] = {&waiters_};
  detail::destroyed_with_waiters("Mutex", lock_, runtime_id_.load(std::memory_order_relaxed),
                                 queues, 1);
}

Mutex::Guard Mutex::try_lock() {
  bool taken = false;
  if (detail::at_home(runtime_id_) != nullptr) [[likely]] {
    taken = take();
  } else {
    detail::call_from_afar(
        runtime_id_, lock_, "Mutex", [this] { waiters_.forget(); }, [&] { taken = take(); });
  }
  if (taken && detail::checks_locks()) [[unlikely]]
    detail::lock_taken(use_of(this), detail::current_goroutine(), false);
  return taken ? Guard(*this) : Guard();
}

void Mutex::unlock() noexcept {
  if (detail::checks_locks()) [[unlikely]]
    return unlock_checked();
  if (detail::at_home(runtime_id_) != nullptr) [[likely]]
    return unlock_here<false>();
  detail::call_from_afar_or_die(
      runtime_id_, lock_, "Mutex", [this] { waiters_.forget(); }, [this] { unlock_here<false>(); });
}

void Mutex::unlock_checked() noexcept {
  if (detail::at_home(runtime_id_) != nullptr) return unlock_here<true>();
  detail::call_from_afar_or_die(
      runtime_id_, lock_, "Mutex", [this] { waiters_.forget(); }, [this] { unlock_here<true>(); });
}

void Mutex::note_taken(detail::Goroutine* g, bool of_select) const noexcept {
  detail::lock_taken(use_of(this), g, !of_select);
}

template <bool checked>
inline void Mutex::unlock_here() noexcept {
  if constexpr (checked) detail::lock_given_back(this, false);
  detail::WaitNode* next = nullptr;
  bool held = false;
  {
    detail::SpinGuard guard(lock_);
    held = held_;
    if (held && !waiters_.empty()) [[unlikely]] {
      next = waiters_.pop_claimed();
      if (next != nullptr) next->ok = true;
    }
    held_ = next != nullptr;
  }
  if (next != nullptr) {
    if constexpr (checked) detail::lock_taken(use_of(this), next->g, false);
    return detail::complete(*next);
  }
  if (!held) [[unlikely]]
    detail::fatal("sync: unlock of unlocked mutex");
}

namespace detail {

Enlist MutexCase::enlist() {
  const bool checked = checks_locks();
  if (checked && !node.of_select) [[unlikely]]
    lock_awaited(use_of(mutex_), node);
  {
    SpinGuard guard(mutex_->lock_);
    if (mutex_->held_) {
      mutex_->waiters_.push_back(node);
      return Enlist::waiting;
    }
    if (!claim_self()) return Enlist::lost;
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
