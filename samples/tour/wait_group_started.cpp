// The smallest WaitGroup program. The tutorial prints the workers as 1, 2, 3; Go itself, on one
// processor, runs the youngest goroutine first and prints 3, 1, 2. Only the last line is certain.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <functional>

using namespace ringo;

Task<> worker(int id, WaitGroup& wg) {
  Defer done{[&] { wg.done(); }};
  fmt::print("Worker {} started\n", id);
  co_return;
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
