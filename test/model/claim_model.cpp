// The claim word of a wait under Relacy: a goroutine that waits twice, for one or for either of
// two queues; a completer at each queue; a canceller. Whatever the interleaving
//   - each wait ends, and exactly once, by one value or by the cancellation,
//   - no value is lost or received twice, and a wait that was cancelled took none,
//   - nobody touches the waiting frame when its goroutine may run again.
//
// Real are the claim word (goroutine.hpp), queues, completion (wait.hpp), locks (spin_lock.hpp),
// and arming, publishing and cancelling (claim.cpp). Written again, because the real ones need a
// runtime around them, are the queues' owners (as in channel.cpp, without partners), a select's
// start(), arm() and finish() (select.cpp, for cases that are not registered at one instant, which
// leaves more room for mistakes), and the end of OperationAwaiter (wait.hpp).
//
// claim_model [RULE [ITERATIONS]] leaves out one rule of the protocol, named below, and fails if
// that is not found out.
#include "relacy_std.hpp"

namespace ringo::detail::std {

/// Of threaded_runtimes alone, which lives longer than a run of the model: there are workers.
template <>
class atomic<int> {
 public:
  int load(::std::memory_order) const { return 1; }
};

}  // namespace ringo::detail::std

// The layout of the record is the library's affair.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wkeyword-macro"
#endif
#define static_assert(...) static_assert(true)
#include "runtime/claim.cpp"
#undef static_assert

namespace {

enum Break : int {
  nothing,
  no_look_after_publish,  // publishes the wait, but does not look at the flag again
  go_on_at_claimed,       // the arming side goes on before the result is there
  weak_order,             // acquire and release where it says sequentially consistent
  unlink_before_claim,    // a completer touches a node after it was out of the queue
  complete_before_fill,   // a completer fills in the result after it has completed
  cancel_unpublished,     // a canceller claims a wait that is not open yet
  always_make_ready,      // a completer does not look whether the arming side has left
  take_without_claim,     // a case that becomes ready at its registration does not claim
  stay_registered,        // a select does not leave its other queues
};
constexpr const char* break_names[] = {
    "nothing",            "no_look_after_publish", "go_on_at_claimed",
    "weak_order",         "unlink_before_claim",   "complete_before_fill",
    "cancel_unpublished", "always_make_ready",     "take_without_claim",
    "stay_registered",
};
int broken = nothing;

struct Model;
Model* model = nullptr;

}  // namespace

namespace ringo::detail {

std::atomic<int> threaded_runtimes;

void SpinLock::lock_slow() noexcept {
  while (locked_.exchange(true, std::memory_order_acquire)) rl::yield(1, here);
}

}  // namespace ringo::detail

namespace {

namespace detail = ringo::detail;
using detail::CaseBase;
using detail::Enlist;
using detail::Goroutine;
using detail::SpinGuard;
using detail::WaitNode;

constexpr int value_count = 3;
constexpr int round_count = 2;

/// What a channel with a large buffer is.
struct Queue {
  detail::SpinLock lock;
  detail::WaitQueue receivers;
  rl::var<int> buffer[value_count];
  rl::var<int> count;

  WaitNode* pop() {
    if (broken != unlink_before_claim) return receivers.pop_claimed();
    while (WaitNode* node = receivers.front()) {
      receivers.remove(*node);
      rl::yield(1, here);
      node->linked.load(std::memory_order_relaxed);  // the node is what tells g and seq
      if (detail::try_claim(node->g, node->seq)) return node;
    }
    return nullptr;
  }
};

class Case final : public CaseBase {
 public:
  Case() {
    node.slot = &slot;
    slot(here) = 0;
  }

  bool try_take() override {
    SpinGuard guard(queue->lock);
    return take_locked();
  }
  Enlist enlist() override {
    SpinGuard guard(queue->lock);
    if (queue->count(here) > 0) {
      // As ChannelCase::enlist() has it, an only case needs no claim: nobody can have claimed yet.
      if (!alone && broken != take_without_claim && !claim_self()) return Enlist::lost;
      take_locked();
      return Enlist::taken;
    }
    queue->receivers.push_back(node);
    return Enlist::waiting;
  }
  void withdraw() noexcept override {
    SpinGuard guard(queue->lock);
    if (node.linked.load(std::memory_order_relaxed)) queue->receivers.remove(node);
  }
  bool looks_ready() override { return false; }

