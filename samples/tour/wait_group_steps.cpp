// Add, Done and Wait one at a time: register three workers, let each sign off, wait for all.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<> app() {
  WaitGroup wg;
  wg.add(3);  // registers 3 workers

  for (int i = 0; i < 3; ++i) {
    go([&]() -> Task<> {
      Defer done{[&] { wg.done(); }};  // this worker signs off
      co_await sleep_for(20ms);
      fmt::print("A worker is about to sign off\n");
    });
  }

  co_await wg.wait();  // main waits for all of them
  fmt::print("All workers finished!\n");
}

int main() { return ringo::run(app); }
