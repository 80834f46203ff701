#include <ringo/defer.hpp>

#include <functional>
#include <memory>
#include <string>
#include <type_traits>

#include "base/log.hpp"
#include "sync/support.hpp"

using namespace ringo;
using test::End;
using test::Victim;

namespace {

constexpr auto no_op = [] {};
using SomeDefer = Defer<decltype(no_op)>;
static_assert(!std::is_copy_constructible_v<SomeDefer> && !std::is_move_constructible_v<SomeDefer>);
static_assert(!std::is_copy_assignable_v<SomeDefer> && !std::is_move_assignable_v<SomeDefer>);
static_assert(!std::is_copy_constructible_v<DeferStack>);
static_assert(!std::is_move_constructible_v<DeferStack>);
static_assert(!std::is_nothrow_destructible_v<SomeDefer>);
static_assert(sizeof(SomeDefer) <= 16 && sizeof(DeferStack) <= 16);

std::string out;
void say(const std::string& what) { out += what; }
void say_number(int n) { out += std::to_string(n); }

/// Collects what is logged.
struct Log {
  Log() { lines().clear(), before = detail::set_log_hook(&hear); }
  ~Log() { detail::set_log_hook(before); }
  static std::string& lines() {
    static std::string text;
    return text;
  }
  static void hear(detail::LogLevel level, std::string_view text) {
    CHECK(level == detail::LogLevel::error);
    lines() += std::string(text) + "\n";
  }
  detail::LogHook before;
};

const char* const failed = "a deferred call failed while another exception was unwinding: ";

}  // namespace

TEST_CASE("DP-01: function and arguments are taken at once, a closure sees later changes") {
  out.clear();
  {
    int x = 1;
    std::string text = "one ";
    Defer closure{[&] { say("closure " + std::to_string(x) + " "); }};
    Defer later{say, text};
    Defer number{say_number, x};
    Defer reference{[](int& n) { say_number(n); }, std::ref(x)};
    x = 3;
    text = "three ";
  }
  CHECK(out == "31one closure 3 ");
}

TEST_CASE("DP-01: owns what it was given, moves it into the call") {
  auto token = std::make_shared<int>(5);
  int seen = 0;
  {
    Defer owner{[&seen](std::unique_ptr<int> p, std::shared_ptr<int> t) { seen = *p + *t; },
                std::make_unique<int>(2), token};
    CHECK(token.use_count() == 2);
  }
  CHECK(seen == 7);
  CHECK(token.use_count() == 1);
  struct Counter {
    void add(int n) { sum += n; }
    int sum = 0;
  } counter;
  { Defer member{&Counter::add, &counter, 4}; }
  CHECK(counter.sum == 4);
}

TEST_CASE("DP-02: last in, first out; a loop accumulates on a DeferStack") {
  out.clear();
  {
    Defer a{say, "a"};
    Defer b{say, "b"};
    {
      Defer inner{say, "inner "};
      say("block ");
    }
    say("end ");
  }
  CHECK(out == "block inner end ba");
  out.clear();
  {
    DeferStack defers;
    CHECK(defers.empty());
    for (int i = 0; i < 10; ++i) defers.push(say_number, i);
    CHECK(!defers.empty());
    CHECK(out.empty());
  }
  CHECK(out == "9876543210");
}

TEST_CASE("DP-03: only what was deferred is called") {
  out.clear();
  {
    DeferStack defers;
    for (int i = 1; i <= 4; ++i) {
      if (i != 3) defers.push(say, std::to_string(i) + " ");
    }
  }
  CHECK(out == "4 2 1 ");
  out.clear();
  {
    Defer a{say, "a"};
    Defer b{say, "b"};
    b.dismiss();
    DeferStack defers;
    defers.push(say, "c");
    defers.dismiss();
    CHECK(defers.empty());
    defers.push(say, "d");
  }
  CHECK(out == "da");
}

