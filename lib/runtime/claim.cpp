// Waits that go by the claim word: how they are armed, published and cancelled. It needs nothing
// of the runtime, so that test/model can run it as it stands.
#include <utility>

#include <ringo/detail/wait.hpp>

namespace ringo::detail {

bool cancellation_pending(Goroutine* g) noexcept {
  return g->cancel_requested.load(std::memory_order_seq_cst) && !g->shielded;
}

bool publish_wait(Goroutine* g, std::uint64_t seq) noexcept {
  if (g->shielded) return false;
  claim_set(g, claim_open);
  if (!cancellation_pending(g) || !try_claim(g, seq)) return false;
  g->winner = winner_canceled;
  return true;
}

bool arm_guarded(CaseBase& operation, Goroutine* g) {
  if (cancellation_pending(g)) {
    operation.node.seq = claim_step;  // decided without a wait
    g->winner = winner_canceled;
    return false;
  }
  bool spent = --g->budget <= 0;
  if (operation.try_take()) {
    if (spent) reschedule(g);
    return spent;
  }
  std::uint64_t seq = begin_wait(g);
  operation.node.seq = seq;
  g->winner = operation.node.index;
  g->wait = &operation;
  if (operation.enlist() != Enlist::waiting) return false;
  if (publish_wait(g, seq)) return false;
  return (claim_set(g, claim_armed) & claim_complete) == 0;
}

void put_off(CaseBase& operation, Goroutine* g) {
  // Throws if another runtime uses the lock; from here on it is this one's, as long as that lives.
  operation.looks_ready();
  g->wait = &operation;
  g->budget = budget_put_off;
  reschedule(g);
}

bool arm_put_off(Goroutine* g) noexcept {
  CaseBase& operation = *std::exchange(g->wait, nullptr);
  if (g->guarded) return arm_guarded(operation, g);
  if (operation.try_take()) return false;
  g->wait = &operation;
  return operation.enlist() == Enlist::waiting;
}

bool ended_by_cancellation(CaseBase& operation) noexcept {
  if (operation.node.g->winner != winner_canceled) return false;
  if (operation.node.linked.load(std::memory_order_acquire)) operation.withdraw();
  return true;
}

bool begin_cancel(Goroutine* g) noexcept {
  g->cancel_requested.store(true, std::memory_order_seq_cst);
  std::uint64_t word = g->claim.load(std::memory_order_seq_cst);
  if ((word & claim_open) == 0 || !try_claim(g, word & ~claim_bits)) return false;
  g->winner = winner_canceled;
  return true;
}

void finish_cancel(Goroutine* g) noexcept {
  if ((claim_set(g, claim_complete) & claim_armed) != 0) make_ready_at_tail(g);
}

/// Both at once, for tests of a single wait. Whether it was claimed here.
bool cancel_wait(Goroutine* g) noexcept {
  if (!begin_cancel(g)) return false;
  finish_cancel(g);
  return true;
}

}  // namespace ringo::detail
