// What a goroutine takes up while it waits.
#include <cstdio>
#include <functional>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/wait_group.hpp>

#include "bench.hpp"
#include "process.hpp"

using namespace ringo;

namespace micro {
namespace {

struct Shared {
  Channel<std::int64_t> silent;
  WaitGroup begun;
  WaitGroup ended;
};

// One parameter and no variable: the frame holds little but the wait.
Task<> wait_for_end(Shared& shared) {
  shared.begun.done();
  co_await shared.silent.recv();
  shared.ended.done();
}

}  // namespace

/// By the growth of resident memory, which says something only in a fresh process: what earlier
/// benches have freed is used again.
Task<Measured> mem_tasks() {
  const std::int64_t count = 1'000'000 / divisor;
  Shared shared;
  shared.begun.add(static_cast<std::ptrdiff_t>(count));
  shared.ended.add(static_cast<std::ptrdiff_t>(count));
  const double before = resident_bytes();
  for (std::int64_t i = 0; i < count; ++i) go(wait_for_end, std::ref(shared));
  co_await shared.begun.wait();
  const double grown = resident_bytes() - before;
  shared.silent.close();
  co_await shared.ended.wait();
  Measured measured{count, grown >= 0};
  std::snprintf(measured.extra, sizeof measured.extra, "bytes=%.1f",
                grown / static_cast<double>(count));
  co_return measured;
}

}  // namespace micro
