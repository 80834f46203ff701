// Asio as the benches use it: coroutines and channels whose executor is known at compile time,
// since the default one, any_io_executor, costs an indirect call at every turn.
#pragma once

// How much freed memory of each kind a thread keeps at hand: with the 2 of the default most benches
// are up to a fifth slower.
#define ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE 8

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <asio.hpp>
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/experimental/concurrent_channel.hpp>
#include <asio/experimental/deferred.hpp>
#include <asio/experimental/parallel_group.hpp>

#include "common/micro.hpp"

using Executor = asio::io_context::executor_type;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;
template <typename T = void>
using Task = asio::awaitable<T, Executor>;

/// Completion tokens: co_await what gives the result, or an error code and the result.
constexpr asio::use_awaitable_t<Executor> awaiting;
constexpr asio::experimental::as_tuple_t<asio::use_awaitable_t<Executor>> with_error;

/// What one thread can do without locks.
struct OneThread {
  using Channel = asio::experimental::channel<Executor, void(asio::error_code, std::int64_t)>;
  using Counter = std::int64_t;
  static constexpr unsigned threads = 1;
};

struct TwoThreads {
  using Channel =
      asio::experimental::concurrent_channel<Executor, void(asio::error_code, std::int64_t)>;
  using Counter = std::atomic<std::int64_t>;
  static constexpr unsigned threads = 2;
};

/// Shared, since the last to use a channel may be whoever sends or receives.
template <typename System>
using ChannelPtr = std::shared_ptr<typename System::Channel>;

template <typename System>
ChannelPtr<System> make_channel(const Executor& executor, std::size_t capacity = 0) {
  return std::make_shared<typename System::Channel>(executor, capacity);
}

/// Counts tasks by their completion handlers.
template <typename System>
class WaitGroup {
 public:
  explicit WaitGroup(const Executor& executor) : all_done_(make_channel<System>(executor, 1)) {}

  void add(std::int64_t count) { left_ += count; }

  void done() {
    if (--left_ != 0) return;
    auto all_done = all_done_;  // the group may be gone once whoever waits has been told
    all_done->try_send(asio::error_code{}, 0);
  }

  Task<> wait() { co_await all_done_->async_receive(awaiting); }

  /// The handler of a task that belongs to the group.
  auto handler() {
    return [this](std::exception_ptr error) {
      if (error) std::terminate();
      done();
    };
  }

 private:
  typename System::Counter left_ = 0;
  ChannelPtr<System> all_done_;
};

/// For tasks that nobody waits for.
inline void detached(std::exception_ptr error) {
  if (error) std::terminate();
}

/// Runs a bench to its end on as many threads as the system has. Tasks that wait then are destroyed
/// with the context.
template <typename System, Task<peers::Measured> (*bench)(Executor)>
peers::Measured run() {
  asio::io_context context(System::threads == 1 ? ASIO_CONCURRENCY_HINT_UNSAFE
                                                : static_cast<int>(System::threads));
  peers::Measured found;
  auto start = peers::Clock::now();
  asio::co_spawn(context.get_executor(), bench(context.get_executor()),
                 [&](std::exception_ptr error, peers::Measured measured) {
                   if (error) std::terminate();
                   found = std::move(measured);
                   if (!found.elapsed) found.elapsed = peers::Clock::now() - start;
                   context.stop();
                 });
  std::vector<std::jthread> others;
  for (unsigned i = 1; i < System::threads; ++i) others.emplace_back([&] { context.run(); });
  context.run();
  others.clear();
  return found;
}
