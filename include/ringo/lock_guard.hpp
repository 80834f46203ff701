// LockGuard: holds a Mutex or a SharedMutex for a scope.
#pragma once

#include <utility>

#include <ringo/detail/lock_check.hpp>

namespace ringo {

namespace detail {
[[noreturn]] void unlock_of_empty_guard() noexcept;
}

/// Holds a lock and gives it back when it goes out of scope: what `co_await mu.lock()` yields.
/// `shared`: for the reading side of a SharedMutex. Move-only; may be empty. One goroutine at a
/// time uses it, not always the one that locked.
template <class L, bool shared = false>
class [[nodiscard("a guard that is dropped unlocks at once")]] LockGuard {
 public:
  LockGuard() noexcept = default;
  /// Takes over a lock that is held already.
  explicit LockGuard(L & held) noexcept : lock_(&held) {}
  LockGuard(LockGuard && other) noexcept : lock_(other.release()) {}
  LockGuard& operator=(LockGuard&& other) noexcept {
    L* taken = other.release();
    L* before = std::exchange(lock_, taken);
    if (before != nullptr) give_back(before);
    return *this;
  }
  ~LockGuard() {
    if (lock_ != nullptr) give_back(lock_);
  }

  bool owns_lock() const noexcept { return lock_ != nullptr; }
  explicit operator bool() const noexcept { return owns_lock(); }
  /// What it holds, or null.
  L* mutex() const noexcept { return lock_; }

  /// Unlocks now. A fatal error if it holds nothing.
  void unlock() noexcept {
    if (lock_ == nullptr) detail::unlock_of_empty_guard();
    give_back(std::exchange(lock_, nullptr));
  }

  /// Leaves the lock held, for somebody who will call unlock() (or unlock_shared()) of it.
  L* release() noexcept {
    if (detail::checks_locks() && lock_ != nullptr) [[unlikely]]
      detail::lock_disowned(lock_);
    return std::exchange(lock_, nullptr);
  }

 private:
  static void give_back(L * lock) noexcept {
    if constexpr (shared) {
      lock->unlock_shared();
    } else {
      lock->unlock();
    }
  }

  L* lock_ = nullptr;
};

}  // namespace ringo
