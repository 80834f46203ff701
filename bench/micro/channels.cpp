// Values through channels.
#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/wait_group.hpp>

#include "bench.hpp"
#include "produce.hpp"

using namespace ringo;

namespace micro {
namespace {

Task<> answer(Channel<std::int64_t> in, Channel<std::int64_t> out) {
  while (auto x = co_await in.recv()) co_await out.send(*x + 1);
}

Task<> consume(Channel<std::int64_t> in, Channel<std::int64_t> sums) {
  std::int64_t sum = 0;
  while (auto x = co_await in.recv()) sum += *x;
  co_await sums.send(sum);
}

Task<Measured> many_to_many(int senders, int receivers, std::int64_t each, int capacity) {
  Channel<std::int64_t> items(capacity);
  Channel<std::int64_t> sums(receivers);
  WaitGroup sending;
  for (int i = 0; i < receivers; ++i) go(consume, items, sums);
  for (int i = 0; i < senders; ++i) sending.go(produce, items, each, false);
  co_await sending.wait();
  items.close();
  std::int64_t sum = 0;
  for (int i = 0; i < receivers; ++i) sum += *co_await sums.recv();
  co_return Measured{senders * each, sum == senders * (each * (each + 1) / 2)};
}

}  // namespace

Task<Measured> chan_unbuf_pingpong() {
  const std::int64_t count = 1'000'000 / divisor;
  Channel<std::int64_t> there;
  Channel<std::int64_t> back;
  go(answer, there, back);
  std::int64_t x = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    co_await there.send(x);
    x = *co_await back.recv();
  }
  there.close();
  co_return Measured{count, x == count};
}

Task<Measured> chan_buf() {
  const std::int64_t count = 10'000'000 / divisor;
  Channel<std::int64_t> items(128);
  go(produce, items, count, true);
  std::int64_t sum = 0;
  while (auto x = co_await items.recv()) sum += *x;
  co_return Measured{count, sum == count * (count + 1) / 2};
}

Task<Measured> chan_mpmc() { return many_to_many(4, 4, 1'000'000 / divisor, 128); }

/// What a long queue of receivers costs.
Task<Measured> chan_popular() { return many_to_many(1, 1000, 1'000'000 / divisor, 0); }

}  // namespace micro
