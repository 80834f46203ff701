#include <ringo/shared_mutex.hpp>

#include <ringo/panic.hpp>

#include "runtime/lock_check.hpp"
#include "sync/owner.hpp"

namespace ringo {

namespace {

detail::LockUse use_of(const SharedMutex* mutex, bool shared) noexcept {
  return {mutex, detail::LockKind::shared_mutex, shared};
}

/// It was handed over to that waiter, who is not made ready yet.
void note_admitted(const SharedMutex* mutex, bool shared, const detail::WaitNode& waiter) noexcept {
  if (detail::checks_locks()) [[unlikely]]
    detail::lock_taken(use_of(mutex, shared), waiter.g, false);
}

}  // namespace

void SharedMutex::forget() noexcept {
  writers_.forget();
  readers_.forget();
}

void SharedMutex::bind(std::uint32_t runtime_id) {
  detail::change_owner(runtime_id_, lock_, runtime_id, "SharedMutex", [this] { forget(); });
}

void SharedMutex::destroyed() noexcept {
  detail::WaitQueue* queues[] = {&writers_, &readers_};
  detail::destroyed_with_waiters("SharedMutex", lock_, runtime_id_.load(std::memory_order_relaxed),
                                 queues, 2);
}

template <class F>
void SharedMutex::at_home(F&& call) {
  if (detail::at_home(runtime_id_)) [[likely]]
    return call();
  detail::call_from_afar(
      runtime_id_, lock_, "SharedMutex", [this] { forget(); }, call);
}

// --- taking and giving back ---------------------------------------------------------------------

/// Under the lock: nobody holds it who excludes us, and no writer waits whom we would overtake?
bool SharedMutex::can_take(bool shared, detail::WakeList& wake) noexcept {
  if (writing_) return false;
  if (!shared) return reading_ == 0;
  if (!writers_.empty()) [[unlikely]]
    writer_left(wake);
  return writers_.empty();
}

void SharedMutex::take_locked(bool shared) noexcept {
  if (shared) {
    ++reading_;
  } else {
    writing_ = true;
  }
}

bool SharedMutex::take(bool shared) noexcept {
  detail::WakeList wake;
  bool taken = false;
  {
    detail::SpinGuard guard(lock_);
    taken = can_take(shared, wake);
    if (taken) take_locked(shared);
  }
  wake.complete_all();
  return taken;
}

/// Under the lock, when a waiting writer may have left: if it was the last one, the readers it kept
/// out go in.
void SharedMutex::writer_left(detail::WakeList& wake) noexcept {
  detail::drop_lost(writers_);
  if (!writing_ && writers_.empty()) admit_readers(wake);
}

bool SharedMutex::admit_writer(detail::WakeList& wake) noexcept {
  detail::WaitNode* writer = writers_.pop_claimed();
  if (writer == nullptr) return false;
  writing_ = true;
  writer->ok = true;
  note_admitted(this, false, *writer);
  wake.push(*writer);
  return true;
}

void SharedMutex::admit_readers(detail::WakeList& wake) noexcept {
  while (detail::WaitNode* reader = readers_.pop_claimed()) {
    ++reading_;
    reader->ok = true;
    note_admitted(this, true, *reader);
    wake.push(*reader);
  }
}

void SharedMutex::give_back(bool shared) noexcept {
  if (detail::checks_locks()) [[unlikely]]
    detail::lock_given_back(this, shared);
  detail::WakeList wake;
  bool held = false;
  {
    detail::SpinGuard guard(lock_);
    held = shared ? reading_ != 0 : writing_;
    if (held) {
      if (shared) {
        // Readers that wait here wait behind a writer, unless all of those have left.
        if (--reading_ == 0 && !admit_writer(wake)) admit_readers(wake);
      } else {
        writing_ = false;
        admit_readers(wake);
        if (reading_ == 0) admit_writer(wake);
      }
    }
  }
  if (!held) {
    detail::fatal(shared ? "sync: RUnlock of unlocked RWMutex"
                         : "sync: Unlock of unlocked RWMutex");
  }
  wake.complete_all();
}

SharedMutex::Guard SharedMutex::try_lock() {
  bool taken = false;
  at_home([&] { taken = take(false); });
  if (taken && detail::checks_locks()) [[unlikely]]
    detail::lock_taken(use_of(this, false), detail::current_goroutine(), false);
  return taken ? Guard(*this) : Guard();
}

SharedMutex::SharedGuard SharedMutex::try_lock_shared() {
  bool taken = false;
  at_home([&] { taken = take(true); });
  if (taken && detail::checks_locks()) [[unlikely]]
    detail::lock_taken(use_of(this, true), detail::current_goroutine(), false);
  return taken ? SharedGuard(*this) : SharedGuard();
}

void SharedMutex::unlock_any(bool shared) noexcept {
  if (detail::at_home(runtime_id_)) [[likely]]
    return give_back(shared);
  detail::call_from_afar_or_die(
      runtime_id_, lock_, "SharedMutex", [this] { forget(); }, [&] { give_back(shared); });
}

void SharedMutex::unlock() noexcept { unlock_any(false); }
void SharedMutex::unlock_shared() noexcept { unlock_any(true); }

// --- one case of a wait -------------------------------------------------------------------------

namespace detail {

void SharedMutexCaseBase::check_runtime() {
  if (mutex_->runtime_id_.load(std::memory_order_relaxed) != node.g->runtime_id) [[unlikely]]
    mutex_->bind(node.g->runtime_id);
}

void SharedMutexCaseBase::give_back() noexcept { mutex_->unlock_any(shared_); }

bool SharedMutexCaseBase::try_take() {
  check_runtime();
  node.ok = mutex_->take(shared_);
  if (node.ok && checks_locks()) [[unlikely]]
    lock_taken(use_of(mutex_, shared_), node.g, !node.of_select);
  return node.ok;
}

Enlist SharedMutexCaseBase::enlist() {
  const bool checked = checks_locks();
  if (checked && !node.of_select) [[unlikely]]
    lock_awaited(use_of(mutex_, shared_), node);
  WakeList wake;
  Enlist done = Enlist::waiting;
  {
    SpinGuard guard(mutex_->lock_);
    if (!mutex_->can_take(shared_, wake)) {
      (shared_ ? mutex_->readers_ : mutex_->writers_).push_back(node);
    } else if (!claim_self()) {
      done = Enlist::lost;
    } else {
      mutex_->take_locked(shared_);
      node.ok = true;
      done = Enlist::taken;
    }
  }
  if (checked && done == Enlist::taken) [[unlikely]]
    lock_taken(use_of(mutex_, shared_), node.g, false);
  wake.complete_all();
  return done;
}

void SharedMutexCaseBase::withdraw() noexcept {
  WakeList wake;
  {
    SpinGuard guard(mutex_->lock_);
    if (!node.linked.load(std::memory_order_relaxed)) return;
    if (shared_) {
      mutex_->readers_.remove(node);
    } else {
      mutex_->writers_.remove(node);
      mutex_->writer_left(wake);
    }
  }
  wake.complete_all();
}

bool SharedMutexCaseBase::looks_ready() {
  check_runtime();
  WakeList wake;
  bool ready = false;
  {
    SpinGuard guard(mutex_->lock_);
    ready = mutex_->can_take(shared_, wake);
  }
  wake.complete_all();
  return ready;
}

}  // namespace detail
}  // namespace ringo
