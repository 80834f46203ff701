// The checks of locks: a goroutine that waits for itself, and everything that only looks like it.
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <ringo/channel.hpp>
#include <ringo/select.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

#include "sync/lock_reports.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

std::string at(int line) { return at_line("lock_check_test.cpp", line); }

constexpr int first_lock_line = __LINE__ + 3;
template <class L>
Task<> locks_twice(L& lock) {
  auto outer = co_await lock.lock();
  co_await yield();
  auto inner = co_await lock.lock();
}

constexpr int read_line = __LINE__ + 2;
Task<> reads_what_it_writes(SharedMutex& lock) {
  auto outer = co_await lock.lock();
  auto inner = co_await lock.lock_shared();
}

}  // namespace

TEST_CASE("a goroutine that locks what it holds is named, with both places") {
  for_each_setting([](const Setting& setting) {
    const std::string text = reports_of(setting, []() -> Task<> {
      Mutex mutex;
      co_await canceled_soon([&]() -> Task<> { co_await locks_twice(mutex); });
    });
    expect_in_order(text, {"goroutine ", " locks Mutex 0x", ", which it holds already",
                           " [sync.Mutex.Lock]:\n", "locks_twice", at(first_lock_line + 2),
                           "created by ", "canceled_soon", "and holds it since:\n", "locks_twice",
                           at(first_lock_line)});
    CHECK_EQ(count_of("waits for itself", text), 1);
  });
}

TEST_CASE("so is one that locks a SharedMutex which it holds in either way") {
  expect_report(
      []() -> Task<> {
        SharedMutex mutex;
        co_await canceled_soon([&]() -> Task<> { co_await locks_twice(mutex); });
      },
      {"locks SharedMutex 0x", "which it holds already", "[sync.RWMutex.Lock]", "and holds it"});
  expect_report(
      []() -> Task<> {
        SharedMutex mutex;
        co_await canceled_soon([&]() -> Task<> { co_await reads_what_it_writes(mutex); });
      },
      {"locks SharedMutex 0x", " for reading, which it holds already", "[sync.RWMutex.RLock]",
       at(read_line + 1), "and holds it since", at(read_line)});
  expect_report(
      []() -> Task<> {
        SharedMutex mutex;
        co_await canceled_soon([&]() -> Task<> {
          auto outer = co_await mutex.lock_shared();
          auto inner = co_await mutex.lock();
        });
      },
      {"locks SharedMutex 0x", "which it holds for reading already", "[sync.RWMutex.Lock]"});
}

TEST_CASE("after a hand-over it is the new holder that holds it") {
  expect_report(
      []() -> Task<> {
        Mutex mutex;
        auto guard = co_await mutex.lock();
        auto second = go([&]() -> Task<> {
          co_await canceled_soon([&]() -> Task<> { co_await locks_twice(mutex); });
        });
        co_await sleep_for(5ms);
        guard.unlock();
        co_await second;
      },
      {"which it holds already", "and holds it since:\n", at(first_lock_line)});
}

TEST_CASE("a lock that was handed over is held by its first owner no more") {
  expect_silence([]() -> Task<> {
    Mutex mutex;
    auto guard = co_await mutex.lock();
    auto second = go([&]() -> Task<> {
      auto mine = co_await mutex.lock();
      co_await sleep_for(10ms);
    });
    co_await sleep_for(5ms);
    guard.unlock();
    auto again = co_await mutex.lock();
    again.unlock();
    co_await second;
  });
}

TEST_CASE("released or moved, a guard may be in anybody's hands") {
  expect_silence([]() -> Task<> {
    Mutex mutex;
    SharedMutex shared;
    (co_await mutex.lock()).release();
    go([&]() -> Task<> {
      co_await sleep_for(5ms);
      mutex.unlock();
    });
    auto guard = co_await mutex.lock();
    auto reader = co_await shared.lock_shared();
    // Goroutines that hold it for us, by what they were given, by a channel and by a pointer.
    auto other = go(
        [](Mutex::Guard mine, SharedMutex::SharedGuard read) -> Task<> {
          co_await sleep_for(5ms);
          mine.unlock();
          read.unlock();
        },
        std::move(guard), std::move(reader));
    auto again = co_await mutex.lock();
    auto writer = co_await shared.lock();
    co_await other;
    Channel<Mutex::Guard> guards(1);
    co_await guards.send(std::move(again));
    go([&, guards]() mutable -> Task<> {
      auto taken = co_await guards.recv();
      co_await sleep_for(5ms);
    });
    auto third = co_await mutex.lock();
    auto kept = std::make_shared<Mutex::Guard>(std::move(third));
    go([kept]() -> Task<> {
      co_await sleep_for(5ms);
      kept->unlock();
    });
    auto fourth = co_await mutex.lock();
  });
}

