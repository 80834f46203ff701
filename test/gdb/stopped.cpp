// A program that stops for a debugger, with goroutines in known places; gdb_test.py looks at it.
#include <signal.h>

#include <ringo/channel.hpp>
#include <ringo/run.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<> inner(Channel<int> ch) {
  co_await ch.recv();  // here waits the innermost frame
}

Task<> outer(Channel<int> ch) {
  co_await inner(ch);  // here waits the outer frame
}

Task<> app() {
  Channel<int> ch;
  go(outer, ch);  // here it is started
  go([]() -> Task<> { co_await sleep_for(1h); });
  co_await sleep_for(20ms);
  ::raise(SIGTRAP);
}

int main() { return run(app); }
