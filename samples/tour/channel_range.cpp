// for num := range ch: receive until the channel is closed.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

Task<> app() {
  Channel<int> ch;

  go([&]() -> Task<> {
    for (int i = 1; i <= 5; ++i) co_await ch.send(i);
    ch.close();
  });

  while (auto num = co_await ch.recv()) fmt::print("{}\n", *num);
}

int main() { return ringo::run(app); }
