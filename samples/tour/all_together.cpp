// defer, goroutines, a channel and a WaitGroup in one program: the workers report through the
// channel, and a goroutine of its own closes it when all of them are done. The reports come in any
// order.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <functional>
#include <string>

using namespace ringo;
using namespace std::chrono_literals;

Task<> worker(int id, WaitGroup& wg, Sender<std::string> ch) {
  Defer done{[&] { wg.done(); }};
  co_await sleep_for(200ms);
  auto msg = fmt::format("Worker {} finished", id);
  co_await ch.send(std::move(msg));
}

Task<> app() {
  WaitGroup wg;
  Channel<std::string> ch(3);

  for (int i = 1; i <= 3; ++i) {
    wg.add(1);
    go(worker, i, std::ref(wg), ch);
  }

  go([&]() -> Task<> {
    co_await wg.wait();
    ch.close();
  });

  while (auto msg = co_await ch.recv()) fmt::print("{}\n", *msg);
}

int main() { return ringo::run(app); }