  Queue* queue = nullptr;
  bool alone = false;
  rl::var<int> slot;

 private:
  bool take_locked() {
    const int count = queue->count(here);
    if (count == 0) return false;
    slot(here) = static_cast<int>(queue->buffer[count - 1](here));
    queue->count(here) = count - 1;
    return true;
  }
};

struct Round {
  Case cases[2];
  bool single = false;
  int winner = -1;  // undecided
};

struct Model : rl::test_suite<Model, 4> {
  std::unique_ptr<Goroutine> g;
  std::unique_ptr<Queue[]> queues;
  std::unique_ptr<Round[]> rounds;
  rl::var<int> runs;  // its goroutine is at work: written by whoever runs it
  int round;
  bool over;
  bool cancels;
  bool sends[value_count];  // which of the values there are
  bool ready[4];  // to be run by that thread, when what it does is done
  int received[value_count];

  void before() {
    model = this;
    g = std::make_unique<Goroutine>();
    g->guarded = true;
    queues = std::make_unique<Queue[]>(2);
    for (unsigned i = 0; i < 2; ++i) queues[i].count(here) = 0;
    rounds = std::make_unique<Round[]>(round_count);
    for (int i = 0; i < round_count; ++i) {
      for (unsigned k = 0; k < 2; ++k) {
        rounds[i].cases[k].node.g = g.get();
        rounds[i].cases[k].queue = &queues[k];
      }
    }
    // The first queue has enough values for a round that waits for it alone.
    rounds[0].single = rounds[0].cases[0].alone = rl::rand(3) == 0;
    runs(here) = 0;
    round = 0;
    over = false;
    // If it is cancelled there may be too few values: then nothing else ends its waits.
    cancels = rl::rand(4) != 0;
    for (bool& one : sends) one = !cancels || rl::rand(3) != 0;
    for (bool& one : ready) one = false;
    for (int& one : received) one = 0;
  }

  // --- the goroutine

  /// Runs it from the beginning of a round, on any thread, until it suspends.
  void run_goroutine() {
    for (;;) {
      runs(here) = 1;
      Round& now = rounds[round];
      g->budget = detail::operation_budget;
      if (now.single ? detail::arm_guarded(now.cases[0], g.get()) : start_select(now)) return;
      if (!end_round()) return;
    }
  }

  /// It was made ready: its worker resumes it.
  void resume() {
    RL_ASSERT(!over);
    runs(here) = 1;
    if (end_round()) run_goroutine();
  }

  /// As SelectBase::start() and arm().
  bool start_select(Round& now) {
    if (detail::cancellation_pending(g.get())) {
      now.cases[0].node.seq = detail::claim_step;
      g->winner = detail::winner_canceled;
      return false;
    }
    for (int i = 0; i < 2; ++i) {
      if (now.cases[i].try_take()) {
        now.winner = i;
        return false;
      }
    }
    const std::uint64_t seq = detail::begin_wait(g.get());
    for (unsigned i = 0; i < 2; ++i) {
      now.cases[i].node.seq = seq;
      now.cases[i].node.index = i;
      const Enlist enlisted = now.cases[i].enlist();
      if (enlisted == Enlist::waiting) continue;
      if (enlisted == Enlist::taken) {
        now.winner = static_cast<int>(i);
        return false;
      }
      break;
    }
    if (broken == no_look_after_publish) {
      detail::claim_set(g.get(), detail::claim_open);
    } else if (detail::publish_wait(g.get(), seq)) {
      return false;
    }
    const std::uint64_t word = detail::claim_set(g.get(), detail::claim_armed);
    if (broken == go_on_at_claimed) return (word & detail::claim_claimed) == 0;
    return (word & detail::claim_complete) == 0;
  }

