// A tree of goroutines, ten children each, whose leaves give their number and whose nodes add up.
#include <cstddef>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>

#include "bench.hpp"

using namespace ringo;

namespace micro {
namespace {

constexpr std::size_t children = 10;

/// A power of ten.
std::int64_t leaves() {
  std::int64_t count = 1'000'000;
  while (count > 1 && count * divisor > 1'000'000) count /= 10;
  return count;
}

/// The sum of the leaves first, ..., first + size - 1.
Task<std::int64_t> sum_of(std::int64_t first, std::int64_t size) {
  if (size == 1) co_return first;
  const std::int64_t part = size / static_cast<std::int64_t>(children);
  JoinHandle<std::int64_t> parts[children];
  for (std::size_t i = 0; i < children; ++i) {
    parts[i] = go(sum_of, first + static_cast<std::int64_t>(i) * part, part);
  }
  std::int64_t sum = 0;
  for (auto& each : parts) sum += co_await each;
  co_return sum;
}

Task<> send_sum_of(Channel<std::int64_t> out, std::int64_t first, std::int64_t size) {
  if (size == 1) {
    co_await out.send(first);
    co_return;
  }
  const std::int64_t part = size / static_cast<std::int64_t>(children);
  Channel<std::int64_t> parts;
  for (std::size_t i = 0; i < children; ++i) {
    go(send_sum_of, parts, first + static_cast<std::int64_t>(i) * part, part);
  }
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < children; ++i) sum += *co_await parts.recv();
  co_await out.send(sum);
}

}  // namespace

Task<Measured> skynet() {
  const std::int64_t count = leaves();
  const std::int64_t sum = co_await go(sum_of, 0, count);
  co_return Measured{count, sum == count * (count - 1) / 2};
}

Task<Measured> skynet_chan() {
  const std::int64_t count = leaves();
  Channel<std::int64_t> result;
  go(send_sum_of, result, 0, count);
  const std::int64_t sum = *co_await result.recv();
  co_return Measured{count, sum == count * (count - 1) / 2};
}

}  // namespace micro
