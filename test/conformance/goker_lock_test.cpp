// Leaks around locks, from the bugs of well-known Go programs that Go's leak profile is tested with
// (GoKer, see goker_channel_test.cpp): a lock is held by one who waits for a channel or a group, or
// is taken twice, or two locks are taken in both orders.
#include "goker.hpp"

using namespace ringo;
using namespace ringo::test;

// --- a lock, held while waiting for something else ----------------------------------------------

namespace {

// cockroach/1055: stopping waits for the tasks before it tells them to stop, with the lock that the
// next task needs.
struct Stopper {
  Mutex mu;
  bool draining = false;
  WaitGroup drain;
  Channel<> stop;
};

Task<> run_task(std::shared_ptr<Stopper> s) {
  {
    auto guard = co_await s->mu.lock();
    if (s->draining) co_return;
    s->drain.add(1);
  }
  Defer done{[&] { s->drain.done(); }};
  co_await s->stop.recv();
}

Task<> stop_tasks(Variant v, std::shared_ptr<Stopper> s, Channel<> done) {
  {
    auto guard = co_await s->mu.lock();
    s->draining = true;
    if (!v.fixed) co_await s->drain.wait();
    s->stop.close();
  }
  co_await s->drain.wait();
  done.close();
}

Task<> cockroach_1055(Variant v) {
  auto s = std::make_shared<Stopper>();
  Channel<> done;
  for (int i = 0; i < 2; ++i) v.go(run_task, s);
  co_await v.others();
  v.go(stop_tasks, v, s, done);
  co_await v.others();
  v.go(run_task, s);
  co_await done.recv();
}

// istio/16224: events are reported under the lock that the receiver of the report takes first.
struct Controller {
  Mutex mu;
  Channel<> events;
  Channel<> handled;
};

Task<> handle_events(Variant v, std::shared_ptr<Controller> c) {
  while (co_await c->events.recv()) {
    auto guard = co_await c->mu.lock();
    if (v.fixed) guard.unlock();
    co_await c->handled.send();
  }
}

Task<> istio_16224(Variant v) {
  auto c = std::make_shared<Controller>();
  v.go(handle_events, v, c);
  co_await c->events.send();
  co_await v.others();
  { auto guard = co_await c->mu.lock(); }
  co_await c->handled.recv();
  c->events.close();
}

// moby/28462: a monitor is told to stop by one who holds the lock that it needs to get there.
struct Container {
  Mutex mu;
  Channel<> result;  // of a probe
  Channel<> stop;
};

Task<> monitor(std::shared_ptr<Container> c) {
  for (;;) {
    auto told = co_await select_any{c->stop.recv(), otherwise()};
    if (told.index() == 0) co_return;
    co_await c->result.recv();
    auto guard = co_await c->mu.lock();
  }
}

Task<> change_state(Variant v, std::shared_ptr<Container> c) {
  auto guard = co_await c->mu.lock();
  co_await c->result.send();
  if (v.fixed) {
    c->stop.close();
  } else {
    co_await c->stop.send();
  }
}

Task<> moby_28462(Variant v) {
  auto c = std::make_shared<Container>();
  v.go(monitor, c);
  v.go(change_state, v, c);
  co_return;
}

}  // namespace

