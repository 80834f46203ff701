// Go's context package (CX): after_func, other sources of cancellation, and the examples of its
// documentation.
#include <ringo/context.hpp>

#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <ringo/cond.hpp>
#include <ringo/mutex.hpp>
#include <ringo/net.hpp>
#include <ringo/time.hpp>
#include <ringo/wait_group.hpp>

#include "conformance/context_support.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

RINGO_TEST("CX-12: after_func runs once its Context is done, in a goroutine of its own") {
  {
    auto [ctx, cancel] = with_cancel(background());
    Channel<int> ran(4);
    auto function = after_func(ctx, [&] { ran.try_send(1); });
    co_await yields(3);
    CHECK(ran.len() == 0);
    cancel();
    CHECK(co_await ran.recv() == 1);
    CHECK(!function.stop());
    CHECK(!function.stop());
  }
  {
    // Several for one Context; a Task; and all the same for a child.
    auto [ctx, cancel] = with_cancel(background());
    auto [child, cancel_child] = with_cancel(ctx);
    Channel<int> ran(4);
    auto first = after_func(ctx, [&] { ran.try_send(1); });
    auto second = after_func(ctx, [&]() -> Task<> { co_await ran.send(2); });
    auto third = after_func(child, [&] { ran.try_send(4); });
    cancel();
    int sum = 0;
    for (int i = 0; i < 3; ++i) sum += (co_await ran.recv()).value();
    CHECK(sum == 7);
  }
  {
    // At once for one that is done already; also when the handle is dropped.
    auto [ctx, cancel] = with_cancel(background());
    cancel();
    Channel<int> ran(1);
    {
      auto dropped = after_func(ctx, [&] { ran.try_send(1); });
    }
    CHECK(co_await ran.recv() == 1);
  }
  {
    // Stopped: never.
    auto [ctx, cancel] = with_cancel(background());
    bool ran = false;
    auto function = after_func(ctx, [&] { ran = true; });
    CHECK(function.stop());
    CHECK(!function.stop());
    cancel();
    co_await yields(5);
    CHECK(!ran);
    auto of_root = after_func(background(), [&] { ran = true; });
    CHECK(of_root.stop());
    CHECK(!of_root.stop());
  }
  {
    // cancel() does not wait for it, and neither does stop().
    auto [ctx, cancel] = with_cancel(background());
    Channel<int> go_on;
    Channel<int> ended;
    auto function = after_func(ctx, [&]() -> Task<> {
      co_await go_on.recv();
      co_await ended.send(1);
    });
    cancel();
    CHECK(!function.stop());
    go_on.close();
    CHECK(co_await ended.recv() == 1);
  }
  {
    // The values are those of its Context, which does not cancel it.
    auto [ctx, cancel] = with_cancel(background());
    Channel<std::string> ran;
    auto function = after_func(with_value(ctx, name_key, "mine"), [&]() -> Task<> {
      CHECK(!this_context().err());
      co_await ran.send(*this_context().value(name_key));
    });
    cancel();
    CHECK(co_await ran.recv() == "mine");
  }
}

RINGO_TEST("CX-12: exactly one of stop() and the function, however they race") {
  for (int round = 0; round < 300; ++round) {
    auto [ctx, cancel] = with_cancel(background());
    std::atomic<int> ran{0};
    auto function = after_func(ctx, [&] { ++ran; });
    auto canceller = go([&]() -> Task<> {
      cancel();
      co_return;
    });
    bool stopped = function.stop();
    co_await canceller;
    if (!stopped) co_await eventually([&] { return ran == 1; });
    co_await yield();
    CHECK(ran == (stopped ? 0 : 1));
  }
}

RINGO_TEST("CX-15: other sources of cancellation take part through a CancelFunc (A)") {
  // Go lets other types implement Context; here whatever can call a function joins in.
  std::stop_source source;
  auto [ctx, cancel] = with_cancel(background());
  auto [child, cancel_child] = with_cancel(ctx);
  std::stop_callback join(source.get_token(), [&cancel = cancel] { cancel(); });
  co_await check_not_done(child);
  std::thread thread([&] { source.request_stop(); });
  co_await child.done();
  co_await check_done(ctx, Errc::canceled);
  // The other direction.
  std::stop_source other;
  auto function = after_func(child, [&] { other.request_stop(); });
  co_await eventually([&] { return other.stop_requested(); });
  thread.join();
}