TEST_CASE("try_lock and waits with alternatives do not wait for themselves") {
  expect_silence([]() -> Task<> {
    Mutex mutex;
    SharedMutex shared;
    Channel<int> ready(1);
    co_await ready.send(1);
    auto guard = co_await mutex.lock();
    auto reader = co_await shared.lock_shared();
    CHECK(!mutex.try_lock());
    CHECK(!shared.try_lock());
    CHECK(!co_await with_timeout(1ms, mutex.lock()));
    CHECK(!co_await with_timeout(1ms, shared.lock()));
    co_await select_any{on(mutex.lock(), [](Mutex::Guard) { CHECK(false); }),
                        on(ready.recv(), [](std::optional<int>) {})};
    // The case that lost left nothing behind.
    guard.unlock();
    guard = co_await mutex.lock();
  });
}

TEST_CASE("a case that lost holds nothing") {
  expect_silence([]() -> Task<> {
    Mutex a;
    Mutex b;
    for (int i = 0; i < 20; ++i) {
      // Whichever wins, the other one is free.
      co_await select_any{on(a.lock(), [](Mutex::Guard) {}), on(b.lock(), [](Mutex::Guard) {})};
      auto first = co_await a.lock();
      first.unlock();
      auto second = co_await b.lock();
    }
  });
}

TEST_CASE("waiting for a Cond gives the lock back and takes it again") {
  for_each_setting([](const Setting& setting) {
    const std::string text = reports_of(setting, []() -> Task<> {
      Mutex mutex;
      Cond cond(mutex);
      int turn = 0;
      auto other = go([&]() -> Task<> {
        auto guard = co_await mutex.lock();
        for (int i = 0; i < 50; ++i) {
          while (turn != 1) co_await cond.wait(guard);
          turn = 0;
          cond.signal();
        }
      });
      {
        auto guard = co_await mutex.lock();
        for (int i = 0; i < 50; ++i) {
          while (turn != 0) co_await cond.wait(guard);
          turn = 1;
          cond.signal();
        }
      }
      co_await other;
    });
    CHECK_EQ(text, "");
  });
  expect_report(
      []() -> Task<> {
        Mutex mutex;
        Cond cond(mutex);
        auto handle = go([&]() -> Task<> {
          co_await canceled_soon([&]() -> Task<> {
            auto guard = co_await mutex.lock();
            co_await cond.wait(guard);
            auto again = co_await mutex.lock();
          });
        });
        co_await sleep_for(5ms);
        cond.signal();
        co_await handle;
      },
      {"which it holds already"});
}

// --- the switch ---------------------------------------------------------------------------------

TEST_CASE("RINGO_CHECK_LOCKS and Options::check_locks") {
  auto wrong = []() -> Task<> {
    Mutex mutex;
    co_await canceled_soon([&]() -> Task<> { co_await locks_twice(mutex); });
  };
  const auto reports = [&](const Setting& setting, Switch checks) {
    return count_of("waits for itself", reports_of(setting, wrong, checks));
  };
  const char* given = std::getenv("RINGO_CHECK_LOCKS");
  const std::string before = given != nullptr ? given : "";
  for_each_setting([&](const Setting& setting) {
    CHECK_EQ(reports(setting, Switch::off), 0);
    ::setenv("RINGO_CHECK_LOCKS", "0", 1);
    CHECK_EQ(reports(setting, Switch::automatic), 0);
    CHECK_EQ(reports(setting, Switch::on), 1);
    ::setenv("RINGO_CHECK_LOCKS", "1", 1);
    CHECK_EQ(reports(setting, Switch::automatic), 1);
    CHECK_EQ(reports(setting, Switch::off), 0);
  });
  expect_exit(2, "ringo: RINGO_CHECK_LOCKS=yes: not 0 or 1", [] {
    ::setenv("RINGO_CHECK_LOCKS", "yes", 1);
    run([] {});
  });
  ::setenv("RINGO_CHECK_LOCKS", before.c_str(), 1);
}
