// Time: the rows TM of Go's semantics about sleeping, after, timers and after_func. Tickers are in
// ticker_test.cpp. Where time is measured, only lower bounds are: a busy machine is always late.
#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::blocks;
using test::on_one_worker;
using test::panic_of;
using Clock = std::chrono::steady_clock;

namespace {

/// True if `op` is ready now.
template <class Op>
Task<bool> ready(Op& op) {
  co_return co_await select_any{on(op, [] { return true; }), otherwise([] { return false; })};
}

}  // namespace

RINGO_TEST("TM-01: a sleep lasts at least as long as said") {
  for (auto d : {100us, 1ms + 0us, 5ms + 0us}) {
    auto begin = Clock::now();
    co_await sleep_for(d);
    CHECK(Clock::now() - begin >= d);
  }
  auto until = Clock::now() + 2ms;
  co_await sleep_until(until);
  CHECK(Clock::now() >= until);
  auto wall = std::chrono::system_clock::now() + 2ms;
  co_await sleep_until(wall);
  CHECK(std::chrono::system_clock::now() >= wall - 1ms);
}

RINGO_TEST("TM-01: a sleep that is not positive returns at once, without yielding") {
  co_await on_one_worker([]() -> Task<> {
    auto other = go_on(0, [] {});
    co_await sleep_for(0s);
    co_await sleep_for(-5s);
    co_await sleep_for(std::chrono::nanoseconds::min());
    co_await sleep_until(Clock::now() - 1h);
    CHECK(!other.done());
    co_await yield();
    CHECK(other.done());
  });
}

RINGO_TEST("TM-02: absurd durations never come, and disturb nobody") {
  co_await on_one_worker([]() -> Task<> {
    CHECK(co_await blocks([]() -> Task<> { co_await sleep_for(std::chrono::nanoseconds::max()); }));
    CHECK(co_await blocks([]() -> Task<> { co_await sleep_for(std::chrono::hours::max()); }));
    CHECK(co_await blocks([]() -> Task<> { co_await after(std::chrono::years(5000)); }));
    CHECK(co_await blocks([]() -> Task<> { co_await sleep_until(TimePoint::max()); }));
    CHECK(co_await blocks([]() -> Task<> {
      Timer timer(std::chrono::nanoseconds::max());
      co_await timer;
    }));
    CHECK(!co_await blocks([]() -> Task<> { co_await after(-1s); }));
    CHECK(!co_await blocks([]() -> Task<> { co_await after(std::chrono::hours::min()); }));
    co_await sleep_for(1ms);
    co_await after(1ms);
  });
}

RINGO_TEST("TM-03: timers fire in the order of their time (TestAfterQueuing)") {
  co_await on_one_worker([]() -> Task<> {
    constexpr int slots[] = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
    bool in_time = false;
    for (auto lead = 10ms; !in_time; lead *= 2) {
      std::vector<int> order;
      std::vector<JoinHandle<void>> handles;
      const auto begin = Clock::now() + lead;
      std::size_t armed = 0;
      for (int slot : slots) {
        handles.push_back(go_on(0, [&, slot, begin]() -> Task<> {
          ++armed;
          co_await sleep_until(begin + slot * 1ms);
          order.push_back(slot);
        }));
      }
      co_await test::eventually([&] { return armed == std::size(slots); });
      // Else the machine has held us up, and some were due before they were armed: again.
      in_time = Clock::now() < begin;
      co_await test::join_all(handles);
      CHECK(order.size() == std::size(slots));
      if (in_time) CHECK(std::is_sorted(order.begin(), order.end()));
    }
  });
}

RINGO_TEST("TM-04: after gives one value, and then nothing for ever") {
  auto timer = after(1ms);
  co_await timer;
  for (int i = 0; i < 3; ++i) CHECK(!co_await ready(timer));
  bool again =
      co_await select_any{on(timer, [] { return true; }), on(sleep_for(3ms), [] { return false; })};
  CHECK(!again);
}

