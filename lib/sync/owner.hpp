// Which runtime a lock belongs to, and how its calls get there.
//
// The state of a lock is touched by the workers of one runtime only: with a single worker they use
// no atomic operations at all (see spin_lock.hpp). A lock belongs to the runtime whose goroutine
// used it last; that is found out by comparing two numbers, in each call that comes from a
// goroutine. Calls of plain threads are carried out by a worker, or, while no runtime that used the
// lock lives, on the thread itself behind a process-wide mutex, so that they exclude each other and
// the moment at which a runtime takes the lock over.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/panic.hpp>

#include "runtime/external.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

/// Drops nodes at the front whose wait was ended elsewhere (another case won, or it was cancelled)
/// and which have not left yet, so that they are in nobody's way. Under the queue's lock. Their own
/// withdraw() finds nothing to do then: what it would have done for others is the caller's to do.
inline void drop_lost(WaitQueue& queue) noexcept {
  while (WaitNode* first = queue.front()) {
    if (first->seq == 0) return;
    std::uint64_t word = first->g->claim.load(std::memory_order_acquire);
    if ((word & ~claim_bits) == first->seq && (word & claim_claimed) == 0) return;
    queue.remove(*first);
  }
}

/// This is a worker's thread, of the runtime that owns the lock already.
inline bool at_home(const std::atomic<std::uint32_t>& owner) noexcept {
  const Worker* worker = Worker::current();
  return worker != nullptr && worker->runtime_id() == owner.load(std::memory_order_relaxed);
}

[[noreturn]] void throw_foreign(const char* type);

/// Makes runtime `id` the owner. Throws Panic naming `type` if another one owns it and lives.
/// Otherwise its waiters were abandoned with their runtime: `forget` drops them untouched.
template <class Forget>
void change_owner(std::atomic<std::uint32_t>& owner, SpinLock& lock, std::uint32_t id,
                  const char* type, Forget&& forget) {
  for (;;) {
    std::uint32_t before = owner.load(std::memory_order_relaxed);
    if (before == id) return;
    if (before != 0 && !runtime_is_gone(before)) throw_foreign(type);
    // Runtime 0 never lives: behind the mutex, here.
    bool done = false;
    auto take_over = [&] {
      SpinGuard guard(lock);
      if (owner.load(std::memory_order_relaxed) != before) return;
      forget();
      owner.store(id, std::memory_order_relaxed);
      done = true;
    };
    call_on_runtime(
        0, [](void* f) { (*static_cast<decltype(take_over)*>(f))(); }, &take_over);
    if (done) return;
  }
}

/// Carries out a call that is not at home: on a worker after its runtime was made the owner, from a
/// plain thread by a worker of the owner.
template <class Forget, class Call>
[[gnu::noinline, gnu::cold]] void call_from_afar(std::atomic<std::uint32_t>& owner, SpinLock& lock,
                                                 const char* type, Forget&& forget, Call&& call) {
  if (std::uint32_t here = current_runtime_id(); here != 0) {
    change_owner(owner, lock, here, type, forget);
    return call();
  }
  bool done = false;
  while (!done) {
    std::uint32_t id = owner.load(std::memory_order_relaxed);
    with_runtime_of(id, [&] {
      if (Worker::current() == nullptr) {
        // On the thread itself: unless a runtime has taken the lock over meanwhile. Whoever waits
        // was abandoned.
        if (owner.load(std::memory_order_relaxed) != id) return;
        forget();
      }
      done = true;
      call();
    });
  }
}

/// The same for calls that cannot throw: what would be a Panic is a fatal error.
template <class Forget, class Call>
[[gnu::noinline, gnu::cold]] void call_from_afar_or_die(std::atomic<std::uint32_t>& owner,
                                                        SpinLock& lock, const char* type,
                                                        Forget&& forget, Call&& call) noexcept {
  try {
    call_from_afar(owner, lock, type, forget, call);
  } catch (const Panic& misuse) { fatal(misuse.what()); }
}

/// The destructor of a lock found nodes in its queues. Nothing to do if they were abandoned with
/// their runtime, or have lost their wait and are on their way out. Goroutines that do wait make it
/// a fatal error naming the type and their number; while an exception unwinds the destroying
/// goroutine, which has a cause to report that must not be hidden, they are left waiting for ever,
/// with one line in the log. `woken` others have left the queue to lock as soon as they run; them
/// nobody can hold up, and so it is fatal in any case.
void destroyed_with_waiters(const char* type, SpinLock& lock, std::uint32_t owner,
                            WaitQueue* const* queues, std::size_t count,
                            std::size_t woken = 0) noexcept;

}  // namespace ringo::detail
