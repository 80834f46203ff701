// Leaks between a lock and a channel, a group or a condition, from the bugs of well-known Go
// programs (GoKer, see goker_channel_test.cpp).
#include "goker.hpp"

using namespace ringo;
using namespace ringo::test;

// --- a send under the lock that its receiver needs ----------------------------------------------

namespace {

// etcd/7492: a token is handed to its keeper under the lock that the keeper takes to clean up.
struct Tokens {
  Mutex mu;
  Channel<> ticks;
  Channel<int> added;
  Channel<> stop;
};

Task<> keep_tokens(std::shared_ptr<Tokens> t) {
  for (;;) {
    auto got = co_await select_any{t->added.recv(), t->ticks.recv(), t->stop.recv()};
    if (got.index() == 2) co_return;
    if (got.index() == 1) auto guard = co_await t->mu.lock();
  }
}

Task<> etcd_7492(Variant v) {
  auto t = std::make_shared<Tokens>();
  v.go(keep_tokens, t);
  auto guard = co_await t->mu.lock();
  co_await t->ticks.send();
  if (v.fixed) guard.unlock();
  co_await t->added.send(1);
  t->stop.close();
}

// etcd/7443: a balancer reports its address under its lock; who hears of it closes a connection,
// and that tells the balancer, under its lock.
struct Balancer {
  Mutex mu;
  Channel<int> notify;
};

Task<> watch_addresses(std::shared_ptr<Balancer> b) {
  while (auto address = co_await b->notify.recv()) {
    CHECK_GE(*address, 0);
    auto guard = co_await b->mu.lock();
  }
}

Task<> etcd_7443(Variant v) {
  auto b = std::make_shared<Balancer>();
  v.go(watch_addresses, b);
  for (int address = 0; address < 2; ++address) {
    auto guard = co_await b->mu.lock();
    if (v.fixed) guard.unlock();
    co_await b->notify.send(address);
    if (!v.fixed) co_await b->notify.send(address);
  }
  b->notify.close();
}

// kubernetes/1321: events are given to the watchers under the lock that stopping to watch takes.
struct Mux {
  Mutex mu;
  bool watched = true;
};

Task<> distribute(Variant v, std::shared_ptr<Mux> mux, Channel<int> result, Channel<> stopped) {
  auto guard = co_await mux->mu.lock();
  co_await v.others();
  if (!mux->watched) co_return;
  if (v.fixed) {
    co_await select_any{result.send(1), stopped.recv()};
  } else {
    co_await result.send(1);
  }
}

Task<> kubernetes_1321(Variant v) {
  auto mux = std::make_shared<Mux>();
  Channel<int> result;
  Channel<> stopped;
  v.go(distribute, v, mux, result, stopped);
  co_await v.others();
  stopped.close();
  auto guard = co_await mux->mu.lock();
  mux->watched = false;
}

// kubernetes/6632: a frame is written under the lock that the end of the idle timer takes, and the
// timer is to hear of it.
struct Framer {
  Mutex mu;
  Channel<> reset;
  bool idle = false;
};

Task<> monitor_idle(std::shared_ptr<Framer> f, Channel<> expired) {
  co_await expired.recv();
  auto guard = co_await f->mu.lock();
  f->idle = true;
  f->reset.close();
}

Task<> write_frame(Variant v, std::shared_ptr<Framer> f, Channel<> expired) {
  auto guard = co_await f->mu.lock();
  expired.close();
  co_await v.others();
  if (f->idle) co_return;
  if (v.fixed) {
    CHECK_FALSE(f->reset.try_send(Unit{}));
  } else {
    co_await f->reset.send();
  }
}

Task<> kubernetes_6632(Variant v) {
  auto f = std::make_shared<Framer>();
  Channel<> expired;
  v.go(write_frame, v, f, expired);
  v.go(monitor_idle, f, expired);
  co_return;
}

// kubernetes/26980: notifications wait for a listener that has gone, under the lock of the queue.
struct Listener {
  Mutex mu;
  Cond added{mu};
  int pending = 0;
  Channel<int> next;
};

Task<> pop_notifications(Variant v, std::shared_ptr<Listener> l, Channel<> stop) {
  auto guard = co_await l->mu.lock();
  co_await l->added.wait(guard, [&] { return l->pending > 0; });
  if (v.fixed) guard.unlock();
  co_await select_any{l->next.send(1), stop.recv()};
}

Task<> kubernetes_26980(Variant v) {
  auto l = std::make_shared<Listener>();
  Channel<> stop;
  v.go(pop_notifications, v, l, stop);
  for (int i = 0; i < 2; ++i) {
    {
      auto guard = co_await l->mu.lock();
      ++l->pending;
      l->added.signal();
    }
    co_await v.others();
  }
  stop.close();
}

// cockroach/35931: a flow that fails tells its receivers one after the other under its lock, and
// one of them is full.
struct Flow {
  Mutex mu;
  bool failed = false;
};

Task<> fail_flow(Variant v, std::shared_ptr<Flow> flow, Channel<int> receiver) {
  auto guard = co_await flow->mu.lock();
  flow->failed = true;
  if (v.fixed) {
    CHECK_FALSE(receiver.try_send(-1));
  } else {
    co_await receiver.send(-1);
  }
}

Task<> cockroach_35931(Variant v) {
  auto flow = std::make_shared<Flow>();
  Channel<int> receiver(1);
  co_await receiver.send(1);
  v.go(fail_flow, v, flow, receiver);
  co_await v.others();
  auto guard = co_await flow->mu.lock();
}

}  // namespace

