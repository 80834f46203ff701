// sync.Cond: wait until something under a mutex is true. wait() unlocks the mutex while it waits
// and has locked it again when it returns; look at the condition again then, as in Go.
//
// The tutorial sleeps at the end, so that the goroutine can finish; the handle of go() waits for
// just as long as it takes.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

bool ready = false;
Mutex mu;
Cond cond(mu);

Task<> wait_for_condition() {
  auto guard = co_await mu.lock();
  while (!ready) co_await cond.wait(guard);
  fmt::print("Condition met!\n");
}

Task<> app() {
  auto waiting = go(wait_for_condition);

  co_await sleep_for(200ms);
  {
    auto guard = co_await mu.lock();
    fmt::print("Setting the condition\n");
    ready = true;
    cond.signal();
  }

  co_await waiting;
}

int main() { return ringo::run(app); }
