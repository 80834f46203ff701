// Checks of locks: who holds which, who waits for which, in which order they are taken.
//
// Everything is kept in one table beside the locks, whose layout is the same with and without
// checks, and is touched only while checks are on. A wrong report would be worse than none, so:
//
//   * A holder stands in the table only while it really holds the lock: it is entered after the
//     lock was taken and taken out before it is given back. In between others find no holder.
//   * Who holds is known as long as the guard is where lock() put it. Moved or released, it may be
//     in anybody's hands, and the lock counts as held by nobody.
//   * Who waits is entered before it is queued, and taken out before it is made ready; a wait that
//     was ended by cancellation is told by the claim word. So a goroutine found waiting waits.
//   * A wait with alternatives (a select, a timeout) is no wait here, nor is try_lock().
//   * What reports tell of other goroutines was copied by those, or while nobody could run them.
//
// The table's mutex is a leaf: nothing of ringo is called or locked under it.
#pragma once

#include <cstdint>

#include <ringo/detail/goroutine.hpp>
#include <ringo/detail/lock_check.hpp>
#include <ringo/detail/wait.hpp>

namespace ringo::detail {

class Worker;

enum class LockKind : std::uint8_t { mutex, shared_mutex };

/// A lock as it is used once. Its address is its name, nothing is read there.
struct LockUse {
  const void* lock;
  LockKind kind;
  bool shared;
};

// --- by the locks, while checks are on

/// g holds it from now on; null: a plain thread. It took it at once by a lock() without
/// alternatives (`ordered`), or otherwise, or it was handed over and g is not made ready yet.
void lock_taken(const LockUse& use, Goroutine* g, bool ordered) noexcept;

/// It is about to be given back, by whomever.
void lock_given_back(const void* lock, bool shared) noexcept;

/// node.g, which runs, cannot have it and is about to be queued.
void lock_awaited(const LockUse& use, const WaitNode& node) noexcept;

/// Does g count as the one that holds it for itself alone?
bool lock_is_held_by(const void* lock, const Goroutine* g) noexcept;

/// node.g, which runs, is about to wait for the end of `joined`.
void join_awaited(const Goroutine& joined, const WaitNode& node) noexcept;

/// g does not wait any more, and is about to run (g->lock_waits was set).
void lock_wait_is_over(Goroutine& g) noexcept;

// --- by the runtime

/// Checks are on while at least one of these lives that wants them. With the last one all that is
/// known is forgotten, and with each one what concerns the goroutines of its runtime.
class LockCheckScope {
 public:
  LockCheckScope(std::uint32_t runtime_id, bool wanted) noexcept;
  LockCheckScope(const LockCheckScope&) = delete;
  LockCheckScope& operator=(const LockCheckScope&) = delete;
  ~LockCheckScope();

 private:
  const std::uint32_t runtime_id_;
  const bool wanted_;
};

/// Where neither the program nor RINGO_CHECK_LOCKS decides: on in debug builds of the library, and
/// where libringo_locks.so is preloaded, which nobody does for nothing; off under
/// ThreadSanitizer, from which the table's mutex would hide races.
bool checks_locks_by_default() noexcept;

// --- locks of the C library (lib/runtime/held_mutex.cpp)

/// How many pthread mutexes this thread has locked and not unlocked; 0 if libringo_locks.so is not
/// in this process.
int held_mutexes() noexcept;
/// Is it there?
bool mutexes_are_counted() noexcept;

/// Is this the first report about that place? Until the last LockCheckScope ends.
bool first_report_of(const char* file, unsigned line) noexcept;

}  // namespace ringo::detail
