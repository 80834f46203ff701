#include <ringo/shared_mutex.hpp>

#include <memory>
#include <string>
#include <type_traits>

#include <ringo/wait_group.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::End;
using test::Victim;

static_assert(!std::is_copy_constructible_v<SharedMutex>);
static_assert(!std::is_move_constructible_v<SharedMutex>);
static_assert(!std::is_copy_assignable_v<SharedMutex> && !std::is_move_assignable_v<SharedMutex>);
static_assert(!std::is_same_v<SharedMutex::Guard, SharedMutex::SharedGuard>);
static_assert(sizeof(SharedMutex) <= 56);

namespace {

struct Written : SharedMutex {
  Written() { (void)try_lock().release(); }
};
struct Read : SharedMutex {
  Read() { (void)try_lock_shared().release(); }
};
constexpr auto write_it = [](SharedMutex& mu) -> Task<> { (co_await mu.lock()).unlock(); };
constexpr auto read_it = [](SharedMutex& mu) -> Task<> { (co_await mu.lock_shared()).unlock(); };

/// Starts a goroutine on worker 0 that locks, adds its name to `order`, and holds the lock for one
/// more round.
JoinHandle<void> writer(SharedMutex& mu, std::string& order, std::string name) {
  return go_on(0, [&mu, &order, name]() -> Task<> {
    auto guard = co_await mu.lock();
    order += name;
    co_await yield();
  });
}
JoinHandle<void> reader(SharedMutex& mu, std::string& order, std::string name) {
  return go_on(0, [&mu, &order, name]() -> Task<> {
    auto guard = co_await mu.lock_shared();
    order += name;
    co_await yield();
  });
}

/// Readers and writers that watch each other: a reader adds 1 to `activity`, a writer 10000.
Task<> hammer(int readers, int writers, int rounds) {
  SharedMutex mu;
  std::atomic<int> activity{0};
  std::atomic<int> failures{0};
  int written = 0;  // no atomic: RW-05
  WaitGroup wg;
  for (int i = 0; i < readers; ++i) {
    wg.go([&, i]() -> Task<> {
      int seen = 0;
      for (int k = 0; k < rounds; ++k) {
        auto guard = co_await mu.lock_shared();
        int now = activity.fetch_add(1) + 1;
        if (now < 1 || now >= 10000) ++failures;
        if (written < seen) ++failures;
        seen = written;
        if ((i + k) % 16 == 0) co_await yield();
        test::jitter(static_cast<unsigned>(k));
        activity.fetch_sub(1);
      }
    });
  }
  for (int i = 0; i < writers; ++i) {
    wg.go([&, i]() -> Task<> {
      for (int k = 0; k < rounds; ++k) {
        auto guard = co_await mu.lock();
        if (activity.fetch_add(10000) != 0) ++failures;
        ++written;
        if ((i + k) % 16 == 0) co_await yield();
        activity.fetch_sub(10000);
      }
    });
  }
  co_await wg.wait();
  CHECK(failures == 0);
  CHECK(written == writers * rounds);
  CHECK(mu.try_lock().owns_lock());
}

}  // namespace

RINGO_TEST("RW-01: many readers or one writer") {
  {
    SharedMutex mu;
    auto a = co_await mu.lock_shared();
    auto b = co_await mu.lock_shared();
    CHECK(!mu.try_lock());
    a.unlock();
    CHECK(!mu.try_lock());
    b.unlock();
    auto w = co_await mu.lock();
    CHECK(!mu.try_lock());
    CHECK(!mu.try_lock_shared());
  }
  // Parallel readers: all are inside at once.
  for (int readers : {1, 3, 10}) {
    SharedMutex mu;
    std::atomic<int> inside{0};
    WaitGroup wg;
    for (int i = 0; i < readers; ++i) {
      wg.go([&]() -> Task<> {
        auto guard = co_await mu.lock_shared();
        ++inside;
        co_await test::eventually([&] { return inside == readers; });
      });
    }
    co_await wg.wait();
  }
}

RINGO_TEST("RW-01, RW-05: readers and writers on all workers") {
  co_await hammer(1, 1, 1000);
  co_await hammer(3, 1, 500);
  co_await hammer(10, 1, 200);
  co_await hammer(4, 4, 500);
  co_await hammer(10, 5, 200);
}

RINGO_TEST_PINNED("RW-02: a waiting writer keeps new readers out") {
  SharedMutex mu;
  std::string order;
  auto guard = co_await mu.lock_shared();
  auto w = writer(mu, order, "W");
  co_await test::yields();
  CHECK(!mu.try_lock_shared());
  auto r = reader(mu, order, "R");
  co_await test::yields(5);
  CHECK(order.empty());
  guard.unlock();
  co_await w;
  co_await r;
  CHECK(order == "WR");
  CHECK(mu.try_lock_shared().owns_lock());
}

