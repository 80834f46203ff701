// Waiting for the first of several operations, by a parallel_group: the others are cancelled, but
// one of them may have completed already, and then its result counts too. On one thread only:
// cancelling needs a strand otherwise.
#pragma once

#include "channels.hpp"

inline Task<peers::Measured> select_over_four(Executor executor, std::size_t capacity) {
  using asio::experimental::deferred;
  const std::int64_t each = 500'000 / peers::divisor;
  std::array<ChannelPtr<OneThread>, 4> channels;
  for (auto& channel : channels) {
    channel = make_channel<OneThread>(executor, capacity);
    asio::co_spawn(executor, produce<OneThread>(channel, each), detached);
  }
  auto& [a, b, c, d] = channels;
  std::int64_t sum = 0;
  std::int64_t received = 0;
  auto take = [&](asio::error_code error, std::int64_t x) {
    if (error) return;
    sum += x;
    ++received;
  };
  while (received < 4 * each) {
    auto [order, error_a, x_a, error_b, x_b, error_c, x_c, error_d, x_d] =
        co_await asio::experimental::make_parallel_group(
            a->async_receive(deferred), b->async_receive(deferred), c->async_receive(deferred),
            d->async_receive(deferred))
            .async_wait(asio::experimental::wait_for_one(), awaiting);
    take(error_a, x_a);
    take(error_b, x_b);
    take(error_c, x_c);
    take(error_d, x_d);
  }
  co_return peers::Measured{4 * each, sum == 4 * (each * (each + 1) / 2)};
}

inline Task<peers::Measured> select4(Executor executor) { return select_over_four(executor, 0); }

inline Task<peers::Measured> select4_buf(Executor executor) {
  return select_over_four(executor, 128);
}

inline Task<peers::Measured> select_timeout(Executor executor) {
  using asio::experimental::deferred;
  const std::int64_t count = 1'000'000 / peers::divisor;
  auto ready = make_channel<OneThread>(executor, 1);
  std::int64_t sum = 0;
  std::int64_t timeouts = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    ready->try_send(asio::error_code{}, 1);
    Timer timer(executor, std::chrono::seconds(1));
    auto [order, error, x, timer_error] =
        co_await asio::experimental::make_parallel_group(ready->async_receive(deferred),
                                                         timer.async_wait(deferred))
            .async_wait(asio::experimental::wait_for_one(), awaiting);
    if (!error) sum += x;
    if (!timer_error) ++timeouts;
  }
  co_return peers::Measured{count, sum == count && timeouts == 0};
}
