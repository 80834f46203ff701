#include <ringo/when.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "conformance/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::Counted;

namespace {

Task<int> number(int n, int turns = 0) {
  co_await test::yields(turns);
  co_return n;
}
Task<> nothing() { co_return; }
Task<std::unique_ptr<std::string>> text(const char* what) {
  co_await yield();
  co_return std::make_unique<std::string>(what);
}
template <class T>
Task<T> fails(const char* what, int turns = 0) {
  co_await test::yields(turns);
  throw std::runtime_error(what);
}
/// Waits until it is cancelled, and counts that.
template <class T>
Task<T> waits(std::atomic<int>& unwound) {
  try {
    co_await sleep_for(24h);
  } catch (const Canceled&) {
    ++unwound;
    throw;
  }
  throw std::logic_error("a day has passed");
}
Task<int> exits() {
  goexit();
  co_return 1;
}

template <class F>
Task<std::string> failure_of(F body) {
  try {
    co_await body();
  } catch (const std::exception& error) { co_return error.what(); } catch (const Canceled&) {
    co_return "Canceled";
  }
  co_return "";
}

const std::string cut_off = JoinCanceled().what();

}  // namespace

RINGO_TEST("when_all: results of different types, in the order of the Tasks") {
  auto [a, b, c, d] = co_await when_all(number(1, 5), nothing(), text("two"), number(3));
  static_assert(std::is_same_v<decltype(b), std::monostate>);
  CHECK(a == 1);
  CHECK(*c == "two");
  CHECK(d == 3);
  auto [one] = co_await when_all(number(4));
  CHECK(one == 4);
}

RINGO_TEST("when_all: any number of the same type") {
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 500; ++i) tasks.push_back(number(i, i % 7));
  std::vector<int> results = co_await when_all(std::move(tasks));
  REQUIRE(results.size() == 500);
  bool in_order = true;
  for (int i = 0; i < 500; ++i) in_order &= results[static_cast<std::size_t>(i)] == i;
  CHECK(in_order);
  CHECK((co_await when_all(std::vector<Task<int>>())).empty());
  std::vector<Task<>> silent;
  for (int i = 0; i < 3; ++i) silent.push_back(nothing());
  CHECK((co_await when_all(std::move(silent))).size() == 3);
}

RINGO_TEST("when_all: they run at once, and wait for each other if they must") {
  Channel<int> ping;
  Channel<int> pong;
  auto first = [&]() -> Task<int> {
    co_await ping.send(1);
    co_return (co_await pong.recv()).value();
  };
  auto second = [&]() -> Task<int> {
    int got = (co_await ping.recv()).value();
    co_await pong.send(got + 1);
    co_return got;
  };
  auto [a, b] = co_await when_all(first(), second());
  CHECK(a == 2);
  CHECK(b == 1);
}

RINGO_TEST("when_all: the first failure cancels the others and comes out") {
  std::atomic<int> unwound{0};
  auto body = [&]() -> Task<> {
    co_await when_all(waits<int>(unwound), fails<int>("broken", 2), waits<void>(unwound));
  };
  CHECK(co_await failure_of(body) == "broken");
  CHECK(unwound == 2);
  auto many = [&]() -> Task<> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 10; ++i) tasks.push_back(waits<int>(unwound));
    tasks.push_back(fails<int>("many"));
    co_await when_all(std::move(tasks));
  };
  CHECK(co_await failure_of(many) == "many");
  // One that was not begun when it was cancelled has not waited.
  CHECK(unwound <= 12);
}

RINGO_TEST("when_all: one that ends without a result is no success") {
  auto body = [&]() -> Task<> { co_await when_all(number(1), exits()); };
  CHECK(co_await failure_of(body) == cut_off);
  auto many = [&]() -> Task<> {
    std::vector<Task<int>> tasks;
    tasks.push_back(number(1));
    tasks.push_back(exits());
    co_await when_all(std::move(tasks));
  };
  CHECK(co_await failure_of(many) == cut_off);
}

RINGO_TEST("when_any: the first that ends decides, the others are cancelled and have unwound") {
  std::atomic<int> unwound{0};
  auto result = co_await when_any(waits<int>(unwound), number(7, 20), waits<void>(unwound));
  CHECK(result.index() == 1);
  CHECK(std::get<1>(result) == 7);
  CHECK(unwound == 2);
  auto quiet = co_await when_any(waits<int>(unwound), nothing());
  CHECK(quiet.index() == 1);
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 20; ++i) { tasks.push_back(i == 13 ? number(i, 30) : waits<int>(unwound)); }
  auto [index, value] = co_await when_any(std::move(tasks));
  CHECK(index == 13);
  CHECK(value == 13);
  auto none = []() -> Task<> { co_await when_any(std::vector<Task<int>>()); };
  CHECK(co_await test::panic_of_task(none) == "when_any: no Tasks");
}

RINGO_TEST("when_any: a failure decides as well") {
  std::atomic<int> unwound{0};
  auto body = [&]() -> Task<> { co_await when_any(waits<int>(unwound), fails<int>("first", 20)); };
  CHECK(co_await failure_of(body) == "first");
  CHECK(unwound == 1);
  // One that comes too late does not.
  auto stubborn = []() -> Task<int> {
    try {
      co_await sleep_for(24h);
    } catch (const Canceled&) {}
    throw std::runtime_error("late");
  };
  auto result = co_await when_any(stubborn(), number(5, 20));
  CHECK(result.index() == 1);
  CHECK(std::get<1>(result) == 5);
  auto ended = [&]() -> Task<> { co_await when_any(exits(), exits()); };
  CHECK(co_await failure_of(ended) == cut_off);
}

RINGO_TEST("when_all, when_any: cancelled from outside, with nothing left behind") {
  std::atomic<int> unwound{0};
  for (int way = 0; way < 2; ++way) {
    unwound = 0;
    auto work = [&]() -> Task<> {
      if (way == 0) {
        co_await when_all(waits<int>(unwound), waits<int>(unwound));
      } else {
        co_await when_any(waits<int>(unwound), waits<int>(unwound));
      }
    };
    auto [ctx, cancel] = with_cancel(background());
    auto runner = ctx.go([&]() -> Task<> { CHECK(co_await failure_of(work) == "Canceled"); });
    co_await test::yields(20);
    cancel();
    co_await runner;
    CHECK(unwound <= 2);
    auto timed = co_await with_timeout(2ms, work());
    CHECK(!timed);
    CHECK(timed.error() == Errc::timeout);
  }
}

RINGO_TEST("when_any: of many races exactly one wins, and no result is kept or lost") {
  Counted::Balance balance;
  auto one = [&](int n, int turns) -> Task<Counted> {
    co_await test::yields(turns);
    co_return Counted(balance, n);
  };
  for (int round = 0; round < 200; ++round) {
    auto result = co_await when_any(one(0, round % 3), one(1, round % 2), one(2, 1));
    int value = -1;
    if (result.index() == 0) value = std::get<0>(result).value();
    if (result.index() == 1) value = std::get<1>(result).value();
    if (result.index() == 2) value = std::get<2>(result).value();
    CHECK(value == static_cast<int>(result.index()));
    CHECK(balance.holding == 1);
  }
  CHECK(balance.alive == 0);
}