RINGO_TEST_PINNED("RW-02: so reading twice can wait for itself") {
  SharedMutex mu;
  std::string order;
  bool inner = false;
  Victim victim([&]() -> Task<> {
    auto first = co_await mu.lock_shared();
    co_await test::yields(3);
    auto second = co_await mu.lock_shared();
    inner = true;
  });
  co_await test::yields(1);
  auto w = writer(mu, order, "W");
  co_await test::yields(8);
  CHECK(!inner);
  CHECK(order.empty());
  CHECK(victim.cancel());
  co_await w;
  CHECK(order == "W");
}

RINGO_TEST_PINNED("RW-03: a writer that unlocks lets the readers in first") {
  SharedMutex mu;
  std::string order;
  auto guard = co_await mu.lock();
  auto w1 = writer(mu, order, "W1 ");
  co_await test::yields();
  auto r1 = reader(mu, order, "R1 ");
  auto w2 = writer(mu, order, "W2 ");
  auto r2 = reader(mu, order, "R2 ");
  co_await test::yields();
  guard.unlock();
  // All readers that wait by now, though W1 came before them.
  co_await w1;
  co_await w2;
  CHECK(order == "R1 R2 W1 W2 ");
  // Go's own order, when a reader was first.
  order.clear();
  auto shared = co_await mu.lock_shared();
  w1 = writer(mu, order, "W1 ");
  r1 = reader(mu, order, "R1 ");
  r2 = reader(mu, order, "R2 ");
  w2 = writer(mu, order, "W2 ");
  co_await test::yields();
  shared.unlock();
  co_await w2;
  CHECK(order == "W1 R1 R2 W2 ");
}

RINGO_TEST("RW-04: the table of try_lock and try_lock_shared") {
  SharedMutex mu;
  auto w = co_await mu.lock();
  CHECK(!mu.try_lock());
  CHECK(!mu.try_lock_shared());
  w.unlock();
  w = mu.try_lock();
  CHECK(w.owns_lock());
  CHECK(!mu.try_lock());
  CHECK(!mu.try_lock_shared());
  w.unlock();
  auto r = mu.try_lock_shared();
  CHECK(r.owns_lock());
  auto r2 = mu.try_lock_shared();
  CHECK(r2.owns_lock());
  CHECK(!mu.try_lock());
  r.unlock();
  CHECK(!mu.try_lock());
  r2.unlock();
  w = mu.try_lock();
  CHECK(w.owns_lock());
}

TEST_CASE("MU-03: eight ways to misuse a lock") {
  const char* unlock = "fatal error: sync: Unlock of unlocked RWMutex";
  const char* runlock = "fatal error: sync: RUnlock of unlocked RWMutex";
  test::expect_exit_matrix(2, unlock, []() -> Task<> {
    SharedMutex mu;
    mu.unlock();
    co_return;
  });
  test::expect_exit_matrix(2, unlock, []() -> Task<> {
    SharedMutex mu;
    (co_await mu.lock_shared()).release();
    mu.unlock();
  });
  test::expect_exit_matrix(2, unlock, []() -> Task<> {
    SharedMutex mu;
    (co_await mu.lock()).release();
    mu.unlock();
    mu.unlock();
  });
  test::expect_exit_matrix(2, runlock, []() -> Task<> {
    SharedMutex mu;
    mu.unlock_shared();
    co_return;
  });
  test::expect_exit_matrix(2, runlock, []() -> Task<> {
    SharedMutex mu;
    (co_await mu.lock()).release();
    mu.unlock_shared();
  });
  test::expect_exit_matrix(2, runlock, []() -> Task<> {
    SharedMutex mu;
    (co_await mu.lock_shared()).release();
    mu.unlock_shared();
    mu.unlock_shared();
  });
}

RINGO_TEST_PINNED("SharedMutex: a writer that is cancelled lets the readers in that it kept out") {
  for (bool leave_first : {false, true}) {
    SharedMutex mu;
    std::string order;
    auto guard = co_await mu.lock_shared();
    Victim victim([&]() -> Task<> { auto w = co_await mu.lock(); });
    Victim second([&]() -> Task<> { auto w = co_await mu.lock(); });
    co_await test::yields();
    auto r = reader(mu, order, "R");
    co_await test::yields();
    CHECK(victim.cancel());
    co_await test::yields();
    CHECK(order.empty());  // there is another writer
    CHECK(second.cancel());
    if (leave_first) co_await second.ended();
    // Otherwise it has not left yet; still nobody is in the way, and nobody is forgotten.
    CHECK(mu.try_lock_shared().owns_lock());
    co_await r;
    CHECK(order == "R");
    co_await victim.ended();
    co_await second.ended();
    CHECK(second.end() == End::canceled);
    guard.unlock();
    CHECK(mu.try_lock().owns_lock());
  }
}

