// Two goroutines that do different things at the same time. The tutorial shows 1 A 2 B ...; but
// only the order of the numbers and that of the letters is certain.
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

Task<> print_letters() {
  for (char c = 'A'; c <= 'E'; ++c) {
    fmt::print("{}\n", c);
    co_await sleep_for(100ms);
  }
}

Task<> app() {
  go(print_numbers);
  go(print_letters);
  co_await sleep_for(600ms);
}

int main() { return ringo::run(app); }
