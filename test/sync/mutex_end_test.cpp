// Mutex: waits that end without the lock, plain threads, and the end of a runtime.
#include <ringo/mutex.hpp>
#include <ringo/wait_group.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "sync/support.hpp"

using namespace ringo;
using test::End;
using test::Victim;

namespace {

struct Held : Mutex {
  Held() { (void)try_lock().release(); }
};
constexpr auto lock_it = [](Mutex& mu) -> Task<> { (co_await mu.lock()).unlock(); };

}  // namespace

RINGO_TEST_PINNED("Mutex: a cancelled wait does not hold it") {
  Mutex mu;
  auto guard = co_await mu.lock();
  std::string order;
  auto wait = [&](char name) {
    return [&order, &mu, name]() -> Task<> {
      auto mine = co_await mu.lock();
      order += name;
    };
  };
  Victim a(wait('a'));
  Victim b(wait('b'));
  Victim c(wait('c'));
  co_await test::yields();
  CHECK(b.cancel());
  CHECK(a.cancel());
  guard.unlock();  // neither has left yet
  co_await c.ended();
  CHECK(order == "c");
  CHECK(a.end() == End::canceled);
  CHECK(b.end() == End::canceled);
  // Granted first, cancelled then: it keeps what it got, the next wait ends.
  guard = co_await mu.lock();
  Victim late([&]() -> Task<> {
    auto mine = co_await mu.lock();
    order += 'd';
    auto again = co_await mu.lock();
  });
  co_await test::yields();
  guard.unlock();
  guard = co_await mu.lock();
  co_await test::yields();
  guard.unlock();
  CHECK(!late.cancel());
  co_await late.ended();
  CHECK(order == "cd");
  CHECK(late.end() == End::canceled);
  CHECK(mu.try_lock().owns_lock());
}

RINGO_TEST_PINNED("MU-05: who was woken and is cancelled before it runs passes its turn on") {
  Mutex mu;
  std::string order;
  auto wait = [&](char name) {
    return [&order, &mu, name]() -> Task<> {
      auto mine = co_await mu.lock();
      order += name;
    };
  };
  auto guard = co_await mu.lock();
  Victim a(wait('a'));
  auto b = go_on(0, wait('b'));
  co_await test::yields();
  guard.unlock();
  CHECK(!a.cancel());
  co_await a.ended();
  CHECK(a.end() == End::canceled);
  co_await b;
  CHECK(order == "b");
  // While another one has locked it, and once woken in vain.
  for (int yields : {0, 3}) {
    guard = co_await mu.lock();
    Victim c(wait('c'));
    auto d = go_on(0, wait('d'));
    co_await test::yields();
    guard.unlock();
    guard = co_await mu.lock();
    co_await test::yields(yields);
    CHECK_EQ(c.cancel(), yields != 0);
    co_await c.ended();
    CHECK(c.end() == End::canceled);
    guard.unlock();
    co_await d;
  }
  CHECK(order == "bdd");
  CHECK(mu.try_lock().owns_lock());
}

TEST_CASE("Mutex: destroying it before the one that was woken has locked it is fatal") {
  test::expect_exit_matrix(2, "fatal error: sync: Mutex destroyed while 1 goroutine waits on it",
                           []() -> Task<> {
                             co_await test::on_one_worker([]() -> Task<> {
                               auto mu = std::make_unique<Mutex>();
                               auto guard = co_await mu->lock();
                               go_on(0, lock_it, std::ref(*mu));
                               co_await test::yields();
                               guard.unlock();
                               mu.reset();
                             });
                           });
}

RINGO_TEST("Mutex: no lock is lost between hand-over and cancellation") {
  Mutex mu;
  long counter = 0;
  std::atomic<long> locked{0};
  auto round = [&](int, int k) -> Task<> {
    auto guard = co_await mu.lock();
    ++counter;
    ++locked;
    if (k % 4 != 0) co_return;
    const detail::ShieldScope shielded(detail::current_goroutine());
    co_await yield();
  };
  co_await test::while_cancelling(4, 2000, round, [] { return test::yields(0); });
  CHECK(counter == locked);
  CHECK(mu.try_lock().owns_lock());
}

RINGO_TEST("Mutex: a wait that was granted but never resumed gives the lock back") {
  Mutex mu;
  {
    detail::MutexCase wait(mu.lock());
    wait.node.g = detail::current_goroutine();
    CHECK(wait.try_take());
    CHECK(!mu.try_lock());
  }
  CHECK(mu.try_lock().owns_lock());
  co_return;
}

TEST_CASE("Mutex: plain threads unlock and try") {
  test::for_each_setting([](const test::Setting& setting) {
    Mutex mu;
    CHECK(mu.try_lock().owns_lock());  // no runtime
    long counter = 0;
    test::run_setting(setting, [&]() -> Task<> {
      (co_await mu.lock()).release();
      auto waiter = go([&]() -> Task<> {
        auto guard = co_await mu.lock();
        ++counter;
      });
      co_await yield();
      std::thread unlocker([&] { mu.unlock(); });
      co_await waiter;
      unlocker.join();
      std::atomic<int> running{2};
      std::vector<std::thread> threads;
      for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] {
          for (int k = 0; k < 200; ++k) {
            if (auto guard = mu.try_lock()) ++counter;
          }
          --running;
        });
      }
      long mine = 0;
      while (running > 0) {
        auto guard = co_await mu.lock();
        ++counter;
        ++mine;
        guard.unlock();
        co_await yield();
      }
      for (std::thread& thread : threads) thread.join();
      CHECK(counter > mine);
    });
    CHECK(mu.try_lock().owns_lock());
  });
}

TEST_CASE("Mutex: drained waiters are cancelled") { test::expect_drained<Held>(lock_it); }

TEST_CASE("Mutex: destroyed while goroutines wait") {
  test::expect_fatal_destruction<Held>("Mutex", lock_it);
  test::expect_destruction_by_exception<Held>(lock_it);
}

TEST_CASE("Mutex: waiters of an earlier runtime are forgotten, a live one is not shared") {
  test::expect_forgotten_waiters<Held>("Mutex", lock_it, [](Mutex& mu) -> Task<> {
    mu.unlock();  // nobody gets it
    auto guard = co_await mu.lock();
    auto waiter = go([&]() -> Task<> { (co_await mu.lock()).release(); });
    co_await test::yields();
    guard.unlock();
    co_await waiter;
  });
  // Unlocked between two runs.
  test::for_each_setting([](const test::Setting& setting) {
    Mutex mu;
    test::run_setting(setting, [&]() -> Task<> {
      (co_await mu.lock()).release();
      go([&]() -> Task<> { auto guard = co_await mu.lock(); });
      co_await test::yields(5);
    });
    mu.unlock();
    CHECK(mu.try_lock().owns_lock());
  });
}