RINGO_TEST_PINNED("SharedMutex: cancelled readers") {
  SharedMutex mu;
  std::string order;
  auto guard = co_await mu.lock();
  Victim a([&]() -> Task<> { auto r = co_await mu.lock_shared(); });
  co_await test::yields();
  auto w = writer(mu, order, "W");
  co_await test::yields();
  CHECK(a.cancel());
  guard.unlock();  // it has not left yet
  co_await w;
  CHECK(order == "W");
  CHECK(a.end() == End::canceled);
  CHECK(mu.try_lock().owns_lock());
}

RINGO_TEST_PINNED("SharedMutex: both locks as cases of select") {
  SharedMutex mu;
  Channel<int> ch(1);
  auto select = [&](bool shared) -> Task<int> {
    if (shared) {
      co_return co_await select_any{
          on(mu.lock_shared(), [](SharedMutex::SharedGuard) { return 0; }),
          on(ch.recv(), [] { return 1; })};
    }
    co_return co_await select_any{on(mu.lock(), [](SharedMutex::Guard) { return 0; }),
                                  on(ch.recv(), [] { return 1; })};
  };
  for (bool shared : {false, true}) {
    CHECK(co_await select(shared) == 0);
    auto guard = co_await mu.lock();
    auto loser = go_on(0, select, shared);
    co_await test::yields();
    co_await ch.send(1);
    CHECK(co_await loser == 1);
    auto winner = go_on(0, select, shared);
    co_await test::yields();
    guard.unlock();
    CHECK(co_await winner == 0);
    CHECK(mu.try_lock().owns_lock());
  }
  // A writer that loses its select keeps no reader out.
  auto guard = co_await mu.lock_shared();
  std::string order;
  auto loser = go_on(0, select, false);
  co_await test::yields();
  auto r = reader(mu, order, "R");
  co_await test::yields();
  CHECK(order.empty());
  co_await ch.send(1);
  co_await r;
  CHECK(order == "R");
  CHECK(co_await loser == 1);
}

RINGO_TEST("SharedMutex: nothing is lost between hand-over, select and cancellation") {
  SharedMutex mu;
  std::atomic<int> activity{0};
  std::atomic<int> failures{0};
  auto round = [&](int i, int k) -> Task<> {
    if (i % 3 == 0) {
      auto guard = co_await mu.lock();
      if (activity.fetch_add(10000) != 0) ++failures;
      test::jitter(static_cast<unsigned>(k));
      activity.fetch_sub(10000);
    } else if (i % 3 == 1) {
      auto guard = co_await mu.lock_shared();
      if (activity.fetch_add(1) >= 10000) ++failures;
      test::jitter(static_cast<unsigned>(k));
      activity.fetch_sub(1);
    } else {
      co_await select_any{on(mu.lock(),
                             [&](SharedMutex::Guard) {
                               if (activity.fetch_add(10000) != 0) ++failures;
                               activity.fetch_sub(10000);
                             }),
                          on(mu.lock_shared(), [&](SharedMutex::SharedGuard) {
                            if (activity.fetch_add(1) >= 10000) ++failures;
                            activity.fetch_sub(1);
                          })};
    }
  };
  co_await test::while_cancelling(6, 1000, round, [] { return test::yields(0); });
  CHECK(failures == 0);
  CHECK(mu.try_lock().owns_lock());
}

TEST_CASE("SharedMutex: plain threads unlock and try") {
  test::for_each_setting([](const test::Setting& setting) {
    SharedMutex mu;
    CHECK(mu.try_lock().owns_lock());
    CHECK(mu.try_lock_shared().owns_lock());
    test::run_setting(setting, [&]() -> Task<> {
      (co_await mu.lock()).release();
      auto waiter = go([&]() -> Task<> { (co_await mu.lock_shared()).release(); });
      co_await yield();
      std::thread first([&] { mu.unlock(); });
      co_await waiter;
      std::thread second([&] { mu.unlock_shared(); });
      auto guard = co_await mu.lock();
      first.join();
      second.join();
    });
    CHECK(mu.try_lock().owns_lock());
  });
}

TEST_CASE("SharedMutex: drained waiters are cancelled") {
  test::expect_drained<Written>(write_it);
  test::expect_drained<Written>(read_it);
  test::expect_drained<Read>(write_it);
}

TEST_CASE("SharedMutex: destroyed while goroutines wait") {
  test::expect_fatal_destruction<Written>("SharedMutex", write_it);
  test::expect_fatal_destruction<Written>("SharedMutex", read_it);
  test::expect_destruction_by_exception<Read>(write_it);
}

TEST_CASE("SharedMutex: waiters of an earlier runtime are forgotten, a live one is not shared") {
  test::expect_forgotten_waiters<Written>("SharedMutex", read_it, [](SharedMutex& mu) -> Task<> {
    mu.unlock();
    (co_await mu.lock()).release();
  });
  test::expect_forgotten_waiters<Read>("SharedMutex", write_it, [](SharedMutex& mu) -> Task<> {
    (co_await mu.lock_shared()).release();  // the writer that waited is no more
    mu.unlock_shared();
  });
}
