// Starting tasks, calling and ending them, and taking turns.
#pragma once

#include <array>

#include "system.hpp"

inline Task<> finish(std::int64_t& sum, std::int64_t i) {
  if ((i & 1) != 0) ++sum;
  co_return;
}

template <typename System>
Task<peers::Measured> spawn_join(Executor executor) {
  const std::int64_t batches = 1000 / peers::divisor;
  WaitGroup<System> group(executor);
  std::int64_t sum = 0;
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    group.add(1000);
    for (int i = 0; i < 1000; ++i) asio::co_spawn(executor, finish(sum, 0), group.handler());
    co_await group.wait();
  }
  co_return peers::Measured{batches * 1000, sum == 0};
}

[[gnu::noinline]] inline Task<std::int64_t> add_one(std::int64_t x) { co_return x + 1; }

inline Task<peers::Measured> spawn_seq(Executor executor) {
  const std::int64_t count = 1'000'000 / peers::divisor;
  std::int64_t x = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    x = co_await asio::co_spawn(executor, add_one(x), awaiting);
  }
  co_return peers::Measured{count, x == count};
}

inline Task<peers::Measured> await_call(Executor) {
  const std::int64_t count = 10'000'000 / peers::divisor;
  std::int64_t x = 0;
  for (std::int64_t i = 0; i < count; ++i) x = co_await add_one(x);
  co_return peers::Measured{count, x == count};
}

inline Task<> yield_often(Executor executor, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) co_await asio::post(executor, awaiting);
}

template <typename System>
Task<peers::Measured> yields(Executor executor) {
  const std::int64_t each = 5'000'000 / peers::divisor;
  WaitGroup<System> group(executor);
  group.add(2);
  asio::co_spawn(executor, yield_often(executor, each), group.handler());
  asio::co_spawn(executor, yield_often(executor, each), group.handler());
  co_await group.wait();
  co_return peers::Measured{2 * each, true};
}

/// A tree in which each task starts ten, down to the leaves, and adds up their numbers.
template <typename System>
Task<std::int64_t> skynet_node(Executor executor, std::int64_t number, std::int64_t leaves) {
  if (leaves == 1) co_return number;
  WaitGroup<System> children(executor);
  std::array<std::int64_t, 10> results;
  children.add(10);
  for (int i = 0; i < 10; ++i) {
    asio::co_spawn(executor, skynet_node<System>(executor, number + i * (leaves / 10), leaves / 10),
                   [&children, &result = results[i]](std::exception_ptr error, std::int64_t x) {
                     if (error) std::terminate();
                     result = x;
                     children.done();
                   });
  }
  co_await children.wait();
  std::int64_t sum = 0;
  for (std::int64_t x : results) sum += x;
  co_return sum;
}

template <typename System>
Task<peers::Measured> skynet(Executor executor) {
  const std::int64_t leaves = 1'000'000 / peers::divisor;
  std::int64_t sum =
      co_await asio::co_spawn(executor, skynet_node<System>(executor, 0, leaves), awaiting);
  co_return peers::Measured{leaves, sum == leaves * (leaves - 1) / 2};
}

template <typename System>
Task<> skynet_chan_node(Executor executor, ChannelPtr<System> result, std::int64_t number,
                        std::int64_t leaves) {
  if (leaves == 1) {
    co_await result->async_send(asio::error_code{}, number, awaiting);
    co_return;
  }
  auto results = make_channel<System>(executor);
  for (int i = 0; i < 10; ++i) {
    asio::co_spawn(
        executor,
        skynet_chan_node<System>(executor, results, number + i * (leaves / 10), leaves / 10),
        detached);
  }
  std::int64_t sum = 0;
  for (int i = 0; i < 10; ++i) sum += co_await results->async_receive(awaiting);
  co_await result->async_send(asio::error_code{}, sum, awaiting);
}

template <typename System>
Task<peers::Measured> skynet_chan(Executor executor) {
  const std::int64_t leaves = 1'000'000 / peers::divisor;
  auto result = make_channel<System>(executor);
  asio::co_spawn(executor, skynet_chan_node<System>(executor, result, 0, leaves), detached);
  std::int64_t sum = co_await result->async_receive(awaiting);
  co_return peers::Measured{leaves, sum == leaves * (leaves - 1) / 2};
}
