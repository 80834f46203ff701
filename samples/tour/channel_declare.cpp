// var ch chan int; ch = make(chan int): a Go channel that was only declared is nil, and nothing
// ever happens on it. Channel<int> is made by its declaration, as `ch := make(chan int)`; the nil
// channel has to be asked for.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

Task<> app() {
  auto ch = Channel<int>::nil();  // var ch chan int
  co_await select_any{
      on(ch.recv(), [&] { fmt::print("never\n"); }),
      otherwise([&] { fmt::print("nil is not ready, capacity {}\n", ch.cap()); }),
  };

  ch = Channel<int>();  // ch = make(chan int)
  auto handle = ch;     // names the same channel
  go([&]() -> Task<> { co_await handle.send(1); });
  auto value = co_await ch.recv();
  fmt::print("made: received {}\n", *value);
}

int main() { return ringo::run(app); }
