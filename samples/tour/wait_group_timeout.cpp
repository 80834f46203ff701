// Waiting for a WaitGroup, but not for ever. Go needs a goroutine and a channel for that, and the
// goroutine stays behind when time runs out; here wait() is itself a case of a select.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<bool> wait_at_most(WaitGroup& wg, std::chrono::milliseconds limit) {
  co_return co_await select_any{
      on(wg.wait(), [&] { return true; }),
      on(after(limit), [&] { return false; }),
  };
}

Task<> app() {
  WaitGroup wg;
  Channel<int> work;
  wg.go([&]() -> Task<> { co_await work.recv(); });

  bool in_time = co_await wait_at_most(wg, 50ms);
  fmt::print("before there is work: {}\n", in_time ? "done" : "timeout");
  co_await work.send(1);
  in_time = co_await wait_at_most(wg, 10s);
  fmt::print("after it: {}\n", in_time ? "done" : "timeout");
}

int main() { return ringo::run(app); }