RINGO_TEST("TM-04: one timeout over many selects") {
  Channel<int> ch(1);
  auto timeout = after(10ms);
  int received = 0;
  bool fired = false;
  while (!fired) {
    ch.try_send(1);
    co_await select_any{on(ch.recv(), [&] { ++received; }), on(timeout, [&] { fired = true; })};
  }
  CHECK(received > 0);
  CHECK(!co_await ready(timeout));
}

RINGO_TEST("TM-05: an expired timer holds no value: stopping it makes it not ready") {
  Timer timer(1ms);
  co_await sleep_for(3ms);
  CHECK(timer.stop());  // TM-07: nobody had received it
  CHECK(!co_await ready(timer));
}

RINGO_TEST("TM-06: after stop or reset no stale value is received (TestAfterStop)") {
  for (int i = 0; i < 50; ++i) {
    Timer timer(i * 10us);
    co_await sleep_for((i % 7) * 50us);
    timer.stop();
    CHECK(!co_await ready(timer));
    timer.reset(0ms);
    auto due = co_await timer;
    CHECK(due <= Clock::now());
    timer.reset(1us);
    co_await sleep_for(20us);
    timer.reset(1h);
    CHECK(!co_await ready(timer));
  }
}

RINGO_TEST("TM-07: stop tells whether it prevented the delivery") {
  Timer timer(1h);
  CHECK(timer.stop());
  CHECK(!timer.stop());
  Timer received(1us);
  co_await received;
  CHECK(!received.stop());
  Timer expired(1us);
  co_await sleep_for(1ms);
  CHECK(expired.stop());
  CHECK(!expired.stop());
}

RINGO_TEST("TM-07: who waits for a stopped timer goes on waiting, until it is set again") {
  co_await on_one_worker([]() -> Task<> {
    Timer timer(5ms);
    auto waiter = go_on(0, [&]() -> Task<TimePoint> { co_return co_await timer; });
    co_await test::yields();
    CHECK(timer.stop());
    co_await sleep_for(8ms);
    CHECK(!waiter.done());
    auto begin = Clock::now();
    CHECK(!timer.reset(1ms));
    auto due = co_await waiter;
    CHECK(due >= begin + 1ms);
    CHECK(due <= Clock::now());
  });
}

RINGO_TEST("TM-07: a plain thread is told that it cannot stop or set a timer that is in use") {
  co_await on_one_worker([]() -> Task<> {
    const std::string text =
        "a timer was stopped or reset outside a goroutine, while goroutines use it";
    Timer timer(1h);
    Timer stopped(1h);
    stopped.stop();
    auto waiter = go_on(0, [&]() -> Task<> { co_await timer; });
    auto other = go_on(0, [&]() -> Task<> { co_await stopped; });
    co_await test::yields();
    std::thread([&] {
      CHECK(panic_of([&] { timer.stop(); }) == text);
      CHECK(panic_of([&] { timer.reset(1us); }) == text);
      CHECK(panic_of([&] { stopped.reset(1us); }) == text);
      CHECK(!stopped.stop());
      Timer unused(1h);
      CHECK(unused.stop());
      CHECK(!unused.reset(1h));
    }).join();
    CHECK(timer.reset(1us));
    CHECK(!stopped.reset(1us));
    co_await waiter;
    co_await other;
  });
}

RINGO_TEST("TM-08: reset returns as stop does, and sets the time anew (TestReset)") {
  Timer timer(1h);
  CHECK(timer.reset(1ms));
  co_await timer;
  CHECK(!timer.reset(2ms));
  auto begin = Clock::now();
  co_await timer;
  CHECK(!timer.stop());
  CHECK(Clock::now() - begin >= 1ms);
  CHECK(!timer.reset(1h));
  CHECK(timer.reset(1us));
  co_await sleep_for(1ms);
  CHECK(timer.reset(2us));  // expired and not received
  co_await timer;
}

RINGO_TEST("TM-08: the sooner of two settings wins for who waits already") {
  Timer timer(1h);
  auto waiter = go([&]() -> Task<> { co_await timer; });
  co_await test::yields();
  CHECK(timer.reset(24h));
  CHECK(timer.reset(2ms));
  co_await waiter;
}

