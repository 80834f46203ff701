// sync.WaitGroup: main waits until three workers are done. They sleep at the same time, so all have
// started before the first one finishes; the order among them is free, whatever the tutorial shows.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <functional>

using namespace ringo;
using namespace std::chrono_literals;

Task<> worker(int id, WaitGroup& wg) {
  Defer done{[&] { wg.done(); }};  // however the function is left
  fmt::print("Worker {} started\n", id);
  co_await sleep_for(200ms);
  fmt::print("Worker {} finished\n", id);
}

Task<> app() {
  WaitGroup wg;

  for (int i = 1; i <= 3; ++i) {
    wg.add(1);
    go(worker, i, std::ref(wg));
  }

  co_await wg.wait();
  fmt::print("All workers completed\n");
}

int main() { return ringo::run(app); }
