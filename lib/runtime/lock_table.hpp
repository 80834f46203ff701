// The table behind lock_check.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/chain.hpp"
#include "runtime/lock_check.hpp"

namespace ringo::detail {

/// Runtime and number. Records are recycled, these are not.
using GoroutineId = std::pair<std::uint32_t, std::uint64_t>;

inline GoroutineId id_of(const Goroutine& g) noexcept { return {g.runtime_id, g.id}; }

struct Holding {
  GoroutineId who;
  bool shared = false;
  ChainCopy where;
};

/// What else was held.
struct Gate {
  const void* lock;
  bool shared;
};

/// A goroutine that locked one lock while it held another.
struct Witness {
  GoroutineId who;
  bool first_shared = false;
  bool second_shared = false;
  std::vector<Gate> gates;
  ChainCopy first;
  ChainCopy second;
};

struct Order {
  static constexpr std::size_t most = 4;  // witnesses; more would only say the same

  std::vector<Witness> witnesses;
  bool told = false;
};

struct LockEntry {
  LockKind kind = LockKind::mutex;
  bool told = false;  // a wait for it was part of a report
  std::size_t unknown_readers = 0;
  std::vector<Holding> holders;
  std::map<const void*, Order> then;  // what was locked while this was held
  std::set<const void*> before;       // whose `then` has this one
};

struct LockWait {
  Goroutine* g = nullptr;
  std::uint64_t seq = 0;  // as in its WaitNode
  bool shielded = false;
  LockUse use{};  // its lock is null: a join
  const Goroutine* joined = nullptr;
  GoroutineId joined_id;
  ChainCopy where;
};

/// Under the mutex of lock_check.cpp. Functions that find something append a report.
class LockTable {
 public:
  using Reports = std::vector<std::string>;

  void taken(const LockUse& use, Goroutine* g, bool ordered, Reports& reports);
  void given_back(const void* lock, bool shared, const Goroutine* by) noexcept;
  void disowned(const void* lock, const Goroutine* by) noexcept;
  void destroyed(const void* lock) noexcept;
  bool is_held_by(const void* lock, const GoroutineId& who) const noexcept;
  void awaited(const LockUse& use, const WaitNode& node, Reports& reports);
  void join_awaited(const Goroutine& joined, const WaitNode& node, Reports& reports);
  void wait_is_over(Goroutine& g) noexcept;
  void runtime_ended(std::uint32_t runtime_id) noexcept;
  void clear() noexcept;
  bool first_report_of(const char* file, unsigned line);

 private:
  /// Waits, each for what the next one holds or is; the last one for the first one.
  using Cycle = std::vector<const LockWait*>;

  void note_order(const LockUse& use, const Goroutine& g, const ChainCopy& where,
                  Reports& reports);
  Witness make_witness(const void* first, const Holding& held, const LockUse& use,
                       const GoroutineId& who, const ChainCopy& where) const;
  void add_wait(LockWait&& wait, Reports& reports);
  bool is_open(const LockWait& wait) const noexcept;
  std::vector<GoroutineId> awaited_by(const LockWait& wait) const;
  Cycle find_cycle(const GoroutineId& start) const;
  bool told_before(const Cycle& cycle);
  const Holding* holding_of(const void* lock, const GoroutineId& who) const noexcept;
  void drop_holding(const void* lock, LockEntry& entry, std::size_t index) noexcept;
  void drop_if_empty(const void* lock) noexcept;

  std::unordered_map<const void*, LockEntry> locks_;
  std::map<GoroutineId, std::vector<const void*>> held_;
  std::map<GoroutineId, LockWait> waits_;
  std::set<std::pair<std::string, unsigned>> places_;
};

// The texts (lib/runtime/lock_report.cpp).

/// "SharedMutex 0x7ffd0810"
std::string name_of(const void* lock, LockKind kind);
std::string double_lock_report(const LockWait& wait, const Holding& held);
std::string cycle_report(const std::vector<const LockWait*>& cycle);
/// `now` locked `first`, then `second`; `then` did it the other way round.
std::string order_report(const std::string& first, const std::string& second, const Witness& now,
                         const Witness& then);

}  // namespace ringo::detail
