// The same function in two goroutines: each counts in order, the two interleave as they like.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<> print_numbers() {
  for (int i = 1; i <= 5; ++i) {
    fmt::print("{}\n", i);
    co_await sleep_for(100ms);
  }
}

Task<> app() {
  go(print_numbers);
  go(print_numbers);
  co_await sleep_for(600ms);
  fmt::print("Main function done\n");
}

int main() { return ringo::run(app); }
