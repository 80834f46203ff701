#include <ringo/cond.hpp>

#include <deque>
#include <memory>
#include <string>
#include <type_traits>

#include <ringo/wait_group.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::End;
using test::Victim;

static_assert(sizeof(Cond) <= 32);

namespace {

struct Pair {
  Mutex mu;
  Cond cond{mu};
};
/// A Cond whose mutex lives longer.
struct Lone : Cond {
  Lone() : Cond(mutex()) {}
  static Mutex& mutex() {
    static Mutex* mu = new Mutex;
    return *mu;
  }
};
constexpr auto wait_lone = [](Lone& cond) -> Task<> {
  // Each run has a mutex of its own, so that none is left locked by an abandoned goroutine.
  auto guard = Lone::mutex().try_lock();
  if (!guard) guard = co_await Lone::mutex().lock();
  co_await cond.wait(guard);
};

}  // namespace

RINGO_TEST_PINNED("CO-01: wait unlocks, and locks again before it returns") {
  Pair p;
  bool waiting = false;
  bool through = false;
  auto waiter = go_on(0, [&]() -> Task<> {
    auto guard = co_await p.mu.lock();
    waiting = true;
    co_await p.cond.wait(guard);
    CHECK(guard.owns_lock());
    CHECK(guard.mutex() == &p.mu);
    CHECK(!p.mu.try_lock());
    through = true;
  });
  co_await test::yields();
  CHECK(waiting);
  auto guard = p.mu.try_lock();
  REQUIRE(guard.owns_lock());
  p.cond.signal();
  co_await test::yields(4);
  CHECK(!through);  // the mutex is ours
  guard.unlock();
  co_await waiter;
  CHECK(through);
  CHECK(p.mu.try_lock().owns_lock());
}

TEST_CASE("CO-07: copying or moving a Cond does not compile") {
  static_assert(!std::is_copy_constructible_v<Cond> && !std::is_move_constructible_v<Cond>);
  static_assert(!std::is_copy_assignable_v<Cond> && !std::is_move_assignable_v<Cond>);
}

TEST_CASE("CO-08: waiting on a Cond is no case of a select") {
  static_assert(
      !detail::IsOperation<decltype(std::declval<Cond&>().wait(std::declval<Mutex::Guard&>()))>);
}

TEST_CASE("CO-02: waiting without the lock is fatal") {
  test::expect_exit_matrix(2, "fatal error: sync: unlock of unlocked mutex", []() -> Task<> {
    Pair p;
    Mutex::Guard empty;
    co_await p.cond.wait(empty);
  });
}

RINGO_TEST("CO-02: waiting with another lock is a panic") {
  Pair p;
  Mutex other;
  auto guard = co_await other.lock();
  auto text = co_await test::panic_of_task([&]() -> Task<> { co_await p.cond.wait(guard); });
  CHECK(text == "Cond::wait: the guard holds another mutex");
  CHECK(guard.owns_lock());
}

RINGO_TEST("CO-03: a signal wakes exactly one") {
  Pair p;
  constexpr int n = 10;
  int running = 0;
  std::atomic<int> awake{0};
  WaitGroup wg;
  for (int i = 0; i < n; ++i) {
    wg.go([&]() -> Task<> {
      auto guard = co_await p.mu.lock();
      ++running;
      co_await p.cond.wait(guard);
      ++awake;
    });
  }
  for (;;) {
    auto guard = co_await p.mu.lock();
    if (running == n) break;
    guard.unlock();
    co_await yield();
  }
  for (int k = 1; k <= n; ++k) {
    {
      auto guard = co_await p.mu.lock();
      p.cond.signal();
    }
    co_await test::eventually([&] { return awake == k; });
    co_await test::yields(5);
    CHECK(awake == k);
  }
  co_await wg.wait();
  p.cond.signal();  // nobody
}

RINGO_TEST("CO-03: signals go in the order of the waits, generations 0 to 99") {
  Pair p;
  constexpr int n = 100;
  int started = 0;
  int next = 0;
  bool running = false;
  WaitGroup wg;
  for (int i = 0; i < n; ++i) {
    wg.go([&, i]() -> Task<> {
      auto guard = co_await p.mu.lock();
      while (started != i) {  // they begin to wait in their order
        guard.unlock();
        co_await yield();
        guard = co_await p.mu.lock();
      }
      ++started;
      co_await p.cond.wait(guard);
      CHECK(next == i);
      ++next;
      running = true;
    });
  }
  for (;;) {
    auto guard = co_await p.mu.lock();
    if (started == n) break;
    guard.unlock();
    co_await yield();
  }
  for (int i = 0; i < n; ++i) {
    {
      auto guard = co_await p.mu.lock();
      running = false;
      p.cond.signal();
    }
    for (;;) {
      auto guard = co_await p.mu.lock();
      if (running) break;
      guard.unlock();
      co_await yield();
    }
  }
  co_await wg.wait();
  CHECK(next == n);
}

