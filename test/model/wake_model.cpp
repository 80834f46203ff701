// A worker that falls asleep and those who bring it work, under Relacy: three workers and a thread
// that posts to two of them. What the first post brings are goroutines at the tail of its worker's
// queue, of which one holds whatever worker it runs on until another one has run too, and that one
// posts to a third worker. Whatever the interleaving everything runs, once. A lost wake-up is a
// deadlock, which Relacy finds: all workers in their drivers, or the others held.
//
// Real is the run queue. Written again, statement by statement, after worker.cpp, worker_idle.cpp and
// runtime.cpp and with their memory orders, are loop(), idle(), park(), park_limit(), steal(), post(),
// wake(), drain_inbox(), ready_at_tail(), wake_sleeper(), begin_search() and stop(), without timers,
// slots, pinned goroutines and what is on the driver's side of its bell. A nap may end at any time.
//
// That park() looks at the queues is no rule here: it saves a nap. And goroutines come in pairs,
// since one alone at the tail of a queue wakes nobody, however long it has to wait there.
//
// wake_model [RULE [ITERATIONS]] leaves out one rule of the handshake, named below, and fails if
// that is not found out.
#include "relacy_std.hpp"

#include "runtime/run_queue.cpp"

namespace {

enum Break : int {
  nothing,
  no_look_at_inbox,   // park() does not look at the inbox
  look_too_early,     // park() looks at the inbox before it says that it sleeps
  no_wake_on_post,    // post() rings no bell
  no_wake_on_push,    // ready_at_tail() wakes no sleeper
  no_nap,             // a worker sleeps for long though another is awake
  no_wake_on_stop,    // stop() wakes nobody
  weak_order,         // acquire and release where it says sequentially consistent
};
constexpr const char* break_names[] = {
    "nothing",         "no_look_at_inbox", "look_too_early",  "no_wake_on_post",
    "no_wake_on_push", "no_nap",           "no_wake_on_stop", "weak_order",
};
int broken = nothing;

using ringo::detail::Goroutine;
using ringo::detail::RunQueue;
namespace model_std = ringo::detail::std;

constexpr unsigned worker_count = 3;
constexpr unsigned goroutine_count = 2;
constexpr unsigned post_count = 3;

struct Post {
  Post* next = nullptr;
  bool brings_goroutines = false;
  rl::var<int> payload;
};

struct Worker {
  RunQueue queue{true, 4};
  model_std::atomic<Post*> inbox{nullptr};
  model_std::atomic<bool> asleep_{false};

  // The driver's bell.
  rl::mutex bell_lock;
  rl::condition_variable_any bell;
  bool rung = false;

  bool asleep() const { return asleep_.load(std::memory_order_seq_cst); }
  void wake() {
    if (asleep()) ring();
  }
  void ring() {
    bell_lock.lock(here);
    rung = true;
    bell.notify_one(here);
    bell_lock.unlock(here);
  }
  void poll(bool nap) {
    if (nap) rl::yield(1, here);
    bell_lock.lock(here);
    while (!rung && !nap) bell.wait(bell_lock, here);
    rung = false;
    bell_lock.unlock(here);
  }
};

struct Model : rl::test_suite<Model, worker_count + 1> {
  std::unique_ptr<Worker[]> workers;
  std::unique_ptr<Post[]> posts;
  std::unique_ptr<model_std::atomic<bool>> stopping_;
  std::unique_ptr<model_std::atomic<int>> sleeping;
  std::unique_ptr<model_std::atomic<int>> searching_;
  rl::var<int> payload[goroutine_count + 1];

  // What has been run.
  rl::mutex done_lock;
  rl::condition_variable_any done;
  int ran[goroutine_count + 1];
  unsigned ran_count;
  unsigned posts_run;

  void before() {
    workers = std::make_unique<Worker[]>(worker_count);
    posts = std::make_unique<Post[]>(post_count);
    posts[0].brings_goroutines = true;
    stopping_ = std::make_unique<model_std::atomic<bool>>(false);
    sleeping = std::make_unique<model_std::atomic<int>>(0);
    searching_ = std::make_unique<model_std::atomic<int>>(0);
    for (int& one : ran) one = 0;
    ran_count = posts_run = 0;
  }

  void after() {
    RL_ASSERT(ran_count == goroutine_count && posts_run == post_count);
    for (unsigned i = 1; i <= goroutine_count; ++i) RL_ASSERT(ran[i] == 1);
    for (unsigned i = 0; i < worker_count; ++i) {
      RL_ASSERT(workers[i].queue.empty());
      RL_ASSERT(workers[i].inbox.load(std::memory_order_relaxed) == nullptr);
    }
    workers.reset();
    posts.reset();
    stopping_.reset();
    sleeping.reset();
    searching_.reset();
  }

  void thread(unsigned self) {
    if (self < worker_count) return loop(self);
    post(0, posts[0]);
    post(1, posts[1]);
  }

  // --- what is brought and run

  void ready_some(unsigned self) {
    for (unsigned i = 1; i <= goroutine_count; ++i) {
      payload[i](here) = static_cast<int>(i);
      ready_at_tail(self, reinterpret_cast<Goroutine*>(static_cast<std::uintptr_t>(i)));
    }
  }

