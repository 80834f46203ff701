// A program that hangs says where: nobody closes the channel, so the collector waits for the next
// number for ever, and main for the collector. Go prints "all goroutines are asleep - deadlock!",
// and so does ringo, with the await chain of each goroutine; both end with status 2.
#include <ringo/ringo.hpp>
using namespace ringo;

Task<> collect(Channel<int> in, WaitGroup& wg) {
  Defer done{[&] { wg.done(); }};
  while (auto v = co_await in.recv()) {}
}

Task<> app() {
  WaitGroup wg;
  Channel<int> numbers;
  wg.add(1);
  go(collect, numbers, std::ref(wg));
  co_await numbers.send(1);
  co_await wg.wait();  // nobody closes numbers
}

int main() { return ringo::run(app); }