RINGO_TEST("CO-04: a broadcast wakes all, 200 goroutines 200 times" * doctest::test_suite("long")) {
  Pair p;
  constexpr int n = 200;
  int running = 0;
  int awake = 0;
  bool exit = false;
  WaitGroup wg;
  for (int i = 0; i < n; ++i) {
    wg.go([&]() -> Task<> {
      auto guard = co_await p.mu.lock();
      while (!exit) {
        ++running;
        co_await p.cond.wait(guard);
        ++awake;
      }
    });
  }
  for (int i = 0; i < n; ++i) {
    for (;;) {
      auto guard = co_await p.mu.lock();
      if (running == n) break;
      guard.unlock();
      co_await yield();
    }
    auto guard = co_await p.mu.lock();
    if (i > 0) CHECK(awake == n);
    running = 0;
    awake = 0;
    exit = i == n - 1;
    p.cond.broadcast();
  }
  co_await wg.wait();
  CHECK(awake == n);
}

RINGO_TEST_PINNED("CO-05: who waited before a broadcast is woken, who comes later is not") {
  Pair p;
  std::string order;
  auto waiter = [&](char name) {
    return go_on(0, [&, name]() -> Task<> {
      auto guard = co_await p.mu.lock();
      co_await p.cond.wait(guard);
      order += name;
    });
  };
  auto a = waiter('a');
  auto b = waiter('b');
  co_await test::yields();
  p.cond.broadcast();
  auto c = waiter('c');  // waits before a and b have run
  co_await a;
  co_await b;
  co_await test::yields(4);
  CHECK(order == "ab");
  p.cond.broadcast();
  co_await c;
  CHECK(order == "abc");
}

RINGO_TEST("CO-06: with and without the lock, and no wake-up is missed") {
  // A queue of one place: each side waits for the other, so a lost signal hangs.
  Pair p;
  Cond space(p.mu);
  constexpr int items = 5000;
  std::deque<int> queue;
  auto producer = go([&]() -> Task<> {
    for (int i = 0; i < items; ++i) {
      auto guard = co_await p.mu.lock();
      co_await space.wait(guard, [&] { return queue.empty(); });
      queue.push_back(i);
      if (i % 2 == 0) guard.unlock();
      p.cond.signal();
    }
  });
  for (int i = 0; i < items; ++i) {
    auto guard = co_await p.mu.lock();
    while (queue.empty()) co_await p.cond.wait(guard);
    CHECK(queue.front() == i);
    queue.pop_front();
    if (i % 3 == 0) guard.unlock();
    space.signal();
  }
  co_await producer;
}

RINGO_TEST_PINNED("Cond: a cancelled wait holds the mutex again") {
  Pair p;
  bool held = false;
  bool canceled = false;
  auto body = [&]() -> Task<> {
    auto guard = co_await p.mu.lock();
    try {
      co_await p.cond.wait(guard);
    } catch (const Canceled&) {
      canceled = true;
      held = guard.owns_lock() && !p.mu.try_lock().owns_lock();
      throw;
    }
  };
  Victim victim(body);
  co_await test::yields();
  auto mine = co_await p.mu.lock();
  CHECK(victim.cancel());
  co_await test::yields(4);
  CHECK(!canceled);  // it waits for the mutex, come what may
  victim.cancel();   // again, while it waits for the mutex
  co_await test::yields(4);
  CHECK(!canceled);
  mine.unlock();
  co_await victim.ended();
  CHECK(victim.end() == End::canceled);
  CHECK(held);
  CHECK(p.mu.try_lock().owns_lock());

  // Cancelled before it waits: the mutex stays locked throughout.
  canceled = held = false;
  Victim early([&]() -> Task<> {
    auto guard = co_await p.mu.lock();
    detail::current_goroutine()->cancel_requested = true;
    try {
      co_await p.cond.wait(guard);
    } catch (const Canceled&) {
      held = guard.owns_lock() && !p.mu.try_lock().owns_lock();
      throw;
    }
  });
  co_await early.ended();
  CHECK(early.end() == End::canceled);
  CHECK(held);
  CHECK(p.mu.try_lock().owns_lock());
}