TEST_CASE("DL-10: etcd/7492: a token for a keeper who cleans up") {
  check_program(&etcd_7492, Leak::always,
                {"etcd_7492 [chan send]", "keep_tokens [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: etcd/7443: addresses under the lock of who hears of them") {
  check_program(&etcd_7443, Leak::always,
                {"etcd_7443 [chan send]", "watch_addresses [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: kubernetes/1321: an event for one who is about to go") {
  check_program(&kubernetes_1321, Leak::by_order,
                {"distribute [chan send]", "kubernetes_1321 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: kubernetes/6632: a timer told under the lock it needs") {
  check_program(&kubernetes_6632, Leak::by_order,
                {"monitor_idle [sync.Mutex.Lock]", "write_frame [chan send]"});
}
TEST_CASE("DL-10: kubernetes/26980: a listener that has gone, and the lock of its queue") {
  check_program(&kubernetes_26980, Leak::by_order,
                {"kubernetes_26980 [sync.Mutex.Lock]", "pop_notifications [select]"});
}
TEST_CASE("DL-10: cockroach/35931: a failure told to a full receiver") {
  check_program(&cockroach_35931, Leak::by_order,
                {"cockroach_35931 [sync.Mutex.Lock]", "fail_flow [chan send]"});
}

// --- a wait for somebody, under the lock that he needs ------------------------------------------

namespace {

// etcd/6873: stopping waits for the one who broadcasts, who takes the lock that stopping holds.
struct Broadcasts {
  Mutex mu;
  Channel<int> updates;
  Channel<> done;
};

Task<> coalesce(std::shared_ptr<Broadcasts> b) {
  while (auto update = co_await b->updates.recv()) {
    CHECK_EQ(*update, 1);
    auto guard = co_await b->mu.lock();
  }
  b->done.close();
}

Task<> etcd_6873(Variant v) {
  auto b = std::make_shared<Broadcasts>();
  v.go(coalesce, b);
  auto guard = co_await b->mu.lock();
  co_await b->updates.send(1);
  b->updates.close();
  if (v.fixed) guard.unlock();
  co_await b->done.recv();
}

// grpc/1460: a connection without streams sleeps with its lock, which who wakes it takes.
struct Transport {
  Mutex mu;
  Channel<> awaken{1};
  bool sleeps = false;
};

Task<> keep_alive(Variant v, std::shared_ptr<Transport> t) {
  auto guard = co_await t->mu.lock();
  t->sleeps = true;
  if (v.fixed) guard.unlock();
  co_await t->awaken.recv();
}

Task<> grpc_1460(Variant v) {
  auto t = std::make_shared<Transport>();
  v.go(keep_alive, v, t);
  for (bool told = false; !told;) {
    co_await v.others();
    auto guard = co_await t->mu.lock();
    told = t->sleeps;
    if (told) co_await t->awaken.send();
  }
}

// cockroach/1462: stopping waits for the workers, and one of them has an event for who stops.
struct Interceptor {
  WaitGroup workers;
  Channel<int> events;
  Channel<> stop;
};

Task<> intercept(Variant v, std::shared_ptr<Interceptor> i) {
  Defer done{[&] { i->workers.done(); }};
  for (;;) {
    auto stop = v.fixed ? i->stop : Channel<>::nil();
    auto sent = co_await select_any{i->events.send(1), stop.recv()};
    if (sent.index() == 1) co_return;
  }
}

Task<> cockroach_1462(Variant v) {
  auto i = std::make_shared<Interceptor>();
  i->workers.add(1);
  v.go(intercept, v, i);
  co_await i->events.recv();
  i->stop.close();
  co_await i->workers.wait();
}

// moby/27782: whoever follows a log takes its watch away, and waits for the reader to confirm that;
// the reader has an event for him.
struct LogWatch {
  Mutex mu;
  Cond removed{mu};
  bool exists = true;
  Channel<int> events;
  Channel<> closing;
};

Task<> read_events(Variant v, std::shared_ptr<LogWatch> w) {
  if (v.fixed) {
    co_await select_any{w->events.send(1), w->closing.recv()};
  } else {
    co_await w->events.send(1);
  }
  auto guard = co_await w->mu.lock();
  w->exists = false;
  w->removed.broadcast();
}

Task<> moby_27782(Variant v) {
  auto w = std::make_shared<LogWatch>();
  v.go(read_events, v, w);
  w->closing.close();
  auto guard = co_await w->mu.lock();
  co_await w->removed.wait(guard, [&] { return !w->exists; });
}

// moby/29733: plugins wait until they are activated, of which the handler that was registered first
// hears and nobody else.
struct Plugins {
  Mutex mu;
  Cond activated{mu};
  bool active = false;
};

Task<> wait_for_plugin(std::shared_ptr<Plugins> p) {
  auto guard = co_await p->mu.lock();
  co_await p->activated.wait(guard, [&] { return p->active; });
}

Task<> moby_29733(Variant v) {
  auto p = std::make_shared<Plugins>();
  for (int i = 0; i < 3; ++i) v.go(wait_for_plugin, p);
  co_await v.others();
  auto guard = co_await p->mu.lock();
  p->active = true;
  if (v.fixed) {
    p->activated.broadcast();
  } else {
    p->activated.signal();
  }
}

// serving/2137: requests are let in one at a time, and the test lets the one come to its end that
// has not been let in.
struct Request {
  Mutex mu;
  Channel<> accepted;
};

Task<> serve(Channel<> active, std::shared_ptr<Request> request) {
  co_await active.send();
  { auto guard = co_await request->mu.lock(); }
  co_await active.recv();
  co_await request->accepted.send();
}

Task<> serving_2137(Variant v) {
  Channel<> active(1);
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < 2; ++i) {
    requests.push_back(std::make_shared<Request>());
    auto guard = co_await requests.back()->mu.lock();
    guard.release();
    v.go(serve, active, requests.back());
    co_await v.others();
  }
  if (v.fixed) {
    for (auto& request : requests) request->mu.unlock();
    for (auto& request : requests) co_await request->accepted.recv();
  } else {
    requests[1]->mu.unlock();
    co_await requests[1]->accepted.recv();
  }
}

}  // namespace

TEST_CASE("DL-10: etcd/6873: stopping what needs the lock of who stops it") {
  check_program(&etcd_6873, Leak::always,
                {"coalesce [sync.Mutex.Lock]", "etcd_6873 [chan receive]"});
}
TEST_CASE("DL-10: grpc/1460: sleeping with the lock") {
  check_program(&grpc_1460, Leak::by_order,
                {"grpc_1460 [sync.Mutex.Lock]", "keep_alive [chan receive]"});
}
TEST_CASE("DL-10: cockroach/1462: an event for one who waits for the end") {
  check_program(&cockroach_1462, Leak::always,
                {"cockroach_1462 [sync.WaitGroup.Wait]", "intercept [select]"});
}
TEST_CASE("DL-10: moby/27782: a confirmation behind an event") {
  check_program(&moby_27782, Leak::always,
                {"moby_27782 [sync.Cond.Wait]", "read_events [chan send]"});
}
TEST_CASE("DL-10: moby/29733: a signal for one of three") {
  check_program(&moby_29733, Leak::by_order,
                {"wait_for_plugin [sync.Cond.Wait]", "wait_for_plugin [sync.Cond.Wait]"});
}
TEST_CASE("DL-10: serving/2137: the request that is not let in is unlocked") {
  check_program(&serving_2137, Leak::by_order,
                {"serve [chan send]", "serve [sync.Mutex.Lock]", "serving_2137 [chan receive]"});
}
