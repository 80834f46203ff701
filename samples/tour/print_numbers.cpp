// A goroutine that sleeps between its steps, while main gives it the time.
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
  co_await sleep_for(600ms);
}

int main() { return ringo::run(app); }
