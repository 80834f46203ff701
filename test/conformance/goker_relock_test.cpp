// Leaks around one lock, from the bugs of well-known Go programs (GoKer, see
// goker_channel_test.cpp): a holder asks for it again, readers read within reading, or a way out
// keeps it. A Guard does not forget to unlock: where the mistake is that, the port asks for it with
// release().
#include <functional>

#include "goker.hpp"

using namespace ringo;
using namespace ringo::test;

// --- the holder asks again ----------------------------------------------------------------------

namespace {

// cockroach/9935: an entry that cannot be written ends the program, and that takes the log's lock.
Task<> exit_by_log(std::shared_ptr<Mutex> log) { auto guard = co_await log->lock(); }

Task<> cockroach_9935(Variant v) {
  auto log = std::make_shared<Mutex>();
  auto guard = co_await log->lock();
  const bool written = false;
  if (v.fixed) guard.unlock();
  if (!written) co_await exit_by_log(log);
}

// etcd/6708: setting the endpoints asks for the leader, with the lock that asking reads under.
Task<> ask_leader(std::shared_ptr<SharedMutex> client) {
  auto reading = co_await client->lock_shared();
}

Task<> etcd_6708(Variant v) {
  auto client = std::make_shared<SharedMutex>();
  auto guard = co_await client->lock();
  if (v.fixed) guard.unlock();
  co_await ask_leader(client);
}

// etcd/10492: renewing a lease calls back, and the callback is a call of the lessor itself.
struct Lessor {
  Mutex mu;
  std::function<Task<>()> checkpointer;
};

Task<> checkpoint(Lessor* lessor) { auto guard = co_await lessor->mu.lock(); }

Task<> etcd_10492(Variant v) {
  auto lessor = std::make_shared<Lessor>();
  lessor->checkpointer = [raw = lessor.get()] { return checkpoint(raw); };
  auto guard = co_await lessor->mu.lock();
  if (v.fixed) guard.unlock();
  co_await lessor->checkpointer();
}

// moby/36114: adding disks fails, and what takes the others back locks as adding does.
Task<> remove_disks(std::shared_ptr<Mutex> vm) { auto guard = co_await vm->lock(); }

Task<> moby_36114(Variant v) {
  auto vm = std::make_shared<Mutex>();
  for (bool fails : {false, true}) {
    auto guard = co_await vm->lock();
    if (v.fixed && fails) guard.unlock();
    if (fails) co_await remove_disks(vm);
  }
}

// syncthing/4829: clearing the addresses tells the subscribers, and telling reads the address.
struct Mapping {
  SharedMutex mu;
  std::vector<int> addresses{1, 2};
};

Task<int> address_of(std::shared_ptr<Mapping> mapping) {
  auto reading = co_await mapping->mu.lock_shared();
  co_return static_cast<int>(mapping->addresses.size());
}

Task<> syncthing_4829(Variant v) {
  auto mapping = std::make_shared<Mapping>();
  auto guard = co_await mapping->mu.lock();
  mapping->addresses.clear();
  if (v.fixed) guard.unlock();
  const int left = co_await address_of(mapping);
  CHECK_EQ(left, 0);
}

}  // namespace

