#include <ringo/semaphore.hpp>

#include <memory>
#include <string>
#include <type_traits>

#include <ringo/wait_group.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::End;
using test::Victim;

static_assert(!std::is_copy_constructible_v<Semaphore> && !std::is_move_constructible_v<Semaphore>);
static_assert(!std::is_copy_assignable_v<Semaphore> && !std::is_move_assignable_v<Semaphore>);
static_assert(sizeof(Semaphore) <= 40);

namespace {

struct Empty : Semaphore {
  Empty() : Semaphore(2) { try_acquire(2); }
};
constexpr auto acquire_it = [](Semaphore& sem) -> Task<> { co_await sem.acquire(); };

/// Starts a goroutine on worker 0 that takes n, adds its name to `order`, and keeps them.
JoinHandle<void> taker(Semaphore& sem, std::string& order, std::string name, std::int64_t n) {
  return go_on(0, [&sem, &order, name, n]() -> Task<> {
    co_await sem.acquire(n);
    order += name;
  });
}

}  // namespace

RINGO_TEST("SM: never more at once than it has") {
  constexpr int size = 3;
  Semaphore sem(size);
  CHECK(sem.size() == size);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  WaitGroup wg;
  for (int i = 0; i < 10; ++i) {
    wg.go([&, i]() -> Task<> {
      for (int k = 0; k < 300; ++k) {
        int n = (i + k) % 3 + 1;
        co_await sem.acquire(n);
        int now = inside += n;
        CHECK(now <= size);
        if (now > most) most = now;
        if (k % 3 == 0) co_await yield();
        inside -= n;
        sem.release(n);
      }
    });
  }
  co_await wg.wait();
  CHECK(most > 0);
  CHECK(sem.try_acquire(size));
}

RINGO_TEST("SM: try_acquire does not wait") {
  Semaphore sem(2);
  CHECK(sem.try_acquire());
  CHECK(sem.try_acquire(0));
  CHECK(!sem.try_acquire(2));
  CHECK(sem.try_acquire(1));
  CHECK(!sem.try_acquire(1));
  sem.release(2);
  CHECK(!sem.try_acquire(3));
  CHECK(sem.try_acquire(2));
  co_await sem.acquire(0);
}

RINGO_TEST("SM: what was done before release() is visible after acquire()") {
  Semaphore sem(1);
  long counter = 0;
  WaitGroup wg;
  for (int i = 0; i < 4; ++i) {
    wg.go([&]() -> Task<> {
      for (int k = 0; k < 5000; ++k) {
        co_await sem.acquire();
        ++counter;
        sem.release();
      }
    });
  }
  co_await wg.wait();
  CHECK(counter == 20000);
}

RINGO_TEST_PINNED("SM-01: a large request at the front keeps later small ones waiting") {
  Semaphore sem(4);
  std::string order;
  co_await sem.acquire(3);
  auto large = taker(sem, order, "large ", 4);
  auto small = taker(sem, order, "small ", 1);
  co_await test::yields();
  CHECK(!sem.try_acquire());  // one is free, but not for us
  sem.release(2);
  co_await test::yields();
  CHECK(order.empty());
  sem.release(1);
  co_await large;
  co_await test::yields();
  CHECK(order == "large ");
  sem.release(4);
  co_await small;
  CHECK(order == "large small ");
}

