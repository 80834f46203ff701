// select takes the message that comes first. The tutorial calls the output non-deterministic;
// what decides is the shorter sleep.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <string>

using namespace ringo;
using namespace std::chrono_literals;

Task<> app() {
  Channel<std::string> ch1, ch2;

  go([&]() -> Task<> {
    co_await sleep_for(400ms);
    co_await ch1.send("Message from Channel 1");
  });
  go([&]() -> Task<> {
    co_await sleep_for(200ms);
    co_await ch2.send("Message from Channel 2");
  });

  co_await select_any{
      on(ch1.recv(), [&](auto msg1) { fmt::print("{}\n", *msg1); }),
      on(ch2.recv(), [&](auto msg2) { fmt::print("{}\n", *msg2); }),
  };
}

int main() { return ringo::run(app); }
