// When Go's main returns, the program ends: other goroutines are dropped where they stand, and
// their deferred calls do not run. ringo::run() returns with its main goroutine in the same way.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<> slow() {
  Defer bye{[] { fmt::print("the deferred call of slow\n"); }};
  co_await sleep_for(1h);
  fmt::print("slow has finished\n");
}

Task<> app() {
  go(slow);
  co_await yield();  // let it begin
  fmt::print("Main function\n");
}

int main() { return ringo::run(app); }
