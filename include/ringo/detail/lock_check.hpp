// Checks of locks (Options::check_locks), as far as inline code takes part in them.
#pragma once

#include <atomic>

namespace ringo::detail {

/// Are locks checked? One for the process, so that locks need not know their runtime to ask.
extern std::atomic<bool> lock_checks;

inline bool checks_locks() noexcept { return lock_checks.load(std::memory_order_relaxed); }

/// A guard of the lock has moved or let go: who will unlock is not known any more, so that from now
/// on nobody counts as the holder. Only while locks are checked.
[[gnu::cold]] void lock_disowned(const void* lock) noexcept;

/// The lock is gone; another one may lie at its address. Only while locks are checked.
[[gnu::cold]] void lock_destroyed(const void* lock) noexcept;

}  // namespace ringo::detail
