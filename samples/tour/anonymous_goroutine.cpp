// go func() { ... }(): a goroutine from an anonymous function.
//
// go() owns the lambda for as long as its goroutine lives. A plain function works as well; one
// that waits returns a Task<>.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<> app() {
  go([] { fmt::print("Goroutine with anonymous function\n"); });
  go([]() -> Task<> {
    co_await sleep_for(50ms);
    fmt::print("Goroutine with anonymous function that waits\n");
  });
  co_await sleep_for(400ms);
}

int main() { return ringo::run(app); }
