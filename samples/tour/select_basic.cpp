// select over two channels: whichever can proceed first is taken, and only that one. If both can,
// one is chosen at random. The sender that was not chosen is still waiting when main returns.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <string>

using namespace ringo;

Task<> app() {
  Channel<std::string> ch1, ch2;

  go([&]() -> Task<> { co_await ch1.send("Message from ch1"); });
  go([&]() -> Task<> { co_await ch2.send("Message from ch2"); });

  co_await select_any{
      on(ch1.recv(), [&](auto msg1) { fmt::print("{}\n", *msg1); }),
      on(ch2.recv(), [&](auto msg2) { fmt::print("{}\n", *msg2); }),
  };
}

int main() { return ringo::run(app); }
