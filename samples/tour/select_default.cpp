// default in a select: taken when no case is ready, so that nothing waits.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <string>

using namespace ringo;

Task<> poll(Receiver<std::string> ch) {
  co_await select_any{
      on(ch.recv(), [&](auto msg) { fmt::print("{}\n", *msg); }),
      otherwise([&] { fmt::print("No channels ready\n"); }),
  };
}

Task<> app() {
  Channel<std::string> ch1(1);
  co_await poll(ch1);
  co_await ch1.send("Now there is a message");
  co_await poll(ch1);
}

int main() { return ringo::run(app); }
