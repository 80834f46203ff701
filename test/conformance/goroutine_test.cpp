// Goroutines: the rows GO of Go's semantics.
#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::panic_of;
using test::panic_of_task;
using test::Setting;

namespace {

Task<> add(std::atomic<int>& sum, int a, int b, int c, int d, int e, int f, int g) {
  co_await yield();
  sum += a + b + c + d + e + f + g;
}

struct Object {
  int base = 10;
  Task<int> plus(int x) const { co_return base + x; }
};

Task<> never() { co_await Channel<int>::nil().recv(); }

}  // namespace

RINGO_TEST("GO-01: f and its arguments are evaluated and copied at the go statement") {
  std::string order;
  int argument = 1;
  auto evaluate = [&](const char* name) {
    order += name;
    return argument;
  };
  auto handle = go([](int x) -> Task<int> { co_return x; }, evaluate("a"));
  argument = 2;
  order += "b";
  CHECK(co_await handle == 1);
  CHECK(order == "ab");

  std::string text = "at the call";
  auto taker = go([](std::string given) -> Task<std::string> { co_return given; }, text);
  text = "later";
  CHECK(co_await taker == "at the call");

  std::atomic<int> sum{0};
  co_await go(add, std::ref(sum), 1, 2, 3, 4, 5, 6, 7);
  CHECK(sum == 28);
}

RINGO_TEST("GO-01: whatever can be called can be started, and results may be dropped") {
  Object object;
  CHECK(co_await go(&Object::plus, object, 5) == 15);
  CHECK(co_await go(&Object::plus, &object, 6) == 16);
  CHECK(co_await go([] { return 3; }) == 3);
  CHECK(co_await go(object.plus(7)) == 17);
  auto only_movable = std::make_unique<int>(4);
  CHECK(co_await go([](std::unique_ptr<int> p) -> Task<int> { co_return *p; },
                    std::move(only_movable)) == 4);
  std::function<Task<int>(int)> function = [](int x) -> Task<int> { co_return 2 * x; };
  CHECK(co_await go(function, 4) == 8);
  std::atomic<bool> ran{false};
  go([&] { ran = true; });
  co_await test::eventually([&] { return ran.load(); });
}

RINGO_TEST("GO-02: the child runs independently of its parent") {
  Channel<int> ch;
  std::vector<JoinHandle<void>> children;
  for (int i = 0; i < 10; ++i) {
    children.push_back(go([ch, i]() -> Task<> { co_await ch.send(i); }));
  }
  int sum = 0;
  for (int i = 0; i < 10; ++i) sum += (co_await ch.recv()).value_or(100);
  CHECK(sum == 45);
  co_await test::join_all(children);
}

RINGO_TEST("GO-03: go of a null function panics in the caller") {
  Task<> (*null)() = nullptr;
  CHECK(panic_of([&] { go(null); }) == "go of nil func value");
  void (*plain)(int) = nullptr;
  CHECK(panic_of([&] { go(plain, 1); }) == "go of nil func value");
  CHECK(panic_of([&] { go(Task<>()); }) == "go of nil func value");
  CHECK(num_goroutines() == 1);
  co_return;
}

RINGO_TEST("GO-04: what was written before go is seen by the child, and its end by who joins") {
  std::vector<int> plain;
  for (int i = 0; i < 500; ++i) {
    plain.push_back(i);
    auto child = go([&plain]() -> Task<> {
      plain.push_back(-1);
      co_return;
    });
    co_await child;
  }
  CHECK(plain.size() == 1000);
}