namespace {

/// TestStopResult and TestResetResult: whatever the moment, either stop (or reset) says that it
/// prevented the delivery, or somebody has got or gets the value.
Task<> stop_against_firing(bool use_reset) {
  std::vector<JoinHandle<int>> handles;
  for (int i = 0; i < 100; ++i) {
    handles.push_back(go([use_reset]() -> Task<int> {
      int wrong = 0;
      for (int k = 0; k < 20; ++k) {
        Timer timer(1us);
        std::atomic<bool> received{false};
        auto waiter = go([&]() -> Task<> {
          bool timed_out = false;
          co_await select_any{on(timer, [&] { received = true; }),
                              on(sleep_for(20ms), [&] { timed_out = true; })};
        });
        if (k % 3 != 0) co_await yield();
        bool prevented = use_reset ? timer.reset(1h) : timer.stop();
        if (prevented) {
          // Nobody may have it: the waiter goes on waiting.
          wrong += received.load();
          if (use_reset) timer.stop();
          timer.reset(0s);
          co_await waiter;
          wrong += !received.load();
        } else {
          co_await waiter;
          wrong += !received.load();
        }
      }
      co_return wrong;
    }));
  }
  int wrong = 0;
  for (auto& handle : handles) wrong += co_await handle;
  CHECK(wrong == 0);
}

}  // namespace

RINGO_TEST("TM-09: stop against the expiry (TestStopResult)") {
  co_await stop_against_firing(false);
}
RINGO_TEST("TM-09: reset against the expiry (TestResetResult)") {
  co_await stop_against_firing(true);
}

RINGO_TEST("TM-10: the value is when it was due, not when it was read (TestAfterTimes)") {
  auto begin = Clock::now();
  auto timer = after(2ms);
  CHECK(timer.due() >= begin + 2ms);
  Timer other(3ms);
  co_await sleep_for(15ms);
  auto due = co_await timer;
  CHECK(due == timer.due());
  CHECK(due < begin + 12ms);
  auto other_due = co_await other;
  CHECK(other_due >= begin + 3ms);
  CHECK(other_due < begin + 13ms);
}

RINGO_TEST("TM-11: timers that nobody waits for cost nothing (TestTimerGC)") {
  // Nothing of them is in a queue, and what they hold is freed with them.
  for (int i = 0; i < 10000; ++i) {
    Timer timer(1h);
    auto unused = after(1h);
    (void)unused;
    if (i % 2 == 0) timer.reset(2h);
  }
  co_await sleep_for(1us);
}

RINGO_TEST("TM-13: after_func runs its function in a goroutine of its own") {
  Channel<std::uint64_t> id;
  auto own = detail::current_goroutine()->id;
  auto timer =
      after_func(1ms, [id]() -> Task<> { co_await id.send(detail::current_goroutine()->id); });
  auto other = co_await id.recv();
  REQUIRE(other);
  CHECK(*other != own);
  CHECK(!timer.stop());
  // Reset lets it run again; the handle may go.
  timer.reset(1ms);
  { auto gone = std::move(timer); }
  CHECK(co_await id.recv());
}

RINGO_TEST("TM-13: stop keeps the function from running, or says that it has begun") {
  std::atomic<int> ran{0};
  auto timer = after_func(1h, [&] { ++ran; });
  CHECK(timer.stop());
  CHECK(!timer.stop());
  CHECK(!timer.reset(1us));
  co_await test::eventually([&] { return ran == 1; });
  CHECK(!timer.stop());

  // A chain: each run sets the next one (TestAfterFunc).
  std::atomic<int> left{10};
  Channel<char> done;
  std::function<void()> next;
  std::function<void()> step = [&] {
    if (--left > 0) {
      next();
    } else {
      done.close();
    }
  };
  next = [&] { after_func(50us, step); };
  next();
  co_await done.recv();
  CHECK(left == 0);
}

