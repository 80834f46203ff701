// Five workers, and main goes on when the last one is done.
//
// WaitGroup::go is add(1), go and done() in one (Go 1.25 has it as well): nothing can be forgotten.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<> worker(int id) {
  fmt::print("Worker {} starting\n", id);
  co_await sleep_for(200ms);
  fmt::print("Worker {} done\n", id);
}

Task<> app() {
  WaitGroup wg;
  for (int i = 1; i <= 5; ++i) wg.go(worker, i);
  co_await wg.wait();
  fmt::print("All workers finished!\n");
}

int main() { return ringo::run(app); }
