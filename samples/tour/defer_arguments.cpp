// x := 5; defer fmt.Println(x); x = 10: the arguments of a deferred call are evaluated at once, so
// it prints 5. A closure looks at x when it runs.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

void print_value(const char* how, int value) { fmt::print("{}: {}\n", how, value); }

int main() {
  int x = 5;
  Defer closure{[&] { print_value("closure", x); }};
  Defer argument{print_value, "argument", x};
  x = 10;
}
