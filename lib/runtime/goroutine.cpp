// Birth and end of goroutines, and what inline code of the public headers needs of the worker.
#include <ringo/detail/goroutine.hpp>

#include <sched.h>
#include <sys/single_threaded.h>

#include <memory>
#include <utility>

#include <ringo/go.hpp>
#include <ringo/panic.hpp>

#include "runtime/cancel_node.hpp"
#include "runtime/chain.hpp"
#include "runtime/external.hpp"
#include "runtime/goroutine_extra.hpp"
#include "runtime/lock_check.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime.hpp"
#include "runtime/throw_trace.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

std::atomic<int> threaded_runtimes{0};

void SpinLock::lock_slow() noexcept {
  // A holder is a few dozen instructions from unlocking, unless its thread was preempted. Who comes
  // back soon takes the cache line away from a worker that is about to lock again, and then each
  // pays for the line at every operation; who stays away for longer each time leaves the other one
  // to do many with the line at hand, and then finds it free.
  int pauses = 4;
  for (;;) {
    for (int i = 0; i < pauses; ++i) cpu_relax();
    if (!locked_.load(std::memory_order_relaxed) &&
        !locked_.exchange(true, std::memory_order_acquire)) {
      return;
    }
    if (pauses < 64) {
      pauses *= 2;
    } else {
      sched_yield();
    }
  }
}

Goroutine* current_goroutine() noexcept {
  Worker* worker = Worker::current();
  return worker != nullptr ? worker->current_goroutine() : nullptr;
}

bool on_worker_thread() noexcept { return Worker::current() != nullptr; }

void make_ready(Goroutine* g) noexcept { Worker::current()->ready(g); }

void make_ready_at_tail(Goroutine* g) noexcept { Worker::current()->ready_at_tail(g); }

void reschedule(Goroutine* g) noexcept { g->worker->ready_at_tail(g); }

std::coroutine_handle<> bounce(Goroutine* g, std::coroutine_handle<> next) noexcept {
  g->worker->set_bounced(next);
  return std::noop_coroutine();
}

void finish_root(Goroutine* g) noexcept { g->worker->set_finished(g); }

// --- spawning -----------------------------------------------------------------------------------

Goroutine* Worker::make_goroutine(PromiseBase& root, AtEnd* at_end, Placement placement,
                                  std::source_location site) {
  Worker* home = this;
  if (placement.worker >= 0) {
    if (static_cast<std::size_t>(placement.worker) >= runtime_.worker_count()) {
      panic("go_on: there is no worker of that number");
    }
    home = &runtime_.worker(static_cast<std::size_t>(placement.worker));
  }
  const Goroutine* const spawner = current_goroutine();
  ContextNode* context = placement.context;
  if (context == nullptr && spawner != nullptr) context = context_of(*spawner);
  std::unique_ptr<GoroutineExtra> extra(context != nullptr ? new GoroutineExtra : nullptr);
  Goroutine* g = records_.take();
  g->extra = extra.release();
  g->leaf = root.handle();
  g->root = &root;
  g->worker = home;
  g->pinned = placement.worker >= 0 || runtime_.options().pinned;
  g->wait = nullptr;
  g->set_runtime_id(runtime_.id());
  g->at_end = at_end;
  g->id = next_id();
  g->spawn_site = site;
  g->join.store(0, std::memory_order_relaxed);
  g->spawner = spawner != nullptr ? spawner->id : 0;
  g->guarded = runtime_.draining();
  g->cancel_requested.store(g->guarded, std::memory_order_relaxed);
  if (context != nullptr) [[unlikely]] {
    context->retain();
    enter_context(g, context);
  }
  g->state.store(RunState::runnable, std::memory_order_release);
  root.g = g;
  WorkerCounters::add(counters.started);
  return g;
}

