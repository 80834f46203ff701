#include <ringo/once.hpp>

#include "sync/owner.hpp"

namespace ringo {

void Once::bind(std::uint32_t runtime_id) {
  detail::change_owner(runtime_id_, lock_, runtime_id, "Once", [this] {
    waiters_.forget();
    // Whoever was at it was abandoned.
    if (state_.load(std::memory_order_relaxed) == State::running) {
      state_.store(State::idle, std::memory_order_relaxed);
    }
  });
}

void Once::destroyed() noexcept {
  detail::WaitQueue* queues[] = {&waiters_};
  detail::destroyed_with_waiters("Once", lock_, runtime_id_.load(std::memory_order_relaxed), queues,
                                 1);
}

/// In the goroutine that had the turn. If it was cancelled the first waiter has it now.
void Once::finish(bool canceled) noexcept {
  detail::WaitNode* next = nullptr;
  detail::WakeList wake;
  {
    detail::SpinGuard guard(lock_);
    if (canceled) {
      next = waiters_.pop_claimed();
      if (next != nullptr) {
        next->ok = true;
        wake.push(*next);
      } else {
        state_.store(State::idle, std::memory_order_relaxed);
      }
    } else {
      while (detail::WaitNode* waiter = waiters_.pop_claimed()) wake.push(*waiter);
      state_.store(State::done, std::memory_order_release);
    }
  }
  wake.complete_all();
}

namespace detail {

void OnceCase::check_runtime() {
  if (once_->runtime_id_.load(std::memory_order_relaxed) != node.g->runtime_id) [[unlikely]]
    once_->bind(node.g->runtime_id);
}

bool OnceCase::try_take() {
  check_runtime();
  SpinGuard guard(once_->lock_);
  Once::State state = once_->state_.load(std::memory_order_relaxed);
  if (state == Once::State::running) return false;
  node.ok = state == Once::State::idle;
  if (node.ok) once_->state_.store(Once::State::running, std::memory_order_relaxed);
  return true;
}

Enlist OnceCase::enlist() {
  SpinGuard guard(once_->lock_);
  Once::State state = once_->state_.load(std::memory_order_relaxed);
  if (state == Once::State::running) {
    once_->waiters_.push_back(node);
    return Enlist::waiting;
  }
  if (!claim_self()) return Enlist::lost;
  node.ok = state == Once::State::idle;
  if (node.ok) once_->state_.store(Once::State::running, std::memory_order_relaxed);
  return Enlist::taken;
}

void OnceCase::withdraw() noexcept {
  SpinGuard guard(once_->lock_);
  if (node.linked.load(std::memory_order_relaxed)) once_->waiters_.remove(node);
}

bool OnceCase::looks_ready() {
  check_runtime();
  SpinGuard guard(once_->lock_);
  return once_->state_.load(std::memory_order_relaxed) != Once::State::running;
}

}  // namespace detail
}  // namespace ringo
