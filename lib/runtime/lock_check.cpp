#include "runtime/lock_check.hpp"

#include <mutex>

#include "base/log.hpp"
#include "base/sanitizers.hpp"
#include "runtime/lock_table.hpp"

namespace ringo::detail {

std::atomic<bool> lock_checks{false};

namespace {

std::mutex table_mutex;
int scopes_that_want = 0;  // under it

// Never destroyed: locks with static storage are destroyed late.
LockTable& table() {
  static auto& instance = *new LockTable;
  return instance;
}

/// Runs f(table) under the mutex; what it finds is logged after it. Without memory for the table
/// something is not known, and not told.
template <class F>
void with_table(F&& f) noexcept {
  try {
    LockTable::Reports reports;
    {
      std::lock_guard guard(table_mutex);
      if (scopes_that_want == 0) return;
      f(table(), reports);
    }
    for (const std::string& text : reports) log_error(text);
  } catch (...) {
  }
}

}  // namespace

void lock_taken(const LockUse& use, Goroutine* g, bool ordered) noexcept {
  with_table([&](LockTable& table, auto& reports) { table.taken(use, g, ordered, reports); });
}

void lock_given_back(const void* lock, bool shared) noexcept {
  const Goroutine* by = current_goroutine();
  with_table([&](LockTable& table, auto&) { table.given_back(lock, shared, by); });
}

void lock_disowned(const void* lock) noexcept {
  const Goroutine* by = current_goroutine();
  with_table([&](LockTable& table, auto&) { table.disowned(lock, by); });
}

void lock_destroyed(const void* lock) noexcept {
  with_table([&](LockTable& table, auto&) { table.destroyed(lock); });
}

bool lock_is_held_by(const void* lock, const Goroutine* g) noexcept {
  bool held = false;
  with_table([&](LockTable& table, auto&) { held = table.is_held_by(lock, id_of(*g)); });
  return held;
}

void lock_awaited(const LockUse& use, const WaitNode& node) noexcept {
  with_table([&](LockTable& table, auto& reports) { table.awaited(use, node, reports); });
}

void join_awaited(const Goroutine& joined, const WaitNode& node) noexcept {
  with_table([&](LockTable& table, auto& reports) { table.join_awaited(joined, node, reports); });
}

void lock_wait_is_over(Goroutine& g) noexcept {
  with_table([&](LockTable& table, auto&) { table.wait_is_over(g); });
}

bool first_report_of(const char* file, unsigned line) noexcept {
  bool first = false;
  with_table([&](LockTable& table, auto&) { first = table.first_report_of(file, line); });
  return first;
}

LockCheckScope::LockCheckScope(std::uint32_t runtime_id, bool wanted) noexcept
    : runtime_id_(runtime_id), wanted_(wanted) {
  if (!wanted_) return;
  std::lock_guard guard(table_mutex);
  ++scopes_that_want;
  lock_checks.store(true, std::memory_order_relaxed);
}

LockCheckScope::~LockCheckScope() {
  std::lock_guard guard(table_mutex);
  if (wanted_ && --scopes_that_want == 0) {
    lock_checks.store(false, std::memory_order_relaxed);
    table().clear();
  } else if (scopes_that_want != 0) {
    table().runtime_ended(runtime_id_);
  }
}

bool checks_locks_by_default() noexcept {
#ifdef NDEBUG
  constexpr bool debug = false;
#else
  constexpr bool debug = true;
#endif
  return (debug && RINGO_TSAN == 0) || mutexes_are_counted();
}

}  // namespace ringo::detail
