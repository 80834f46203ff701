// The end of a program in which nobody can ever run again: when it is reported, and how.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>

#include <ringo/blocking.hpp>
#include <ringo/channel.hpp>
#include <ringo/deadlock.hpp>
#include <ringo/select.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

#include "matrix.hpp"
#include "runtime/deadlock_of.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

std::string at(int line) { return at_line("deadlock_test.cpp", line); }

constexpr int waits_line = __LINE__ + 2;
Task<> waits(Channel<int> ch) {
  co_await ch.recv();
}

constexpr int chain_line = __LINE__ + 2;
Task<> waits_deeper(Channel<int> ch) {
  co_await waits(ch);
}

constexpr int spawn_line = __LINE__ + 3;
Task<> two_wait() {
  Channel<int> ch;
  go(waits_deeper, ch);
  co_await Channel<int>::nil().send(1);
}

}  // namespace

TEST_CASE("DL-01: the process ends with status 2 and a report of every goroutine") {
  for_each_setting([](const Setting& setting) {
    Ended ended = in_child([&] { run_setting(setting, two_wait); });
    CHECK_EQ(ended.code, 2);
    expect_in_order(ended.errors,
                    {headline, "\ngoroutine 1 [chan send (nil chan)]:\n", "two_wait(...)\n",
                     at(spawn_line + 1), "\ngoroutine ", " [chan receive]:\n", "waits(...)\n",
                     at(waits_line), "waits_deeper(...)\n", at(chain_line), "created by ",
                     "two_wait in goroutine 1\n", at(spawn_line)});
  });
}

TEST_CASE("DL-01: no destructor and no handler runs") {
  for_each_setting([](const Setting& setting) {
    Ended ended = in_child([&] {
      run_setting(setting, []() -> Task<> {
        Defer unwound{[&] { std::fprintf(stderr, "unwound\n"); }};
        try {
          co_await Channel<int>().recv();
        } catch (...) {
          std::fprintf(stderr, "caught\n");
        }
      });
    });
    CHECK_EQ(ended.code, 2);
    CHECK_EQ(count_of(headline, ended.errors), 1);
    CHECK_EQ(count_of("unwound", ended.errors) + count_of("caught", ended.errors), 0);
  });
}

TEST_CASE("DL-01: run() throws the report if it is asked to, and can be called again") {
  for_each_setting([](const Setting& setting) {
    for (int i = 0; i < 20; ++i) {
      expect_in_order(deadlock_of(setting, two_wait), {headline, "goroutine 1 [chan send (nil"});
    }
    CHECK_EQ(deadlock_of(setting, []() -> Task<> { co_await yield(); }), "");
  });
}

TEST_CASE("DL-02: every primitive") {
  expect_deadlock(
      []() -> Task<> {
        Mutex mutex;
        auto held = co_await mutex.lock();
        auto never = co_await mutex.lock();
      },
      {headline, "[sync.Mutex.Lock"});
  expect_deadlock(
      []() -> Task<> {
        SharedMutex mutex;
        auto held = co_await mutex.lock_shared();
        auto never = co_await mutex.lock();
      },
      {headline, "[sync.RWMutex.Lock"});
  expect_deadlock(
      []() -> Task<> {
        SharedMutex mutex;
        auto held = co_await mutex.lock();
        auto never = co_await mutex.lock_shared();
      },
      {headline, "[sync.RWMutex.RLock"});
  expect_deadlock(
      []() -> Task<> {
        WaitGroup wg;
        wg.add(1);
        co_await wg.wait();
      },
      {headline, "[sync.WaitGroup.Wait"});
  expect_deadlock(
      []() -> Task<> {
        Mutex mutex;
        Cond cond(mutex);
        auto held = co_await mutex.lock();
        co_await cond.wait(held);
      },
      {headline, "[sync.Cond.Wait"});
  expect_deadlock(
      []() -> Task<> {
        Semaphore semaphore(1);
        co_await semaphore.acquire(1);
        co_await semaphore.acquire(1);
      },
      {headline, "[semacquire"});
  expect_deadlock([]() -> Task<> { co_await Channel<int>::nil().recv(); },
                  {headline, "[chan receive (nil chan)"});
  expect_deadlock([]() -> Task<> { co_await select_any{}; }, {headline, "[select (no cases)"});
  expect_deadlock(
      []() -> Task<> {
        Channel<int> a;
        Channel<int> b;
        co_await select_any{a.recv(), b.send(1)};
      },
      {headline, "[select"});
  expect_deadlock(
      []() -> Task<> {
        Once once;
        std::function<Task<>()> again = [&]() -> Task<> {
          co_await once.call([&]() -> Task<> { co_await again(); });
        };
        co_await again();
      },
      {headline, "[sync.Once.Do"});
  expect_deadlock(
      []() -> Task<> {
        auto child = go([]() -> Task<> { co_await Channel<int>().recv(); });
        co_await child;
      },
      {headline, "[join"});
}

