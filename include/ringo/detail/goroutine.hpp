// The record of a goroutine and the claim word through which its waits end.
//
// THE WAITING PROTOCOL (doc/waiting.md tells it at length)
//
// A goroutine has at most one wait at a time, with one or more operations registered in queues:
// of channels, locks, timers, sockets. Two rules decide who may touch its frame while it waits:
//
//   1. A wait with a single operation, of a goroutine that nobody can cancel, is decided by the
//      lock of the queue: whoever unlinks its node under that lock owns the completion.
//   2. Every other wait is decided by the claim word {seq, bits} in the record, which is never
//      unmapped. Whoever sets `claimed` under the right seq owns the completion; everybody else
//      drops the node and goes on to the next one. A stale seq fails harmlessly.
//
// Claiming, filling and completing are three moments. The completer claims (a CAS, the first one
// wins), writes the result into the frame, then sets `complete`. The arming side registers its
// operations and as its last touch of the frame sets `armed`. Whoever comes second of `armed` and
// `complete` makes the goroutine run: the arming side goes on without suspending only if it sees
// `complete`. On a mere `claimed` it suspends, since the result is not there yet.
//
// Nobody looks for a partner while registered anywhere, so a completer claims exactly one
// goroutine, and nothing is ever un-claimed.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <source_location>

#include <ringo/detail/spin_lock.hpp>

namespace ringo::detail {

class Worker;
class Runtime;
class CaseBase;
class ContextNode;
struct GoroutineExtra;
struct PromiseBase;

/// What a goroutine waits for, in Go's words where Go has one (runtime/runtime2.go).
enum class WaitReason : std::uint8_t {
  none,
  chan_receive,
  chan_send,
  chan_receive_nil,
  chan_send_nil,
  select,
  select_no_cases,
  sleep,
  mutex_lock,
  shared_mutex_lock,
  shared_mutex_lock_shared,
  cond_wait,
  wait_group_wait,
  once,
  semaphore_acquire,
  context_done,
  event_wait,
  join,
  io_wait,
  blocking_call,
  blocking_call_end,  // deaf to cancellation: Goroutine::wait is null
};

/// "chan receive", "select (no cases)", ...
const char* to_string(WaitReason reason) noexcept;

enum class RunState : std::uint8_t { free, runnable, running, waiting, finished };

// Bits of the claim word; the sequence number stands above them.
inline constexpr std::uint64_t claim_claimed = 1;   // somebody owns the completion
inline constexpr std::uint64_t claim_armed = 2;     // the arming side has left the frame
inline constexpr std::uint64_t claim_complete = 4;  // the result is in the frame
inline constexpr std::uint64_t claim_open = 8;      // published: a canceller may claim
inline constexpr std::uint64_t claim_step = 16;     // one sequence number
inline constexpr std::uint64_t claim_bits = claim_step - 1;

/// Index of the winner when a wait ended by cancellation.
inline constexpr std::uint32_t winner_canceled = 0xffffffffu;

/// What can be posted to a worker: a goroutine to run, or a Message.
struct InboxNode {
  explicit InboxNode(bool goroutine) noexcept : is_goroutine(goroutine) {}

  // In an inbox or another list: the next one. Of a goroutine in a run queue: its position there.
  std::atomic<std::uintptr_t> place{0};
  const bool is_goroutine;

