// LeakCheck names the goroutines that a test has left behind.
#include <atomic>
#include <string>
#include <string_view>

#include <ringo/channel.hpp>
#include <ringo/leak_check.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

#include "base/log.hpp"
#include "matrix.hpp"
#include "runtime/report_text.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

constexpr int leak_line = __LINE__ + 2;
Task<> stays(Channel<int> ch) {
  co_await ch.recv();
}

std::atomic<int> errors{0};
void count_errors(ringo::detail::LogLevel level, std::string_view text) {
  if (level == ringo::detail::LogLevel::error && text.find("LeakCheck") != text.npos) ++errors;
}

}  // namespace

RINGO_TEST("DL-10: what is left is named with what it waits for; what was there before is not") {
  Channel<int> ch;
  go([ch]() -> Task<> { co_await ch.send(1); });
  co_await yields();
  LeakCheck check;
  CHECK_EQ(co_await check.leaks(), "");
  const int spawn_line = __LINE__ + 1;
  go(stays, Channel<int>());
  auto ended = go([]() -> Task<> { co_return; });
  co_await ended;
  co_await eventually([&] { return count_of("[chan receive]", check.leaks_now()) == 1; });
  const std::string left = co_await check.leaks(5ms);
  expect_in_order(left, {"goroutine ", " [chan receive]:\n", "stays(...)\n",
                         at_line("leak_check_test.cpp", leak_line), "created by ",
                         at_line("leak_check_test.cpp", spawn_line)});
  CHECK_EQ(count_of("goroutine ", left), 1 + count_of("in goroutine ", left));
  std::size_t count = 0;
  CHECK_EQ(check.leaks_now(&count), left);
  CHECK_EQ(count, 1);
  co_await ch.recv();
}

RINGO_TEST("DL-10: goroutines that are about to end are given time") {
  LeakCheck check;
  for (int i = 0; i < 10; ++i) go([]() -> Task<> { co_await sleep_for(5ms); });
  CHECK_NE(check.leaks_now(), "");
  CHECK_EQ(co_await check.leaks(10s), "");
}

RINGO_TEST("DL-10: a thousand goroutines left behind are all named") {
  LeakCheck check;
  Channel<int> ch;
  for (int i = 0; i < 1000; ++i) go(stays, ch);
  co_await eventually([&] { return count_of("[chan receive]", check.leaks_now()) == 1000; });
  ch.close();
  CHECK_EQ(co_await check.leaks(10s), "");
}

TEST_CASE("DL-10: after run(), the goroutines that it has abandoned") {
  for_each_setting([](const Setting& setting) {
    LeakCheck check;
    run_setting(setting, []() -> Task<> {
      for (int i = 0; i < 3; ++i) go(stays, Channel<int>());
      co_await yields(8);
      co_await sleep_for(2ms);
    });
    std::size_t count = 0;
    const std::string left = check.leaks_now(&count);
    CHECK_EQ(count, 3);
    CHECK_EQ(count_of("stays(...)", left), 3);
    LeakCheck next;
    run_setting(setting, []() -> Task<> { co_await yield(); });
    CHECK_EQ(next.leaks_now(), "");
  });
}

TEST_CASE("DL-10: a check that nobody has asked speaks at its end") {
  auto before = ringo::detail::set_log_hook(&count_errors);
  for_each_setting([](const Setting& setting) {
    errors = 0;
    run_setting(setting, []() -> Task<> {
      { LeakCheck clean; }
      CHECK_EQ(errors, 0);
      LeakCheck check;
      go(stays, Channel<int>());
      co_await yields(4);
    });
    CHECK_EQ(errors, 1);
  });
  ringo::detail::set_log_hook(before);
}
