// The watchdog names the goroutine that holds a worker.
#include <sched.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/time.hpp>

#include "base/log.hpp"
#include "matrix.hpp"
#include "runtime/report_text.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

std::mutex heard_mutex;
std::string heard;

void listen(ringo::detail::LogLevel level, std::string_view text) {
  if (level != ringo::detail::LogLevel::warning) return;
  std::lock_guard guard(heard_mutex);
  heard.append(text).append("\n");
}

std::string take_heard() {
  std::lock_guard guard(heard_mutex);
  return std::exchange(heard, {});
}

/// Runs body with the watchdog on and gives what was logged.
template <class F>
std::string watched(const Setting& setting, std::chrono::nanoseconds limit, F&& body) {
  Options options;
  options.watchdog = limit;
  take_heard();
  auto before = ringo::detail::set_log_hook(&listen);
  run_setting(setting, body, options);
  ringo::detail::set_log_hook(before);
  return take_heard();
}

/// Starts one goroutine and does not suspend until that has run.
Task<> holds_until_child_ran() {
  std::atomic<bool> ran{false};
  auto child = go([&ran]() -> Task<> {
    ran = true;
    co_return;
  });
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (!ran && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  CHECK(ran);
  co_await child;
}

std::chrono::nanoseconds processor_time() {
  timespec used{};
  REQUIRE_EQ(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used), 0);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

/// In a call, or computing, for that time; of its thread's own time, for what a thread without a
/// processor does not do it is not blamed for.
constexpr int hog_line = __LINE__ + 2;
Task<> hogs(std::chrono::milliseconds time, bool in_a_call) {
  co_await yield();
  if (in_a_call) {
    std::this_thread::sleep_for(time);
    co_return;
  }
  const auto end = processor_time() + time;
  while (processor_time() < end) {
  }
}

constexpr int outer_line = __LINE__ + 2;
Task<> hogs_inside(std::chrono::milliseconds time, bool in_a_call) {
  co_await hogs(time, in_a_call);
}

/// This thread stays on the first processor that it may use.
void stay_on_one_processor() {
  cpu_set_t allowed;
  REQUIRE_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  int first = 0;
  while (!CPU_ISSET(first, &allowed)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  REQUIRE_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
}

/// How often the processor was taken from this thread.
long preemptions() {
  rusage usage{};
  REQUIRE_EQ(::getrusage(RUSAGE_THREAD, &usage), 0);
  return usage.ru_nivcsw;
}

/// Suspends every half millisecond of its thread's own time, until the processor was taken from it
/// so often.
Task<> computes_until_preempted(long times) {
  const long before = preemptions();
  while (preemptions() < before + times) {
    const auto end = processor_time() + 500us;
    while (processor_time() < end) {
    }
    co_await yield();
  }
}

}  // namespace

TEST_CASE("the watchdog names who computes for too long, and who blocks in a system call") {
  for (bool in_a_call : {false, true}) {
    for_each_setting([&](const Setting& setting) {
      constexpr int spawn_line = __LINE__ + 2;
      const std::string text = watched(setting, 10ms, [&]() -> Task<> {
        auto hog = go(hogs_inside, 150ms, in_a_call);
        co_await hog;
      });
      expect_in_order(
          text, {"goroutine ", " has held worker ", " ms without suspending (started at ",
                 "watchdog_test.cpp:" + std::to_string(spawn_line) + ")\n", " [running]:\n",
                 "hogs(...)\n", at_line("watchdog_test.cpp", hog_line), "hogs_inside(...)\n",
                 at_line("watchdog_test.cpp", outer_line), "created by ", "native stack:\n\t"});
      CHECK_EQ(count_of("has held worker", text), 1);
    });
  }
}

TEST_CASE("the watchdog is silent about goroutines that suspend, and about workers that sleep") {
  for_each_setting([](const Setting& setting) {
    const std::string text = watched(setting, 2s, []() -> Task<> {
      Channel<int> ch(1);
      const auto end = std::chrono::steady_clock::now() + 50ms;
      while (std::chrono::steady_clock::now() < end) {
        co_await ch.send(1);
        co_await ch.recv();
      }
      co_await sleep_for(50ms);
    });
    CHECK_EQ(text, "");
  });
}

TEST_CASE("the watchdog wakes up when the workers do") {
  for_each_setting([](const Setting& setting) {
    const std::string text = watched(setting, 10ms, []() -> Task<> {
      co_await sleep_for(60ms);  // all asleep, and it, too
      auto hog = go(hogs, 150ms, false);
      co_await hog;
    });
    CHECK_EQ(count_of("has held worker", text), 1);
  });
}

TEST_CASE("the watchdog is off where it is switched off") {
  for_each_setting([](const Setting& setting) {
    CHECK_EQ(watched(setting, 0ms, [] { return hogs(60ms, false); }), "");
    ::setenv("RINGO_WATCHDOG", "0", 1);
    CHECK_EQ(watched(setting, -1ns, [] { return hogs(60ms, false); }), "");
    ::setenv("RINGO_WATCHDOG", "12", 1);
    CHECK_EQ(count_of("has held", watched(setting, -1ns, [] { return hogs(150ms, false); })), 1);
    ::unsetenv("RINGO_WATCHDOG");
  });
  expect_exit(2, "RINGO_WATCHDOG=soon", [] {
    ::setenv("RINGO_WATCHDOG", "soon", 1);
    run([] {});
  });
}

TEST_CASE("what waits on a worker that is held goes to one that sleeps") {
  for_each_setting([](const Setting& setting) {
    if (setting.workers == 1) return;
    watched(setting, 10ms, []() -> Task<> {
      // By then the others sleep, and nothing is to wake them.
      co_await sleep_for(50ms);
      co_await holds_until_child_ran();
    });
  });
}

TEST_CASE("the watchdog does not blame a goroutine for the processor its thread had not") {
  for (const Setting& setting : settings()) {
    if (setting.workers != 1) continue;
    const Ended ended = in_child([&] {
      std::atomic<bool> done{false};
      std::vector<std::thread> others;
      for (int i = 0; i < 2; ++i) {
        others.emplace_back([&done] {
          stay_on_one_processor();
          while (!done) {
          }
        });
      }
      const std::string text = watched(setting, 10ms, [&done]() -> Task<> {
        // Behind the two others, for tens of milliseconds a time.
        stay_on_one_processor();
        REQUIRE_EQ(::setpriority(PRIO_PROCESS, 0, 19), 0);
        co_await computes_until_preempted(4);
        done = true;
      });
      for (std::thread& other : others) other.join();
      CHECK_EQ(text, "");
    });
    CHECK_MESSAGE(ended.code == 0, setting.driver_name, ": ", ended.errors);
  }
}
