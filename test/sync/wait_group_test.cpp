#include <ringo/wait_group.hpp>

#include <array>
#include <type_traits>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::End;
using test::Victim;

static_assert(sizeof(WaitGroup) <= 32);

namespace {

/// A WaitGroup that something is left to wait for.
struct Busy : WaitGroup {
  Busy() { add(1); }
};
constexpr auto wait_for = [](WaitGroup& wg) -> Task<> { co_await wg.wait(); };

struct Tree {
  static Task<> grow(WaitGroup& wg, std::atomic<int>& leaves, int depth) {
    if (depth == 0) {
      ++leaves;
    } else {
      for (int i = 0; i < 2; ++i) wg.go(grow, std::ref(wg), std::ref(leaves), depth - 1);
    }
    co_return;
  }
};

/// Callables of all kinds.
struct Kinds {
  static Task<> by_value(std::atomic<int>* sum, int a, std::string b) {
    co_await yield();
    *sum += a + static_cast<int>(b.size());
  }
  static Task<> by_reference(std::atomic<int>& sum, const int& a) {
    co_await yield();
    sum += a;
  }
  static void plain(std::atomic<int>& sum) { sum += 1; }
  Task<int> member(int a) {
    *sum += a;
    co_return a;
  }
  std::atomic<int>* sum;
};

/// Counts how many of it are alive.
struct Token {
  explicit Token(std::atomic<int>& count) : alive(&count) { ++*alive; }
  Token(const Token& other) : alive(other.alive) { ++*alive; }
  ~Token() { --*alive; }
  std::atomic<int>* alive;
};
Task<> take_token(Token) { co_await yield(); }

struct Thrower {
  Thrower() = default;
  Thrower(const Thrower&) { throw std::runtime_error("no copy"); }
  void operator()() const {}
};
Task<> make_no_task(int) { throw std::runtime_error("no task"); }

}  // namespace

TEST_CASE("WG-07: copying or moving a WaitGroup does not compile") {
  static_assert(!std::is_copy_constructible_v<WaitGroup>);
  static_assert(!std::is_copy_assignable_v<WaitGroup>);
  static_assert(!std::is_move_constructible_v<WaitGroup>);
  static_assert(!std::is_move_assignable_v<WaitGroup>);
}

RINGO_TEST_PINNED("WG-01: at 0 all waiters go on, and not before") {
  WaitGroup wg;
  co_await wg.wait();  // at once
  wg.add(2);
  wg.add(3);
  int waiting = 4;
  for (int i = 0; i < 4; ++i) {
    go_on(0, [&]() -> Task<> {
      co_await wg.wait();
      --waiting;
    });
  }
  co_await test::yields();
  wg.add(-2);
  for (int i = 0; i < 2; ++i) wg.done();
  co_await test::yields();
  CHECK(waiting == 4);
  wg.done();
  co_await test::yields();
  CHECK(waiting == 0);
  co_await wg.wait();
}

RINGO_TEST("WG-01: goroutines and waiters on all workers") {
  for (int round = 0; round < 30; ++round) {
    WaitGroup first;
    WaitGroup second;
    std::atomic<int> started{0};
    first.add(16);
    second.add(16);
    for (int i = 0; i < 16; ++i) {
      go([&]() -> Task<> {
        ++started;
        first.done();
        co_await first.wait();
        CHECK(started == 16);
        second.done();
      });
    }
    co_await first.wait();
    co_await second.wait();
  }
}

RINGO_TEST("WG-02: a negative counter panics and changes nothing") {
  WaitGroup wg;
  CHECK(test::panic_of([&] { wg.done(); }) == "sync: negative WaitGroup counter");
  wg.add(2);
  CHECK(test::panic_of([&] { wg.add(-3); }) == "sync: negative WaitGroup counter");
  CHECK(test::panic_of([&] { wg.add(INT64_MAX); }) == "sync: negative WaitGroup counter");
  auto waiter = go([&]() -> Task<> { co_await wg.wait(); });
  co_await test::yields();
  CHECK(!waiter.done());
  wg.add(-2);
  co_await waiter;
  co_await wg.wait();
}