namespace {

Goroutine* start_on(Worker& worker, PromiseBase& root, AtEnd* at_end, Placement placement,
                    std::source_location site) {
  Goroutine* g = worker.make_goroutine(root, at_end, placement, site);
  worker.ready(g);  // its frame is in the cache, and whoever awaits it at once finds it next
  return g;
}

[[gnu::noinline, gnu::cold]] Goroutine* spawn_from_thread(PromiseBase& root, AtEnd* at_end,
                                                          Placement placement,
                                                          std::source_location site) {
  Goroutine* g = nullptr;
  with_runtime_of(only_runtime("go"), [&] {
    Worker* worker = Worker::current();
    if (worker == nullptr) panic("go: the runtime has ended");
    g = start_on(*worker, root, at_end, placement, site);
  });
  return g;
}

}  // namespace

Goroutine* spawn(PromiseBase& root, AtEnd* at_end, Placement placement,
                 std::source_location site) {
  Worker* worker = Worker::current();
  if (worker == nullptr) [[unlikely]] {
    return spawn_from_thread(root, at_end, placement, site);
  }
  return start_on(*worker, root, at_end, placement, site);
}

// --- joining ------------------------------------------------------------------------------------

namespace {

// Handles may be dropped on plain threads, so this goes by the number of threads, not of workers.
std::uint32_t join_set(Goroutine* g, std::uint32_t bit) noexcept {
  if (__libc_single_threaded) {
    std::uint32_t before = g->join.load(std::memory_order_relaxed);
    g->join.store(before | bit, std::memory_order_relaxed);
    return before;
  }
  return g->join.fetch_or(bit, std::memory_order_acq_rel);
}

}  // namespace

void dispose(Goroutine* g, RecordCache* records) noexcept {
  std::uint32_t join = g->join.load(std::memory_order_relaxed);
  if (g->root->error && (join & (join_taken | join_seen)) == 0) report_unseen(g);
  g->root->handle().destroy();
  g->root = nullptr;
  if (AtEnd* at_end = std::exchange(g->at_end, nullptr)) {
    if (at_end->is_wait_group) {
      count_down(*at_end);
    } else {
      auto* owned = static_cast<OwnedByGoroutine*>(at_end);
      owned->destroy(owned);
    }
  }
  if (g->extra != nullptr) [[unlikely]] delete std::exchange(g->extra, nullptr);
  g->state.store(RunState::free, std::memory_order_release);
  if (records != nullptr) {
    records->give(g);
  } else {
    link(*g, nullptr);
    RecordPool::instance().give_batch({g, 1});
  }
}

void drop_handle(Goroutine* g) noexcept {
  if ((join_set(g, join_dropped) & join_released) == 0) return;
  Worker* worker = Worker::current();
  dispose(g, worker != nullptr ? &worker->records() : nullptr);
}

void Worker::finish(Goroutine* g) noexcept {
  WorkerCounters::add(counters.ended, std::memory_order_release);  // see num_goroutines()
  if (g->extra != nullptr) [[unlikely]] leave_context(g);
  g->leaf = nullptr;
  g->state.store(RunState::finished, std::memory_order_release);
  if (is_main(*g)) {
    if (g->root->error && ended_by_goexit(g->root->error)) {
      runtime_.deadlock_watch().main_left();
    } else {
      if (g->root->error) report_uncaught(g);
      runtime_.main_returned(*this);
    }
  }
  if ((g->join.load(std::memory_order_acquire) & join_dropped) != 0) {
    dispose(g, &records_);  // nobody else knows it
  } else {
    // Joiners go by join_finished, set under the lock. join_released is our last touch: after it
    // whoever drops the handle frees the record.
    WaitNode* joiner = nullptr;
    {
      SpinGuard guard(g->join_lock);
      join_set(g, join_finished);
      if (g->joiner != nullptr) {
        WaitNode& node = g->joiner->node;
        bool mine = node.seq == 0 || try_claim(node.g, node.seq);
        g->joiner = nullptr;
        node.linked.store(false, std::memory_order_release);
        if (mine) joiner = &node;
      }
    }
    if ((join_set(g, join_released) & join_dropped) != 0) dispose(g, &records_);
    if (joiner != nullptr) complete(*joiner);
  }
  if (runtime_.draining()) runtime_.check_drained();
}

bool JoinCaseBase::try_take() { return looks_ready(); }

