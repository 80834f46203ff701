// Exceptions as Go's panics, and how a process ends: the rows DP and GO-08 that test/sync/
// defer_test.cpp, which is about Defer, leaves.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ringo/defer.hpp>
#include <ringo/mutex.hpp>
#include <ringo/select.hpp>
#include <ringo/semaphore.hpp>
#include <ringo/time.hpp>
#include <ringo/wait_group.hpp>

#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::panic_of_task;
using test::Setting;

namespace {

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

Task<> fail_with(const char* what) {
  co_await yield();
  throw std::runtime_error(what);
}

}  // namespace

TEST_CASE("GO-08: main that returns during a panic does not cut the report off") {
  test::for_each_setting([](const Setting& setting) {
    const test::Ended ended = test::in_child([&] {
      test::run_setting(setting, []() -> Task<> {
        std::atomic<bool> panicking{false};
        go([&]() -> Task<> {
          struct Slow {
            std::atomic<bool>& panicking;
            ~Slow() {
              // Main may return from here on.
              panicking = true;
              const auto until = std::chrono::steady_clock::now() + 20ms;
              while (std::chrono::steady_clock::now() < until) {}
            }
          } slow{panicking};
          co_await fail_with("the whole report");
        });
        while (!panicking) co_await yield();
      });
    });
    CHECK_EQ(ended.code, 2);
    CHECK(contains(ended.errors, "panic: the whole report\n"));
    CHECK(contains(ended.errors, "created by "));
  });
}

RINGO_TEST(
    "DP-05: results: co_return stores before Defers run, so what they change is set before") {
  // Go's `func f() (result int) { defer func() { result *= 7 }(); return 6 }` gives 42.
  auto too_late = []() -> Task<int> {
    int result = 6;
    Defer change{[&] { result *= 7; }};
    co_return result;
  };
  CHECK(co_await too_late() == 6);
  // The substitute: the scope of the Defer ends before the co_return.
  auto in_time = []() -> Task<int> {
    int result = 0;
    {
      Defer change{[&] { result *= 7; }};
      result = 6;
      co_await yield();
    }
    co_return result;
  };
  CHECK(co_await in_time() == 42);
}

RINGO_TEST("DP-07: what has to wait at the end of a scope is awaited after a catch") {
  // Destructors cannot await: the substitute keeps the exception, waits, and throws on.
  Channel<std::string> log(10);
  Mutex mutex;
  auto guarded = [&](bool fails) -> Task<> {
    std::exception_ptr error;
    try {
      if (fails) co_await fail_with("inside");
      co_await log.send("done");
    } catch (...) { error = std::current_exception(); }
    {
      auto guard = co_await mutex.lock();
      co_await sleep_for(10us);
      co_await log.send("cleaned up");
    }
    if (error) std::rethrow_exception(error);
  };
  co_await guarded(false);
  std::string what;
  try {
    co_await guarded(true);
  } catch (const std::runtime_error& error) { what = error.what(); }
  CHECK(what == "inside");
  CHECK(co_await log.recv() == "done");
  CHECK(co_await log.recv() == "cleaned up");
  CHECK(co_await log.recv() == "cleaned up");
  CHECK(log.len() == 0);
}

RINGO_TEST("DP-08: who recovers: the innermost catch around the await, in its own goroutine only") {
  std::vector<std::string> caught;
  auto inner = [&]() -> Task<> {
    try {
      co_await fail_with("one");
    } catch (const std::runtime_error& error) {
      caught.push_back(std::string("inner ") + error.what());
      throw std::runtime_error("two");
    }
  };
  try {
    co_await inner();
  } catch (const std::runtime_error& error) {
    caught.push_back(std::string("outer ") + error.what());
  }
  // A catch around go() or in another goroutine sees nothing; the handle carries it.
  JoinHandle<> handle;
  try {
    handle = go(fail_with, "three");
    co_await test::yields(3);
  } catch (...) { caught.push_back("around go"); }
  try {
    co_await handle;
  } catch (const std::runtime_error& error) {
    caught.push_back(std::string("joiner ") + error.what());
  }
  CHECK(caught == std::vector<std::string>{"inner one", "outer two", "joiner three"});
}

TEST_CASE("DP-13: what a report prints for which exception") {
  struct Odd {};
  class Own final : public std::exception {
   public:
    const char* what() const noexcept override { return "own words"; }
  };
  const auto report = [](auto thrower) {
    std::string text;
    test::for_each_setting([&](const Setting& setting) {
      const test::Ended ended = test::in_child([&] {
        run(test::options_of(setting), [&]() -> Task<> {
          co_await yield();
          thrower();
        });
      });
      CHECK_EQ(ended.code, 2);
      text = ended.errors.substr(0, ended.errors.find('\n'));
    });
    return text;
  };
  CHECK(report([] { throw std::runtime_error("an error"); }) == "panic: an error");
  CHECK(report([] { throw Own(); }) == "panic: own words");
  CHECK(report([] { throw 42; }) == "panic: exception of type int");
  CHECK(contains(report([] { throw Odd(); }), "panic: exception of type "));
  CHECK(contains(report([] { throw Odd(); }), "Odd"));
  // A Panic says where it was made.
  const std::string text = report([] { panic("a rule was broken"); });
  CHECK(contains(text, "panic: a rule was broken ["));
  CHECK(contains(text, "panic_test.cpp:"));
}

