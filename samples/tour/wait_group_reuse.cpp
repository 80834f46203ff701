// A WaitGroup can be used again once Wait has returned. The tutorial calls that wrong and makes a
// new one for each round, but Go allows it: only an Add that runs while a Wait of the round before
// has not yet returned is misuse.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

Task<> app() {
  WaitGroup wg;
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < 2; ++i) {
      wg.add(1);
      go([&]() -> Task<> {
        Defer done{[&] { wg.done(); }};
        fmt::print("round {}\n", round);
        co_return;
      });
    }
    co_await wg.wait();
    fmt::print("round {} is over\n", round);
  }
}

int main() { return ringo::run(app); }
