// Where a cancellation reaches: the Context of a goroutine, with_context, shield,
// with_timeout(Task).
#include <ringo/cancellation.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/cond.hpp>
#include <ringo/mutex.hpp>
#include <ringo/net.hpp>
#include <ringo/select.hpp>
#include <ringo/semaphore.hpp>
#include <ringo/task_group.hpp>
#include <ringo/wait_group.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

const ContextKey<int> number_key{"number"};

Task<> sleep_long() { co_await sleep_for(24h); }
Task<int> give(int n) {
  co_await yield();
  co_return n;
}

/// Whether Canceled leaves body().
template <class F>
Task<bool> canceled_in(F body) {
  try {
    co_await body();
  } catch (const Canceled&) { co_return true; }
  co_return false;
}

}  // namespace

RINGO_TEST("cancellation: a goroutine has the Context of the one that starts it") {
  CHECK(this_context() == background());
  Context ctx = with_value(background(), number_key, 5);
  auto child = ctx.go([&]() -> Task<> {
    CHECK(this_context() == ctx);
    auto grandchild = go([&]() -> Task<int> {
      CHECK(this_context() == ctx);
      co_return *this_context().value(number_key);
    });
    CHECK(co_await grandchild == 5);
    auto elsewhere = background().go([] { CHECK(this_context() == background()); });
    co_await elsewhere;
    auto pinned = go_on(0, [&] { CHECK(this_context() == ctx); });
    co_await pinned;
    WaitGroup wg;
    wg.go([&] { CHECK(this_context() == ctx); });
    co_await wg.wait();
  });
  co_await child;
  CHECK(this_context() == background());
}

RINGO_TEST("cancellation: every wait of a cancelled goroutine ends, and so does the next one") {
  auto [ctx, cancel] = with_cancel(background());
  std::atomic<int> ended{0};
  auto runner = ctx.go([&]() -> Task<> {
    CHECK(co_await canceled_in(sleep_long));
    ++ended;
    CHECK(co_await canceled_in(sleep_long));
    CHECK(co_await canceled_in([]() -> Task<> { co_await yield(); }));
    Channel<int> full(1);
    auto send = [&]() -> Task<> { co_await full.send(1); };
    CHECK(co_await canceled_in(send));
    CHECK(full.len() == 0);
    auto select = [&]() -> Task<> {
      co_await select_any{on(full.send(1), [] {}), on(after(24h), [] {})};
    };
    CHECK(co_await canceled_in(select));
    CHECK(full.len() == 0);
    CHECK(full.try_send(1));  // what does not wait goes on
    ++ended;
    // A child born now is cancelled from birth.
    auto child = go(sleep_long);
    auto join = [&]() -> Task<> { co_await child; };
    CHECK(co_await canceled_in(join));
    ++ended;
  });
  co_await test::yields(3);
  CHECK(ended == 0);
  cancel();
  co_await runner;
  CHECK(ended == 3);
}

RINGO_TEST(
    "cancellation: joining a cancelled goroutine throws JoinCanceled, detached it is silent") {
  auto [ctx, cancel] = with_cancel(background());
  auto child = ctx.go(sleep_long);
  ctx.go(sleep_long).detach();
  co_await test::yields(2);
  cancel();
  bool threw = false;
  try {
    co_await child;
  } catch (const JoinCanceled& error) {
    threw = true;
    CHECK(std::string(error.what()) == "joined goroutine was cancelled");
  }
  CHECK(threw);
  co_await test::eventually([] { return num_goroutines() == 1; });
}

RINGO_TEST("cancellation: I/O ends with operation_canceled, not with an exception") {
  auto listener = net::TcpListener::listen("127.0.0.1:0").value();
  auto connected = go([&]() -> Task<net::TcpStream> {
    co_return (co_await net::TcpStream::connect(listener.local_address())).value();
  });
  auto server = (co_await listener.accept()).value();
  auto client = co_await connected;
  auto [ctx, cancel] = with_cancel(background());
  std::vector<JoinHandle<Error>> handles;
  handles.push_back(ctx.go([&]() -> Task<Error> {
    char byte[1];
    auto n = co_await client.read(byte);
    co_return n.error();
  }));
  handles.push_back(ctx.go([&]() -> Task<Error> {
    auto conn = co_await listener.accept();
    co_return conn.error();
  }));
  handles.push_back(ctx.go([&]() -> Task<Error> {
    std::vector<char> much(1 << 20);
    for (;;) {
      auto done = co_await client.write(much.data(), much.size());
      if (!done) co_return done.error();
    }
  }));
  co_await sleep_for(5ms);
  cancel();
  for (auto& handle : handles) CHECK(co_await handle == std::errc::operation_canceled);
  CHECK(server.valid());
}