RINGO_TEST("SM-01: a large request does not starve") {
  Semaphore sem(3);
  bool stop = false;
  WaitGroup wg;
  for (int i = 0; i < 3; ++i) {
    wg.go([&]() -> Task<> {
      for (;;) {
        co_await sem.acquire(1);
        co_await yield();
        bool last = stop;
        sem.release(1);
        if (last) co_return;
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    co_await sem.acquire(3);
    sem.release(3);
  }
  co_await sem.acquire(3);
  stop = true;
  sem.release(3);
  co_await wg.wait();
}

RINGO_TEST_PINNED("SM-02: a cancelled request leaves its place, those behind are looked at again") {
  for (bool leave_first : {false, true}) {
    Semaphore sem(10);
    std::string order;
    co_await sem.acquire(1);
    Victim large([&]() -> Task<> { co_await sem.acquire(10); });
    co_await test::yields();
    auto behind = taker(sem, order, "behind ", 1);
    co_await test::yields();
    CHECK(order.empty());
    CHECK(large.cancel());
    if (leave_first) {
      co_await large.ended();
      co_await test::yields();
      CHECK(order == "behind ");
    }
    CHECK(sem.try_acquire(2));  // it is in nobody's way, left or not
    co_await behind;
    CHECK(order == "behind ");
    co_await large.ended();
    CHECK(large.end() == End::canceled);
    sem.release(4);
    CHECK(sem.try_acquire(10));
  }
}

RINGO_TEST_PINNED("SM-02: tokens for a cancelled request go to the next") {
  Semaphore sem(1);
  std::string order;
  co_await sem.acquire();
  Victim a([&]() -> Task<> { co_await sem.acquire(); });
  co_await test::yields();
  auto b = taker(sem, order, "b", 1);
  co_await test::yields();
  CHECK(a.cancel());
  sem.release();  // it has not left yet
  co_await b;
  CHECK(order == "b");
  CHECK(a.end() == End::canceled);
  // Granted first: it holds them, and the next wait is cancelled.
  Victim c([&]() -> Task<> {
    co_await sem.acquire();
    order += "c";
    co_await sem.acquire();
  });
  co_await test::yields();
  sem.release();
  CHECK(!c.cancel());
  co_await c.ended();
  CHECK(order == "bc");
  CHECK(c.end() == End::canceled);
  CHECK(!sem.try_acquire());
  sem.release();
  CHECK(sem.try_acquire());
  // Already cancelled: fails even if tokens are free.
  sem.release();
  Victim d([&]() -> Task<> {
    detail::current_goroutine()->cancel_requested = true;
    co_await sem.acquire();
  });
  co_await d.ended();
  CHECK(d.end() == End::canceled);
  CHECK(sem.try_acquire());
}

RINGO_TEST("SM-02: no token is lost between grants, select and cancellation") {
  constexpr int size = 5;
  Semaphore sem(size);
  Channel<int> ch;
  std::atomic<int> inside{0};
  auto round = [&](int i, int k) -> Task<> {
    const int n = (i * 7 + k) % size + 1;
    bool got = true;
    if (k % 2 == 0) {
      co_await sem.acquire(n);
    } else {
      got = co_await select_any{on(sem.acquire(n), [] { return true; }),
                                on(ch.recv(), [] { return false; })};
    }
    if (!got) co_return;
    CHECK((inside += n) <= size);
    test::jitter(static_cast<unsigned>(k));
    inside -= n;
    sem.release(n);
  };
  co_await test::while_cancelling(5, 1000, round, [&]() -> Task<> {
    for (int i = 0; i < 5; ++i) {
      ch.try_send(1);
      co_await yield();
    }
  });
  CHECK(sem.try_acquire(size));
}

RINGO_TEST("SM-02: a grant that was never taken is given back") {
  Semaphore sem(3);
  {
    detail::SemaphoreCase wait(sem.acquire(2));
    wait.node.g = detail::current_goroutine();
    CHECK(wait.try_take());
    CHECK(!sem.try_acquire(2));
  }
  CHECK(sem.try_acquire(3));
  co_return;
}

RINGO_TEST_PINNED("SM-03: more than there is waits for ever, and keeps nobody waiting") {
  Semaphore sem(2);
  Victim greedy([&]() -> Task<> { co_await sem.acquire(3); });
  co_await test::yields();
  CHECK(greedy.end() == End::running);
  co_await sem.acquire(2);
  sem.release(1);
  CHECK(sem.try_acquire(1));
  sem.release(2);
  co_await test::yields();
  CHECK(greedy.cancel());
  co_await greedy.ended();
  CHECK(greedy.end() == End::canceled);
  CHECK(co_await select_any{on(sem.acquire(3), [] { return 0; }),
                            on(sem.acquire(2), [] { return 1; })} == 1);
}

RINGO_TEST("SM-03: releasing more than is held panics and changes nothing") {
  const char* text = "semaphore: released more than held";
  Semaphore sem(2);
  CHECK(test::panic_of([&] { sem.release(); }) == text);
  co_await sem.acquire();
  CHECK(test::panic_of([&] { sem.release(2); }) == text);
  sem.release();
  CHECK(test::panic_of([&] { sem.release(); }) == text);
  sem.release(0);
  CHECK(sem.try_acquire(2));
  const char* negative = "semaphore: negative number of tokens";
  CHECK(test::panic_of([&] { sem.release(-1); }) == negative);
  CHECK(test::panic_of([&] { sem.try_acquire(-1); }) == negative);
  CHECK(test::panic_of([&] { (void)sem.acquire(-1); }) == negative);
  CHECK(test::panic_of([&] { Semaphore bad(-1); }) == "semaphore: negative size");
}

RINGO_TEST_PINNED("Semaphore: acquire() as a case of select") {
  Semaphore sem(2);
  Channel<int> ch(1);
  std::string order;
  auto select = [&](std::int64_t n) -> Task<int> {
    co_return co_await select_any{on(sem.acquire(n), [] { return 0; }),
                                  on(ch.recv(), [] { return 1; })};
  };
  CHECK(co_await select(1) == 0);
  // It loses, and does not keep others waiting any more.
  auto loser = go_on(0, select, 2);
  co_await test::yields();
  auto behind = taker(sem, order, "behind", 1);
  co_await test::yields();
  CHECK(order.empty());
  co_await ch.send(1);
  co_await behind;
  CHECK(co_await loser == 1);
  auto winner = go_on(0, select, 2);
  co_await test::yields();
  sem.release(2);
  CHECK(co_await winner == 0);
  CHECK(!sem.try_acquire());
}

TEST_CASE("Semaphore: plain threads release and try") {
  test::for_each_setting([](const test::Setting& setting) {
    Semaphore sem(2);
    CHECK(sem.try_acquire(2));  // no runtime
    test::run_setting(setting, [&]() -> Task<> {
      auto waiter = go([&]() -> Task<> { co_await sem.acquire(2); });
      co_await yield();
      std::atomic<bool> over{false};
      bool taken = true;
      std::thread thread([&] {
        sem.release(2);
        while (!waiter.done()) std::this_thread::yield();
        taken = sem.try_acquire(1);
        over = true;
      });
      co_await test::eventually([&] { return over.load(); });
      thread.join();
      CHECK(!taken);
      co_await waiter;
    });
    sem.release(2);
    CHECK(sem.try_acquire(2));
  });
}

TEST_CASE("Semaphore: drained waiters are cancelled") { test::expect_drained<Empty>(acquire_it); }

TEST_CASE("Semaphore: destroyed while goroutines wait") {
  test::expect_fatal_destruction<Empty>("Semaphore", acquire_it);
  test::expect_destruction_by_exception<Empty>(acquire_it);
}

TEST_CASE("Semaphore: waiters of an earlier runtime are forgotten, a live one is not shared") {
  test::expect_forgotten_waiters<Empty>("Semaphore", acquire_it, [](Semaphore& sem) -> Task<> {
    sem.release(2);  // nobody gets them
    CHECK(sem.try_acquire(2));
    auto waiter = go([&]() -> Task<> { co_await sem.acquire(); });
    co_await test::yields();
    sem.release(1);
    co_await waiter;
  });
}