TEST_CASE("GO-05: when main returns the others stop where they are") {
  test::for_each_setting([](const Setting& setting) {
    struct Flags {
      std::atomic<int> deferred{0};
      std::atomic<int> spinning{0};
    };
    auto flags = std::make_shared<Flags>();
    int result = run(test::options_of(setting), [&]() -> Task<int> {
      for (int i = 0; i < 4; ++i) {
        go([flags, i]() -> Task<> {
          struct Deferred {
            Flags& flags;
            ~Deferred() { ++flags.deferred; }
          } deferred{*flags};
          if (i % 2 == 0) co_await never();
          for (;;) {
            ++flags->spinning;
            co_await yield();
          }
        });
      }
      co_await test::eventually([&] { return flags->spinning > 10; });
      co_return 3;
    });
    CHECK(result == 3);
    CHECK(flags->deferred == 0);
    int after_the_end = flags->spinning;
    std::this_thread::yield();
    CHECK(flags->spinning == after_the_end);
  });
}

TEST_CASE("GO-06: exit ends the process at once, with its status") {
  test::expect_exit_matrix(5, "", []() -> Task<> {
    struct Deferred {
      ~Deferred() { std::fputs("a destructor ran", stderr); }
    } deferred;
    go([]() -> Task<> { co_await never(); });
    co_await yield();
    std::_Exit(5);
  });
}

TEST_CASE("GO-07: an exception that leaves a goroutine ends the process with a report") {
  auto body = []() -> Task<> {
    struct MainsOwn {
      ~MainsOwn() { std::fputs("main was unwound", stderr); }
    } mains_own;
    go([]() -> Task<> {
      struct Own {
        ~Own() { std::fputs("its own destructors ran\n", stderr); }
      } own;
      co_await yield();
      throw std::runtime_error("gone wrong");
    });
    co_await never();
  };
  test::for_each_setting([&](const Setting& setting) {
    auto ended = test::in_child([&] { test::run_setting(setting, body); });
    CHECK(ended.code == 2);
    auto contains = [&](const char* text) { return ended.errors.find(text) != std::string::npos; };
    CHECK(contains("panic: gone wrong"));
    CHECK(contains("goroutine "));
    CHECK(contains("[running]:"));
    CHECK(contains("created by "));
    CHECK(contains("goroutine_test.cpp:"));
    CHECK(contains("its own destructors ran"));
    CHECK(!contains("main was unwound"));
  });
}

TEST_CASE("GO-07: an exception out of main does so too, and a Panic says where it was made") {
  test::for_each_setting([](const Setting& setting) {
    test::expect_exit(2, "panic: main failed", [&] {
      run(test::options_of(setting), []() -> Task<> {
        co_await yield();
        throw std::runtime_error("main failed");
      });
    });
    auto ended = test::in_child([&] {
      run(test::options_of(setting), []() -> Task<> {
        Channel<int> ch;
        ch.close();
        co_await ch.send(1);
      });
    });
    CHECK(ended.code == 2);
    CHECK(ended.errors.find("panic: send on closed channel") != std::string::npos);
    CHECK(ended.errors.find("goroutine 1 [running]:") != std::string::npos);
    CHECK(ended.errors.find("created by") == std::string::npos);
  });
}

TEST_CASE("GO-07: a handle dropped with an exception nobody has seen, before or after the throw") {
  test::expect_exit_matrix(2, "panic: unseen", []() -> Task<> {
    auto handle = go([]() -> Task<> {
      panic("unseen");
      co_return;
    });
    co_await test::eventually([&] { return handle.done(); });
    handle.detach();
    co_await never();
  });
  test::expect_exit_matrix(2, "panic: unseen", []() -> Task<> {
    go([]() -> Task<> {
      co_await yield();
      panic("unseen");
    }).detach();
    co_await never();
  });
}

RINGO_TEST("GO-09: a handle carries the exception to whoever joins, once") {
  auto handle = go([]() -> Task<int> {
    co_await yield();
    throw std::runtime_error("to the joiner");
  });
  std::string text;
  try {
    co_await handle;
  } catch (const std::runtime_error& error) { text = error.what(); }
  CHECK(text == "to the joiner");
  CHECK(!(co_await panic_of_task([&]() -> Task<> { co_await handle; })).empty());

  JoinHandle<int> none;
  CHECK(!none.joinable());
  CHECK(!(co_await panic_of_task([&]() -> Task<> { co_await none; })).empty());

  // Also through a select.
  auto thrower = go([]() -> Task<int> {
    panic("in a select");
    co_return 1;
  });
  CHECK(co_await panic_of_task([&]() -> Task<> {
          co_await select_any{on(thrower, [](int) {}), on(after(1h), [] {})};
        }) == "in a select");
}

