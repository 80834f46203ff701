// A Done too many: the counter would fall below zero, which is a panic. It is so at the call, and
// an Add that comes later does not mend it; the tutorial's cure, Add before the goroutine starts,
// is the right one. Here the panic is an exception, and the counter stays what it was.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

Task<> app() {
  WaitGroup wg;

  try {
    wg.done();  // wrong: before add()
  } catch (const Panic& panic) { fmt::print("panic: {}\n", panic.what()); }

  wg.add(1);  // right: before the goroutine starts
  go([&]() -> Task<> {
    Defer done{[&] { wg.done(); }};
    fmt::print("work\n");
    co_return;
  });
  co_await wg.wait();
  fmt::print("done\n");
}

int main() { return ringo::run(app); }
