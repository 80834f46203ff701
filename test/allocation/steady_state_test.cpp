// Once a program has run for a while, none of its messages, selects, goroutines and requests asks
// the C library for memory.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/mutex.hpp>
#include <ringo/run.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>
#include <ringo/wait_group.hpp>

#include "counted_malloc.hpp"
#include "matrix.hpp"
#include "net/net_fixture.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

/// Runs stretch(), some thousand operations, until it has once not allocated anything. The first
/// times pools and queues grow, and with several workers now and then later too, when chance lets
/// one of them have more than ever before. An allocation that belongs to an operation is there
/// every time.
template <class F>
Task<> settles(F stretch) {
  long least = std::numeric_limits<long>::max();
  for (int i = 0; i < 30 && least > 0; ++i) {
    test::look_for_allocation(i == 29);
    const long before = test::allocations_so_far();
    co_await stretch();
    least = std::min(least, test::allocations_so_far() - before);
  }
  test::look_for_allocation(false);
  if (least > 0) test::print_allocation();
  CHECK_MESSAGE(least == 0, least, " allocations in the best of 30 stretches");
}

/// The body of a case in every combination. What finds faults may allocate as it likes, and is off.
#define STEADY_TEST(name) STEADY_TEST_NAMED_(DOCTEST_ANONYMOUS(steady_test_), name)
#define STEADY_TEST_NAMED_(function, name) \
  static Task<> function();                \
  TEST_CASE(name) {                        \
    Options options;                       \
    options.watchdog = 0ns;                \
    options.check_locks = Switch::off;     \
    test::run_matrix(&function, options);  \
  }                                        \
  static Task<> function()

constexpr int count = 5000;

Task<int> plus_one(int x) { co_return x + 1; }

Task<> produce(Channel<int> out, int items, bool close) {
  for (int i = 0; i < items; ++i) co_await out.send(i);
  if (close) out.close();
}

Task<> consume(Channel<int> in, WaitGroup& group) {
  while (auto x = co_await in.recv()) {}
  group.done();
}

}  // namespace

STEADY_TEST("calling a coroutine allocates nothing") {
  co_await settles([]() -> Task<> {
    int x = 0;
    for (int i = 0; i < count; ++i) x = co_await plus_one(x);
    CHECK_EQ(x, count);
  });
}

STEADY_TEST("goroutines that end before the next begins allocate nothing") {
  co_await settles([]() -> Task<> {
    int x = 0;
    for (int i = 0; i < count; ++i) x = co_await go(plus_one, x);
    CHECK_EQ(x, count);
  });
}

STEADY_TEST("a thousand goroutines at once, with arguments to own, allocate nothing") {
  WaitGroup group;
  const std::vector<int> numbers(3, 7);
  co_await settles([&]() -> Task<> {
    for (int batch = 0; batch < 5; ++batch) {
      for (int i = 0; i < 1000; ++i) {
        group.go([&numbers, i]() -> Task<> { co_await plus_one(numbers[i % 3]); });
      }
      co_await group.wait();
    }
  });
}

STEADY_TEST("messages of an unbuffered channel allocate nothing") {
  Channel<int> there;
  Channel<int> back;
  go([there, back]() -> Task<> {
    while (auto x = co_await there.recv()) co_await back.send(*x);
  });
  co_await settles([&]() -> Task<> {
    for (int i = 0; i < count; ++i) {
      co_await there.send(i);
      auto x = co_await back.recv();
      if (x != i) CHECK_EQ(x.value(), i);
    }
  });
  there.close();
}

STEADY_TEST("making and using a channel of four producers and four consumers allocates nothing") {
  co_await settles([]() -> Task<> {
    Channel<int> items(128);
    WaitGroup producers;
    WaitGroup consumers;
    consumers.add(4);
    for (int i = 0; i < 4; ++i) {
      producers.go(produce, items, count / 4, false);
      go(consume, items, std::ref(consumers));
    }
    co_await producers.wait();
    items.close();
    co_await consumers.wait();
  });
}

