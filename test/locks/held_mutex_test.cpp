// Goroutines that suspend while their thread holds a std::mutex. Runs with libringo_locks.so
// preloaded; without it there is nothing to see.
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>

#include <ringo/channel.hpp>
#include <ringo/dump.hpp>
#include <ringo/time.hpp>

#include "runtime/lock_check.hpp"
#include "sync/lock_reports.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

std::string at(int line) { return at_line("held_mutex_test.cpp", line); }

constexpr int sleep_line = __LINE__ + 3;
Task<> sleeps_with(std::mutex& mutex) {
  std::lock_guard guard(mutex);
  co_await sleep_for(5ms);
}

constexpr int outer_line = __LINE__ + 2;
Task<> calls_it(std::mutex& mutex) {
  co_await sleeps_with(mutex);
}

}  // namespace

TEST_CASE("the counter is there") { REQUIRE(ringo::detail::mutexes_are_counted()); }

TEST_CASE("a goroutine that suspends with a std::mutex locked is named, with its chain") {
  for_each_setting([](const Setting& setting) {
    std::mutex mutex;
    constexpr int spawn_line = __LINE__ + 2;
    const std::string text = reports_of(setting, [&]() -> Task<> {
      for (int i = 0; i < 2; ++i) co_await go_on(0, calls_it, std::ref(mutex));
    }, Switch::automatic);
    expect_in_order(
        text, {"goroutine ", " suspended while its thread holds 1 std::mutex (pthread mutex)",
               "held_mutex_test.cpp:" + std::to_string(spawn_line) + ")\ngoroutine ", " [sleep",
               "sleeps_with(...)\n", at(sleep_line), "calls_it(...)\n", at(outer_line),
               "created by "});
    CHECK_EQ(count_of("suspended while", text), 1);
  });
}

TEST_CASE("so is one that ends with one, and a timed or tried lock counts as well") {
  for_each_setting([](const Setting& setting) {
    std::timed_mutex timed;
    std::recursive_mutex recursive;
    const std::string text = reports_of(setting, [&]() -> Task<> {
      co_await go_on(0, [&] { CHECK(timed.try_lock_for(1s)); });
      co_await go_on(0, [&] { timed.unlock(); });
      co_await go_on(0, [&]() -> Task<> {
        CHECK(recursive.try_lock());
        recursive.lock();
        co_await yield();
        recursive.unlock();
        recursive.unlock();
      });
    });
    expect_in_order(text, {" ended while its thread holds 1 std::mutex",
                           " suspended while its thread holds 2 pthread mutexes"});
  });
}

TEST_CASE("a std::mutex that is unlocked before the wait, and those of others, are no matter") {
  for_each_setting([](const Setting& setting) {
    std::mutex outside;
    std::lock_guard held(outside);  // by the thread that is the first worker
    std::mutex mutex;
    std::condition_variable changed;
    const std::string text = reports_of(setting, [&]() -> Task<> {
      Channel<int> ch;
      auto other = go([&]() -> Task<> {
        for (int i = 0; i < 100; ++i) co_await ch.send(i);
      });
      for (int i = 0; i < 100; ++i) {
        {
          std::lock_guard guard(mutex);
          CHECK(!outside.try_lock());
        }
        {
          std::unique_lock guard(mutex);
          changed.wait_for(guard, 1us);
        }
        co_await ch.recv();
      }
      co_await other;
      std::string taken = dump();
      co_await yield();
    });
    CHECK_EQ(text, "");
  });
}

TEST_CASE("it is off where the checks are") {
  for_each_setting([](const Setting& setting) {
    std::mutex mutex;
    const auto wrong = [&]() -> Task<> { co_await go_on(0, sleeps_with, std::ref(mutex)); };
    CHECK_EQ(reports_of(setting, wrong, Switch::off), "");
    CHECK_NE(reports_of(setting, wrong, Switch::on), "");
    CHECK_NE(reports_of(setting, wrong, Switch::automatic), "");  // preloading it says so
  });
}