RINGO_TEST("WG-03: adding while the counter is not 0 is fine at any time") {
  WaitGroup wg;
  std::atomic<int> leaves{0};
  wg.go(Tree::grow, std::ref(wg), std::ref(leaves), 9);
  auto other = go([&]() -> Task<> {
    co_await wg.wait();
    CHECK(leaves == 512);
  });
  co_await wg.wait();
  CHECK(leaves == 512);
  co_await other;
}

RINGO_TEST_PINNED("WG-04: used again, also before the waiters of the last round have gone on") {
  WaitGroup wg;
  int through = 0;
  wg.add(1);
  for (int i = 0; i < 3; ++i) {
    go_on(0, [&]() -> Task<> {
      co_await wg.wait();
      ++through;
    });
  }
  co_await test::yields();
  wg.done();
  wg.add(1);  // they have not run yet
  co_await test::yields();
  CHECK(through == 3);
  wg.done();
  for (int round = 0; round < 1000; ++round) {
    wg.add(2);
    for (int i = 0; i < 2; ++i) go_on(0, [&] { wg.done(); });
    co_await wg.wait();
  }
}

RINGO_TEST("WG-05: go() counts all kinds of callables") {
  WaitGroup wg;
  std::atomic<int> sum{0};
  Kinds local{&sum};
  wg.go(Kinds::by_value, &sum, 1, "abc");
  wg.go(&Kinds::by_reference, std::ref(sum), 10);
  wg.go(Kinds::plain, std::ref(sum));
  wg.go([&] { sum += 100; });
  wg.go([&, kept = std::make_unique<int>(1000)]() -> Task<> {
    co_await yield();
    sum += *kept;
  });
  wg.go(&Kinds::member, &local, 10000);
  wg.go(Kinds::by_value(&sum, 100000, ""));
  wg.go([](int a, int b, int c, int d, int e, std::atomic<int>* to) { *to += a + b + c + d + e; },
        1, 1, 1, 1, 1, &sum);
  co_await wg.wait();
  CHECK(sum == 4 + 10 + 1 + 100 + 1000 + 10000 + 100000 + 5);
}

RINGO_TEST("WG-05: what the goroutine owned is gone before the wait ends") {
  for (int round = 0; round < 100; ++round) {
    WaitGroup wg;
    std::atomic<int> alive{0};
    for (int i = 0; i < 4; ++i) {
      wg.go(take_token, Token(alive));
      Token token(alive);
      wg.go([token]() -> Task<> { co_await yield(); });
      wg.go([token] {});
    }
    co_await wg.wait();
    CHECK(alive == 0);
  }
}

RINGO_TEST("WG-05: goexit and cancellation count as ends") {
  WaitGroup wg;
  wg.go([] { goexit(); });
  std::atomic<detail::Goroutine*> waiting{nullptr};
  Channel<int> never;
  wg.go([&]() -> Task<> {
    detail::current_goroutine()->guarded = true;
    waiting = detail::current_goroutine();
    co_await never.recv();
  });
  co_await test::eventually([&] { return waiting != nullptr; });
  detail::cancel_wait(waiting);
  co_await wg.wait();
}

TEST_CASE("WG-05: a panic in the goroutine does not count: the process dies with it") {
  test::expect_exit_matrix(2, "panic: oh no", []() -> Task<> {
    WaitGroup wg;
    wg.go([] { throw std::runtime_error("oh no"); });
    co_await wg.wait();
    ::_exit(0);
  });
}

RINGO_TEST("WG-05: a goroutine that does not come to be is not counted") {
  WaitGroup wg;
  Task<> (*nothing)() = nullptr;
  CHECK(test::panic_of([&] { wg.go(nothing); }) == "go of nil func value");
  Thrower thrower;
  CHECK_THROWS_WITH(wg.go(thrower), "no copy");
  CHECK_THROWS_WITH(wg.go(make_no_task, 1), "no task");
  co_await wg.wait();
}

RINGO_TEST("WG-06: what was done before done() is visible after wait()") {
  std::array<int, 64> results{};
  for (int round = 1; round <= 50; ++round) {
    WaitGroup wg;
    for (int& result : results) {
      wg.add(1);
      go([&wg, &result, round] {
        result += round;
        wg.done();
      });
    }
    co_await wg.wait();
    for (int result : results) REQUIRE(result == round * (round + 1) / 2);
  }
}

