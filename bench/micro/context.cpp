// The end of a Context that many goroutines wait for.
#include <ringo/context.hpp>

#include <chrono>
#include <cstdio>
#include <functional>

#include <ringo/wait_group.hpp>

#include "bench.hpp"
#include "process.hpp"

using namespace ringo;

namespace micro {
namespace {

Task<> wait_for(const Context& ctx, WaitGroup& begun, WaitGroup& ended) {
  begun.done();
  co_await ctx.done();
  ended.done();
}

}  // namespace

/// From the cancellation until all have ended; `call_ms` is how long the caller is held up.
Task<Measured> ctx_cancel() {
  constexpr int rounds = 10;
  const std::int64_t count = 100'000 / divisor;
  double calls = 0;
  double seconds = 0;
  bool right = true;
  for (int round = 0; round < rounds; ++round) {
    auto [ctx, cancel] = with_cancel(background());
    WaitGroup begun;
    WaitGroup ended;
    begun.add(static_cast<std::ptrdiff_t>(count));
    ended.add(static_cast<std::ptrdiff_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      go(wait_for, std::cref(ctx), std::ref(begun), std::ref(ended));
    }
    co_await begun.wait();
    const auto start = std::chrono::steady_clock::now();
    cancel();
    calls += seconds_since(start);
    co_await ended.wait();
    seconds += seconds_since(start);
    right = right && ctx.err() == Errc::canceled;
  }
  Measured measured{rounds * count, right, seconds};
  std::snprintf(measured.extra, sizeof measured.extra, "call_ms=%.3f", calls * 1e3 / rounds);
  co_return measured;
}

}  // namespace micro