STEADY_TEST("a select over four channels allocates nothing, whether they have buffers or not") {
  for (int capacity : {0, 128}) {
    co_await settles([&]() -> Task<> {
      Channel<int> a(capacity), b(capacity), c(capacity), d(capacity);
      for (auto& channel : {a, b, c, d}) go(produce, channel, count / 4, false);
      int taken = 0;
      auto take = [&](auto) { ++taken; };
      while (taken < count / 4 * 4) {
        co_await select_any{on(a.recv(), take), on(b.recv(), take), on(c.recv(), take),
                            on(d.recv(), take)};
      }
    });
  }
}

STEADY_TEST("a select of a ready channel with a timeout allocates nothing") {
  Channel<int> ready(1);
  co_await settles([&]() -> Task<> {
    for (int i = 0; i < count; ++i) {
      ready.try_send(1);
      bool timed_out = false;
      co_await select_any{on(ready.recv(), [] {}), on(after(1h), [&] { timed_out = true; })};
      if (timed_out) CHECK(!timed_out);
    }
  });
}

STEADY_TEST("a select that waits and times out, and a sleep, allocate nothing") {
  Channel<int> silent;
  co_await settles([&]() -> Task<> {
    for (int i = 0; i < 200; ++i) {
      co_await select_any{on(silent.recv(), [] {}), on(after(1us), [] {})};
      co_await sleep_for(1us);
    }
  });
}

STEADY_TEST("a mutex that four goroutines want allocates nothing") {
  Mutex mutex;
  WaitGroup group;
  int counter = 0;
  co_await settles([&]() -> Task<> {
    for (int i = 0; i < 4; ++i) {
      group.go([&]() -> Task<> {
        for (int k = 0; k < count / 4; ++k) {
          auto guard = co_await mutex.lock();
          ++counter;
          if (k % 16 == 0) co_await yield();
        }
      });
    }
    co_await group.wait();
  });
  CHECK_EQ(counter % count, 0);
}

STEADY_TEST("making room for others allocates nothing") {
  WaitGroup group;
  co_await settles([&]() -> Task<> {
    for (int i = 0; i < 2; ++i) {
      group.go([]() -> Task<> {
        for (int k = 0; k < count / 2; ++k) co_await yield();
      });
    }
    co_await group.wait();
  });
}

namespace {

Task<> echo(net::TcpStream conn) {
  char buffer[4096];
  for (;;) {
    const Result<std::size_t> n = co_await conn.read(buffer);
    if (!n || !co_await conn.write(buffer, *n)) break;
  }
}

Task<> echo_leased(net::TcpStream conn) {
  for (;;) {
    Result<net::Buffer> bytes = co_await conn.recv();
    if (!bytes || !co_await conn.write(bytes->data(), bytes->size())) break;
  }
}

Task<> echo_in_time(net::TcpStream conn) {
  char buffer[4096];
  for (;;) {
    const Result<std::size_t> n = co_await with_timeout(1h, conn.read(buffer));
    if (!n || !co_await with_timeout(1h, conn.write(buffer, *n))) break;
  }
}

/// 64 bytes there and back, again and again.
Task<> echo_settles(Task<> (*server)(net::TcpStream)) {
  test::Pair pair = co_await test::connected();
  auto serving = go(server, std::move(pair.b));
  co_await settles([&]() -> Task<> {
    char bytes[64] = {};
    for (int i = 0; i < 500; ++i) {
      if (!co_await pair.a.write(bytes, sizeof bytes)) FAIL_CHECK("the write failed");
      for (std::size_t have = 0; have < sizeof bytes;) {
        const Result<std::size_t> n = co_await pair.a.read(bytes + have, sizeof bytes - have);
        if (!n) FAIL_CHECK("the read failed");
        have += n ? *n : sizeof bytes;
      }
    }
  });
  (void)pair.a.close();
  co_await serving;
}

}  // namespace

STEADY_TEST("a turn of a TCP echo allocates nothing: read and write") {
  co_await echo_settles(echo);
}

STEADY_TEST("a turn of a TCP echo allocates nothing: leased buffers") {
  co_await echo_settles(echo_leased);
}

STEADY_TEST("a turn of a TCP echo allocates nothing: with timeouts") {
  co_await echo_settles(echo_in_time);
}
