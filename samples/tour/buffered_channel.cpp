// make(chan int, 3): three values fit in before anybody receives, and come out in their order.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

Task<> app() {
  Channel<int> ch(3);

  co_await ch.send(1);
  co_await ch.send(2);
  co_await ch.send(3);

  for (int i = 0; i < 3; ++i) {
    auto value = co_await ch.recv();
    fmt::print("{}\n", *value);
  }
}

int main() { return ringo::run(app); }