RINGO_TEST("CX-17: a goroutine's own Context ends any wait of it, without being passed (B)") {
  Mutex mu;
  auto guard = co_await mu.lock();
  WaitGroup wg;
  wg.add(1);
  auto [ctx, cancel] = with_cancel(background());
  std::vector<JoinHandle<>> handles;
  handles.push_back(ctx.go([&]() -> Task<> { (co_await mu.lock()).release(); }));
  handles.push_back(ctx.go([&]() -> Task<> { co_await wg.wait(); }));
  handles.push_back(ctx.go([&]() -> Task<> { co_await sleep_for(24h); }));
  co_await yields(3);
  cancel();
  int canceled = 0;
  for (auto& handle : handles) {
    try {
      co_await handle;
    } catch (const JoinCanceled&) { ++canceled; }
  }
  CHECK(canceled == 3);
  guard.unlock();
  CHECK(mu.try_lock());
  wg.done();
}

RINGO_TEST("CX-02: example: a generator that ends with its consumer") {
  auto [ctx, cancel] = with_cancel(background());
  Channel<int> numbers;
  auto generator = go([ctx = ctx, numbers]() -> Task<> {
    for (int n = 1;; ++n) {
      bool end = false;
      co_await select_any{on(ctx.done(), [&] { end = true; }), on(numbers.send(n), [] {})};
      if (end) co_return;
    }
  });
  int sum = 0;
  while (auto n = co_await numbers.recv()) {
    sum += *n;
    if (*n == 5) break;
  }
  CHECK(sum == 15);
  cancel();
  co_await generator;
}

RINGO_TEST("CX-12: example: after_func wakes waiters of a Cond") {
  // Each of four goroutines gives up its wait after a millisecond; one Cond serves all.
  Mutex mu;
  Cond cond(mu);
  auto wait_on = [&](Context ctx, auto& condition) -> Task<Error> {
    auto stop = after_func(ctx, [&]() -> Task<> {
      // Under the lock, or the broadcast could come between the check and the wait.
      auto guard = co_await mu.lock();
      cond.broadcast();
    });
    auto guard = co_await mu.lock();
    while (!condition()) {
      co_await cond.wait(guard);
      if (Error error = ctx.err()) {
        stop.stop();
        co_return error;
      }
    }
    co_return Error();
  };
  std::vector<JoinHandle<Error>> waiters;
  auto never = [] { return false; };
  for (int i = 0; i < 4; ++i) {
    waiters.push_back(go([&]() -> Task<Error> {
      auto [ctx, cancel] = with_timeout(background(), 1ms);
      co_return co_await wait_on(ctx, never);
    }));
  }
  for (auto& waiter : waiters) {
    CHECK((co_await waiter).message() == "context deadline exceeded");
  }
  co_await eventually([] { return num_goroutines() == 1; });  // the functions use the lock
}

RINGO_TEST("CX-12: example: after_func ends a read by moving its deadline") {
  auto listener = net::TcpListener::listen("127.0.0.1:0").value();
  auto peer = go([&]() -> Task<> {
    auto conn = (co_await listener.accept()).value();
    char byte[1];
    auto n = co_await conn.read(byte);
    CHECK(!n);  // the client never writes
  });
  auto conn = (co_await net::TcpStream::connect(listener.local_address())).value();
  auto [ctx, cancel] = with_timeout(background(), 2ms);
  auto stop =
      after_func(ctx, [&] { (void)conn.set_read_deadline(std::chrono::steady_clock::now()); });
  char byte[1];
  auto n = co_await conn.read(byte);
  CHECK(!n);
  CHECK(n.error() == std::errc::timed_out);
  CHECK(ctx.err() == Errc::deadline_exceeded);
  (void)conn.close();
  co_await peer;
}

RINGO_TEST("CX-12: example: after_func merges two cancellations") {
  auto [first, cancel_first] = with_cancel_cause(background());
  auto [second, cancel_second] = with_cancel_cause(background());
  auto [merged, cancel_merged] = with_cancel_cause(first);
  auto stop = after_func(second, [&, second = second] { cancel_merged(second.cause()); });
  cancel_second(because("second"));
  co_await merged.done();
  CHECK(merged.err() == Errc::canceled);
  CHECK(merged.cause().detail() == "second");
  co_await check_not_done(first);
}
