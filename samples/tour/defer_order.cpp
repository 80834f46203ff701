// Several defers run last in, first out. In a loop, Go keeps them all until the function ends; a
// Defer lives for one turn of the loop only, so there it is a DeferStack that collects them.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

void say(int n) { fmt::print("{}\n", n); }

void three_defers() {
  Defer one{say, 1};
  Defer two{say, 2};
  Defer three{say, 3};
}

void defers_in_a_loop() {
  DeferStack defers;
  for (int i = 1; i <= 5; ++i) defers.push(say, i * 10);
  fmt::print("end of the loop\n");
}

int main() {
  three_defers();
  defers_in_a_loop();
}
