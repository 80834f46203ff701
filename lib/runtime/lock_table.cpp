#include "runtime/lock_table.hpp"

#include <algorithm>

namespace ringo::detail {

// --- holders ------------------------------------------------------------------------------------

const Holding* LockTable::holding_of(const void* lock, const GoroutineId& who) const noexcept {
  auto entry = locks_.find(lock);
  if (entry == locks_.end()) return nullptr;
  for (const Holding& held : entry->second.holders) {
    if (held.who == who) return &held;
  }
  return nullptr;
}

bool LockTable::is_held_by(const void* lock, const GoroutineId& who) const noexcept {
  const Holding* held = holding_of(lock, who);
  return held != nullptr && !held->shared;
}

void LockTable::drop_holding(const void* lock, LockEntry& entry, std::size_t index) noexcept {
  auto of_goroutine = held_.find(entry.holders[index].who);
  std::vector<const void*>& list = of_goroutine->second;
  list.erase(std::find(list.begin(), list.end(), lock));
  if (list.empty()) held_.erase(of_goroutine);
  entry.holders.erase(entry.holders.begin() + static_cast<std::ptrdiff_t>(index));
}

void LockTable::drop_if_empty(const void* lock) noexcept {
  auto found = locks_.find(lock);
  if (found == locks_.end()) return;
  const LockEntry& entry = found->second;
  if (entry.holders.empty() && entry.unknown_readers == 0 && entry.then.empty() &&
      entry.before.empty() && !entry.told) {
    locks_.erase(found);
  }
}

void LockTable::taken(const LockUse& use, Goroutine* g, bool ordered, Reports& reports) {
  if (g == nullptr) {
    if (use.shared) ++locks_[use.lock].unknown_readers;
    return;
  }
  if (g->lock_waits) wait_is_over(*g);
  ChainCopy where = copy_chain(*g);
  if (ordered) note_order(use, *g, where, reports);
  std::vector<const void*>& list = held_[id_of(*g)];
  list.reserve(list.size() + 1);
  LockEntry& entry = locks_[use.lock];
  entry.kind = use.kind;
  entry.holders.push_back({id_of(*g), use.shared, std::move(where)});
  list.push_back(use.lock);
}

/// A reader that is not known to be one gives back what an unknown one took, or what another one
/// did, and nobody can tell which: then all of them are unknown.
void LockTable::given_back(const void* lock, bool shared, const Goroutine* by) noexcept {
  auto found = locks_.find(lock);
  if (found == locks_.end()) return;
  LockEntry& entry = found->second;
  std::size_t mine = entry.holders.size();
  for (std::size_t i = entry.holders.size(); i-- > 0;) {
    if (entry.holders[i].shared != shared) continue;
    if (!shared || (by != nullptr && entry.holders[i].who == id_of(*by))) mine = i;
  }
  if (mine != entry.holders.size()) {
    drop_holding(lock, entry, mine);
  } else if (shared && entry.unknown_readers > 0) {
    --entry.unknown_readers;
  } else if (shared && !entry.holders.empty()) {
    entry.unknown_readers = entry.holders.size() - 1;
    while (!entry.holders.empty()) drop_holding(lock, entry, entry.holders.size() - 1);
  }
  drop_if_empty(lock);
}

void LockTable::disowned(const void* lock, const Goroutine* by) noexcept {
  auto found = locks_.find(lock);
  if (found == locks_.end()) return;
  LockEntry& entry = found->second;
  std::vector<Holding>& holders = entry.holders;
  for (std::size_t i = 0; by != nullptr && i < holders.size(); ++i) {
    if (holders[i].who != id_of(*by)) continue;
    if (holders[i].shared) ++entry.unknown_readers;
    drop_holding(lock, entry, i);
    return drop_if_empty(lock);
  }
  const bool reading = holders.empty() || holders.front().shared;
  if (reading && entry.unknown_readers > 0) return;  // it is one of those
  while (!holders.empty()) {
    if (holders.back().shared) ++entry.unknown_readers;
    drop_holding(lock, entry, holders.size() - 1);
  }
  drop_if_empty(lock);
}

void LockTable::destroyed(const void* lock) noexcept {
  auto found = locks_.find(lock);
  if (found == locks_.end()) return;
  LockEntry& entry = found->second;
  while (!entry.holders.empty()) drop_holding(lock, entry, entry.holders.size() - 1);
  for (const auto& [other, order] : entry.then) locks_[other].before.erase(lock);
  for (const void* other : entry.before) locks_[other].then.erase(lock);
  std::vector<const void*> others(entry.before.begin(), entry.before.end());
  for (const auto& [other, order] : entry.then) others.push_back(other);
  locks_.erase(lock);
  for (const void* other : others) drop_if_empty(other);
}

// --- orders -------------------------------------------------------------------------------------

Witness LockTable::make_witness(const void* first, const Holding& held, const LockUse& use,
                                const GoroutineId& who, const ChainCopy& where) const {
  Witness made{who, held.shared, use.shared, {}, held.where, where};
  for (const void* other : held_.at(who)) {
    if (other == first || other == use.lock) continue;
    if (const Holding* gate = holding_of(other, who)) made.gates.push_back({other, gate->shared});
  }
  return made;
}

namespace {

/// Could these two, which lock the same two locks in opposite orders, meet and deadlock? Not one
/// goroutine with itself; not two readers of the same lock, unless a writer comes in between; and
/// not two that both hold a third lock, which lets in only one of them.
bool can_deadlock(const Witness& one, const Witness& other) noexcept {
  if (one.who == other.who) return false;
  if (one.first_shared && other.second_shared) return false;
  if (one.second_shared && other.first_shared) return false;
  for (const Gate& gate : one.gates) {
    for (const Gate& theirs : other.gates) {
      if (gate.lock == theirs.lock && !(gate.shared && theirs.shared)) return false;
    }
  }
  return true;
}

bool says_the_same(const Witness& one, const Witness& other) noexcept {
  return one.who == other.who && one.first_shared == other.first_shared &&
         one.second_shared == other.second_shared && one.gates.size() == other.gates.size();
}

}  // namespace

void LockTable::note_order(const LockUse& use, const Goroutine& g, const ChainCopy& where,
                           Reports& reports) {
  const GoroutineId who = id_of(g);
  auto mine = held_.find(who);
  if (mine == held_.end() || holding_of(use.lock, who) != nullptr) return;
  for (const void* first : mine->second) {
    const Witness now = make_witness(first, *holding_of(first, who), use, who, where);
    LockEntry& second_entry = locks_[use.lock];
    LockEntry& first_entry = locks_[first];
    second_entry.kind = use.kind;
    second_entry.before.insert(first);
    Order& order = first_entry.then[use.lock];
    auto same = [&](const Witness& known) { return says_the_same(known, now); };
    if (order.witnesses.size() < Order::most &&
        std::none_of(order.witnesses.begin(), order.witnesses.end(), same)) {
      order.witnesses.push_back(now);
    }
    auto reverse = second_entry.then.find(first);
    if (order.told || reverse == second_entry.then.end()) continue;
    for (const Witness& then : reverse->second.witnesses) {
      if (!can_deadlock(now, then)) continue;
      order.told = reverse->second.told = true;
      reports.push_back(order_report(name_of(first, first_entry.kind),
                                     name_of(use.lock, use.kind), now, then));
      break;
    }
  }
}

// --- waits --------------------------------------------------------------------------------------

/// What a cancellation, or the end of the runtime, has ended is no wait, though its goroutine has
/// not run yet.
bool LockTable::is_open(const LockWait& wait) const noexcept {
  if (wait.joined != nullptr &&
      (wait.joined->join.load(std::memory_order_acquire) & join_finished) != 0) {
    return false;
  }
  if (wait.g->cancel_requested.load(std::memory_order_acquire) && !wait.shielded) return false;
  if (wait.seq == 0) return true;
  const std::uint64_t word = wait.g->claim.load(std::memory_order_acquire);
  return (word & ~claim_bits) == wait.seq && (word & claim_claimed) == 0;
}

/// Those all of whom must go on before this wait can end. A reader waits for the writer that holds
/// the lock, or else for one that waits itself, for the readers.
std::vector<GoroutineId> LockTable::awaited_by(const LockWait& wait) const {
  std::vector<GoroutineId> list;
  if (wait.joined != nullptr) return {wait.joined_id};
  auto found = locks_.find(wait.use.lock);
  if (found == locks_.end()) return list;
  for (const Holding& held : found->second.holders) {
    if (!wait.use.shared || !held.shared) list.push_back(held.who);
  }
  if (!wait.use.shared || !list.empty() || found->second.holders.empty()) return list;
  for (const auto& [who, other] : waits_) {
    if (other.use.lock == wait.use.lock && !other.use.shared && is_open(other)) return {who};
  }
  return list;
}

/// The shortest one through that goroutine's wait; empty if there is none.
LockTable::Cycle LockTable::find_cycle(const GoroutineId& start) const {
  std::map<GoroutineId, GoroutineId> reached_from;
  std::vector<GoroutineId> queue{start};
  for (std::size_t next = 0; next < queue.size(); ++next) {
    const GoroutineId at = queue[next];
    auto wait = waits_.find(at);
    if (wait == waits_.end() || !is_open(wait->second)) continue;
    for (const GoroutineId& other : awaited_by(wait->second)) {
      if (!reached_from.emplace(other, at).second) continue;
      if (other != start) {
        queue.push_back(other);
        continue;
      }
      Cycle cycle;
      GoroutineId one = start;
      do {
        one = reached_from.at(one);
        cycle.push_back(&waits_.at(one));
      } while (one != start);
      std::reverse(cycle.begin(), cycle.end());
      return cycle;
    }
  }
  return {};
}

/// The same locks again, by goroutines that were cancelled and came back, are told of once.
bool LockTable::told_before(const Cycle& cycle) {
  bool all = true;
  for (const LockWait* wait : cycle) {
    if (wait->use.lock == nullptr) continue;
    LockEntry& entry = locks_[wait->use.lock];
    all &= entry.told;
    entry.told = true;
  }
  return all;
}

void LockTable::add_wait(LockWait&& wait, Reports& reports) {
  Goroutine& g = *wait.g;
  const GoroutineId who = id_of(g);
  waits_.insert_or_assign(who, std::move(wait));
  g.lock_waits = true;
  const Cycle cycle = find_cycle(who);
  if (cycle.empty() || told_before(cycle)) return;
  const LockWait& first = *cycle.front();
  const Holding* held = cycle.size() == 1 ? holding_of(first.use.lock, who) : nullptr;
  reports.push_back(held != nullptr ? double_lock_report(first, *held) : cycle_report(cycle));
}

void LockTable::awaited(const LockUse& use, const WaitNode& node, Reports& reports) {
  Goroutine& g = *node.g;
  LockWait wait{&g, node.seq, g.shielded, use, nullptr, {}, copy_chain(g)};
  note_order(use, g, wait.where, reports);
  add_wait(std::move(wait), reports);
}

void LockTable::join_awaited(const Goroutine& joined, const WaitNode& node, Reports& reports) {
  Goroutine& g = *node.g;
  add_wait({&g, node.seq, g.shielded, {}, &joined, id_of(joined), copy_chain(g)}, reports);
}

void LockTable::wait_is_over(Goroutine& g) noexcept {
  waits_.erase(id_of(g));
  g.lock_waits = false;
}

// --- the end ------------------------------------------------------------------------------------

void LockTable::runtime_ended(std::uint32_t runtime_id) noexcept {
  std::erase_if(waits_, [&](const auto& each) { return each.first.first == runtime_id; });
  std::erase_if(held_, [&](const auto& each) { return each.first.first == runtime_id; });
  for (auto& [lock, entry] : locks_) {
    std::erase_if(entry.holders, [&](const Holding& h) { return h.who.first == runtime_id; });
  }
}

void LockTable::clear() noexcept {
  locks_.clear();
  held_.clear();
  waits_.clear();
  places_.clear();
}

bool LockTable::first_report_of(const char* file, unsigned line) {
  return places_.emplace(file, line).second;
}

}  // namespace ringo::detail
