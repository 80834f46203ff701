// Semaphore: a number of tokens to go round.
#pragma once

#include <atomic>
#include <cstdint>

#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait.hpp>

namespace ringo {

class Semaphore;

namespace detail {

class SemaphoreCase;

/// `sem.acquire(n)`, not yet started.
class [[nodiscard("co_await it")]] SemaphoreOp {
 public:
  using Case = SemaphoreCase;
  SemaphoreOp(Semaphore & semaphore, std::int64_t n) noexcept : semaphore_(&semaphore), n_(n) {}

 private:
  friend Case;
  Semaphore* semaphore_;
  std::int64_t n_;
};

}  // namespace detail

/// Limits how much goes on at once: `size` tokens, of which each taker holds some (Go's
/// golang.org/x/sync/semaphore.Weighted):
///
///     co_await slots.acquire(2);
///     Defer give_back{[&] { slots.release(2); }};
///
/// First come, first served: a large request that waits keeps later ones waiting, even if there
/// are tokens for them, so that it does not starve (SM-01).
///
/// Destruction, runtimes and plain threads as for Mutex. Not copyable, not movable.
class Semaphore {
 public:
  /// Throws Panic if size is negative.
  explicit Semaphore(std::int64_t size);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  ~Semaphore() {
    if (!waiters_.empty()) [[unlikely]]
      destroyed();
  }

  /// Takes n tokens: `co_await sem.acquire(n)`. Suspends until there are n and nobody is before it.
  /// More than size() waits for ever, and keeps nobody else waiting (SM-03). Also a case of
  /// select_any. Cancellable. One that loses or is cancelled holds nothing and has left its place,
  /// whoever it kept waiting goes on (SM-02). Throws Panic if n is negative, and when awaited if
  /// another live runtime uses this semaphore.
  detail::SemaphoreOp acquire(std::int64_t n = 1);

  /// Takes n tokens if there are n and nobody waits; otherwise returns false. Does not suspend.
  bool try_acquire(std::int64_t n = 1);

  /// Gives n tokens back, by any goroutine. Throws Panic "semaphore: released more than held" and
  /// changes nothing if fewer are held (SM-03). Does not suspend.
  void release(std::int64_t n = 1);

  std::int64_t size() const noexcept { return size_; }

 private:
  friend class detail::SemaphoreCase;

  bool can_take(std::int64_t n, detail::WakeList& wake) noexcept;
  bool take(std::int64_t n) noexcept;
  void release_here(std::int64_t n);
  void serve(detail::WakeList& wake) noexcept;
  template <class F>
  void at_home(F&& call);
  void bind(std::uint32_t runtime_id);
  void destroyed() noexcept;

  // Everything but size_ under the lock, as in Mutex. The first waiter wants more than is free.
  detail::SpinLock lock_;
  std::atomic<std::uint32_t> runtime_id_{0};
  std::int64_t free_;
  const std::int64_t size_;
  detail::WaitQueue waiters_;  // touched only by goroutines of runtime_id_
};

namespace detail {

/// One acquire() under way. node.slot leads to n_; node.ok: it holds tokens that the goroutine does
/// not know of yet.
class SemaphoreCase final : public CaseBase {
 public:
  static constexpr bool is_held = true;
  explicit SemaphoreCase(SemaphoreOp op) noexcept : semaphore_(op.semaphore_), n_(op.n_) {
    node.slot = &n_;
  }
  ~SemaphoreCase() {
    if (node.ok) [[unlikely]]
      semaphore_->release(n_);
  }
  bool try_take() override;
  Enlist enlist() override;
  void withdraw() noexcept override;
  bool looks_ready() override;
  WaitReason reason() const noexcept { return WaitReason::semaphore_acquire; }
  void result() noexcept { node.ok = false; }

 private:
  void check_runtime();

  Semaphore* semaphore_;
  std::int64_t n_;
};

}  // namespace detail
}  // namespace ringo
