// Waiting for a WaitGroup until a Context is done. Go needs a goroutine and a channel for that, and
// the goroutine stays behind when the Context ends first; here wait() is itself a case of a select.
// And a goroutine whose own Context is done need not look at it: its wait ends by itself.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<Error> wait_group_with_context(Context ctx, WaitGroup& wg) {
  co_return co_await select_any{
      on(wg.wait(), [] { return Error(); }),
      on(ctx.done(), [&] { return ctx.err(); }),
  };
}

void print(const char* when, const Error& error) {
  fmt::print("{}: {}\n", when, error ? error.message() : "all done");
}

Task<> wait_for(WaitGroup& wg) { co_await wg.wait(); }

Task<> app() {
  WaitGroup wg;
  Channel<int> work;
  wg.go([&]() -> Task<> { co_await work.recv(); });

  auto [short_time, cancel_short] = with_timeout(background(), 20ms);
  print("no work in time", co_await wait_group_with_context(short_time, wg));

  auto [ctx, cancel] = with_cancel(background());
  go([&cancel = cancel]() -> Task<> {
    co_await sleep_for(20ms);
    cancel();
  });
  print("nobody cares any more", co_await wait_group_with_context(ctx, wg));

  // The same without passing anything: the limit is the Context of whatever runs below it.
  Result<void> in_time = co_await with_timeout(20ms, wait_for(wg));
  print("a time limit around it", in_time.error());

  co_await work.send(1);
  print("there was work", co_await wait_group_with_context(background(), wg));
}

int main() { return ringo::run(app); }
