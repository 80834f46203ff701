// ch <- 42 in one goroutine, val := <-ch in another.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

Task<> app() {
  Channel<int> ch;

  go([&]() -> Task<> { co_await ch.send(42); });

  auto val = co_await ch.recv();
  fmt::print("{}\n", *val);
}

int main() { return ringo::run(app); }