  InboxNode* next() const noexcept {
    return reinterpret_cast<InboxNode*>(place.load(std::memory_order_relaxed));
  }
  void set_next(InboxNode* node) noexcept {
    place.store(reinterpret_cast<std::uintptr_t>(node), std::memory_order_relaxed);
  }
};

/// run(worker, self) is called in the worker's loop, on its thread.
struct Message : InboxNode {
  Message() noexcept : InboxNode(false) {}
  void (*run)(Worker&, Message*) noexcept = nullptr;
};

/// Who is told when a goroutine has ended and its frame is gone: a WaitGroup that counts it, or what
/// it owns beside its frame.
struct AtEnd {
  explicit AtEnd(bool wait_group) noexcept : is_wait_group(wait_group) {}
  const bool is_wait_group;
};

/// destroy(self) is called then, and frees it.
struct OwnedByGoroutine : AtEnd {
  explicit OwnedByGoroutine(void (*f)(OwnedByGoroutine*) noexcept) noexcept
      : AtEnd(false), destroy(f) {}
  void (*destroy)(OwnedByGoroutine* self) noexcept;
};

/// done() of that WaitGroup.
void count_down(AtEnd& group) noexcept;

inline constexpr int operation_budget = 128;  // operations that complete at once, per resumption
inline constexpr std::int16_t budget_put_off = -0x8000;  // it arms `wait` before it runs on
inline constexpr int transfer_depth = 48;     // nested symmetric transfers before the trampoline

/// Record of one goroutine. Lives in slabs that are recycled but never unmapped, so that stale
/// claims, the dump and handles may always read it. Two cache lines, since a million goroutines
/// have a million of them; what few goroutines need is in GoroutineExtra.
struct alignas(64) Goroutine : InboxNode {
  Goroutine() noexcept : InboxNode(true) {}

  // The first line: touched at every resumption. A free record has the first four flags as here.
  bool shielded = false;              // a cancellation is not delivered now; written by g alone
  bool drain_exempt = false;          // inside shield(): the end of the runtime does not cancel it
  bool lock_waits = false;            // known to the checks of locks as waiting
  std::atomic<bool> attached{false};  // in the list of its Context's CancelNode
  bool pinned = false;                // stays on `worker` (go_on)
  std::int8_t depth = 0;
  bool guarded = false;          // waits must use the claim word: it can be cancelled
  std::coroutine_handle<> leaf;  // the innermost frame: to resume, or the one that runs
  Worker* worker = nullptr;      // runs it, or ran it last
  std::atomic<std::uint64_t> claim{claim_claimed};
  CaseBase* wait = nullptr;  // its current single wait, for shutdown; or see put_off()
  std::uint32_t winner = 0;  // which operation ended the wait
  std::uint32_t runtime_id = 0;
  std::atomic<std::uint32_t> resumed_at{0};  // its last resumption, as coarse_moment()
  std::int16_t budget = 0;
  std::atomic<RunState> state{RunState::free};
  std::atomic<WaitReason> reason{WaitReason::none};
  // The second line: written at birth, read at the end.
  PromiseBase* root = nullptr;
  AtEnd* at_end = nullptr;  // its callable and arguments, or whoever counts it; or null
  std::uint64_t id = 0;
  std::uint64_t spawner = 0;  // id of the goroutine that started it; 0: none
  std::source_location spawn_site;
  GoroutineExtra* extra = nullptr;  // null for most, and in a free record
  CaseBase* joiner = nullptr;       // guarded by join_lock; null in a free record
  std::atomic<std::uint32_t> join{0};  // the bits below
  SpinLock join_lock;
  std::atomic<bool> cancel_requested{false};