RINGO_TEST("WG: the waiter destroys it at once, having suspended or not" *
           doctest::test_suite("long")) {
  constexpr int rounds = 100'000 / 6;  // of each combination
  int waited = 0;
  for (int round = 0; round < rounds; ++round) {
    auto wg = std::make_unique<WaitGroup>();
    wg->add(2);
    for (int i = 0; i < 2; ++i) {
      go([p = wg.get(), round] {
        test::jitter(static_cast<unsigned>(round));
        p->done();
      });
    }
    if (round % 3 == 0) co_await yield();
    if (round % 3 == 1) test::jitter(static_cast<unsigned>(round) * 31u);
    auto other = go([&] { ++waited; });
    co_await wg->wait();
    wg.reset();
    co_await other;
  }
  CHECK(waited == rounds);
}

TEST_CASE("WG: plain threads add and are done") {
  test::for_each_setting([](const test::Setting& setting) {
    WaitGroup wg;
    wg.add(3);  // no runtime yet
    std::vector<std::thread> threads;
    int written[3] = {};
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&, i] {
        wg.add(1);
        written[i] = 1;
        wg.done();
        wg.done();
      });
    }
    test::run_setting(setting, [&]() -> Task<> {
      co_await wg.wait();
      CHECK(written[0] + written[1] + written[2] == 3);
      wg.add(1);
      std::thread last([&] { wg.done(); });
      co_await wg.wait();
      last.join();
      std::string text;
      std::atomic<bool> over{false};
      std::thread misuser([&] {
        text = test::panic_of([&] { wg.done(); });
        over = true;
      });
      co_await test::eventually([&] { return over.load(); });  // a worker carries it out
      misuser.join();
      // And they start goroutines.
      std::atomic<int> ran{0};
      over = false;
      std::thread starter([&] {
        for (int i = 0; i < 100; ++i) wg.go([&] { ++ran; });
        over = true;
      });
      co_await test::eventually([&] { return over.load(); });
      starter.join();
      co_await wg.wait();
      CHECK(ran == 100);
      CHECK(text == "sync: negative WaitGroup counter");
    });
    for (std::thread& thread : threads) thread.join();
    CHECK(test::panic_of([&] { wg.done(); }) == "sync: negative WaitGroup counter");
  });
}

RINGO_TEST_PINNED("WG: wait() as a case of select") {
  WaitGroup wg;
  Channel<int> ch;
  wg.add(1);
  int winner = -1;
  auto select = [&]() -> Task<> {
    winner = co_await select_any{on(wg.wait(), [] { return 0; }), on(ch.recv(), [] { return 1; })};
  };
  auto a = go_on(0, select);
  co_await test::yields();
  co_await ch.send(1);
  co_await a;
  CHECK(winner == 1);  // and it does not wait any more
  auto b = go_on(0, select);
  co_await test::yields();
  wg.done();
  co_await b;
  CHECK(winner == 0);
  co_await select();
  CHECK(winner == 0);
  wg.add(1);
  CHECK(co_await select_any{on(wg.wait(), [] { return 0; }), otherwise([] { return 2; })} == 2);
  wg.done();
}

RINGO_TEST_PINNED("WG: a cancelled wait leaves no trace") {
  WaitGroup wg;
  wg.add(1);
  Victim victim([&]() -> Task<> { co_await wg.wait(); });
  Victim other([&]() -> Task<> { co_await wg.wait(); });
  co_await test::yields();
  CHECK(victim.cancel());
  wg.done();  // while it has not left yet
  co_await victim.ended();
  CHECK(victim.end() == End::canceled);
  co_await other.ended();
  CHECK(other.end() == End::returned);
}

TEST_CASE("WG: drained waiters are cancelled") { test::expect_drained<Busy>(wait_for); }

TEST_CASE("WG: destroyed while goroutines wait") {
  test::expect_fatal_destruction<Busy>("WaitGroup", wait_for);
  test::expect_destruction_by_exception<Busy>(wait_for);
}

TEST_CASE("WG: waiters of an earlier runtime are forgotten, a live one is not shared") {
  test::expect_forgotten_waiters<Busy>("WaitGroup", wait_for, [](WaitGroup& wg) -> Task<> {
    auto waiter = go([&]() -> Task<> { co_await wg.wait(); });
    wg.done();
    co_await waiter;
  });
}