TEST_CASE("DL-02: sleeping for ever, and a timer that was stopped") {
  expect_deadlock([]() -> Task<> { co_await sleep_for(std::chrono::hours::max()); },
                  {headline, "[sleep"});
  expect_deadlock(
      []() -> Task<> {
        Timer timer(1h);
        timer.stop();
        co_await timer;
      },
      {headline, "[sleep"});
}

TEST_CASE("DL-03: main has called goexit and the others have ended") {
  for_each_setting([](const Setting& setting) {
    auto main = []() -> Task<> {
      go([]() -> Task<> { co_await sleep_for(5ms); });
      goexit();
      co_return;
    };
    Options options = options_of(setting);
    expect_exit(2, "fatal error: no goroutines (main called goexit) - deadlock!",
                [&] { run(options, main); });
    options.on_deadlock = DeadlockPolicy::throw_from_run;
    CHECK_THROWS_WITH_AS(run(options, main),
                         doctest::Contains("no goroutines (main called goexit) - deadlock!"),
                         Deadlock);
  });
}

TEST_CASE("DL-03: others go on after main's goexit, and are reported if they hang") {
  for_each_setting([](const Setting& setting) {
    Options options = options_of(setting);
    options.on_deadlock = DeadlockPolicy::throw_from_run;
    std::atomic<bool> went_on{false};
    std::string report;
    try {
      run(options, [&]() -> Task<> {
        go([&]() -> Task<> {
          co_await sleep_for(2ms);
          went_on = true;
          co_await Channel<int>().recv();
        });
        goexit();
        co_return;
      });
    } catch (const Deadlock& deadlock) {
      report = deadlock.what();
    }
    CHECK(went_on);
    expect_in_order(report, {headline, "[chan receive"});
    CHECK_EQ(count_of("goroutine 1 ", report), 0);
  });
}

TEST_CASE("DL-08: a partial deadlock is not reported") {
  expect_no_deadlock([]() -> Task<> {
    for (int i = 0; i < 10; ++i) go([]() -> Task<> { co_await Channel<int>().recv(); });
    co_await sleep_for(20ms);
  });
}

TEST_CASE("DeadlockPolicy::ignore reports nothing") {
  Options options;
  options.on_deadlock = DeadlockPolicy::ignore;
  for_each_setting_at_once([&](const Setting& setting) {
    Ended ended = in_child([&] {
      ::alarm(1);
      run_setting(setting, two_wait, options);
    });
    CHECK_EQ(count_of(headline, ended.errors), 0);
    CHECK_NE(ended.code, 0);
    CHECK_NE(ended.code, 2);
  });
}

// Work that is handed on from goroutine to goroutine, so that all workers fall asleep at nearly any
// moment, with something on its way: in an inbox (go_on), in a slot, to a thief, in a timer, in a
// pool thread.
namespace {

Task<> relay(Channel<int> in, Channel<int> out, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    auto value = co_await in.recv();
    co_await out.send(*value + 1);
  }
}

Task<> busy_then_quiet(unsigned seed) {
  constexpr int stations = 6;
  constexpr int rounds = 40;
  Channel<int> first;
  Channel<int> last = first;
  for (int i = 0; i < stations; ++i) {
    Channel<int> next(i % 2);
    go_on(static_cast<int>((seed + static_cast<unsigned>(i)) % num_workers()), relay, last, next,
          rounds);
    last = next;
  }
  for (int i = 0; i < rounds; ++i) {
    co_await first.send(i);
    CHECK_EQ(*co_await last.recv(), i + stations);
    switch ((seed + static_cast<unsigned>(i)) % 8) {
      case 0: co_await sleep_for(std::chrono::microseconds(seed % 100)); break;
      case 1: co_await blocking([] {}); break;
      case 2: co_await yield(); break;
      case 3: {
        auto child = go([]() -> Task<> { co_await sleep_for(10us); });
        co_await child;
        break;
      }
      default: break;
    }
  }
}

}  // namespace

TEST_CASE("DL-01: nothing false and nothing missed, thousands of times" *
          doctest::test_suite("long")) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  unsigned seed = 0;
  int found = 0;
  int late = 0;
  int clean = 0;
  while (std::chrono::steady_clock::now() < until) {
    for_each_setting([&](const Setting& setting) {
      ++seed;
      CHECK_EQ(deadlock_of(setting, [&] { return busy_then_quiet(seed); }), "");
      ++clean;
      const auto begin = std::chrono::steady_clock::now();
      CHECK_NE(deadlock_of(setting,
                           [&]() -> Task<> {
                             co_await busy_then_quiet(seed);
                             co_await Channel<int>().recv();
                           }),
               "");
      ++found;
      if (std::chrono::steady_clock::now() - begin > 900ms) ++late;
    });
  }
  MESSAGE("runs without a deadlock: ", clean, ", with one: ", found, ", late: ", late);
  // A goroutine about to run, or a thread of ringo's own that starts or ends, puts the verdict off
  // by a moment only.
  CHECK_LE(late * 50, found);
}