  // For who looks at records that may just now begin another life, in a runtime that runs.
  void set_runtime_id(std::uint32_t id) noexcept {
    __atomic_store_n(&runtime_id, id, __ATOMIC_RELAXED);
  }
  std::uint32_t glimpsed_runtime_id() const noexcept {
    return __atomic_load_n(&runtime_id, __ATOMIC_RELAXED);
  }
};
static_assert(sizeof(Goroutine) == 128);

/// The wait that g is in, if it is in one.
inline CaseBase* wait_of(const Goroutine& g) noexcept {
  return g.budget != budget_put_off ? g.wait : nullptr;
}

/// Main's goroutine is the first of its runtime.
inline constexpr std::uint64_t main_id = 1;
inline bool is_main(const Goroutine& g) noexcept { return g.id == main_id; }

/// A moment of the clock in units of 2^20 ns, about a millisecond. Wraps after 52 days.
constexpr std::uint32_t coarse_moment(std::int64_t ns) noexcept {
  return static_cast<std::uint32_t>(ns >> 20);
}

/// Where a new goroutine belongs: to a worker for good, or (-1) to any; to a Context, or (null) to
/// that of the goroutine that starts it.
struct Placement {
  Placement(int worker_index = -1, ContextNode* its_context = nullptr) noexcept
      : worker(worker_index), context(its_context) {}
  int worker;
  ContextNode* context;
};

inline constexpr std::uint32_t join_finished = 1;  // the root frame is at its final suspend
inline constexpr std::uint32_t join_released = 8;  // and the runtime will not touch it again
inline constexpr std::uint32_t join_dropped = 2;   // no handle is left
inline constexpr std::uint32_t join_taken = 4;     // its result or exception was taken
inline constexpr std::uint32_t join_seen = 16;     // its exception is somebody's affair already

/// The exception that will leave g is not reported if its handle is dropped.
void exception_is_seen(Goroutine* g) noexcept;

/// Claims the wait `seq` of g. True for exactly one caller.
inline bool try_claim(Goroutine* g, std::uint64_t seq) noexcept {
  std::uint64_t word = g->claim.load(std::memory_order_acquire);
  for (;;) {
    if ((word & ~claim_bits) != seq || (word & claim_claimed) != 0) return false;
    if (!threaded()) {
      g->claim.store(word | claim_claimed, std::memory_order_relaxed);
      return true;
    }
    if (g->claim.compare_exchange_weak(word, word | claim_claimed, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
      return true;
    }
  }
}

/// Sets a bit of the claim word and returns the word before.
inline std::uint64_t claim_set(Goroutine* g, std::uint64_t bit) noexcept {
  if (!threaded()) {
    std::uint64_t word = g->claim.load(std::memory_order_relaxed);
    g->claim.store(word | bit, std::memory_order_relaxed);
    return word;
  }
  return g->claim.fetch_or(bit, std::memory_order_seq_cst);
}

/// Opens a new wait and returns its sequence number (never 0). Only by g itself.
inline std::uint64_t begin_wait(Goroutine* g) noexcept {
  std::uint64_t seq = (g->claim.load(std::memory_order_relaxed) & ~claim_bits) + claim_step;
  g->claim.store(seq, std::memory_order_release);
  return seq;
}

/// The goroutine that runs on this thread, or null. Out of line on purpose: compilers keep
/// thread_local addresses in registers across a suspension.
[[gnu::noinline]] Goroutine* current_goroutine() noexcept;

/// True on a worker's thread (inside a goroutine or a loop callback).
[[gnu::noinline]] bool on_worker_thread() noexcept;

/// Queues a goroutine whose wait is over: freshest first on this worker (`next`), or at the tail.
void make_ready(Goroutine* g) noexcept;
void make_ready_at_tail(Goroutine* g) noexcept;

/// g gave up the worker though it could run on: to the tail, after all that is ready.
void reschedule(Goroutine* g) noexcept;

/// The trampoline: has the worker's loop resume `next` for g once the stack is flat again.
std::coroutine_handle<> bounce(Goroutine* g, std::coroutine_handle<> next) noexcept;

/// The root frame of g reached its end; the worker's loop takes it from there.
void finish_root(Goroutine* g) noexcept;

/// An exception leaves the frame: notes the way it takes, for a report.
void note_thrown(PromiseBase& frame) noexcept;

/// Suspension checks of a guarded goroutine, see wait.hpp.
bool cancellation_pending(Goroutine* g) noexcept;

/// Cancels: from here on every wait of g ends at once. True if it waits now and that wait was
/// claimed: finish_cancel() follows, and is the last touch of g. Otherwise g finds out by itself.
bool begin_cancel(Goroutine* g) noexcept;
void finish_cancel(Goroutine* g) noexcept;

/// Moves from the running frame to another frame of the same goroutine. Symmetric transfer is no
/// tail call at -O0 and under sanitizers, so the transfers are counted.
inline std::coroutine_handle<> transfer(Goroutine* g, std::coroutine_handle<> next) noexcept {
  g->leaf = next;
  if (--g->depth <= 0) [[unlikely]]
    return bounce(g, next);
  return next;
}

}  // namespace ringo::detail
