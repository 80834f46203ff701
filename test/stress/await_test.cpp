// Awaiting children that do not wait: the stack stays flat in every build, though symmetric
// transfer is no tail call at -O0 and under sanitizers.
#include <cstdint>
#include <stdexcept>
#include <string>

#include <ringo/channel.hpp>

#include "matrix.hpp"

using namespace ringo;

namespace {

Task<int> leaf(int value) { co_return value + 1; }

Task<std::uint64_t> add_up(int count) {
  std::uint64_t sum = 0;
  for (int i = 0; i < count; ++i) sum += static_cast<std::uint64_t>(co_await leaf(i));
  co_return sum;
}

/// Each level awaits the next one and goes on after it.
Task<int> nested(int depth) {
  if (depth == 0) co_return 0;
  int below = co_await nested(depth - 1);
  co_return below + 1;
}

Task<int> nested_throw(int depth, int& unwound) {
  struct Count {
    int& count;
    ~Count() { ++count; }
  } count{unwound};
  if (depth == 0) throw std::runtime_error("from the bottom");
  co_return co_await nested_throw(depth - 1, unwound);
}

/// Waits for real at the bottom, so that the chain is resumed from the loop.
Task<int> nested_wait(int depth, Channel<int> ch) {
  if (depth == 0) co_return (co_await ch.recv()).value_or(-1);
  co_return 1 + co_await nested_wait(depth - 1, ch);
}

Task<int> throws_leaf(int value) {
  if (value % 2 == 0) throw std::runtime_error("even");
  co_return value;
}

}  // namespace

TEST_CASE("await: ten million children that do not wait" * doctest::test_suite("long")) {
  constexpr int count = 10'000'000;
  test::Setting setting{DriverKind::epoll, "epoll", 1};
  test::run_setting(setting, []() -> Task<> {
    constexpr auto n = static_cast<std::uint64_t>(count);
    CHECK(co_await add_up(count) == n * (n + 1) / 2);
  });
}

RINGO_TEST("await: children that do not wait, in every setting") {
  CHECK(co_await add_up(100'000) == 100'000ULL * 100'001 / 2);
}

RINGO_TEST("await: ten thousand levels deep, there and back") {
  for (int round = 0; round < 5; ++round) CHECK(co_await nested(10'000) == 10'000);
}

RINGO_TEST("await: an exception through ten thousand levels unwinds each once") {
  int unwound = 0;
  std::string text;
  try {
    co_await nested_throw(10'000, unwound);
  } catch (const std::runtime_error& error) { text = error.what(); }
  CHECK(text == "from the bottom");
  CHECK(unwound == 10'001);
}

RINGO_TEST("await: a wait at the bottom of ten thousand levels") {
  Channel<int> ch;
  auto waiter = go(nested_wait, 10'000, ch);
  co_await ch.send(7);
  CHECK(co_await waiter == 10'007);
}

RINGO_TEST("await: exceptions of children, one after the other") {
  int caught = 0;
  long sum = 0;
  for (int i = 0; i < 20'000; ++i) {
    try {
      sum += co_await throws_leaf(i);
    } catch (const std::runtime_error&) { ++caught; }
  }
  CHECK(caught == 10'000);
  CHECK(sum == 10'000L * 10'000L);
}