RINGO_TEST("cancellation: with_context changes the Context for a Task and back") {
  auto [ctx, cancel] = with_cancel(with_value(background(), number_key, 1));
  Context inner = with_value(ctx, number_key, 2);
  auto look = [&]() -> Task<int> {
    co_await yield();
    CHECK(this_context() == inner);
    co_return *this_context().value(number_key);
  };
  CHECK(co_await with_context(inner, look()) == 2);
  CHECK(this_context() == background());
  // Cancelled meanwhile: only what runs in there ends.
  auto canceller = go([&cancel = cancel]() -> Task<> {
    co_await test::yields(3);
    cancel();
  });
  CHECK(co_await canceled_in([&]() -> Task<> { co_await with_context(inner, sleep_long()); }));
  CHECK(this_context() == background());
  co_await yield();
  co_await canceller;
  // Cancelled before: the first wait ends.
  CHECK(co_await canceled_in([&]() -> Task<> { co_await with_context(inner, sleep_long()); }));
  // An exception passes, and the Context is back.
  auto fail = [&]() -> Task<> {
    co_await test::yields(0);
    throw std::runtime_error("out");
  };
  bool out = false;
  try {
    co_await with_context(background(), fail());
  } catch (const std::runtime_error&) { out = true; }
  CHECK(out);
  CHECK(this_context() == background());
  auto empty = []() -> Task<> { co_await with_context(Context(), sleep_long()); };
  CHECK(co_await test::panic_of_task(empty) == "use of an empty Context");
  CHECK(this_context() == background());
}

RINGO_TEST(
    "cancellation: a cancellation of the outer Context reaches the inner one only below it") {
  auto [outer, cancel] = with_cancel(background());
  Channel<int> release;
  std::atomic<int> inside{0};
  auto runner = outer.go([&]() -> Task<> {
    auto work = [&]() -> Task<int> {
      ++inside;
      co_return (co_await release.recv()).value();
    };
    CHECK(co_await with_context(background(), work()) == 7);
    CHECK(co_await canceled_in(sleep_long));  // back where it is over
    auto [below, cancel_below] = with_cancel(outer);
    CHECK(co_await canceled_in([&]() -> Task<> { co_await with_context(below, sleep_long()); }));
  });
  co_await test::eventually([&] { return inside == 1; });
  cancel();
  co_await release.send(7);
  co_await runner;
}

RINGO_TEST("cancellation: shield keeps a cancellation off to its end; then it is met") {
  auto [ctx, cancel] = with_cancel(with_value(background(), number_key, 3));
  Channel<int> steps;
  std::atomic<int> done{0};
  auto runner = ctx.go([&]() -> Task<> {
    auto important = [&]() -> Task<int> {
      CHECK(*this_context().value(number_key) == 3);
      for (int i = 0; i < 3; ++i) {
        CHECK((co_await steps.recv()).has_value());
        CHECK(!this_context().err());
        ++done;
      }
      auto child = go([] { return this_context().err() ? 0 : 8; });
      co_return co_await child;
    };
    CHECK(co_await shield(important()) == 8);
    CHECK(this_context().err());
    CHECK(co_await canceled_in(sleep_long));
    ++done;
  });
  co_await steps.send(1);
  co_await test::eventually([&] { return done == 1; });
  cancel();
  co_await steps.send(2);
  co_await steps.send(3);
  co_await runner;
  CHECK(done == 4);
}

RINGO_TEST("cancellation: a timeout inside a shield is a timeout") {
  auto [ctx, cancel] = with_cancel(background());
  std::atomic<bool> timed_out{false};
  auto runner = ctx.go([&]() -> Task<> {
    auto farewell = [&]() -> Task<> {
      auto done = co_await with_timeout(3ms, sleep_long());
      timed_out = !done && done.error() == Errc::timeout;
    };
    co_await shield(farewell());
  });
  co_await yield();
  cancel();
  co_await runner;
  CHECK(timed_out);
}

