// A million goroutines that sleep for different times.
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>

#include <ringo/time.hpp>
#include <ringo/wait_group.hpp>

#include "bench.hpp"
#include "process.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace micro {
namespace {

Task<> doze(WaitGroup& group, std::chrono::milliseconds d) {
  co_await sleep_for(d);
  group.done();
}

}  // namespace

/// Nearly all the time of it is spent asleep, so CPU time counts. `over_ms` is how much later than
/// the longest sleep the last one was over: spawning them all, and being late.
Task<Measured> timers() {
  constexpr std::chrono::milliseconds longest = 1s;
  const std::int64_t count = 1'000'000 / divisor;
  std::minstd_rand random(1);
  std::uniform_int_distribution<int> milliseconds(1, static_cast<int>(longest.count()));
  const double cpu = cpu_seconds();
  const auto start = std::chrono::steady_clock::now();
  WaitGroup group;
  group.add(static_cast<std::ptrdiff_t>(count));
  go(doze, std::ref(group), longest);
  for (std::int64_t i = 1; i < count; ++i) {
    go(doze, std::ref(group), std::chrono::milliseconds(milliseconds(random)));
  }
  co_await group.wait();
  const double over = seconds_since(start) - std::chrono::duration<double>(longest).count();
  Measured measured{count, over >= 0, cpu_seconds() - cpu};
  std::snprintf(measured.extra, sizeof measured.extra, "over_ms=%.1f peak_rss_mib=%.1f", over * 1e3,
                peak_resident_bytes() / (1 << 20));
  co_return measured;
}

}  // namespace micro
