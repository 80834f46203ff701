// Very many tasks that wait.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <random>
#include <string>

#include "micro/process.hpp"
#include "system.hpp"

inline std::string words(const char* format, auto... values) {
  char text[128];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

template <typename System>
Task<> sleeper(Executor executor, std::chrono::milliseconds duration,
               typename System::Counter& woken) {
  Timer timer(executor, duration);
  co_await timer.async_wait(awaiting);
  ++woken;
}

/// The CPU time of a sleeper, from its start to its end.
template <typename System>
Task<peers::Measured> timers(Executor executor) {
  const std::int64_t count = 1'000'000 / peers::divisor;
  std::minstd_rand random(1);
  std::uniform_int_distribution<int> durations(1, 1000);
  std::chrono::milliseconds longest{};
  typename System::Counter woken = 0;
  WaitGroup<System> group(executor);
  group.add(count);
  auto start = peers::Clock::now();
  auto cpu_start = micro::cpu_seconds();
  for (std::int64_t i = 0; i < count; ++i) {
    std::chrono::milliseconds duration(durations(random));
    longest = std::max(longest, duration);
    asio::co_spawn(executor, sleeper<System>(executor, duration, woken), group.handler());
  }
  co_await group.wait();
  auto elapsed = peers::Clock::now() - start;
  auto cpu = micro::cpu_seconds() - cpu_start;
  co_return peers::Measured{count, woken == count && elapsed >= longest, elapsed,
                            cpu * 1e9 / static_cast<double>(count),
                            words("wall=%.3fs rss=%.0fMB", peers::seconds_of(elapsed) - 1,
                                  micro::peak_resident_bytes() / (1 << 20))};
}

/// Counts itself when it starts, and when it is told that nothing will come.
template <typename System>
Task<> waiter(ChannelPtr<System> never, typename System::Counter& started,
              typename System::Counter& ended) {
  ++started;
  auto [error, x] = co_await never->async_receive(with_error);
  if (error) ++ended;
}

/// The resident memory of a task that waits to receive.
template <typename System>
Task<peers::Measured> mem_tasks(Executor executor) {
  const std::int64_t count = 1'000'000 / peers::divisor;
  auto before = micro::resident_bytes();
  auto never = make_channel<System>(executor);
  typename System::Counter started = 0;
  typename System::Counter ended = 0;
  WaitGroup<System> group(executor);
  group.add(count);
  auto start = peers::Clock::now();
  for (std::int64_t i = 0; i < count; ++i) {
    asio::co_spawn(executor, waiter<System>(never, started, ended), group.handler());
  }
  while (started < count) co_await asio::post(executor, awaiting);
  auto elapsed = peers::Clock::now() - start;
  auto each = (micro::resident_bytes() - before) / static_cast<double>(count);
  never->close();
  co_await group.wait();
  co_return peers::Measured{count, ended == count, elapsed, 0,
                            words("bytes=%.0f", each)};
}

/// From the cancellation until the last of those that waited has ended. Each has a signal of its
/// own, as Asio will have it, and a channel: to find the one to cancel among all that wait for a
/// channel takes Asio as long as they are many. To cancel on another thread would take strands.
inline Task<peers::Measured> ctx_cancel(Executor executor) {
  const std::int64_t count = 100'000 / peers::divisor;
  std::int64_t started = 0;
  std::int64_t ended = 0;
  std::deque<asio::cancellation_signal> signals(count);
  WaitGroup<OneThread> group(executor);
  group.add(count);
  auto set_up = peers::Clock::now();
  for (auto& signal : signals) {
    asio::co_spawn(executor, waiter<OneThread>(make_channel<OneThread>(executor), started, ended),
                   asio::bind_cancellation_slot(signal.slot(), group.handler()));
  }
  while (started < count) co_await asio::post(executor, awaiting);
  auto start = peers::Clock::now();
  for (auto& signal : signals) signal.emit(asio::cancellation_type::terminal);
  co_await group.wait();
  auto elapsed = peers::Clock::now() - start;
  co_return peers::Measured{
      count, ended == count, elapsed, {}, words("setup=%.3fs", peers::seconds_of(start - set_up))};
}
