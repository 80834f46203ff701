// Time: the rows TM of Go's semantics about tickers, and waiting for one timer by many.
#include <atomic>
#include <chrono>
#include <vector>

#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::on_one_worker;
using test::panic_of;
using Clock = std::chrono::steady_clock;

RINGO_TEST("TM-15: an interval that is not positive panics") {
  CHECK(!panic_of([] { Ticker ticker(0s); }).empty());
  CHECK(!panic_of([] { Ticker ticker(-1ns); }).empty());
  Ticker ticker(1ms);
  CHECK(!panic_of([&] { ticker.reset(0ns); }).empty());
  CHECK(!panic_of([&] { ticker.reset(-1h); }).empty());
  co_await ticker;  // works on
}

RINGO_TEST("TM-16: a slow receiver gets the first tick it missed, and the phase is kept") {
  constexpr auto period = 20ms;
  Ticker ticker(period);
  co_await sleep_for(110ms);
  TimePoint first = co_await ticker;
  TimePoint second = co_await ticker;
  TimePoint third = co_await ticker;
  // As in 20, 120, 140: the first is the one missed first, the others are on its grid.
  CHECK((second - first) % period == 0ns);
  CHECK(second - first >= 5 * period);
  CHECK((third - second) % period == 0ns);
  CHECK(third > second);
  CHECK(third <= Clock::now());
}

RINGO_TEST("TM-10: ticks carry the time at which they were due (TestTickTimes)") {
  auto begin = Clock::now();
  Ticker ticker(3ms);
  TimePoint last{};
  for (int i = 0; i < 5; ++i) {
    TimePoint tick = co_await ticker;
    CHECK(tick <= Clock::now());
    CHECK(tick >= begin + 3ms);
    if (i > 0) {
      CHECK(tick - last >= 3ms);
      CHECK((tick - last) % 3ms == 0ns);
    }
    last = tick;
    if (i == 2) co_await sleep_for(10ms);
  }
}

RINGO_TEST("TM-17: a stopped ticker never ticks, and who waits goes on waiting") {
  co_await on_one_worker([]() -> Task<> {
    Ticker ticker(1ms);
    co_await ticker;
    ticker.stop();
    auto waiter = go_on(0, [&]() -> Task<TimePoint> { co_return co_await ticker; });
    co_await sleep_for(5ms);
    CHECK(!waiter.done());
    auto begin = Clock::now();
    ticker.reset(2ms);
    CHECK(co_await waiter >= begin + 2ms);
  });
}

RINGO_TEST("TM-19: many wait for one ticker, each tick wakes one (TestTickerStress)") {
  constexpr int waiters = 10;
  Ticker ticker(200us);
  std::atomic<int> ticks{0};
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < waiters; ++i) {
    handles.push_back(go([&]() -> Task<> {
      co_await ticker;
      ++ticks;
      co_await ticker;
      ++ticks;
    }));
  }
  auto begin = Clock::now();
  co_await test::join_all(handles);
  CHECK(ticks == 2 * waiters);
  CHECK(Clock::now() - begin >= (2 * waiters - 1) * 200us - 200us);
}

RINGO_TEST("TM-19: a timer wakes one of its waiters only (TestMultiWakeupTimer)") {
  Timer timer(1ms);
  std::atomic<int> woken{0};
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 8; ++i) {
    handles.push_back(go([&]() -> Task<> {
      co_await timer;
      ++woken;
    }));
  }
  for (int round = 1; round <= 8; ++round) {
    co_await test::eventually([&] { return woken == round; });
    co_await sleep_for(500us);
    CHECK(woken == round);
    timer.reset(std::chrono::microseconds(round * 50));
  }
  co_await test::join_all(handles);
  timer.stop();
}

RINGO_TEST("TM-19: stop and reset while others wait (TestTickerConcurrentStress)") {
  Ticker ticker(50us);
  std::atomic<bool> stop{false};
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 6; ++i) {
    handles.push_back(go([&, i]() -> Task<> {
      while (!stop) {
        if (i % 2 == 0) {
          co_await select_any{on(ticker, [] {}), on(sleep_for(100us), [] {})};
        } else if (i % 3 == 0) {
          ticker.reset(std::chrono::microseconds(20 + i));
          co_await yield();
        } else {
          ticker.stop();
          co_await sleep_for(30us);
        }
      }
    }));
  }
  co_await sleep_for(20ms);
  stop = true;
  co_await test::join_all(handles);
  ticker.reset(1ms);
  co_await ticker;
}