TEST_CASE("cancellation: draining leaves what is shielded alone, and its inner timeouts at work") {
  test::for_each_setting([](const test::Setting& setting) {
    Options options;
    options.drain = 20s;
    auto log = std::make_shared<std::atomic<int>>(0);
    auto started = std::make_shared<std::atomic<int>>(0);
    test::run_setting(
        setting,
        [log, started]() -> Task<> {
          go([log, started]() -> Task<> {
            auto work = [&]() -> Task<> {
              ++*started;
              co_await sleep_for(5ms);
              *log += 1;
              auto done = co_await with_timeout(3ms, sleep_long());
              if (!done && done.error() == Errc::timeout) *log += 10;
              co_await yield();
              *log += 100;
            };
            co_await shield(work());
            try {
              co_await sleep_for(24h);
            } catch (const Canceled&) {
              *log += 1000;
              throw;
            }
          });
          co_await test::eventually([&] { return *started == 1; });
        },
        options);
    CHECK(log->load() == 1111);
  });
}

RINGO_TEST(
    "cancellation: with_timeout of a Task gives its result, or a timeout once it has unwound") {
  auto in_time = co_await with_timeout(30s, give(5));
  REQUIRE(in_time);
  CHECK(*in_time == 5);
  bool unwound = false;
  auto late = [&]() -> Task<int> {
    try {
      co_await sleep_for(24h);
    } catch (const Canceled&) {
      unwound = true;
      throw;
    }
    co_return 1;
  };
  auto timed = co_await with_timeout(2ms, late());
  CHECK(!timed);
  CHECK(timed.error() == Errc::timeout);
  CHECK(timed.error() == std::errc::timed_out);
  CHECK(unwound);
  // Not a nanosecond: the first wait ends it; what does not wait gets through.
  for (auto d : {0ns, -1ns, std::chrono::nanoseconds::min()}) {
    auto none = co_await with_timeout(d, sleep_long());
    CHECK(none.error() == Errc::timeout);
    auto at_once = co_await with_timeout(d, []() -> Task<int> { co_return 3; }());
    REQUIRE(at_once);
    CHECK(*at_once == 3);
  }
  auto past = co_await with_deadline(std::chrono::steady_clock::now() - 1s, sleep_long());
  CHECK(past.error() == Errc::timeout);
  auto until = co_await with_deadline(std::chrono::steady_clock::now() + 2ms, sleep_long());
  CHECK(until.error() == Errc::timeout);
  // A Result stays one layer; an I/O error that the timeout caused is a timeout.
  auto result = []() -> Task<Result<int>> { co_return 4; };
  auto flat = co_await with_timeout(1s, result());
  static_assert(std::is_same_v<decltype(flat), Result<int>>);
  CHECK(flat.value() == 4);
  auto listener = net::TcpListener::listen("127.0.0.1:0").value();
  auto accept = [&]() -> Task<Result<int>> {
    auto conn = co_await listener.accept();
    if (!conn) co_return conn.error();
    co_return 1;
  };
  auto io = co_await with_timeout(2ms, accept());
  CHECK(io.error() == Errc::timeout);
  // An exception passes.
  auto fails = []() -> Task<int> {
    co_await yield();
    throw std::runtime_error("inside");
  };
  std::string what;
  try {
    (void)co_await with_timeout(30s, fails());
  } catch (const std::runtime_error& error) { what = error.what(); }
  CHECK(what == "inside");
  CHECK(!this_context().err());
}

RINGO_TEST("cancellation: nested timeouts, and a cancellation that is no timeout") {
  auto inner = [&]() -> Task<int> {
    auto never = co_await with_timeout(24h, sleep_long());
    co_return never ? 1 : 2;
  };
  auto outer = co_await with_timeout(2ms, inner());
  CHECK(outer.error() == Errc::timeout);
  auto inner_first = [&]() -> Task<int> {
    auto soon = co_await with_timeout(1ms, sleep_long());
    CHECK(soon.error() == Errc::timeout);
    co_await yield();
    co_return 3;
  };
  auto good = co_await with_timeout(30s, inner_first());
  REQUIRE(good);
  CHECK(*good == 3);
  auto [ctx, cancel] = with_cancel(background());
  auto runner = ctx.go([&]() -> Task<> {
    CHECK(
        co_await canceled_in([&]() -> Task<> { (void)co_await with_timeout(24h, sleep_long()); }));
  });
  co_await test::yields(3);
  cancel();
  co_await runner;
}

