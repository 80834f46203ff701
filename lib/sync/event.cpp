#include <ringo/event.hpp>

#include "sync/owner.hpp"

namespace ringo::detail {

void SignalBase::wake_all(bool keep, const char* type) {
  auto wake = [&] {
    WakeList woken;
    {
      SpinGuard guard(lock_);
      if (keep) set_.store(true, std::memory_order_release);
      while (WaitNode* waiter = waiters_.pop_claimed()) woken.push(*waiter);
    }
    woken.complete_all();
  };
  if (at_home(runtime_id_)) [[likely]]
    return wake();
  call_from_afar(
      runtime_id_, lock_, type, [this] { waiters_.forget(); }, wake);
}

void SignalBase::change(bool set, const char* type) {
  if (set) return wake_all(true, type);
  // Under the lock, so that it is before or after a set(), with all that it wakes.
  auto clear = [this] {
    SpinGuard guard(lock_);
    set_.store(false, std::memory_order_release);
  };
  if (at_home(runtime_id_)) [[likely]]
    return clear();
  call_from_afar(
      runtime_id_, lock_, type, [this] { waiters_.forget(); }, clear);
}

bool SignalBase::looks_ready(std::uint32_t runtime_id, const char* type) {
  if (runtime_id_.load(std::memory_order_relaxed) != runtime_id) [[unlikely]] {
    change_owner(runtime_id_, lock_, runtime_id, type, [this] { waiters_.forget(); });
  }
  // Under the lock: who goes on may destroy us, so whoever set it must have let go.
  SpinGuard guard(lock_);
  return set_.load(std::memory_order_relaxed);
}

void SignalBase::destroyed(const char* type) noexcept {
  WaitQueue* queues[] = {&waiters_};
  destroyed_with_waiters(type, lock_, runtime_id_.load(std::memory_order_relaxed), queues, 1);
}

bool EventCase::looks_ready() { return signal_->looks_ready(node.g->runtime_id, type_); }

Enlist EventCase::enlist() {
  SpinGuard guard(signal_->lock_);
  if (signal_->set_.load(std::memory_order_relaxed)) {
    return claim_self() ? Enlist::taken : Enlist::lost;
  }
  signal_->waiters_.push_back(node);
  return Enlist::waiting;
}

void EventCase::withdraw() noexcept {
  SpinGuard guard(signal_->lock_);
  if (node.linked.load(std::memory_order_relaxed)) signal_->waiters_.remove(node);
}

}  // namespace ringo::detail