  void run(unsigned self, Goroutine* goroutine) {
    const auto i = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(goroutine));
    RL_ASSERT(i >= 1 && i <= goroutine_count && payload[i](here) == static_cast<int>(i));
    if (i == 2) post((self + 1) % worker_count, posts[2]);
    done_lock.lock(here);
    ++ran[i];
    ++ran_count;
    done.notify_all(here);
    if (i == 1) {
      while (ran[2] == 0) done.wait(done_lock, here);
    }
    const bool last = ran_count == goroutine_count && posts_run == post_count;
    done_lock.unlock(here);
    if (last) stop();
  }

  void run(unsigned self, Post& one) {
    one.payload(here) = static_cast<int>(one.payload(here)) + 1;
    RL_ASSERT(one.payload(here) == 2);
    if (one.brings_goroutines) ready_some(self);
    done_lock.lock(here);
    ++posts_run;
    const bool last = ran_count == goroutine_count && posts_run == post_count;
    done_lock.unlock(here);
    if (last) stop();
  }

  // --- worker.cpp and worker_idle.cpp

  void loop(unsigned self) {
    while (!stopping()) {
      Goroutine* g = workers[self].queue.pop();
      if (g == nullptr) g = idle(self);
      if (g != nullptr) run(self, g);
    }
  }

  Goroutine* idle(unsigned self) {
    Worker& me = workers[self];
    if (me.inbox.load(std::memory_order_relaxed) != nullptr) {
      drain_inbox(self);
      return nullptr;
    }
    if (begin_search()) {
      Goroutine* g = steal(self);
      searching_->fetch_sub(1, std::memory_order_seq_cst);
      if (g != nullptr) return g;
    }
    park(self);
    return nullptr;
  }

  void park(unsigned self) {
    Worker& me = workers[self];
    const bool early = me.inbox.load(std::memory_order_seq_cst) != nullptr;
    me.asleep_.store(true, std::memory_order_seq_cst);
    sleeping->fetch_add(1, std::memory_order_seq_cst);
    bool look_again = broken == no_look_at_inbox ? stopping()
                      : broken == look_too_early
                          ? early || stopping()
                          : me.inbox.load(std::memory_order_seq_cst) != nullptr || stopping();
    for (unsigned i = 0; i < worker_count && !look_again; ++i) {
      look_again = !workers[i].queue.empty();
    }
    if (!look_again) me.poll(naps(self));
    sleeping->fetch_sub(1, std::memory_order_seq_cst);
    me.asleep_.store(false, std::memory_order_seq_cst);
    drain_inbox(self);
    rl::yield(1, here);
  }

  /// park_limit()
  bool naps(unsigned self) {
    if (broken == no_nap) return false;
    for (unsigned i = 0; i < worker_count; ++i) {
      if (i != self && !workers[i].asleep()) return true;
    }
    return false;
  }

  Goroutine* steal(unsigned self) {
    const unsigned start = rl::rand(worker_count);
    for (unsigned i = 0; i < worker_count; ++i) {
      const unsigned victim = (start + i) % worker_count;
      if (victim == self) continue;
      if (Goroutine* g = workers[victim].queue.steal_into(workers[self].queue)) {
        if (!workers[self].queue.empty()) wake_sleeper();
        return g;
      }
    }
    return nullptr;
  }

  void ready_at_tail(unsigned self, Goroutine* g) {
    workers[self].queue.push(g);
    if (workers[self].queue.size() >= 2 && broken != no_wake_on_push) wake_sleeper();
  }

  void post(unsigned to, Post& one) {
    one.payload(here) = 1;
    Worker& worker = workers[to];
    Post* head = worker.inbox.load(std::memory_order_relaxed);
    do {
      one.next = head;
    } while (!worker.inbox.compare_exchange_weak(head, &one, std::memory_order_seq_cst,
                                                 std::memory_order_relaxed));
    if (broken != no_wake_on_post) worker.wake();
  }

  void drain_inbox(unsigned self) {
    Post* one = workers[self].inbox.exchange(nullptr, std::memory_order_acquire);
    while (one != nullptr) {
      Post* next = one->next;
      run(self, *one);
      one = next;
    }
  }

  // --- runtime.cpp

  bool stopping() { return stopping_->load(std::memory_order_seq_cst); }

  void stop() {
    stopping_->store(true, std::memory_order_seq_cst);
    if (broken == no_wake_on_stop) return;
    for (unsigned i = 0; i < worker_count; ++i) workers[i].wake();
  }

  bool begin_search() {
    const int searching = searching_->load(std::memory_order_relaxed);
    if (2 * searching >= static_cast<int>(worker_count)) return false;
    searching_->fetch_add(1, std::memory_order_seq_cst);
    return true;
  }

  void wake_sleeper() {
    if (sleeping->load(std::memory_order_seq_cst) == 0 ||
        searching_->load(std::memory_order_seq_cst) != 0) {
      return;
    }
    for (unsigned i = 0; i < worker_count; ++i) {
      if (workers[i].asleep()) return workers[i].wake();
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  broken = what_to_break(break_names, argc, argv);
  weaken_seq_cst = broken == weak_order;
  return run_model<Model>(broken != nothing, argc, argv, 100'000);
}
