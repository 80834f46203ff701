// The program that the README begins with: goroutines, a WaitGroup, a channel, and a select with a
// timeout.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <functional>
#include <string>

using namespace ringo;
using namespace std::chrono_literals;

Task<> worker(int id, WaitGroup& wg, Channel<std::string> out) {
  Defer done{[&] { wg.done(); }};
  co_await sleep_for(200ms);
  co_await out.send(fmt::format("worker {} finished", id));
}

Task<> app() {
  WaitGroup wg;
  Channel<std::string> ch(3);
  for (int id = 1; id <= 3; ++id) {
    wg.add(1);
    go(worker, id, std::ref(wg), ch);
  }
  go([&]() -> Task<> {
    co_await wg.wait();
    ch.close();
  });
  while (auto msg = co_await ch.recv()) fmt::print("{}\n", *msg);

  Channel<std::string> silent;
  co_await select_any{
      on(silent.recv(), [&](auto msg) { fmt::print("{}\n", *msg); }),
      on(after(200ms), [&] { fmt::print("timeout\n"); }),
  };
}

int main() { return ringo::run(app); }