RINGO_TEST_PINNED("Cond: a signal is not lost to a cancelled waiter") {
  Pair p;
  auto wait = [&]() -> Task<> {
    auto guard = co_await p.mu.lock();
    co_await p.cond.wait(guard);
  };
  Victim a(wait);
  Victim b(wait);
  co_await test::yields();
  CHECK(a.cancel());
  p.cond.signal();  // a has not left yet
  co_await a.ended();
  co_await b.ended();
  CHECK(a.end() == End::canceled);
  CHECK(b.end() == End::returned);
  // Signalled first: the cancellation comes too late for this wait.
  Victim c(wait);
  co_await test::yields();
  p.cond.signal();
  CHECK(!c.cancel());
  co_await c.ended();
  CHECK(c.end() != End::running);
  CHECK(p.mu.try_lock().owns_lock());
}

RINGO_TEST("Cond: signals, broadcasts and cancellations at once") {
  Pair p;
  int tokens = 0;
  int taken = 0;
  auto take_one = [&](int, int) -> Task<> {
    for (bool got = false; !got;) {
      try {
        auto guard = co_await p.mu.lock();
        while (tokens == 0) co_await p.cond.wait(guard);
        --tokens;
        ++taken;
        got = true;
      } catch (const Canceled&) {}
      detail::current_goroutine()->cancel_requested = false;
    }
  };
  unsigned round = 0;
  co_await test::while_cancelling(4, 300, take_one, [&]() -> Task<> {
    {
      auto guard = co_await p.mu.lock();
      if (tokens < 3) ++tokens;
    }
    if (++round % 5 == 0) {
      p.cond.broadcast();
    } else {
      p.cond.signal();
    }
  });
  CHECK(taken == 1200);
  CHECK(p.mu.try_lock().owns_lock());
}

TEST_CASE("Cond: plain threads signal") {
  test::for_each_setting([](const test::Setting& setting) {
    Pair p;
    p.cond.signal();  // no runtime
    p.cond.broadcast();
    test::run_setting(setting, [&]() -> Task<> {
      bool ready = false;
      auto guard = co_await p.mu.lock();
      std::thread thread([&] {
        for (bool done = false; !done;) {
          if (auto mine = p.mu.try_lock()) done = ready = true;
        }
        p.cond.signal();
      });
      co_await p.cond.wait(guard, [&] { return ready; });
      guard.unlock();
      co_await test::eventually([&] { return p.mu.try_lock().owns_lock(); });
      thread.join();
    });
  });
}

TEST_CASE("Cond: drained waiters are cancelled, and unlock") {
  test::for_each_setting([](const test::Setting& setting) {
    Options options;
    options.drain = 20s;
    std::atomic<int> canceled{0};
    Pair p;
    test::run_setting(
        setting,
        [&]() -> Task<> {
          for (int i = 0; i < 6; ++i) {
            go([&, i]() -> Task<> {
              try {
                auto guard = co_await p.mu.lock();
                if (i % 2 == 0) detail::current_goroutine()->guarded = true;
                co_await p.cond.wait(guard);
              } catch (const Canceled&) {
                ++canceled;
                throw;
              }
            });
          }
          co_await test::yields(5);
        },
        options);
    CHECK(canceled == 6);
    CHECK(p.mu.try_lock().owns_lock());
  });
}

TEST_CASE("Cond: destroyed while goroutines wait") {
  test::expect_fatal_destruction<Lone>("Cond", wait_lone);
  test::expect_destruction_by_exception<Lone>(wait_lone);
}

TEST_CASE("Cond: waiters of an earlier runtime are forgotten, a live one is not shared") {
  // (Another runtime gets as far as the mutex.)
  test::expect_forgotten_waiters<Lone>("Mutex", wait_lone, [](Lone& cond) -> Task<> {
    cond.signal();  // nobody gets it
    bool through = false;
    auto waiter = go([&]() -> Task<> {
      auto guard = co_await Lone::mutex().lock();
      co_await cond.wait(guard);
      through = true;
    });
    for (;;) {
      auto guard = co_await Lone::mutex().lock();
      if (through) break;
      cond.signal();
      guard.unlock();
      co_await yield();
    }
    co_await waiter;
  });
}
