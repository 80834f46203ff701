#include <ringo/wait_group.hpp>

#include <ringo/panic.hpp>

#include "sync/owner.hpp"

namespace ringo {

void WaitGroup::bind(std::uint32_t runtime_id) {
  detail::change_owner(runtime_id_, lock_, runtime_id, "WaitGroup", [this] { waiters_.forget(); });
}

void WaitGroup::destroyed() noexcept {
  detail::WaitQueue* queues[] = {&waiters_};
  detail::destroyed_with_waiters("WaitGroup", lock_, runtime_id_.load(std::memory_order_relaxed),
                                 queues, 1);
}

void WaitGroup::add(std::int64_t n) {
  if (detail::at_home(runtime_id_)) [[likely]]
    return add_here(n);
  detail::call_from_afar(
      runtime_id_, lock_, "WaitGroup", [this] { waiters_.forget(); }, [&] { add_here(n); });
}

void WaitGroup::add_here(std::int64_t n) {
  detail::WakeList wake;
  std::int64_t count = 0;
  bool negative = false;
  {
    detail::SpinGuard guard(lock_);
    negative = __builtin_add_overflow(count_, n, &count) || count < 0;
    if (!negative) {
      count_ = count;
      if (count == 0) {
        while (detail::WaitNode* waiter = waiters_.pop_claimed()) wake.push(*waiter);
      }
    }
  }
  if (negative) [[unlikely]]
    panic("sync: negative WaitGroup counter");
  if (count == 0) wake.complete_all();
}

namespace detail {

bool WaitGroupCase::looks_ready() {
  if (group_->runtime_id_.load(std::memory_order_relaxed) != node.g->runtime_id) [[unlikely]]
    group_->bind(node.g->runtime_id);
  SpinGuard guard(group_->lock_);
  return group_->count_ == 0;
}

Enlist WaitGroupCase::enlist() {
  SpinGuard guard(group_->lock_);
  if (group_->count_ == 0) return claim_self() ? Enlist::taken : Enlist::lost;
  group_->waiters_.push_back(node);
  return Enlist::waiting;
}

void WaitGroupCase::withdraw() noexcept {
  SpinGuard guard(group_->lock_);
  if (node.linked.load(std::memory_order_relaxed)) group_->waiters_.remove(node);
}

void count_down(AtEnd& group) noexcept {
  try {
    static_cast<WaitGroup&>(group).done();
  } catch (const Panic& misuse) {
    // Somebody else called done() for this goroutine.
    fatal(misuse.what());
  }
}

}  // namespace detail
}  // namespace ringo
