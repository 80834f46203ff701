// Mutex: one goroutine at a time.
#pragma once

#include <atomic>
#include <cstdint>

#include <ringo/detail/lock_check.hpp>
#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/lock_guard.hpp>

namespace ringo {

class Mutex;

namespace detail {

class MutexCase;

/// `mu.lock()`, not yet started.
class [[nodiscard("co_await it")]] MutexOp {
 public:
  using Case = MutexCase;
  struct Early {};
  explicit MutexOp(Mutex & mutex) noexcept : mutex_(&mutex) {}
  bool try_now(Goroutine * g, Early&);
  LockGuard<Mutex> result_of(Early&) noexcept;

 private:
  friend Case;
  Mutex* mutex_;
};

}  // namespace detail

/// A lock that a goroutine may hold across waits (Go's sync.Mutex):
///
///     auto guard = co_await mu.lock();
///
/// Waiters get it in the order in which they came. unlock() wakes the first one; a goroutine that
/// runs may lock it before that one comes to run (MU-04: or else each unlock would have to wait for
/// a change of goroutines). It is overtaken so in one turn only: the next unlock() hands it over, so
/// nobody starves (MU-05). Not recursive: a goroutine that locks twice waits for itself (MU-02).
/// What was done before an unlock is visible after the next lock (MU-07).
///
/// Whoever has locked it may destroy it at once after unlocking, if nobody else uses it any more:
/// the unlock that came before does not touch it again. Destroying it while goroutines wait is a
/// fatal error. One that was locked when its runtime ended stays locked. Not copyable, not movable.
///
/// For the goroutines of one runtime; try_lock() and unlock() also for plain threads, on whose
/// behalf a worker carries them out while a runtime uses it.
class Mutex {
 public:
  using Guard = LockGuard<Mutex>;

  Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  ~Mutex() {
    if (!waiters_.empty() || turn_ == Turn::woken) [[unlikely]]
      destroyed();
    if (detail::checks_locks()) [[unlikely]]
      detail::lock_destroyed(this);
  }

  /// Locks and yields a Guard: `auto guard = co_await mu.lock()`; without co_await nothing is
  /// locked, without a name for the guard it is unlocked at once. Suspends while another one holds
  /// it. Also a case of select_any: one that loses does not hold the lock. Cancellable: it is not
  /// held then. Throws Panic if another live runtime uses this mutex.
  detail::MutexOp lock() noexcept { return detail::MutexOp(*this); }

  /// Locks if nobody holds it; otherwise the Guard is empty. Does not suspend.
  Guard try_lock();

  /// Unlocks. By any goroutine, not only the one that locked (MU-01), for a guard that was
  /// released: `(co_await mu.lock()).release()` is Go's Lock. A fatal error "sync: unlock of
  /// unlocked mutex" if nobody holds it (MU-03). Does not suspend.
  void unlock() noexcept;

 private:
  friend class detail::MutexOp;
  friend class detail::MutexCase;

  void check_runtime(const detail::Goroutine* g) {
    if (runtime_id_.load(std::memory_order_relaxed) != g->runtime_id) [[unlikely]]
      bind(g->runtime_id);
  }
  /// By that goroutine; of_select as in WaitNode.
  bool take_for(detail::Goroutine* g, bool of_select) {
    check_runtime(g);
    const bool taken = take();
    if (taken && detail::checks_locks()) [[unlikely]]
      note_taken(g, of_select);
    return taken;
  }
  bool take() noexcept {
    detail::SpinGuard guard(lock_);
    if (held_) return false;
    held_ = true;
    return true;
  }
  /// What becomes of the first waiter. `woken`: it has left the queue to lock when it runs, and
  /// until then nobody else is woken. `owed`: it did so in vain, and is in front again.
  enum class Turn : std::uint8_t { none, woken, owed };

  template <bool checked>
  void unlock_here() noexcept;
  template <bool checked>
  void unlock_locked() noexcept;
  detail::WaitNode* next_turn() noexcept;
  template <bool checked>
  void give_turn(detail::WaitNode& next) noexcept;
  bool take_turn(detail::MutexCase& woken) noexcept;
  void pass_on() noexcept;
  void forget_waiters() noexcept;
  [[gnu::cold]] void unlock_checked() noexcept;
  template <bool checked>
  [[gnu::cold, gnu::noinline]] void unlock_afar() noexcept;
  [[gnu::cold]] void note_taken(detail::Goroutine* g, bool of_select) const noexcept;
  void bind(std::uint32_t runtime_id);
  void destroyed() noexcept;

  // Everything under the lock; dropping it is the last touch of whoever changed something, and
  // everybody looks at the mutex under it.
  detail::SpinLock lock_;
  bool held_ = false;  // by a goroutine that runs or will, and is to unlock
  Turn turn_ = Turn::none;  // never `none` if somebody waits and nobody holds it
  std::atomic<std::uint32_t> runtime_id_{0};
  detail::WaitQueue waiters_;  // touched only by goroutines of runtime_id_
};

namespace detail {

inline bool MutexOp::try_now(Goroutine* g, Early&) { return mutex_->take_for(g, false); }
inline Mutex::Guard MutexOp::result_of(Early&) noexcept { return Mutex::Guard(*mutex_); }

/// One lock() under way. node.ok: it holds the mutex, and no guard does yet. woken_: it has its
/// turn, which is the next one's if it does not lock.
class MutexCase : public CaseBase {
 public:
  static constexpr bool is_held = true;
  explicit MutexCase(MutexOp op) noexcept : mutex_(op.mutex_) {}
  ~MutexCase() {
    if (node.ok) [[unlikely]]
      mutex_->unlock();
    if (woken_) [[unlikely]]
      mutex_->pass_on();
  }
  bool try_take() final {
    node.ok = woken_ ? mutex_->take_turn(*this) : mutex_->take_for(node.g, node.of_select);
    return node.ok;
  }
  Enlist enlist() final;
  void withdraw() noexcept final;
  bool looks_ready() final;
  WaitReason reason() const noexcept { return WaitReason::mutex_lock; }
  Mutex::Guard result() noexcept {
    node.ok = false;
    return Mutex::Guard(*mutex_);
  }

 private:
  friend Mutex;
  Mutex* mutex_;
  bool woken_ = false;
};

}  // namespace detail
}  // namespace ringo
