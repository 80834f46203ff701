// val, ok := <-ch: what was sent before the close is still received, then there is nothing more.
// Go gives the zero value and false; recv() gives an optional, so a missing value cannot be taken
// for a zero.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

Task<> app() {
  Channel<int> ch(2);
  co_await ch.send(10);
  ch.close();

  auto val = co_await ch.recv();
  fmt::print("{} {}\n", val.value_or(0), val.has_value());

  val = co_await ch.recv();
  fmt::print("{} {}\n", val.value_or(0), val.has_value());
}

int main() { return ringo::run(app); }
