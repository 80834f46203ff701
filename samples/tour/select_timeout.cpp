// case <-time.After(...): a select that does not wait for longer than it wants to.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <string>

using namespace ringo;
using namespace std::chrono_literals;

Task<> app() {
  Channel<std::string> ch;

  go([&]() -> Task<> {
    co_await sleep_for(400ms);
    co_await ch.send("Done");
  });

  co_await select_any{
      on(ch.recv(), [&](auto msg) { fmt::print("{}\n", *msg); }),
      on(after(200ms), [&] { fmt::print("Timeout!\n"); }),
  };
}

int main() { return ringo::run(app); }
