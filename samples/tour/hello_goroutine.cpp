// go sayHello(): a goroutine runs beside the one that started it.
//
// Nothing orders the two lines, in Go as here. And main does not wait for the goroutines it
// started: when it returns, the program ends (see main_does_not_wait.cpp). So it sleeps for long
// enough; wait_group.cpp has the better way.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<> say_hello() {
  fmt::print("Hello from Goroutine!\n");
  co_return;
}

Task<> app() {
  go(say_hello);
  fmt::print("Main function execution\n");
  co_await sleep_for(200ms);
}

int main() { return ringo::run(app); }