RINGO_TEST_PINNED("DP-04: on return, on an exception, on goexit and on cancellation") {
  out.clear();
  auto body = [](int how) -> Task<> {
    DeferStack defers;
    defers.push(say, "stack ");
    Defer last{say, "defer "};
    co_await yield();
    switch (how) {
      case 0:
        co_return;
      case 1:
        throw std::runtime_error("x");
      case 2:
        goexit();
      default:
        break;
    }
    Channel<int> never;
    co_await never.recv();
  };
  co_await body(0);
  CHECK(out == "defer stack ");
  out.clear();
  bool thrown = false;
  try {
    co_await body(1);
  } catch (const std::runtime_error&) { thrown = true; }
  CHECK(thrown);
  CHECK(out == "defer stack ");
  out.clear();
  auto gone = go_on(0, body, 2);
  co_await test::yields(4);
  CHECK(gone.done());
  CHECK(out == "defer stack ");
  CHECK(co_await test::panic_of_task([&]() -> Task<> { co_await gone; }) ==
        "joined goroutine called goexit");
  out.clear();
  Victim victim([&]() -> Task<> { co_await body(3); });
  co_await test::yields(4);
  CHECK(victim.cancel());
  co_await victim.ended();
  CHECK(victim.end() == End::canceled);
  CHECK(out == "defer stack ");
}

TEST_CASE("DP-04: not on exit, nor in goroutines that main leaves behind") {
  test::expect_exit_matrix(3, "", []() -> Task<> {
    Defer never{[] { ::_exit(1); }};
    go([]() -> Task<> {
      Defer never_either{[] { ::_exit(1); }};
      co_await Channel<int>::nil().recv();
    });
    co_await yield();
    ::_exit(3);
  });
  test::expect_exit_matrix(0, "", []() -> Task<> {
    go([]() -> Task<> {
      Defer never{[] { ::_exit(1); }};
      co_await Channel<int>::nil().recv();
    });
    co_await test::yields();
  });
}

TEST_CASE("DP-06: a null function panics when it would be called, the others are") {
  out.clear();
  void (*null)(int) = nullptr;
  std::function<void()> empty;
  const char* text =
      "invalid memory address or nil pointer dereference (deferred call of a null function)";
  CHECK(test::panic_of([&] {
          Defer a{say, "a"};
          Defer nil{null, 1};
          Defer b{say, "b"};
          say("body ");
        }) == text);
  CHECK(out == "body ba");
  out.clear();
  CHECK(test::panic_of([&] {
          DeferStack defers;
          defers.push(say, "a");
          defers.push(empty);
          defers.push(say, "b");
          say("body ");
        }) == text);
  CHECK(out == "body ba");
  std::function<void()> full = [] { say("full"); };
  { Defer d{full}; }
  {
    Defer d{+[] { say("pointer"); }};
  }
  CHECK(out == "body bafullpointer");
}

RINGO_TEST("DP-09: after a catch the function goes on normally, with all its Defers") {
  std::string order;
  auto protect = [&]() -> Task<int> {
    Defer outer{[&] { order += "outer "; }};
    try {
      Defer inner{[&] { order += "inner "; }};
      co_await yield();
      panic("recovered");
    } catch (const Panic& panic) { order += panic.what() + std::string(" "); }
    order += "on ";
    co_return 1;
  };
  CHECK(co_await protect() == 1);
  CHECK(order == "inner recovered on outer ");
}

TEST_CASE("DP-10: what a deferred call throws leaves the scope") {
  out.clear();
  CHECK(test::panic_of([] {
          Defer a{say, "a"};
          Defer thrower{[] { panic("from a deferred call"); }};
          Defer b{say, "b"};
        }) == "from a deferred call");
  CHECK(out == "ba");
}

TEST_CASE("DP-10: while another exception unwinds it is logged, and that one goes on") {
  out.clear();
  Log log;
  CHECK(test::panic_of([] {
          Defer a{say, "a"};
          Defer second{[] { panic("second"); }};
          Defer third{[] { throw std::runtime_error("third"); }};
          DeferStack defers;
          defers.push(say, "b");
          defers.push([] { panic("fourth"); });
          defers.push(say, "c");
          panic("first");
        }) == "first");
  CHECK(out == "cba");
  std::string lines = Log::lines();
  std::size_t fourth = lines.find(failed + std::string("fourth"));
  std::size_t third = lines.find(failed + std::string("third\n"));
  std::size_t second = lines.find(failed + std::string("second"));
  CHECK(fourth < third);
  CHECK(third < second);
  CHECK(second != std::string::npos);
  // Two Defers that throw: the first exception is under way when the second is thrown.
  CHECK(test::panic_of([] {
          Defer later{[] { panic("later"); }};
          Defer sooner{[] { panic("sooner"); }};
        }) == "sooner");
}