TEST_CASE("DP-16: fatal errors are not exceptions: no catch, no Defer, exit status 2") {
  const auto attempt = [](auto misuse, const char* words) {
    test::for_each_setting([&](const Setting& setting) {
      const test::Ended ended = test::in_child([&] {
        test::run_setting(setting, [&]() -> Task<> {
          Defer deferred{[] { std::fputs("deferred call", stderr); }};
          try {
            co_await misuse();
          } catch (...) { std::fputs("caught", stderr); }
        });
      });
      CHECK_EQ(ended.code, 2);
      CHECK(contains(ended.errors, words));
      CHECK(contains(ended.errors, "goroutine 1 [running]:"));
      CHECK_FALSE(contains(ended.errors, "deferred call"));
      CHECK_FALSE(contains(ended.errors, "caught"));
    });
  };
  attempt(
      []() -> Task<> {
        Mutex mutex;
        mutex.unlock();
        co_return;
      },
      "fatal error: sync: unlock of unlocked mutex");
  attempt(
      []() -> Task<> {
        auto group = std::make_unique<WaitGroup>();
        group->add(1);
        go([&group = *group]() -> Task<> { co_await group.wait(); });
        co_await test::yields(10);
        co_await sleep_for(5ms);
        group.reset();
      },
      "fatal error: sync: WaitGroup destroyed while 1 goroutine waits on it");
}

RINGO_TEST("DP-17: goexit runs all Defers, and no catch of errors sees it") {
  std::vector<std::string> events;
  auto deep = [&]() -> Task<> {
    Defer deferred{[&] { events.push_back("inner"); }};
    try {
      co_await yield();
      goexit();
    } catch (const std::exception&) { events.push_back("caught"); }
  };
  auto handle = go([&]() -> Task<> {
    Defer deferred{[&] { events.push_back("outer"); }};
    try {
      co_await deep();
    } catch (const Panic&) { events.push_back("caught"); } catch (...) {
      events.push_back("passing");  // Go's recover() gives nil here
      throw;
    }
    events.push_back("went on");
  });
  co_await test::eventually([&] { return handle.done(); });
  CHECK(co_await panic_of_task([&]() -> Task<> { co_await handle; }) ==
        "joined goroutine called goexit");
  CHECK(events == std::vector<std::string>{"inner", "passing", "outer"});
}

TEST_CASE("DP-19: exit status: 2 for panics and fatal errors, 0 for main, n for exit(n)") {
  test::for_each_setting([](const Setting& setting) {
    const Options options = test::options_of(setting);
    // A main() is `return run(app);`.
    const auto status = [&](auto app) {
      return test::in_child([&] { std::_Exit(run(options, app)); }).code;
    };
    CHECK_EQ(status([]() -> Task<> {
               go([]() -> Task<> { co_await Channel<int>::nil().recv(); });
               co_await yield();
             }),
             0);
    CHECK_EQ(status([]() -> Task<int> { co_return 7; }), 7);
    CHECK_EQ(status([]() -> Task<> {
               co_await yield();
               std::_Exit(9);
             }),
             9);
    CHECK_EQ(status([]() -> Task<> { co_await fail_with("main"); }), 2);
    CHECK_EQ(status([]() -> Task<> {
               go(fail_with, "another");
               co_await Channel<int>::nil().recv();
             }),
             2);
    CHECK_EQ(status([]() -> Task<> {
               Mutex mutex;
               mutex.unlock();
               co_return;
             }),
             2);
  });
}

RINGO_TEST("SC-11: a token that is given back goes to who waits, not to who asks next") {
  Semaphore semaphore(1);
  constexpr int rounds = 200;
  int turns[2] = {0, 0};
  int last = -1;
  int changes = 0;
  auto taker = [&](int who) -> Task<> {
    for (int i = 0; i < rounds; ++i) {
      co_await semaphore.acquire();
      ++turns[who];
      if (last != who) ++changes;
      last = who;
      for (int k = 0; k < 3; ++k) co_await yield();
      semaphore.release();
    }
  };
  co_await test::on_one_worker([&]() -> Task<> {
    auto one = go_on(0, taker, 0);
    auto two = go_on(0, taker, 1);
    co_await one;
    co_await two;
  });
  // They take turns strictly: who releases and asks again stands behind the other.
  CHECK(changes == 2 * rounds);
}