  /// Its wait is over, as SelectBase::finish() and OperationAwaiter have it. False: nothing follows.
  bool end_round() {
    RL_ASSERT(round < round_count);
    Round& now = rounds[round];
    bool canceled = false;
    if (now.single) {
      WaitNode& node = now.cases[0].node;
      canceled = node.seq != 0 && detail::ended_by_cancellation(now.cases[0]);
      now.winner = 0;
      if (node.linked.load(std::memory_order_acquire)) now.cases[0].withdraw();
    } else {
      for (Case& one : now.cases) {
        if (broken == stay_registered) break;
        if (one.node.linked.load(std::memory_order_acquire)) one.withdraw();
      }
      if (now.winner < 0) {
        canceled = g->winner == detail::winner_canceled;
        now.winner = static_cast<int>(g->winner);
      }
    }
    RL_ASSERT(!canceled || cancels);
    RL_ASSERT(canceled || now.winner == 0 || now.winner == 1);
    for (int i = 0; i < 2; ++i) {
      const int value = now.cases[i].slot(here);
      RL_ASSERT((value != 0) == (!canceled && now.winner == i));
      if (value != 0) ++received[value - 1];
      // The frame goes.
      now.cases[i].slot(here) = -1;
      now.cases[i].node.linked.end_life();
    }
    ++round;
    over = canceled || round == round_count;
    return !over;
  }

  /// At once, as if what follows in this thread were late; or afterwards.
  void make_ready() {
    const unsigned self = rl::thread_index();
    RL_ASSERT(!ready[self]);
    if (rl::rand(2) == 0) return resume();
    ready[self] = true;
  }

  // --- the others

  void send(int value, Queue& queue) {
    WaitNode* partner = nullptr;
    {
      SpinGuard guard(queue.lock);
      partner = queue.pop();
      if (partner == nullptr) {
        const int count = queue.count(here);
        queue.buffer[count](here) = value;
        queue.count(here) = count + 1;
      } else if (broken != complete_before_fill) {
        fill(*partner, value);
      }
    }
    if (partner == nullptr) return;
    rl::var<int>& slot = *static_cast<rl::var<int>*>(partner->slot);
    if (broken == always_make_ready) {
      g->winner = partner->index;
      detail::claim_set(g.get(), detail::claim_complete);
      make_ready();
    } else {
      detail::complete(*partner);
    }
    if (broken == complete_before_fill) slot(here) = value;
  }

  void fill(WaitNode& node, int value) {
    rl::var<int>& slot = *static_cast<rl::var<int>*>(node.slot);
    RL_ASSERT(slot(here) == 0);
    slot(here) = value;
    node.ok = true;
  }

  bool begin_cancel() {
    if (broken != cancel_unpublished) return detail::begin_cancel(g.get());
    g->cancel_requested.store(true, std::memory_order_seq_cst);
    const std::uint64_t word = g->claim.load(std::memory_order_seq_cst);
    if (!detail::try_claim(g.get(), word & ~detail::claim_bits)) return false;
    g->winner = detail::winner_canceled;
    return true;
  }

  void thread(unsigned self) {
    if (self == 0) {
      run_goroutine();
    } else if (self == 1) {
      if (sends[0]) send(1, queues[0]);
      run_if_ready(self);
      if (sends[1]) send(2, queues[0]);
    } else if (self == 2) {
      if (sends[2]) send(3, queues[1]);
    } else if (cancels && begin_cancel()) {
      detail::finish_cancel(g.get());
    }
    run_if_ready(self);
  }

  void run_if_ready(unsigned self) {
    if (!ready[self]) return;
    ready[self] = false;
    resume();
  }

  void after() {
    RL_ASSERT(over);
    for (unsigned i = 0; i < 2; ++i) {
      RL_ASSERT(queues[i].receivers.empty());
      for (int k = 0; k < queues[i].count(here); ++k) {
        ++received[static_cast<int>(queues[i].buffer[k](here)) - 1];
      }
    }
    for (int i = 0; i < value_count; ++i) RL_ASSERT(received[i] == (sends[i] ? 1 : 0));
    rounds.reset();
    queues.reset();
    g.reset();
  }
};

}  // namespace

namespace ringo::detail {

void make_ready(Goroutine* g) noexcept { make_ready_at_tail(g); }
void make_ready_at_tail(Goroutine*) noexcept { model->make_ready(); }
void reschedule(Goroutine*) noexcept { ::std::abort(); }  // no budget is ever used up here

}  // namespace ringo::detail

int main(int argc, char** argv) {
  broken = what_to_break(break_names, argc, argv);
  weaken_seq_cst = broken == weak_order;
  return run_model<Model>(broken != nothing, argc, argv, 300'000);
}
