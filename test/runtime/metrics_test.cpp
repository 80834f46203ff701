// What metrics() counts.
#include <string>

#include <ringo/blocking.hpp>
#include <ringo/channel.hpp>
#include <ringo/metrics.hpp>
#include <ringo/panic.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

#include "matrix.hpp"
#include "runtime/report_text.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

RINGO_TEST("metrics: goroutines by state") {
  Channel<int> ch;
  for (int i = 0; i < 5; ++i) go([ch]() -> Task<> { co_await ch.recv(); });
  co_await eventually([] { return metrics().waiting == 5; });
  const Metrics before = metrics();
  CHECK_EQ(before.goroutines, 6);
  CHECK_EQ(before.running, 1);
  CHECK_EQ(before.runnable, 0);
  CHECK_EQ(before.driver, std::string(driver_name()));
  CHECK_EQ(before.workers.size(), num_workers());
  CHECK_EQ(before.total.spawned - before.total.ended, 6);
  ch.close();
  co_await eventually([] { return num_goroutines() == 1; });
  const Metrics after = metrics();
  CHECK_EQ(after.total.ended - before.total.ended, 5);
  CHECK_EQ(after.waiting, 0);
}

RINGO_TEST_PINNED("metrics: ready goroutines stand in a queue") {
  const std::size_t before = metrics().workers[0].queue_depth;
  WaitGroup wg;
  wg.add(7);
  for (int i = 0; i < 7; ++i) {
    go_on(0, [&]() -> Task<> {
      wg.done();
      co_return;
    });
  }
  CHECK_EQ(metrics().workers[0].queue_depth, before + 7);
  co_await wg.wait();
  CHECK_EQ(metrics().workers[0].queue_depth, before);
}

RINGO_TEST("metrics: counts of a worker's life") {
  const Metrics before = metrics();
  co_await sleep_for(2ms);
  for (int i = 0; i < 10; ++i) co_await yield();
  bool called = false;
  co_await blocking([&] { called = metrics().blocking_calls == 1; });
  CHECK(called);
  const Metrics after = metrics();
  CHECK_GE(after.total.resumptions, before.total.resumptions + 12);
  CHECK_GT(after.total.parks, before.total.parks);
  CHECK_GT(after.total.enters, before.total.enters);
  Channel<int> ch(1);
  auto later = after_func(1h, [] {});
  CHECK_GE(metrics().total.timers, 1);
  later.stop();
}

RINGO_TEST("metrics: what is stolen, and who was rung") {
  if (num_workers() == 1) co_return;
  // One goroutine makes many that compute: the others can only steal them.
  const auto limit = std::chrono::steady_clock::now() + 10s;
  const auto both = [] { return metrics().total.steals > 0 && metrics().total.wakes > 0; };
  while (!both() && std::chrono::steady_clock::now() < limit) {
    co_await sleep_for(1ms);  // the others fall asleep
    WaitGroup wg;
    for (int i = 0; i < 64; ++i) {
      wg.go([] {
        const auto end = std::chrono::steady_clock::now() + 100us;
        while (std::chrono::steady_clock::now() < end) {
        }
      });
    }
    co_await wg.wait();
  }
  CHECK_GT(metrics().total.steals, 0);
  CHECK_GT(metrics().total.wakes, 0);
}

RINGO_TEST("metrics in the text format of Prometheus") {
  Metrics m = metrics();
  m.waiting = 41;
  m.workers[0].steals = 17;
  const std::string text = to_prometheus(m);
  expect_in_order(text, {"# HELP ringo_goroutines Goroutines by state.\n",
                         "# TYPE ringo_goroutines gauge\n", "ringo_goroutines{state=\"running\"} ",
                         "ringo_goroutines{state=\"waiting\"} 41\n",
                         "ringo_info{driver=\"" + std::string(driver_name()) + "\"} 1\n",
                         "# TYPE ringo_steals_total counter\n",
                         "ringo_steals_total{worker=\"0\"} 17\n"});
  CHECK_EQ(count_of("ringo_parks_total{worker=", text), static_cast<int>(num_workers()));
  // Each line is a comment, or a name, perhaps labels, a blank and a number.
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    REQUIRE_NE(end, std::string::npos);
    const std::string line = text.substr(at, end - at);
    if (line[0] != '#') {
      const std::size_t blank = line.rfind(' ');
      REQUIRE_NE(blank, std::string::npos);
      CHECK_EQ(line.find_first_not_of("0123456789", blank + 1), std::string::npos);
      CHECK_EQ(line.rfind("ringo_", 0), 0);
    }
    at = end + 1;
  }
  co_return;
}

TEST_CASE("metrics() outside needs exactly one runtime") {
  CHECK_THROWS_AS(metrics(), Panic);
  for_each_setting([](const Setting& setting) {
    run_setting(setting, []() -> Task<> {
      std::size_t seen = 0;
      co_await blocking([&] { seen = metrics().goroutines; });
      CHECK_EQ(seen, 1);
    });
  });
}
