// The checks of locks: opposite orders, and goroutines that wait for each other.
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <ringo/select.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

#include "sync/lock_reports.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

std::string at(int line) { return at_line("lock_order_test.cpp", line); }

constexpr int in_order_line = __LINE__ + 4;
template <class A, class B>
Task<> locks_both(A& first, B& second) {
  auto outer = co_await first.lock();
  auto inner = co_await second.lock();
}

/// One goroutine after the other, which cannot deadlock.
template <class A, class B>
Task<> inversion(A& a, B& b) {
  co_await go([&]() -> Task<> { co_await locks_both(a, b); });
  co_await go([&]() -> Task<> { co_await locks_both(b, a); });
}

}  // namespace

// --- orders -------------------------------------------------------------------------------------

TEST_CASE("two goroutines that lock in opposite orders are told of once, with both orders") {
  for_each_setting([](const Setting& setting) {
    const std::string text = reports_of(setting, []() -> Task<> {
      Mutex a;
      SharedMutex b;
      for (int i = 0; i < 5; ++i) co_await inversion(a, b);
    });
    expect_in_order(text, {"two goroutines lock SharedMutex 0x", " and Mutex 0x",
                           " in opposite orders", "\ngoroutine ", " locks Mutex 0x", "locks_both",
                           at(in_order_line), "created by ", "and holds SharedMutex 0x",
                           at(in_order_line - 1), "\ngoroutine ", " locks SharedMutex 0x",
                           at(in_order_line), "created by ", "and holds Mutex 0x",
                           at(in_order_line - 1)});
    CHECK_EQ(count_of("two goroutines", text), 1);
  });
}

TEST_CASE("orders that cannot deadlock") {
  SUBCASE("the same everywhere") {
    expect_silence([]() -> Task<> {
      Mutex a;
      Mutex b;
      Mutex c;
      WaitGroup group;
      for (int i = 0; i < 8; ++i) {
        group.go([&]() -> Task<> {
          for (int round = 0; round < 20; ++round) {
            auto first = co_await a.lock();
            co_await yield();
            auto second = co_await b.lock();
            auto third = co_await c.lock();
          }
        });
      }
      co_await group.wait();
    });
  }
  SUBCASE("of one goroutine") {
    expect_silence([]() -> Task<> {
      Mutex a;
      Mutex b;
      co_await locks_both(a, b);
      co_await locks_both(b, a);
    });
  }
  SUBCASE("behind a third lock") {
    expect_silence([]() -> Task<> {
      Mutex gate;
      Mutex a;
      Mutex b;
      co_await go([&]() -> Task<> {
        auto guard = co_await gate.lock();
        co_await locks_both(a, b);
      });
      co_await go([&]() -> Task<> {
        auto guard = co_await gate.lock();
        co_await locks_both(b, a);
      });
    });
  }
  SUBCASE("of readers") {
    expect_silence([]() -> Task<> {
      SharedMutex a;
      Mutex b;
      co_await go([&]() -> Task<> {
        auto outer = co_await a.lock_shared();
        auto inner = co_await b.lock();
      });
      co_await go([&]() -> Task<> {
        auto outer = co_await b.lock();
        auto inner = co_await a.lock_shared();
      });
    });
  }
  SUBCASE("by try_lock, and with a timeout") {
    expect_silence([]() -> Task<> {
      Mutex a;
      Mutex b;
      co_await go([&]() -> Task<> { co_await locks_both(a, b); });
      co_await go([&]() -> Task<> {
        auto outer = co_await b.lock();
        {
          auto inner = a.try_lock();
          CHECK(inner.owns_lock());
        }
        CHECK(co_await with_timeout(1s, a.lock()));
      });
    });
  }
  SUBCASE("of locks that were destroyed since") {
    expect_silence([]() -> Task<> {
      for (int i = 0; i < 10; ++i) {
        // At the same addresses, most likely.
        auto a = std::make_unique<Mutex>();
        auto b = std::make_unique<Mutex>();
        Mutex& first = a < b ? *a : *b;
        Mutex& second = a < b ? *b : *a;
        co_await go([&]() -> Task<> {
          if (i % 2 == 0) {
            co_await locks_both(first, second);
          } else {
            co_await locks_both(second, first);
          }
        });
      }
    });
    expect_silence([]() -> Task<> {
      std::optional<Mutex> a;
      std::optional<Mutex> b;
      for (int i = 0; i < 4; ++i) {
        a.emplace();
        b.emplace();
        co_await go([&]() -> Task<> {
          Mutex& outer = i % 2 == 0 ? *a : *b;
          Mutex& inner = i % 2 == 0 ? *b : *a;
          co_await locks_both(outer, inner);
        });
        b.reset();
      }
    });
  }
}

