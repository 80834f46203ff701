// Leaks of a send under the lock that its receiver needs first, from the bugs of well-known Go
// programs (GoKer, see goker_channel_test.cpp).
#include "goker.hpp"

using namespace ringo;
using namespace ringo::test;

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
