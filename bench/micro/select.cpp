// Selects over channels and timers.
#include <chrono>
#include <cstddef>
#include <functional>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>
#include <ringo/wait_group.hpp>

#include "bench.hpp"
#include "produce.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace micro {
namespace {

Task<Measured> select_over_four(std::ptrdiff_t capacity) {
  const std::int64_t each = 500'000 / divisor;
  Channel<std::int64_t> a(capacity), b(capacity), c(capacity), d(capacity);
  for (auto& channel : {a, b, c, d}) go(produce, channel, each, false);
  std::int64_t sum = 0;
  auto take = [&](auto x) { sum += *x; };
  for (std::int64_t i = 0; i < 4 * each; ++i) {
    co_await select_any{on(a.recv(), take), on(b.recv(), take), on(c.recv(), take),
                        on(d.recv(), take)};
  }
  co_return Measured{4 * each, sum == 4 * (each * (each + 1) / 2)};
}

/// Waits in the queue of `popular`, which stays silent, and for what its own channel brings.
Task<> listen(Channel<std::int64_t> popular, Channel<std::int64_t> own, std::int64_t& sum,
              std::int64_t count) {
  std::int64_t mine = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    co_await select_any{on(popular.recv(), [&](auto) { mine -= 1; }),
                        on(own.recv(), [&](auto x) { mine += *x; })};
  }
  sum = mine;
}

}  // namespace

Task<Measured> select4() { return select_over_four(0); }
Task<Measured> select4_buf() { return select_over_four(128); }

Task<Measured> select_timeout() {
  const std::int64_t count = 1'000'000 / divisor;
  Channel<std::int64_t> ready(1);
  std::int64_t sum = 0;
  std::int64_t timeouts = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    ready.try_send(1);
    co_await select_any{
        on(ready.recv(), [&](auto x) { sum += *x; }),
        on(after(1s), [&] { ++timeouts; }),
    };
  }
  co_return Measured{count, sum == count && timeouts == 0};
}

/// As BenchmarkChanPopular of Go's runtime: what a long queue of waiters costs those who leave it.
Task<Measured> chan_popular() {
  constexpr std::int64_t receivers = 1000;
  const std::int64_t rounds = 1000 / divisor;
  Channel<std::int64_t> popular;
  std::vector<Channel<std::int64_t>> own(receivers);
  std::vector<std::int64_t> sums(receivers);
  WaitGroup group;
  for (std::size_t i = 0; i < own.size(); ++i) {
    group.go(listen, popular, own[i], std::ref(sums[i]), rounds);
  }
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (auto& channel : own) co_await channel.send(1);
  }
  co_await group.wait();
  bool right = true;
  for (std::int64_t sum : sums) right = right && sum == rounds;
  co_return Measured{receivers * rounds, right};
}

}  // namespace micro
