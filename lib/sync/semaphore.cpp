#include <ringo/semaphore.hpp>

#include <ringo/panic.hpp>

#include "sync/owner.hpp"

namespace ringo {

Semaphore::Semaphore(std::int64_t size) : free_(size), size_(size) {
  if (size < 0) panic("semaphore: negative size");
}

void Semaphore::bind(std::uint32_t runtime_id) {
  detail::change_owner(runtime_id_, lock_, runtime_id, "Semaphore", [this] { waiters_.forget(); });
}

void Semaphore::destroyed() noexcept {
  detail::WaitQueue* queues[] = {&waiters_};
  detail::destroyed_with_waiters("Semaphore", lock_, runtime_id_.load(std::memory_order_relaxed),
                                 queues, 1);
}

template <class F>
void Semaphore::at_home(F&& call) {
  if (detail::at_home(runtime_id_)) [[likely]]
    return call();
  detail::call_from_afar(
      runtime_id_, lock_, "Semaphore", [this] { waiters_.forget(); }, call);
}

/// Under the lock, after something was given back or the first waiter has left: serves waiters in
/// their order, up to the first one that wants more than there is.
void Semaphore::serve(detail::WakeList& wake) noexcept {
  for (;;) {
    detail::drop_lost(waiters_);
    detail::WaitNode* first = waiters_.front();
    if (first == nullptr) return;
    // A linked node may be read under the lock.
    std::int64_t wanted = *static_cast<std::int64_t*>(first->slot);
    if (wanted > free_) return;
    bool claimed = first->seq == 0 || detail::try_claim(first->g, first->seq);
    waiters_.remove(*first);
    if (!claimed) continue;
    free_ -= wanted;
    first->ok = true;
    wake.push(*first);
  }
}

/// Under the lock: are there n, and nobody before?
bool Semaphore::can_take(std::int64_t n, detail::WakeList& wake) noexcept {
  if (!waiters_.empty()) [[unlikely]]
    serve(wake);
  return n <= free_ && waiters_.empty();
}

bool Semaphore::take(std::int64_t n) noexcept {
  detail::WakeList wake;
  bool taken = false;
  {
    detail::SpinGuard guard(lock_);
    taken = can_take(n, wake);
    if (taken) free_ -= n;
  }
  wake.complete_all();
  return taken;
}

void Semaphore::release_here(std::int64_t n) {
  detail::WakeList wake;
  bool too_many = false;
  {
    detail::SpinGuard guard(lock_);
    too_many = n > size_ - free_;
    if (!too_many) {
      free_ += n;
      serve(wake);
    }
  }
  if (too_many) panic("semaphore: released more than held");
  wake.complete_all();
}

detail::SemaphoreOp Semaphore::acquire(std::int64_t n) {
  if (n < 0) panic("semaphore: negative number of tokens");
  return detail::SemaphoreOp(*this, n);
}

bool Semaphore::try_acquire(std::int64_t n) {
  if (n < 0) panic("semaphore: negative number of tokens");
  bool taken = false;
  at_home([&] { taken = take(n); });
  return taken;
}

void Semaphore::release(std::int64_t n) {
  if (n < 0) panic("semaphore: negative number of tokens");
  at_home([&] { release_here(n); });
}

// --- one case of a wait -------------------------------------------------------------------------

namespace detail {

void SemaphoreCase::check_runtime() {
  if (semaphore_->runtime_id_.load(std::memory_order_relaxed) != node.g->runtime_id) [[unlikely]]
    semaphore_->bind(node.g->runtime_id);
}

bool SemaphoreCase::try_take() {
  check_runtime();
  return node.ok = semaphore_->take(n_);
}

Enlist SemaphoreCase::enlist() {
  WakeList wake;
  Enlist done = Enlist::waiting;
  {
    SpinGuard guard(semaphore_->lock_);
    if (!semaphore_->can_take(n_, wake)) {
      // More than there will ever be: in no queue, so in nobody's way.
      if (n_ <= semaphore_->size_) semaphore_->waiters_.push_back(node);
    } else if (!claim_self()) {
      done = Enlist::lost;
    } else {
      semaphore_->free_ -= n_;
      node.ok = true;
      done = Enlist::taken;
    }
  }
  wake.complete_all();
  return done;
}

void SemaphoreCase::withdraw() noexcept {
  WakeList wake;
  {
    SpinGuard guard(semaphore_->lock_);
    if (!node.linked.load(std::memory_order_relaxed)) return;
    bool was_first = semaphore_->waiters_.front() == &node;
    semaphore_->waiters_.remove(node);
    if (was_first) semaphore_->serve(wake);
  }
  wake.complete_all();
}

bool SemaphoreCase::looks_ready() {
  check_runtime();
  WakeList wake;
  bool ready = false;
  {
    SpinGuard guard(semaphore_->lock_);
    ready = semaphore_->can_take(n_, wake);
  }
  wake.complete_all();
  return ready;
}

}  // namespace detail
}  // namespace ringo