TEST_CASE("DP-10: in a DeferStack the last exception replaces those before and nests them") {
  out.clear();
  bool caught = false;
  try {
    DeferStack defers;
    defers.push(say, "a");
    defers.push([] { panic("third"); });
    defers.push([] { panic("second"); });
    defers.push(say, "b");
    defers.push([] { throw std::runtime_error("first"); });
  } catch (const Panic& third) {
    caught = true;
    CHECK(std::string(third.what()) == "third");
    CHECK(third.where().line() != 0);
    try {
      std::rethrow_if_nested(third);
      FAIL("nothing nested");
    } catch (const Panic& second) {
      CHECK(std::string(second.what()) == "second");
      try {
        std::rethrow_if_nested(second);
        FAIL("nothing nested");
      } catch (const std::runtime_error& first) { CHECK(std::string(first.what()) == "first"); }
    }
  }
  CHECK(caught);
  CHECK(out == "ba");
  // Another type stays what it is.
  CHECK_THROWS_WITH_AS(
      [] {
        DeferStack defers;
        defers.push([] { throw std::out_of_range("newer"); });
        defers.push([] { panic("older"); });
      }(),
      "newer", std::out_of_range);
}

TEST_CASE("DP-12: the report of an uncaught chain, oldest first") {
  for (const char* text : {"panic: first", "\n\tpanic: second"}) {
    test::expect_exit_matrix(2, text, []() -> Task<> {
      go([]() -> Task<> {
        DeferStack defers;
        defers.push([] { panic("second"); });
        defers.push([] { panic("first"); });
        co_await yield();
      });
      for (;;) co_await yield();
    });
  }
}

TEST_CASE("DP-11: thrown again at every level") {
  struct Levels {
    static void go_down(int depth) {
      Defer again{say_number, depth};
      if (depth < 0) return;
      if (depth == 0) panic("bottom");
      try {
        go_down(depth - 1);
      } catch (const Panic&) { throw; }
    }
  };
  out.clear();
  CHECK(test::panic_of([] { Levels::go_down(9); }) == "bottom");
  CHECK(out == "0123456789");
}

TEST_CASE("DP-18: inside a deferred call exceptions are caught as usual") {
  out.clear();
  Log log;
  CHECK(test::panic_of([] {
          Defer recovers{[] {
            try {
              Defer inner{say, "inner "};
              panic("inside");
            } catch (const Panic& panic) { say(panic.what()); }
          }};
          panic("outside");
        }) == "outside");
  CHECK(out == "inner inside");
  // A Defer that throws normally within a deferred call that runs during unwinding.
  out.clear();
  CHECK(test::panic_of([] {
          Defer recovers{[] {
            try {
              Defer thrower{[] { panic("thrown in a scope of its own"); }};
            } catch (const Panic& panic) { say(panic.what()); }
          }};
          panic("outside");
        }) == "outside");
  CHECK(out == "thrown in a scope of its own");
  CHECK(Log::lines().empty());
}

TEST_CASE("DeferStack: run, and pushes from inside") {
  out.clear();
  DeferStack defers;
  defers.push(say, "a");
  defers.push([&] {
    say("b");
    defers.push(say, "c");
  });
  defers.run();
  CHECK(out == "bca");
  CHECK(defers.empty());
  defers.run();
  defers.push([] { panic("now"); });
  defers.push(say, "d");
  CHECK(test::panic_of([&] { defers.run(); }) == "now");
  CHECK(out == "bcad");
}

RINGO_TEST("DeferStack: in goroutines that move between workers") {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> sum{0};
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 8; ++i) {
      handles.push_back(go([&]() -> Task<> {
        DeferStack defers;
        Defer last{[&] { ++sum; }};
        for (int k = 0; k < 5; ++k) {
          defers.push([](std::atomic<int>& to, std::string text) { to += text.size() == 30; },
                      std::ref(sum), std::string(30, 'x'));
          co_await yield();
        }
      }));
    }
    for (auto& handle : handles) co_await handle;
    CHECK(sum == 48);
  }
}
