// Asio's experimental channels: locked ones for two threads.
#pragma once

#include "system.hpp"

template <typename System>
Task<> answer(ChannelPtr<System> in, ChannelPtr<System> out) {
  for (;;) {
    auto [error, x] = co_await in->async_receive(with_error);
    if (error) co_return;
    co_await out->async_send(asio::error_code{}, x + 1, awaiting);
  }
}

template <typename System>
Task<peers::Measured> chan_unbuf_pingpong(Executor executor) {
  const std::int64_t count = 1'000'000 / peers::divisor;
  auto there = make_channel<System>(executor);
  auto back = make_channel<System>(executor);
  asio::co_spawn(executor, answer<System>(there, back), detached);
  std::int64_t x = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    co_await there->async_send(asio::error_code{}, x, awaiting);
    x = co_await back->async_receive(awaiting);
  }
  there->close();
  co_return peers::Measured{count, x == count};
}

template <typename System>
Task<> produce(ChannelPtr<System> out, std::int64_t count) {
  for (std::int64_t i = 1; i <= count; ++i) {
    co_await out->async_send(asio::error_code{}, i, awaiting);
  }
}

/// Tells one receiver that nothing follows. In Asio 1.22 close() would drop what is in the buffer.
template <typename System>
Task<> send_end(ChannelPtr<System> out) {
  co_await out->async_send(asio::error_code(asio::error::eof), 0, awaiting);
}

template <typename System>
Task<> produce_all(ChannelPtr<System> out, std::int64_t count) {
  co_await produce<System>(out, count);
  co_await send_end<System>(out);
}

template <typename System>
Task<peers::Measured> chan_buf(Executor executor) {
  const std::int64_t count = 10'000'000 / peers::divisor;
  auto items = make_channel<System>(executor, 128);
  asio::co_spawn(executor, produce_all<System>(items, count), detached);
  std::int64_t sum = 0;
  for (;;) {
    auto [error, x] = co_await items->async_receive(with_error);
    if (error) break;
    sum += x;
  }
  co_return peers::Measured{count, sum == count * (count + 1) / 2};
}

template <typename System>
Task<> consume(ChannelPtr<System> in, ChannelPtr<System> sums) {
  std::int64_t sum = 0;
  for (;;) {
    auto [error, x] = co_await in->async_receive(with_error);
    if (error) break;
    sum += x;
  }
  co_await sums->async_send(asio::error_code{}, sum, awaiting);
}

/// Sends 1 to each through the channel from every producer, and has the consumers add up.
template <typename System>
Task<peers::Measured> many_to_many(Executor executor, std::int64_t producers,
                                   std::int64_t consumers, std::int64_t each,
                                   std::size_t capacity) {
  auto items = make_channel<System>(executor, capacity);
  auto sums = make_channel<System>(executor, consumers);
  WaitGroup<System> group(executor);
  for (std::int64_t i = 0; i < consumers; ++i) {
    asio::co_spawn(executor, consume<System>(items, sums), detached);
  }
  group.add(producers);
  for (std::int64_t i = 0; i < producers; ++i) {
    asio::co_spawn(executor, produce<System>(items, each), group.handler());
  }
  co_await group.wait();
  for (std::int64_t i = 0; i < consumers; ++i) co_await send_end<System>(items);
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < consumers; ++i) sum += co_await sums->async_receive(awaiting);
  co_return peers::Measured{producers * each, sum == producers * (each * (each + 1) / 2)};
}

template <typename System>
Task<peers::Measured> chan_mpmc(Executor executor) {
  co_return co_await many_to_many<System>(executor, 4, 4, 1'000'000 / peers::divisor, 128);
}

template <typename System>
Task<peers::Measured> chan_popular(Executor executor) {
  co_return co_await many_to_many<System>(executor, 1, 1000, 1'000'000 / peers::divisor, 0);
}

/// These stay behind, waiting, until the context ends.
template <typename System>
Task<> generate(ChannelPtr<System> out) {
  for (std::int64_t i = 2;; ++i) co_await out->async_send(asio::error_code{}, i, awaiting);
}

template <typename System>
Task<> filter(ChannelPtr<System> in, ChannelPtr<System> out, std::int64_t prime) {
  for (;;) {
    std::int64_t x = co_await in->async_receive(awaiting);
    if (x % prime != 0) co_await out->async_send(asio::error_code{}, x, awaiting);
  }
}

template <typename System>
Task<peers::Measured> sieve(Executor executor) {
  const std::int64_t count = peers::divisor == 1 ? 2000 : 20;
  const std::int64_t last = peers::divisor == 1 ? 17389 : 71;
  auto numbers = make_channel<System>(executor);
  asio::co_spawn(executor, generate<System>(numbers), detached);
  std::int64_t prime = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    prime = co_await numbers->async_receive(awaiting);
    auto filtered = make_channel<System>(executor);
    asio::co_spawn(executor, filter<System>(numbers, filtered, prime), detached);
    numbers = filtered;
  }
  co_return peers::Measured{count, prime == last};
}
