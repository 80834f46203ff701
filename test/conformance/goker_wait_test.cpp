// Leaks of waiting for somebody who waits in turn, from the bugs of well-known Go programs (GoKer,
// see goker_channel_test.cpp): for a lock that the first one holds, or for an answer, or for a
// signal that is given to somebody else.
#include "goker.hpp"

using namespace ringo;
using namespace ringo::test;

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

// etcd/7902: between two rounds of an election the followers wait for the leader, one of them with
// the lock under which the leader opens the next round.
struct Election {
  Mutex mu;
  Channel<> next;
  WaitGroup rounds;
};

Task<> release_round(Variant v, std::shared_ptr<Election> e, bool leads) {
  Defer done{[&] { e->rounds.done(); }};
  if (leads) co_await v.others();
  auto guard = co_await e->mu.lock();
  if (leads) {
    e->next.close();
  } else {
    if (v.fixed) guard.unlock();
    co_await e->next.recv();
  }
}

Task<> etcd_7902(Variant v) {
  auto e = std::make_shared<Election>();
  e->rounds.add(3);
  for (int i = 0; i < 3; ++i) v.go(release_round, v, e, i == 0);
  co_await e->rounds.wait();
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
TEST_CASE("DL-10: etcd/7902: followers between two rounds") {
  check_program(&etcd_7902, Leak::by_order,
                {"etcd_7902 [sync.WaitGroup.Wait]", "release_round [chan receive]",
                 "release_round [sync.Mutex.Lock]", "release_round [sync.Mutex.Lock]"});
}