RINGO_TEST("TM-13: stop and reset of after_func against its expiry (TestTimerStopStress)") {
  constexpr int timers = 60;
  std::atomic<int> ran{0};
  std::atomic<int> balance{0};  // runs that came on top, less those that were prevented
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < timers; ++i) {
    handles.push_back(go([&, i]() -> Task<> {
      for (int k = 0; k < 10; ++k) {
        auto timer = after_func((i % 4) * 20us, [&] { ++ran; });
        for (int n = 0; n < k; ++n) co_await yield();
        // One more run is due for each reset that comes too late.
        if (i % 2 == 0 && !timer.reset(30us)) ++balance;
        auto other = go([&]() -> Task<> {
          if (timer.stop()) --balance;
          co_return;
        });
        co_await yield();
        if (timer.stop()) --balance;
        co_await other;
      }
    }));
  }
  co_await test::join_all(handles);
  int expected = timers * 10 + balance;
  co_await test::eventually([&] { return ran == expected; });
  co_await sleep_for(1ms);
  CHECK(ran == expected);
  co_await test::eventually([] { return num_goroutines() == 1; });
}

RINGO_TEST("TM-14: timers of no duration fire at once, many in a row (TestZeroTimer)") {
  int fired = 0;
  for (int i = 0; i < 20000; ++i) {
    Timer timer(0s);
    co_await timer;
    ++fired;
  }
  for (int i = 0; i < 20000; ++i) {
    co_await after(0s);
    ++fired;
  }
  CHECK(fired == 40000);
}

RINGO_TEST(
    "TM-14: moving timers to and fro loses none (TestTimerModifiedEarlier, TestAdjustTimers)") {
  constexpr int count = 200;
  std::vector<std::unique_ptr<Timer>> timers;
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < count; ++i) {
    timers.push_back(std::make_unique<Timer>(1h));
    handles.push_back(go([timer = timers.back().get()]() -> Task<> { co_await *timer; }));
  }
  co_await test::yields();
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < count; ++i) {
      auto& timer = *timers[static_cast<std::size_t>(i)];
      timer.reset(i % 3 == round % 3 ? std::chrono::nanoseconds(30min)
                                     : std::chrono::nanoseconds(2h));
    }
    co_await yield();
  }
  for (int i = 0; i < count; ++i) timers[static_cast<std::size_t>(i)]->reset((i % 10) * 100us);
  co_await test::join_all(handles);
  for (auto& timer : timers) CHECK(!timer->stop());
}

RINGO_TEST("TM-20: thousands of short sleepers beside a ping-pong (TestLongAdjustTimers)") {
  Channel<int> ch;
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 2000; ++i) {
    handles.push_back(go([i]() -> Task<> {
      for (int k = 0; k < 5; ++k) co_await sleep_for((1 + i % 10) * 100us);
    }));
  }
  auto partner = go([ch]() -> Task<> {
    while (co_await ch.recv()) {}
  });
  for (int i = 0; i < 2000; ++i) co_await ch.send(i);
  ch.close();
  co_await partner;
  co_await test::join_all(handles);
  CHECK(num_goroutines() >= 1);
}

RINGO_TEST("TM-21: time goes by the monotonic clock") {
  auto begin = Clock::now();
  TimePoint due = co_await after(1ms);
  static_assert(std::is_same_v<TimePoint, Clock::time_point>);
  static_assert(Clock::is_steady);
  CHECK(due >= begin + 1ms);
  CHECK(due <= Clock::now());
}

RINGO_TEST("with_timeout: the operation or the time, and no effect of what loses") {
  Channel<int> ch(1);
  auto late = co_await with_timeout(1ms, ch.recv());
  CHECK(!late);
  co_await ch.send(3);
  auto value = co_await with_timeout(-1s, ch.recv());  // it can proceed at once
  REQUIRE(value);
  CHECK(*value == 3);
  CHECK(co_await with_timeout(1h, ch.send(4)));
  CHECK(!co_await with_timeout(1ms, ch.send(5)));
  CHECK(ch.len() == 1);
}
