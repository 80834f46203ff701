// defer: a call that is made when the function ends. Defer is an object that makes it when it goes
// out of scope, so it must have a name; it works with or without a runtime.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

void first_and_last() {
  Defer last{[] { fmt::print("This runs last\n"); }};
  fmt::print("This runs first\n");
}

void start_and_end() {
  fmt::print("Start\n");
  Defer cleanup{[] { fmt::print("Deferred: Closing resources\n"); }};
  fmt::print("End\n");
}

int main() {
  first_and_last();
  start_and_end();
}
