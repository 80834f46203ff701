// sync.Mutex: five goroutines add to one counter, one at a time.
//
// The guard unlocks at the end of its scope. A goroutine may keep the lock while it waits for
// something else, which a std::mutex does not allow: it belongs to a thread, not to a goroutine.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <functional>

using namespace ringo;

int counter = 0;
Mutex mu;

Task<> increment(WaitGroup& wg) {
  Defer done{[&] { wg.done(); }};
  auto guard = co_await mu.lock();
  int seen = counter;
  co_await yield();  // the others run, and wait for the lock
  counter = seen + 1;
}

Task<> app() {
  WaitGroup wg;
  for (int i = 0; i < 5; ++i) {
    wg.add(1);
    go(increment, std::ref(wg));
  }
  co_await wg.wait();
  fmt::print("Final Counter: {}\n", counter);
}

int main() { return ringo::run(app); }
