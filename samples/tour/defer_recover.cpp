// defer, panic and recover. A panic is an exception: Defers run while it unwinds, and where Go
// calls recover() in a deferred function, C++ catches.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

int divide(int a, int b) {
  Defer left{[] { fmt::print("divide is left\n"); }};
  if (b == 0) panic("division by zero");
  return a / b;
}

int safe_divide(int a, int b) {
  try {
    return divide(a, b);
  } catch (const Panic& panic) {
    fmt::print("Recovered: {}\n", panic.what());
    return 0;
  }
}

int main() {
  fmt::print("{}\n", safe_divide(6, 3));
  fmt::print("{}\n", safe_divide(1, 0));
}
