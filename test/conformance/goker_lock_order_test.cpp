// Leaks between two locks that are taken in both orders, from the bugs of well-known Go programs
// (GoKer, see goker_channel_test.cpp).
#include "goker.hpp"

using namespace ringo;
using namespace ringo::test;

namespace {

struct TwoLocks {
  Mutex a;
  Mutex b;
};

/// Takes two locks one after the other; mended, one at a time.
Task<> take(Variant v, Mutex& first, Mutex& second) {
  auto one = co_await first.lock();
  co_await v.others();
  if (v.fixed) one.unlock();
  auto two = co_await second.lock();
}

// cockroach/7504: leases are released under the names, and named under the leases.
Task<> release_lease(Variant v, std::shared_ptr<TwoLocks> t) { co_await take(v, t->a, t->b); }
Task<> acquire_by_name(Variant v, std::shared_ptr<TwoLocks> t) { co_await take(v, t->b, t->a); }

Task<> cockroach_7504(Variant v) {
  auto locks = std::make_shared<TwoLocks>();
  v.go(release_lease, v, locks);
  v.go(acquire_by_name, v, locks);
  co_return;
}

// kubernetes/13135: a cache hands out events under its store's lock; a new watcher of the cache
// reads the store.
struct Cacher {
  Mutex watchers;
  SharedMutex store;
};

Task<> add_event(Variant v, std::shared_ptr<Cacher> c) {
  auto writing = co_await c->store.lock();
  co_await v.others();
  if (v.fixed) writing.unlock();
  auto guard = co_await c->watchers.lock();
}

Task<> add_watcher(Variant v, std::shared_ptr<Cacher> c) {
  auto guard = co_await c->watchers.lock();
  co_await v.others();
  if (v.fixed) guard.unlock();
  auto reading = co_await c->store.lock_shared();
}

Task<> kubernetes_13135(Variant v) {
  auto cacher = std::make_shared<Cacher>();
  v.go(add_event, v, cacher);
  v.go(add_watcher, v, cacher);
  co_return;
}

// moby/4951: deleting a device gives the lock of all away while it waits and takes it back, the
// device's own still held.
Task<> delete_device(Variant v, std::shared_ptr<TwoLocks> t) {
  auto all = co_await t->a.lock();
  auto device = co_await t->b.lock();
  all.unlock();
  co_await v.others();
  if (v.fixed) device.unlock();
  all = co_await t->a.lock();
}

Task<> look_device_up(std::shared_ptr<TwoLocks> t) {
  auto all = co_await t->a.lock();
  auto device = co_await t->b.lock();
}

Task<> moby_4951(Variant v) {
  auto locks = std::make_shared<TwoLocks>();
  v.go(delete_device, v, locks);
  v.go(look_device_up, locks);
  co_return;
}

// hugo/3251: the lock of one address is waited for under the lock of all, which giving it back
// needs too.
struct RemoteLocks {
  SharedMutex all;
  Mutex address;
};

Task<> fetch(Variant v, std::shared_ptr<RemoteLocks> r) {
  {
    auto all = co_await r->all.lock();
    if (v.fixed) all.unlock();
    auto held = co_await r->address.lock();
    held.release();
  }
  co_await v.others();
  auto all = co_await r->all.lock_shared();
  r->address.unlock();
}

Task<> hugo_3251(Variant v) {
  auto remote = std::make_shared<RemoteLocks>();
  for (int i = 0; i < 2; ++i) v.go(fetch, v, remote);
  co_return;
}

// kubernetes/30872: a cluster is taken out of the queue and added under the queue's lock; whether
// all clusters are in step is asked of the queue under the informer's.
struct Informer {
  SharedMutex mu;
  Mutex queue;
};

Task<> pop_cluster(Variant v, std::shared_ptr<Informer> i) {
  auto queue = co_await i->queue.lock();
  co_await v.others();
  if (v.fixed) queue.unlock();
  auto guard = co_await i->mu.lock();
}

Task<> clusters_synced(Variant v, std::shared_ptr<Informer> i) {
  auto reading = co_await i->mu.lock_shared();
  co_await v.others();
  auto queue = co_await i->queue.lock();
}

Task<> kubernetes_30872(Variant v) {
  auto informer = std::make_shared<Informer>();
  v.go(pop_cluster, v, informer);
  v.go(clusters_synced, v, informer);
  co_return;
}

}  // namespace

TEST_CASE("DL-10: cockroach/7504: leases and names") {
  check_program(&cockroach_7504, Leak::by_order,
                {"acquire_by_name [sync.Mutex.Lock]", "release_lease [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: kubernetes/13135: a store and its watchers") {
  check_program(&kubernetes_13135, Leak::by_order,
                {"add_event [sync.Mutex.Lock]", "add_watcher [sync.RWMutex.RLock]"});
}
TEST_CASE("DL-10: moby/4951: a lock taken back out of its order") {
  check_program(&moby_4951, Leak::by_order,
                {"delete_device [sync.Mutex.Lock]", "look_device_up [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: hugo/3251: unlocking needs the lock of who waits") {
  check_program(&hugo_3251, Leak::by_order,
                {"fetch [sync.Mutex.Lock]", "fetch [sync.RWMutex.RLock]"});
}
TEST_CASE("DL-10: kubernetes/30872: a queue and its informer") {
  check_program(&kubernetes_30872, Leak::by_order,
                {"clusters_synced [sync.Mutex.Lock]", "pop_cluster [sync.RWMutex.Lock]"});
}
