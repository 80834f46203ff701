#include <ringo/event.hpp>

#include <memory>
#include <thread>
#include <vector>

#include <ringo/cancellation.hpp>
#include <ringo/wait_group.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;

RINGO_TEST("event: set lets all go on, those who wait and those who come; reset closes it again") {
  Event event;
  CHECK(!event.is_set());
  std::atomic<int> passed{0};
  WaitGroup wg;
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < 10; ++i) {
      wg.go([&]() -> Task<> {
        co_await event.wait();
        ++passed;
      });
    }
    co_await test::yields(5);
    CHECK(passed == 10 * (round - 1));
    event.set();
    event.set();
    CHECK(event.is_set());
    co_await wg.wait();
    CHECK(passed == 10 * round);
    co_await event.wait();
    event.reset();
    event.reset();
    CHECK(!event.is_set());
  }
}

RINGO_TEST("event: a case of select; one that loses or is cancelled leaves no trace") {
  Event event;
  int which = -1;
  co_await select_any{on(event.wait(), [&] { which = 0; }), on(after(1ms), [&] { which = 1; })};
  CHECK(which == 1);
  auto late = [&]() -> Task<> { co_await event.wait(); };
  auto timed = co_await with_timeout(1ms, late());
  CHECK(timed.error() == Errc::timeout);
  event.set();
  co_await select_any{on(event.wait(), [&] { which = 0; }), on(after(24h), [&] { which = 1; })};
  CHECK(which == 0);
}

RINGO_TEST("event: what was done before set() is visible, and the waiter may destroy it at once") {
  for (int round = 0; round < 500; ++round) {
    auto event = std::make_unique<Event>();
    int value = 0;
    auto setter = go([&value, e = event.get()] {
      value = 42;
      e->set();
    });
    if (round % 2 == 0) co_await yield();
    co_await event->wait();
    event.reset();
    CHECK(value == 42);
    co_await setter;
  }
}

RINGO_TEST("event: set and reset by plain threads") {
  Event event;
  std::thread thread([&] { event.set(); });
  co_await event.wait();
  thread.join();
  std::thread other([&] { event.reset(); });  // a worker does it, so it must not be kept waiting
  co_await test::eventually([&] { return !event.is_set(); });
  other.join();
}

RINGO_TEST_PINNED("broadcast: wakes those who wait now, and nobody later") {
  Broadcast news;
  int heard = 0;
  news.send();
  for (int i = 0; i < 5; ++i) {
    go_on(0, [&]() -> Task<> {
      co_await news.wait();
      ++heard;
      co_await news.wait();
      ++heard;
    });
  }
  co_await test::yields(3);
  CHECK(heard == 0);
  news.send();
  co_await test::yields(3);
  CHECK(heard == 5);
  news.send();
  co_await test::yields(3);
  CHECK(heard == 10);
  int which = -1;
  co_await select_any{on(news.wait(), [&] { which = 0; }), on(after(1ms), [&] { which = 1; })};
  CHECK(which == 1);
}

TEST_CASE("event, broadcast: destroyed with waiters, between runtimes, drained") {
  struct Wait {
    Task<> operator()(Event& event) const { co_await event.wait(); }
    Task<> operator()(Broadcast& news) const { co_await news.wait(); }
  };
  test::expect_fatal_destruction<Event>("Event", Wait());
  test::expect_fatal_destruction<Broadcast>("Broadcast", Wait());
  test::expect_drained<Event>(Wait());
  test::expect_drained<Broadcast>(Wait());
  auto set = [](Event& event) -> Task<> {
    event.set();
    co_await event.wait();
    event.reset();
  };
  test::expect_forgotten_waiters<Event>("Event", Wait(), set);
}
