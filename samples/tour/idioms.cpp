// Go's idioms in ringo, a few lines each: the ones that the documentation quotes, here as a program
// that runs.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <atomic>
#include <string>
#include <vector>

using namespace ringo;
using namespace std::chrono_literals;

int square(int n) { return n * n; }

// A goroutine's result: go() returns a handle, which Go needs a channel for.
Task<> join() {
  auto handle = go(square, 7);
  int result = co_await handle;
  fmt::print("join: {}\n", result);
}

// A child coroutine is awaited: it runs as part of the same goroutine.
Task<std::string> greeting(std::string name) {
  co_await sleep_for(1ms);
  co_return "hello " + name;
}
Task<> call() {
  auto text = co_await greeting("gopher");
  fmt::print("call: {}\n", text);
}

// What a goroutine throws, the one that joins it gets.
Task<> exception() {
  auto handle = go([] { panic("oops"); });
  try {
    co_await handle;
  } catch (const Panic& panic) { fmt::print("exception: {}\n", panic.what()); }
}

// A select without handlers says which case it was.
Task<> select_by_index() {
  Channel<int> numbers;
  Channel<std::string> words(1);
  co_await words.send("word");
  auto chosen = co_await select_any{numbers.recv(), words.recv()};
  if (chosen.index() == 1) fmt::print("select_by_index: {}\n", *chosen.get<1>());
}

// Handlers that return something give the select a value.
Task<> select_value() {
  Channel<int> silent;
  int value = co_await select_any{
      on(silent.recv(), [&](auto n) { return *n; }),
      on(after(10ms), [&] { return -1; }),
  };
  fmt::print("select_value: {}\n", value);
}

// Go's select has no priorities; select_first takes the topmost of several ready cases.
Task<> priority() {
  Channel<int> urgent(1), normal(1);
  co_await urgent.send(1);
  co_await normal.send(2);
  co_await select_first{
      on(urgent.recv(), [&](auto n) { fmt::print("priority: urgent {}\n", *n); }),
      on(normal.recv(), [&](auto n) { fmt::print("priority: normal {}\n", *n); }),
  };
}

// reflect.Select: a number of cases known only at run time.
Task<> select_many() {
  std::vector<Channel<int>> channels{Channel<int>(1), Channel<int>(1), Channel<int>(1)};
  std::vector<SelectCase> cases;
  for (auto& ch : channels) cases.push_back(on(ch.recv(), [](auto) {}));
  co_await channels[2].send(1);
  std::size_t which = co_await select_dyn(cases);
  fmt::print("select_many: case {}\n", which);
}

// An operation with a timeout of its own.
Task<> timeout() {
  Channel<int> silent;
  auto value = co_await with_timeout(10ms, silent.recv());
  fmt::print("timeout: {}\n", value ? "received" : "nothing in time");
}

// time.Ticker: once in a while.
Task<> tick() {
  Ticker ticker(10ms);
  for (int i = 0; i < 3; ++i) co_await ticker;
  fmt::print("tick: three times\n");
}

// time.AfterFunc: later, in a goroutine of its own.
Task<> later() {
  Channel<int> done;
  after_func(10ms, [&]() -> Task<> { co_await done.send(1); });
  co_await done.recv();
  fmt::print("later: it ran\n");
}

// A semaphore: no more than two at a time.
Task<> limit() {
  Semaphore slots(2);
  WaitGroup wg;
  std::atomic<int> inside = 0;
  for (int i = 0; i < 6; ++i) {
    wg.go([&]() -> Task<> {
      co_await slots.acquire();
      Defer leave{[&] { slots.release(); }};
      if (++inside > 2) panic("too many");
      co_await sleep_for(5ms);
      --inside;
    });
  }
  co_await wg.wait();
  fmt::print("limit: never more than two\n");
}

// sync.Once: the first one does it, the others wait until it is done.
Task<> once() {
  Once setup;
  WaitGroup wg;
  for (int i = 0; i < 3; ++i) {
    wg.go([&]() -> Task<> { co_await setup.call([] { fmt::print("once: set up\n"); }); });
  }
  co_await wg.wait();
}

// A call that blocks its thread does not block the goroutines beside it.
Task<> block() {
  int result = co_await blocking(square, 9);
  fmt::print("block: {}\n", result);
}

Task<> app() {
  for (auto idiom : {join, call, exception, select_by_index, select_value, priority, select_many,
                     timeout, tick, later, limit, once, block}) {
    co_await idiom();
  }
}

int main() { return ringo::run(app); }
