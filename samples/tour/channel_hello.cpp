// make(chan string): one goroutine sends, main receives. The channel has no buffer, so the two
// meet: neither goes on before the value has changed hands.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <string>

using namespace ringo;

Task<> app() {
  Channel<std::string> ch;

  go([&]() -> Task<> { co_await ch.send("Hello from Goroutine"); });

  auto msg = co_await ch.recv();
  fmt::print("{}\n", *msg);
}

int main() { return ringo::run(app); }