bool JoinCaseBase::looks_ready() {
  return (joined_->join.load(std::memory_order_acquire) & join_finished) != 0;
}

Enlist JoinCaseBase::enlist() {
  if (checks_locks() && !node.of_select) [[unlikely]]
    join_awaited(*joined_, node);
  // A tree of goroutines that join their children then lives depth first, a branch at a time, and
  // not a whole generation at once. Before the lock: after it this frame may be gone.
  Worker::current()->bring_forward(joined_);
  SpinGuard guard(joined_->join_lock);
  if (looks_ready()) return claim_self() ? Enlist::taken : Enlist::lost;
  if (joined_->joiner != nullptr) fatal("a goroutine is joined by two others at once");
  joined_->joiner = this;
  node.linked.store(true, std::memory_order_relaxed);
  return Enlist::waiting;
}

void JoinCaseBase::withdraw() noexcept {
  SpinGuard guard(joined_->join_lock);
  if (!node.linked.load(std::memory_order_relaxed)) return;
  joined_->joiner = nullptr;
  node.linked.store(false, std::memory_order_relaxed);
}

void exception_is_seen(Goroutine* g) noexcept { join_set(g, join_seen); }

void take_outcome(Goroutine* g) {
  if ((join_set(g, join_taken) & join_taken) != 0) {
    panic("the result of this goroutine was taken before: a JoinHandle is awaited once");
  }
  std::exception_ptr& error = g->root->error;
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const Canceled&) {
    error = std::make_exception_ptr(JoinCanceled{});
  } catch (const Goexit&) {
    error = std::make_exception_ptr(Panic("joined goroutine called goexit"));
  } catch (...) {
    throw_on(take_trace(*g, error));  // by the promise
  }
}

void join_blocking(Goroutine* g) {
  struct Op {
    class Case final : public JoinCaseBase {
     public:
      explicit Case(Op op) noexcept : JoinCaseBase(op.joined) {}
      void result() const noexcept {}
    };
    Goroutine* joined;
  };
  if ((g->join.load(std::memory_order_acquire) & join_finished) != 0) return;
  auto body = [g]() -> Task<> {
    Op op{g};
    co_await std::move(op);
  };
  run_for_thread("join_blocking", body);
}

void throw_empty_handle() { panic("this JoinHandle has no goroutine (detached or moved from)"); }
Placement pinned_to(int worker) {
  if (worker < 0) panic("go_on: there is no worker of that number");
  return Placement(worker);
}
void throw_go_of_nil() { panic("go of nil func value"); }
void throw_task_awaited_twice() {
  panic("this Task has no coroutine: it was awaited, started or moved from before");
}

const char* to_string(WaitReason reason) noexcept {
  switch (reason) {
    case WaitReason::none: return "running";
    case WaitReason::chan_receive: return "chan receive";
    case WaitReason::chan_send: return "chan send";
    case WaitReason::chan_receive_nil: return "chan receive (nil chan)";
    case WaitReason::chan_send_nil: return "chan send (nil chan)";
    case WaitReason::select: return "select";
    case WaitReason::select_no_cases: return "select (no cases)";
    case WaitReason::sleep: return "sleep";
    case WaitReason::mutex_lock: return "sync.Mutex.Lock";
    case WaitReason::shared_mutex_lock: return "sync.RWMutex.Lock";
    case WaitReason::shared_mutex_lock_shared: return "sync.RWMutex.RLock";
    case WaitReason::cond_wait: return "sync.Cond.Wait";
    case WaitReason::wait_group_wait: return "sync.WaitGroup.Wait";
    case WaitReason::once: return "sync.Once.Do";
    case WaitReason::semaphore_acquire: return "semacquire";
    case WaitReason::context_done: return "context done";
    case WaitReason::event_wait: return "event wait";
    case WaitReason::join: return "join";
    case WaitReason::io_wait: return "IO wait";
    case WaitReason::blocking_call:
    case WaitReason::blocking_call_end: return "blocking call";
  }
  return "unknown";
}

}  // namespace ringo::detail
