// The harness itself: that it runs what it says, and that a failure comes out of it.
#include "matrix.hpp"

#include <cstdio>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>

#include <ringo/channel.hpp>
#include <ringo/select.hpp>

using namespace ringo;

TEST_CASE("matrix: every combination runs once, on its driver") {
  std::multiset<std::string> seen;
  std::multiset<std::string> expected;
  for (const test::Setting& setting : test::settings()) {
    expected.insert(setting.driver_name + std::to_string(setting.workers));
  }
  test::run_matrix([&]() -> Task<> {
    co_await yield();
    seen.insert(std::string(driver_name()) + std::to_string(num_workers()));
  });
  CHECK(!expected.empty());
  CHECK(seen == expected);
}

TEST_CASE("matrix: an exception of main's goroutine comes out of run_matrix") {
  test::Setting setting{DriverKind::epoll, "epoll", 2};
  CHECK_THROWS_WITH_AS(test::run_setting(setting,
                                         []() -> Task<> {
                                           co_await yield();
                                           throw std::runtime_error("out");
                                         }),
                       "out", std::runtime_error);
}

TEST_CASE("matrix: RINGO_TEST_SEED decides which ready case a select takes") {
  const char* before = std::getenv("RINGO_TEST_SEED");
  const std::string restored = before != nullptr ? before : "";
  const auto choices = [](const char* seed) {
    ::setenv("RINGO_TEST_SEED", seed, 1);
    std::string chosen;
    test::run_setting({DriverKind::epoll, "epoll", 1}, [&]() -> Task<> {
      Channel<int> a, b;
      a.close(), b.close();
      for (int i = 0; i < 64; ++i) {
        auto result = co_await select_any{a.recv(), b.recv()};
        chosen += result.index() == 0 ? 'a' : 'b';
      }
    });
    return chosen;
  };
  std::set<std::string> all;
  for (const char* seed : {"0", "1", "2", "3"}) {
    const std::string chosen = choices(seed);
    CHECK_EQ(chosen, choices(seed));
    all.insert(chosen);
  }
  CHECK_EQ(all.size(), 4);
  ::setenv("RINGO_TEST_SEED", restored.c_str(), 1);  // empty is as if it were not set
}

TEST_CASE("matrix: failed assertions are counted, on whichever worker") {
  test::Setting setting{DriverKind::epoll, "epoll", 2};
  auto quiet = [] { REQUIRE(std::freopen("/dev/null", "w", stdout) != nullptr); };
  test::expect_exit(98, "", [&] {
    quiet();
    test::run_setting(setting, []() -> Task<> {
      co_await go_on(1, []() -> Task<> {
        CHECK(this_worker() == 0);
        co_return;
      });
    });
  });
  test::expect_exit(98, "exception out of the child", [&] {
    quiet();
    test::run_setting(setting, []() -> Task<> {
      co_await yield();
      REQUIRE(num_workers() == 3);
    });
  });
}

TEST_CASE("matrix: what a child writes and how it ends") {
  test::expect_exit(0, "last words", [] { std::fputs("last words\n", stderr); });
  test::expect_exit(7, "", [] { ::_exit(7); });
  test::expect_exit(128 + SIGKILL, "", [] { ::raise(SIGKILL); });
  test::Setting setting{DriverKind::epoll, "epoll", 1};
  test::expect_exit(2, "panic: nobody looks", [&] {
    test::run_setting(setting, []() -> Task<> {
      go([] { throw std::runtime_error("nobody looks"); });
      for (;;) co_await yield();
    });
  });
}

RINGO_TEST("matrix: goroutines pinned to one worker take turns") {
  std::string order;
  co_await test::on_one_worker([&]() -> Task<> {
    for (char name : {'a', 'b', 'c'}) {
      go_on(0, [&order, name]() -> Task<> {
        order += name;
        co_await yield();
        order += name;
      });
    }
    co_await test::yields(3);
  });
  CHECK(order == "abcabc");
}

RINGO_TEST("matrix: eventually() waits") {
  std::atomic<bool> flag{false};
  auto setter = go([&] { flag = true; });
  co_await test::eventually([&] { return flag.load(); });
  CHECK(flag.load());
  co_await setter;
}