TEST_CASE("DL-10: cockroach/1055: waiting for tasks that nobody has told to stop") {
  check_program(
      &cockroach_1055, Leak::by_order,
      {"cockroach_1055 [chan receive]", "run_task [chan receive]", "run_task [chan receive]",
       "run_task [sync.Mutex.Lock]", "stop_tasks [sync.WaitGroup.Wait]"});
}
TEST_CASE("DL-10: istio/16224: a report under the lock of its receiver") {
  check_program(&istio_16224, Leak::by_order,
                {"handle_events [chan send]", "istio_16224 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: moby/28462: a stop sign under the lock of the one it is for") {
  check_program(&moby_28462, Leak::always,
                {"change_state [chan send]", "monitor [sync.Mutex.Lock]"});
}

namespace {

// kubernetes/10182: a status is sent under the lock that its receiver takes for the one before.
struct StatusManager {
  Mutex mu;
  Channel<int> statuses;
};

Task<> set_status(Variant v, std::shared_ptr<StatusManager> m, int status) {
  auto guard = co_await m->mu.lock();
  if (v.fixed) guard.unlock();
  co_await m->statuses.send(status);
}

Task<> sync_batch(Variant v, std::shared_ptr<StatusManager> m) {
  for (int i = 0; i < 2; ++i) {
    co_await m->statuses.recv();
    co_await v.others();
    auto guard = co_await m->mu.lock();
  }
}

Task<> kubernetes_10182(Variant v) {
  auto m = std::make_shared<StatusManager>();
  v.go(sync_batch, v, m);
  for (int i = 0; i < 2; ++i) v.go(set_status, v, m, i);
  co_return;
}

// kubernetes/58107: a worker waits for a job with the lock for reading held, which keeps out the
// writer, who keeps out the worker that would bring the job.
struct Quota {
  struct Queue {
    Mutex mu;
    Cond cond{mu};
    int jobs = 0;
  };
  SharedMutex workers;
  Queue queues[2];
};

Task<> work_on(Variant v, std::shared_ptr<Quota> quota, int number) {
  auto reading = co_await quota->workers.lock_shared();
  if (v.fixed) reading.unlock();
  {
    Quota::Queue& queue = quota->queues[number];
    auto guard = co_await queue.mu.lock();
    co_await queue.cond.wait(guard, [&] { return queue.jobs > 0; });
    --queue.jobs;
  }
  if (v.fixed) reading = co_await quota->workers.lock_shared();
  if (number == 0) co_return;
  Quota::Queue& next = quota->queues[0];
  auto guard = co_await next.mu.lock();
  ++next.jobs;
  next.cond.signal();
}

Task<> sync_quota(std::shared_ptr<Quota> quota) { auto writing = co_await quota->workers.lock(); }

Task<> kubernetes_58107(Variant v) {
  auto quota = std::make_shared<Quota>();
  quota->queues[1].jobs = 1;
  v.go(work_on, v, quota, 0);
  co_await v.others();
  v.go(sync_quota, quota);
  co_await v.others();
  v.go(work_on, v, quota, 1);
}

// moby/25384: a group of all plugins is waited for after each of them has been started.
Task<> restore_plugin(std::shared_ptr<WaitGroup> group) {
  group->done();
  co_return;
}

Task<> moby_25384(Variant v) {
  auto group = std::make_shared<WaitGroup>();
  group->add(3);
  for (int i = 0; i < 3; ++i) {
    v.go(restore_plugin, group);
    if (!v.fixed) co_await group->wait();
  }
  co_await group->wait();
}

// moby/30408: a plugin that could not be activated does not tell those who wait for it.
struct Plugin {
  Mutex mu;
  Cond activated{mu};
  bool tried = false;
};

Task<> wait_active(std::shared_ptr<Plugin> plugin, Channel<> done) {
  {
    auto guard = co_await plugin->mu.lock();
    co_await plugin->activated.wait(guard, [&] { return plugin->tried; });
  }
  done.close();
}

Task<> moby_30408(Variant v) {
  auto plugin = std::make_shared<Plugin>();
  Channel<> done;
  v.go(wait_active, plugin, done);
  co_await v.others();
  {
    auto guard = co_await plugin->mu.lock();
    plugin->tried = true;
    if (v.fixed) plugin->activated.broadcast();
  }
  co_await done.recv();
}

}  // namespace

TEST_CASE("DL-10: kubernetes/10182: a status under the lock of its receiver") {
  check_program(&kubernetes_10182, Leak::by_order,
                {"set_status [chan send]", "sync_batch [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: kubernetes/58107: waiting for a job with a read lock") {
  check_program(&kubernetes_58107, Leak::by_order,
                {"sync_quota [sync.RWMutex.Lock]", "work_on [sync.Cond.Wait]",
                 "work_on [sync.RWMutex.RLock]"});
}
TEST_CASE("DL-10: moby/25384: waiting for a group that is not complete") {
  check_program(&moby_25384, Leak::always, {"moby_25384 [sync.WaitGroup.Wait]"});
}
TEST_CASE("DL-10: moby/30408: a signal that failure leaves out") {
  check_program(&moby_30408, Leak::by_order,
                {"moby_30408 [chan receive]", "wait_active [sync.Cond.Wait]"});
}

// --- a lock, taken twice ------------------------------------------------------------------------

namespace {

// hugo/5379: a page makes its content under a lock, and the template inside asks for the content.
struct Page {
  Mutex content_mu;
  WaitGroup rendered;
};

Task<> content_of(Variant v, std::shared_ptr<Page> page, int depth) {
  auto guard = co_await page->content_mu.lock();
  if (v.fixed) guard.unlock();
  if (depth > 0) co_await content_of(v, page, depth - 1);
}

Task<> render_page(Variant v, std::shared_ptr<Page> page) {
  Defer done{[&] { page->rendered.done(); }};
  co_await content_of(v, page, 1);
}

Task<> hugo_5379(Variant v) {
  auto page = std::make_shared<Page>();
  page->rendered.add(2);
  for (int i = 0; i < 2; ++i) v.go(render_page, v, page);
  co_await page->rendered.wait();
}

}  // namespace

TEST_CASE("DL-10: hugo/5379: content that contains itself") {
  check_program(&hugo_5379, Leak::always,
                {"hugo_5379 [sync.WaitGroup.Wait]", "render_page [sync.Mutex.Lock]",
                 "render_page [sync.Mutex.Lock]"});
}

namespace {

// cockroach/584: the way out of the loop leaves the lock held.
struct Gossip {
  Mutex mu;
  bool closed = true;
};

Task<> bootstrap(Variant v, std::shared_ptr<Gossip> gossip) {
  for (;;) {
    auto guard = co_await gossip->mu.lock();
    if (gossip->closed) {
      if (!v.fixed) guard.release();
      break;
    }
  }
}

Task<> cockroach_584(Variant v) {
  auto gossip = std::make_shared<Gossip>();
  co_await bootstrap(v, gossip);
  auto guard = co_await gossip->mu.lock();
}

// etcd/5509: a failure to acquire the client returns with its read lock held.
Task<bool> acquire_client(Variant v, std::shared_ptr<SharedMutex> client) {
  auto reading = co_await client->lock_shared();
  if (!v.fixed) reading.release();
  co_return false;
}

Task<> etcd_5509(Variant v) {
  auto client = std::make_shared<SharedMutex>();
  const bool acquired = co_await acquire_client(v, client);
  CHECK_FALSE(acquired);
  auto writing = co_await client->lock();
}

// cockroach/3710: a reader reads within reading, and a writer has come in between.
Task<> force_scan(Variant v, std::shared_ptr<SharedMutex> store) {
  auto scanning = co_await store->lock_shared();
  co_await v.others();
  if (v.fixed) scanning.unlock();
  auto status = co_await store->lock_shared();
}

Task<> process_raft(std::shared_ptr<SharedMutex> store) { auto writing = co_await store->lock(); }

Task<> cockroach_3710(Variant v) {
  auto store = std::make_shared<SharedMutex>();
  v.go(force_scan, v, store);
  co_await yield();
  v.go(process_raft, store);
}

// cockroach/10214: two locks, taken in both orders.
struct Raft {
  Mutex coalesced;
  Mutex raft;
};

Task<> send_heartbeats(Variant v, std::shared_ptr<Raft> r) {
  auto coalesced = co_await r->coalesced.lock();
  if (v.fixed) coalesced.unlock();
  co_await v.others();
  auto raft = co_await r->raft.lock();
}

Task<> tick(Variant v, std::shared_ptr<Raft> r) {
  auto raft = co_await r->raft.lock();
  co_await v.others();
  auto coalesced = co_await r->coalesced.lock();
}

Task<> cockroach_10214(Variant v) {
  auto r = std::make_shared<Raft>();
  v.go(send_heartbeats, v, r);
  v.go(tick, v, r);
  co_return;
}

}  // namespace

TEST_CASE("DL-10: cockroach/584: a lock that the loop's end keeps") {
  check_program(&cockroach_584, Leak::always, {"cockroach_584 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: etcd/5509: a read lock that a failure keeps") {
  check_program(&etcd_5509, Leak::always, {"etcd_5509 [sync.RWMutex.Lock]"});
}
TEST_CASE("DL-10: cockroach/3710: reading within reading") {
  check_program(&cockroach_3710, Leak::by_order,
                {"force_scan [sync.RWMutex.RLock]", "process_raft [sync.RWMutex.Lock]"});
}
TEST_CASE("DL-10: cockroach/10214: two locks in both orders") {
  check_program(&cockroach_10214, Leak::by_order,
                {"send_heartbeats [sync.Mutex.Lock]", "tick [sync.Mutex.Lock]"});
}
