// for range ticker.C with runtime.NumGoroutine(): how many goroutines there are, at every tick.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<> monitor_goroutines(Sender<std::size_t> counts) {
  Ticker ticker(200ms);
  while (true) {
    co_await ticker;
    co_await counts.send(num_goroutines());
  }
}

Task<> app() {
  Channel<std::size_t> counts;
  go(monitor_goroutines, counts);

  WaitGroup wg;
  Channel<int> finish;
  for (int i = 0; i < 10; ++i) wg.go([&]() -> Task<> { co_await finish.recv(); });

  auto count = co_await counts.recv();
  fmt::print("Number of goroutines: {}\n", *count);  // ten, the monitor, and main

  finish.close();
  co_await wg.wait();
  count = co_await counts.recv();
  fmt::print("Number of goroutines: {}\n", *count);
}

int main() { return ringo::run(app); }
