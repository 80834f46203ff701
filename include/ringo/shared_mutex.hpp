// SharedMutex: many readers or one writer.
#pragma once

#include <atomic>
#include <cstdint>

#include <ringo/detail/lock_check.hpp>
#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/lock_guard.hpp>

namespace ringo {

class SharedMutex;

namespace detail {

template <bool shared>
class SharedMutexCase;

/// `mu.lock()` or `mu.lock_shared()`, not yet started.
template <bool shared>
class [[nodiscard("co_await it")]] SharedMutexOp {
 public:
  using Case = SharedMutexCase<shared>;
  explicit SharedMutexOp(SharedMutex & mutex) noexcept : mutex_(&mutex) {}

 private:
  friend Case;
  SharedMutex* mutex_;
};

class SharedMutexCaseBase;

}  // namespace detail

/// Held by one writer or by any number of readers, across waits if need be (Go's sync.RWMutex):
///
///     auto guard = co_await mu.lock_shared();
///
/// Nobody starves: a waiting writer keeps new readers out (RW-02), so a goroutine that locks shared
/// twice can wait for itself; and a writer that unlocks lets in all readers that wait by then,
/// before the next writer (RW-03). Writers come in their order. There is no upgrade and no
/// downgrade (RW-04).
///
/// Destruction, runtimes and plain threads as for Mutex. Not copyable, not movable.
class SharedMutex {
 public:
  using Guard = LockGuard<SharedMutex>;
  using SharedGuard = LockGuard<SharedMutex, true>;

  SharedMutex() noexcept = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;
  ~SharedMutex() {
    if (!writers_.empty() || !readers_.empty()) [[unlikely]]
      destroyed();
    if (detail::checks_locks()) [[unlikely]]
      detail::lock_destroyed(this);
  }

  /// Locks for writing and yields a Guard. Suspends while anybody holds it. Also a case of
  /// select_any: one that loses does not hold the lock, and readers it kept out go in. Cancellable,
  /// likewise. Throws Panic if another live runtime uses this mutex.
  detail::SharedMutexOp<false> lock() noexcept { return detail::SharedMutexOp<false>(*this); }

  /// Locks for reading and yields a SharedGuard. Suspends while a writer holds it or waits.
  /// Otherwise as lock().
  detail::SharedMutexOp<true> lock_shared() noexcept { return detail::SharedMutexOp<true>(*this); }

  /// Lock if that is possible at once; otherwise the guard is empty. try_lock_shared() fails while
  /// a writer waits. Do not suspend.
  Guard try_lock();
  SharedGuard try_lock_shared();

  /// Unlock, by any goroutine, for a guard that was released. Fatal errors "sync: Unlock of
  /// unlocked RWMutex" if no writer holds it, and "sync: RUnlock of unlocked RWMutex" if no reader
  /// does (MU-03). Do not suspend.
  void unlock() noexcept;
  void unlock_shared() noexcept;

 private:
  friend class detail::SharedMutexCaseBase;

  bool can_take(bool shared, detail::WakeList& wake) noexcept;
  void take_locked(bool shared) noexcept;
  bool take(bool shared) noexcept;
  void give_back(bool shared) noexcept;
  void unlock_any(bool shared) noexcept;
  void writer_left(detail::WakeList& wake) noexcept;
  bool admit_writer(detail::WakeList& wake) noexcept;
  void admit_readers(detail::WakeList& wake) noexcept;
  template <class F>
  void at_home(F&& call);
  void bind(std::uint32_t runtime_id);
  void forget() noexcept;
  void destroyed() noexcept;

  // Everything under the lock, as in Mutex. While nobody holds it nobody waits; and readers wait
  // only while a writer holds it or waits.
  detail::SpinLock lock_;
  bool writing_ = false;
  std::atomic<std::uint32_t> runtime_id_{0};
  std::uint64_t reading_ = 0;
  detail::WaitQueue writers_;  // touched only by goroutines of runtime_id_
  detail::WaitQueue readers_;
};

namespace detail {

/// One lock() or lock_shared() under way. node.ok: it holds the lock, and no guard does yet.
class SharedMutexCaseBase : public CaseBase {
 public:
  bool try_take() final;
  Enlist enlist() final;
  void withdraw() noexcept final;
  bool looks_ready() final;

 protected:
  SharedMutexCaseBase(SharedMutex& mutex, bool shared) noexcept : mutex_(&mutex), shared_(shared) {}
  ~SharedMutexCaseBase() {
    if (node.ok) [[unlikely]]
      give_back();
  }

  void check_runtime();
  void give_back() noexcept;

  SharedMutex* mutex_;
  bool shared_;
};

template <bool shared>
class SharedMutexCase final : public SharedMutexCaseBase {
 public:
  static constexpr bool is_held = true;
  explicit SharedMutexCase(SharedMutexOp<shared> op) noexcept
      : SharedMutexCaseBase(*op.mutex_, shared) {}
  WaitReason reason() const noexcept {
    return shared ? WaitReason::shared_mutex_lock_shared : WaitReason::shared_mutex_lock;
  }
  LockGuard<SharedMutex, shared> result() noexcept {
    node.ok = false;
    return LockGuard<SharedMutex, shared>(*mutex_);
  }
};

}  // namespace detail
}  // namespace ringo