TEST_CASE("DL-10: cockroach/9935: the log is needed to end because of the log") {
  check_program(&cockroach_9935, Leak::always, {"cockroach_9935 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: etcd/6708: a reader inside of its own writer") {
  check_program(&etcd_6708, Leak::always, {"etcd_6708 [sync.RWMutex.RLock]"});
}
TEST_CASE("DL-10: etcd/10492: a callback into the caller") {
  check_program(&etcd_10492, Leak::always, {"etcd_10492 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: moby/36114: taking back what failed") {
  check_program(&moby_36114, Leak::always, {"moby_36114 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: syncthing/4829: subscribers told under the lock") {
  check_program(&syncthing_4829, Leak::always, {"syncthing_4829 [sync.RWMutex.RLock]"});
}

// --- reading within reading, and a writer in between --------------------------------------------

namespace {

Task<> write_once(std::shared_ptr<SharedMutex> mu) { auto writing = co_await mu->lock(); }

/// Reads, and asks somebody who reads for himself.
Task<> look_up(Variant v, std::shared_ptr<SharedMutex> mu) {
  auto outer = co_await mu->lock_shared();
  co_await v.others();
  if (v.fixed) outer.unlock();
  auto inner = co_await mu->lock_shared();
}

// cockroach/6181: looking up a range prints the whole cache, for each of several lookups.
Task<> cockroach_6181(Variant v) {
  auto cache = std::make_shared<SharedMutex>();
  for (int i = 0; i < 3; ++i) v.go(look_up, v, cache);
  v.go(write_once, cache);
  co_return;
}

// cockroach/16167: a statement that runs under the configuration asks for the configuration, once
// directly and once in a transaction; the update waits behind the first.
Task<> run_in_transaction(Variant v, std::shared_ptr<SharedMutex> config) {
  co_await look_up(v, config);
}

Task<> cockroach_16167(Variant v) {
  auto config = std::make_shared<SharedMutex>();
  v.go(run_in_transaction, v, config);
  co_await v.others();
  co_await write_once(config);
}

// kubernetes/62464: the state is reconciled while a container is removed; the default set of CPUs
// is read under the lock of the set that was asked for.
struct CpuState {
  SharedMutex mu;
  int assigned = 2;
};

Task<int> default_set(std::shared_ptr<CpuState> state) {
  auto reading = co_await state->mu.lock_shared();
  co_return state->assigned;
}

Task<> reconcile(Variant v, std::shared_ptr<CpuState> state) {
  auto reading = co_await state->mu.lock_shared();
  co_await v.others();
  if (v.fixed) reading.unlock();
  const int set = co_await default_set(state);
  CHECK_GE(set, 1);
}

Task<> remove_container(std::shared_ptr<CpuState> state) {
  auto writing = co_await state->mu.lock();
  --state->assigned;
}

Task<> kubernetes_62464(Variant v) {
  auto state = std::make_shared<CpuState>();
  v.go(reconcile, v, state);
  v.go(remove_container, state);
  co_return;
}

}  // namespace

TEST_CASE("DL-10: cockroach/6181: lookups that print what they look up in") {
  check_program(&cockroach_6181, Leak::by_order,
                {"look_up [sync.RWMutex.RLock]", "look_up [sync.RWMutex.RLock]",
                 "look_up [sync.RWMutex.RLock]", "write_once [sync.RWMutex.Lock]"});
}
TEST_CASE("DL-10: cockroach/16167: a configuration that is read twice") {
  check_program(&cockroach_16167, Leak::by_order,
                {"cockroach_16167 [sync.RWMutex.Lock]", "run_in_transaction [sync.RWMutex.RLock]"});
}
TEST_CASE("DL-10: kubernetes/62464: a default under the lock of the question") {
  check_program(&kubernetes_62464, Leak::by_order,
                {"reconcile [sync.RWMutex.RLock]", "remove_container [sync.RWMutex.Lock]"});
}

// --- a way out that keeps the lock --------------------------------------------------------------

namespace {

// grpc/795: a server that is stopped gracefully a second time locks where it should unlock.
struct Server {
  Mutex mu;
  bool draining = false;
};

Task<> stop_gracefully(Variant v, std::shared_ptr<Server> server) {
  auto guard = co_await server->mu.lock();
  if (server->draining && !v.fixed) auto again = co_await server->mu.lock();
  server->draining = true;
}

Task<> grpc_795(Variant v) {
  auto server = std::make_shared<Server>();
  for (int i = 0; i < 2; ++i) co_await stop_gracefully(v, server);
}

// grpc/3017: a subconnection that is to be kept after all leaves the cache locked.
struct Cache {
  Mutex mu;
  bool keep = false;
};

Task<> delete_later(Variant v, std::shared_ptr<Cache> cache) {
  auto guard = co_await cache->mu.lock();
  if (cache->keep && !v.fixed) guard.release();
}

Task<> grpc_3017(Variant v) {
  auto cache = std::make_shared<Cache>();
  for (int i = 0; i < 2; ++i) {
    auto deleted = v.go(delete_later, v, cache);
    co_await deleted;
    auto guard = co_await cache->mu.lock();
    cache->keep = true;
  }
}

// moby/7559: a datagram that cannot be forwarded goes on with the next one, the table still locked.
Task<> moby_7559(Variant v) {
  Mutex table;
  for (bool fails : {true, false}) {
    auto guard = co_await table.lock();
    if (fails) {
      if (!v.fixed) guard.release();
      continue;
    }
  }
}

// moby/17176: nothing to delete, so it returns at once, the devices still locked.
Task<> clean_up(Variant v, std::shared_ptr<Mutex> devices, int to_delete) {
  auto guard = co_await devices->lock();
  if (to_delete == 0 && !v.fixed) guard.release();
}

Task<> moby_17176(Variant v) {
  auto devices = std::make_shared<Mutex>();
  for (int to_delete : {1, 0, 1}) co_await clean_up(v, devices, to_delete);
}

}  // namespace

TEST_CASE("DL-10: grpc/795: lock in the place of unlock") {
  check_program(&grpc_795, Leak::always, {"grpc_795 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: grpc/3017: a cache that stays locked with what is kept") {
  check_program(&grpc_3017, Leak::always, {"grpc_3017 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: moby/7559: a loop that goes on locked") {
  check_program(&moby_7559, Leak::always, {"moby_7559 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: moby/17176: an early return, locked") {
  check_program(&moby_17176, Leak::always, {"moby_17176 [sync.Mutex.Lock]"});
}
