// A spin lock that costs two plain stores where only one worker thread exists.
#pragma once

#include <atomic>

namespace ringo::detail {

/// Number of live runtimes with more than one worker. State of a runtime is touched by its workers
/// only (everybody else posts to an inbox), so while this is 0 no lock is ever contended. It is
/// raised before the workers' threads start and lowered after they have ended.
extern std::atomic<int> threaded_runtimes;

inline bool threaded() noexcept { return threaded_runtimes.load(std::memory_order_relaxed) != 0; }

inline void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class SpinLock {
 public:
  SpinLock() = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void lock() noexcept {
    if (!threaded()) return;
    if (locked_.exchange(true, std::memory_order_acquire)) lock_slow();
  }

  bool try_lock() noexcept {
    return !threaded() || !locked_.exchange(true, std::memory_order_acquire);
  }

  // Always a store: another runtime may have started or ended since lock().
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

 private:
  void lock_slow() noexcept;

  std::atomic<bool> locked_{false};
};

/// Holds a SpinLock for a scope.
class SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) noexcept : lock_(lock) { lock_.lock(); }
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

}  // namespace ringo::detail
