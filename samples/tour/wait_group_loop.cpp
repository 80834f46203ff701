// go func(id int) { ... }(i): the loop variable goes in as an argument.
//
// go() copies its arguments, as the go statement does. A lambda that captures i by reference would
// see a variable that has moved on, or is gone.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

Task<> app() {
  WaitGroup wg;
  auto body = [&](int id) -> Task<> {
    Defer done{[&] { wg.done(); }};
    fmt::print("goroutine {}\n", id);
    co_return;
  };

  for (int i = 0; i < 3; ++i) {
    wg.add(1);
    go(body, i);
  }

  co_await wg.wait();
}

int main() { return ringo::run(app); }
