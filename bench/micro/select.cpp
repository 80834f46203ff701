// Selects over channels and timers.
#include <chrono>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

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

}  // namespace micro
