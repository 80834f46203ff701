// The checks of locks: what they report, with which parts, and above all what they do not.
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <ringo/channel.hpp>
#include <ringo/context.hpp>
#include <ringo/select.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

#include "base/log.hpp"
#include "matrix.hpp"
#include "runtime/report_text.hpp"
#include "sync/support.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

std::mutex heard_mutex;
std::string heard;

void listen(ringo::detail::LogLevel level, std::string_view text) {
  if (level != ringo::detail::LogLevel::error) return;
  std::lock_guard guard(heard_mutex);
  heard.append(text).append("\n");
}

std::string take_heard() {
  std::lock_guard guard(heard_mutex);
  return std::exchange(heard, {});
}

/// What is reported while body runs as main's goroutine.
template <class F>
std::string reports_of(const Setting& setting, F&& body, Switch checks = Switch::on) {
  Options options;
  options.check_locks = checks;
  take_heard();
  auto before = ringo::detail::set_log_hook(&listen);
  run_setting(setting, body, options);
  ringo::detail::set_log_hook(before);
  return take_heard();
}

/// One report with these parts, in every setting.
template <class F>
void expect_report(F&& body, std::initializer_list<std::string> parts) {
  for_each_setting([&](const Setting& setting) {
    const std::string text = reports_of(setting, body);
    expect_in_order(text, parts);
    CHECK_EQ(count_of("goroutine", text.substr(0, text.find('\n'))), 1);
  });
}

template <class F>
void expect_silence(F&& body) {
  for_each_setting([&](const Setting& setting) { CHECK_EQ(reports_of(setting, body), ""); });
}

std::string at(int line) { return at_line("lock_check_test.cpp", line); }

/// A goroutine that ends by cancellation once it has waited in vain for a while.
template <class F>
Task<> canceled_soon(F body) {
  auto [context, cancel] = with_cancel(this_context());
  auto handle = context.go(std::move(body));
  co_await sleep_for(20ms);
  cancel();
  try {
    co_await handle;
  } catch (const JoinCanceled&) {
  }
}

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

// --- a goroutine and itself ---------------------------------------------------------------------

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
            co_await mutex.lock();
          });
        });
        co_await sleep_for(5ms);
        cond.signal();
        co_await handle;
      },
      {"which it holds already"});
}

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
          co_await (i % 2 == 0 ? locks_both(*a, *b) : locks_both(*b, *a));
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