RINGO_TEST("GO-09: goexit ends a goroutine and nobody else") {
  std::atomic<int> unwound{0};
  auto leave = [&]() -> Task<> {
    struct Count {
      std::atomic<int>& count;
      ~Count() { ++count; }
    } count{unwound};
    co_await yield();
    goexit();
  };
  auto handle = go([&]() -> Task<> {
    co_await leave();
    FAIL("goexit returned");
  });
  CHECK(co_await panic_of_task([&]() -> Task<> { co_await handle; }) ==
        "joined goroutine called goexit");
  go(leave).detach();
  co_await test::eventually([&] { return unwound == 2; });
  co_await test::eventually([] { return num_goroutines() == 1; });
}

RINGO_TEST("GO-10: the number of goroutines (goprint)") {
  CHECK(num_goroutines() == 1);
  Channel<int> ch;
  std::vector<JoinHandle<void>> children;
  for (int i = 0; i < 20; ++i) {
    children.push_back(go([ch]() -> Task<> { co_await ch.recv(); }));
  }
  CHECK(num_goroutines() == 21);
  co_await test::yields();
  CHECK(num_goroutines() == 21);
  ch.close();
  co_await test::join_all(children);
  co_await test::eventually([] { return num_goroutines() == 1; });
  // Calls of after_func() are goroutines while they run.
  Channel<std::size_t> count;
  auto timer = after_func(1ms, [count]() -> Task<> { co_await count.send(num_goroutines()); });
  CHECK(num_goroutines() == 1);
  CHECK(co_await count.recv() == 2);
  co_await test::eventually([] { return num_goroutines() == 1; });
}

RINGO_TEST("GO-11: handles, and numbers for reports") {
  auto a = go([]() -> Task<> { co_return; });
  auto b = go([]() -> Task<> { co_return; });
  CHECK(a.id() != b.id());
  CHECK(a.id() > 1);  // 1 is main
  CHECK(detail::current_goroutine()->id == 1);
  co_await a;
  co_await b;
  CHECK(a.done());
  JoinHandle<void> moved = std::move(a);
  CHECK(!a.joinable());
  CHECK(a.id() == 0);
  CHECK(moved.joinable());
  moved.detach();
  CHECK(!moved.joinable());
}

RINGO_TEST("GO-13: a hundred thousand goroutines at once" * doctest::test_suite("long")) {
  constexpr int count = 100'000;
  Channel<int> release;
  Channel<int> results(64);
  for (int i = 0; i < count; ++i) {
    go([=]() -> Task<> {
      co_await release.recv();
      co_await results.send(1);
    });
  }
  CHECK(num_goroutines() == count + 1);
  release.close();
  long sum = 0;
  for (int i = 0; i < count; ++i) sum += (co_await results.recv()).value_or(0);
  CHECK(sum == count);
}

RINGO_TEST("GO-14: go_on keeps a goroutine on its worker, though not what it starts") {
  for (unsigned w = 0; w < num_workers(); ++w) {
    auto pinned = go_on(static_cast<int>(w), []() -> Task<std::vector<unsigned>> {
      std::vector<unsigned> seen;
      Channel<int> ch;
      for (int i = 0; i < 20; ++i) {
        seen.push_back(this_worker());
        go([ch]() -> Task<> { co_await ch.send(1); });
        co_await ch.recv();
        if (i % 5 == 0) co_await sleep_for(10us);
        co_await yield();
      }
      co_return seen;
    });
    CHECK(co_await pinned == std::vector<unsigned>(20, w));
  }
  CHECK(!panic_of([] { go_on(static_cast<int>(num_workers()), [] {}); }).empty());
}