TEST_CASE("orders are those of one runtime") {
  for_each_setting([](const Setting& setting) {
    Mutex a;
    Mutex b;
    CHECK_EQ(reports_of(setting, [&]() -> Task<> {
      co_await locks_both(a, b);
      (void)(co_await a.lock()).release();  // stays locked
    }), "");
    CHECK_EQ(reports_of(setting, [&]() -> Task<> {
      a.unlock();
      co_await locks_both(b, a);
    }), "");
  });
}

// --- circles ------------------------------------------------------------------------------------

TEST_CASE("goroutines that wait for each other are told of while others run") {
  for_each_setting([](const Setting& setting) {
    const std::string text = reports_of(setting, []() -> Task<> {
      Mutex a;
      Mutex b;
      Mutex c;
      auto [context, cancel] = with_cancel(this_context());
      std::atomic<int> ready{0};
      auto member = [&ready](Mutex& mine, Mutex& next) -> Task<> {
        auto outer = co_await mine.lock();
        ++ready;
        while (ready != 3) co_await yield();
        auto inner = co_await next.lock();
      };
      auto one = context.go(member, std::ref(a), std::ref(b));
      auto two = context.go(member, std::ref(b), std::ref(c));
      auto three = context.go(member, std::ref(c), std::ref(a));
      co_await sleep_for(30ms);
      cancel();
      for (auto* handle : {&one, &two, &three}) {
        try {
          co_await *handle;
        } catch (const JoinCanceled&) {
        }
      }
    });
    expect_in_order(text, {"3 goroutines wait for each other", "\ngoroutine ",
                           " [sync.Mutex.Lock] waits for goroutine ", " and Mutex 0x",
                           "created by ", "\ngoroutine ", " [sync.Mutex.Lock] waits for goroutine ",
                           "\ngoroutine ", " [sync.Mutex.Lock] waits for goroutine "});
    CHECK_EQ(count_of("wait for each other", text), 1);
  });
}

TEST_CASE("so are those with a join in between, and a reader behind a writer that waits for it") {
  expect_report(
      []() -> Task<> {
        Mutex mutex;
        co_await canceled_soon([&]() -> Task<> {
          auto guard = co_await mutex.lock();
          co_await go([&]() -> Task<> { auto mine = co_await mutex.lock(); });
        });
      },
      {"2 goroutines wait for each other", "\ngoroutine "});
  expect_report(
      []() -> Task<> {
        SharedMutex mutex;
        auto writer = go([&]() -> Task<> {
          co_await sleep_for(5ms);
          auto guard = co_await mutex.lock();
        });
        co_await canceled_soon([&]() -> Task<> {
          auto outer = co_await mutex.lock_shared();
          co_await sleep_for(10ms);
          auto inner = co_await mutex.lock_shared();
        });
        co_await writer;
      },
      {"2 goroutines wait for each other", "[sync.RWMutex.RLock] waits for goroutine ",
       "[sync.RWMutex.Lock] waits for goroutine "});
}

TEST_CASE("long queues and joins of goroutines that go on are no circles") {
  expect_silence([]() -> Task<> {
    Mutex mutex;
    SharedMutex shared;
    int sum = 0;
    auto locker = [&](int i) -> Task<> {
      for (int round = 0; round < 30; ++round) {
        auto guard = co_await mutex.lock();
        if ((i + round) % 3 == 0) {
          auto writer = co_await shared.lock();
          ++sum;
        } else {
          auto reader = co_await shared.lock_shared();
          co_await yield();
        }
      }
      auto reader = co_await shared.lock_shared();
      co_await yield();
    };
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 8; ++i) handles.push_back(go(locker, i));
    for (auto& handle : handles) co_await handle;
    CHECK_EQ(sum, 80);
  });
}

TEST_CASE("cancelled waits, and plain threads, leave nothing behind") {
  expect_silence([]() -> Task<> {
    Mutex a;
    Mutex b;
    auto held = co_await a.lock();
    co_await canceled_soon([&]() -> Task<> {
      auto mine = co_await b.lock();
      auto never = co_await a.lock();
    });
    CHECK(b.try_lock());
    held.unlock();
    std::atomic<bool> locked{false};
    std::atomic<bool> done{false};
    std::thread thread([&] {
      Mutex::Guard guard = a.try_lock();
      locked = guard.owns_lock();
      std::this_thread::sleep_for(5ms);
      guard = {};
      SharedMutex shared;
      SharedMutex::SharedGuard reader = shared.try_lock_shared();
      done = true;
    });
    co_await eventually([&] { return locked.load(); });
    auto mine = co_await a.lock();
    co_await eventually([&] { return done.load(); });
    thread.join();
  });
}