RINGO_TEST("cancellation: a goroutine cancelled while it changes its Context") {
  for (int round = 0; round < 20; ++round) {
    auto [ctx, cancel] = with_cancel(background());
    std::vector<JoinHandle<>> handles;
    std::atomic<int> turning{0};
    for (int i = 0; i < 4; ++i) {
      handles.push_back(ctx.go([&, i]() -> Task<> {
        Context outer = this_context();
        auto [own, cancel_own] = with_cancel(outer);
        auto [apart, cancel_apart] = with_cancel(background());
        ++turning;
        auto nothing = []() -> Task<> { co_return; };
        auto turn = [&]() -> Task<> { co_await yield(); };
        for (unsigned n = 0;; ++n) {
          bool over = false;
          try {
            co_await with_context(apart, nothing());
            co_await with_context(own, nothing());
            co_await with_context(own, turn());
            co_await shield(turn());
            co_await with_context(background(), turn());
            if (n % 3 == static_cast<unsigned>(i) % 3) co_await yield();
          } catch (const Canceled&) { over = true; }
          CHECK(this_context() == outer);
          if (over) break;
        }
        CHECK(outer.err() == Errc::canceled);
        CHECK(co_await canceled_in(sleep_long));
      }));
    }
    co_await test::eventually([&] { return turning == 4; });
    co_await test::yields(round);
    cancel();
    for (auto& handle : handles) co_await handle;
  }
}

RINGO_TEST("cancellation: whoever looks at done() of its own Context may see it and go on") {
  // The wait for done() itself ends well if it was waiting; what comes after is cancelled.
  auto [ctx, cancel] = with_cancel(background());
  std::atomic<int> seen{0};
  Channel<> silent;
  auto runner = ctx.go([&]() -> Task<> {
    co_await select_any{on(ctx.done(), [&] { ++seen; }), on(silent.recv(), [] {})};
    CHECK(co_await canceled_in(sleep_long));
    ++seen;
  });
  auto& core = ringo::detail::ChannelAccess::core(silent);
  co_await test::eventually([&] { return core.has_receiver(); });
  cancel();
  co_await runner;
  CHECK(seen == 2);
}

RINGO_TEST("SM-02: acquire() of a cancelled goroutine fails though there are tokens") {
  Semaphore sem(1);
  auto [ctx, cancel] = with_cancel(background());
  cancel();
  auto runner = ctx.go([&]() -> Task<> {
    CHECK(co_await canceled_in([&]() -> Task<> { co_await sem.acquire(); }));
  });
  co_await runner;
  CHECK(sem.try_acquire());
  // Cancelled while it waits: the state is as it was.
  auto [second, cancel_second] = with_cancel(background());
  auto waiter = second.go([&]() -> Task<> {
    CHECK(co_await canceled_in([&]() -> Task<> { co_await sem.acquire(); }));
  });
  co_await test::yields(3);
  cancel_second();
  co_await waiter;
  CHECK(!sem.try_acquire());
  sem.release();
  CHECK(sem.try_acquire());
  CHECK(test::panic_of([&] { sem.release(2); }) == "semaphore: released more than held");
  sem.release();
}

RINGO_TEST("cancellation: Cond.wait takes its lock again before it ends") {
  Mutex mu;
  Cond cond(mu);
  auto [ctx, cancel] = with_cancel(background());
  std::atomic<bool> waiting{false};
  auto waiter = ctx.go([&]() -> Task<> {
    auto guard = co_await mu.lock();
    waiting = true;
    bool canceled = false;
    try {
      for (;;) co_await cond.wait(guard);
    } catch (const Canceled&) {
      canceled = true;
      CHECK(!mu.try_lock());  // it is ours
    }
    CHECK(canceled);
  });
  co_await test::eventually([&] { return waiting.load(); });
  {
    auto guard = co_await mu.lock();
    cancel();
    co_await test::yields(5);
  }
  co_await waiter;
  CHECK(mu.try_lock());
}
