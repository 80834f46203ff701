#include <ringo/mutex.hpp>
#include <ringo/wait_group.hpp>

#include <memory>
#include <string>
#include <type_traits>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::End;
using test::Victim;

static_assert(!std::is_copy_constructible_v<Mutex> && !std::is_move_constructible_v<Mutex>);
static_assert(!std::is_copy_assignable_v<Mutex> && !std::is_move_assignable_v<Mutex>);
static_assert(!std::is_copy_constructible_v<Mutex::Guard>);
static_assert(std::is_nothrow_move_constructible_v<Mutex::Guard>);
static_assert(std::is_nothrow_move_assignable_v<Mutex::Guard>);
static_assert(sizeof(Mutex) <= 32);

RINGO_TEST_PINNED("MU-01: starts unlocked, waits, and may be unlocked by another goroutine") {
  Mutex mu;
  Mutex* locked = (co_await mu.lock()).release();
  CHECK(locked == &mu);
  std::string order;
  auto waiter = go_on(0, [&]() -> Task<> {
    auto guard = co_await mu.lock();
    order += "got it";
  });
  co_await test::yields();
  CHECK(order.empty());
  co_await go_on(0, [&] { mu.unlock(); });
  co_await waiter;
  CHECK(order == "got it");
}

RINGO_TEST_PINNED("MU-02: not recursive") {
  Mutex mu;
  int stage = 0;
  Victim victim([&]() -> Task<> {
    auto outer = co_await mu.lock();
    stage = 1;
    auto inner = co_await mu.lock();
    stage = 2;
  });
  co_await test::yields(5);
  CHECK(stage == 1);
  CHECK(!mu.try_lock().owns_lock());
  victim.cancel();
  co_await victim.ended();
  CHECK(victim.end() == End::canceled);
  CHECK(mu.try_lock().owns_lock());
}

TEST_CASE("MU-03: unlocking an unlocked mutex is fatal, catching does not help") {
  const char* text = "fatal error: sync: unlock of unlocked mutex";
  test::expect_exit_matrix(2, text, []() -> Task<> {
    Mutex mu;
    try {
      mu.unlock();
    } catch (...) { ::_exit(0); }
    co_return;
  });
  test::expect_exit_matrix(2, text, []() -> Task<> {
    Mutex mu;
    (co_await mu.lock()).release();
    mu.unlock();
    mu.unlock();
  });
  test::expect_exit(2, text, [] {  // before any runtime
    Mutex mu;
    mu.unlock();
  });
  test::expect_exit_matrix(2, "fatal error: sync: unlock by a guard that holds nothing",
                           []() -> Task<> {
                             Mutex mu;
                             auto guard = co_await mu.lock();
                             guard.unlock();
                             guard.unlock();
                           });
}

RINGO_TEST_PINNED("MU-05: waiters get it in their order") {
  Mutex mu;
  std::string order;
  auto guard = co_await mu.lock();
  WaitGroup wg;
  for (char name : {'a', 'b', 'c', 'd'}) {
    wg.add(1);
    go_on(0, [&, name]() -> Task<> {
      {
        auto mine = co_await mu.lock();
        order += name;
        co_await test::yields(2);  // held across suspensions
        order += name;
      }
      wg.done();
    });
  }
  co_await test::yields();
  guard.unlock();
  co_await wg.wait();
  CHECK(order == "aabbccdd");
}

RINGO_TEST_PINNED("MU-04: who runs may lock it before the one that was woken, and only once") {
  Mutex mu;
  std::string order;
  auto guard = co_await mu.lock();
  auto wait = [&](char name) -> Task<> {
    auto mine = co_await mu.lock();
    order += name;
  };
  auto a = go_on(0, wait, 'a');
  auto b = go_on(0, wait, 'b');
  co_await test::yields();
  guard.unlock();
  guard = mu.try_lock();
  REQUIRE(guard.owns_lock());
  guard.unlock();  // wakes nobody else
  guard = co_await mu.lock();
  co_await test::yields();
  CHECK(order.empty());  // a was woken in vain, and is the first one again
  guard.unlock();
  CHECK(!mu.try_lock().owns_lock());  // it is a's already
  co_await a;
  co_await b;
  CHECK(order == "ab");
  CHECK(mu.try_lock().owns_lock());
}

RINGO_TEST_PINNED("MU-05: a waiter waits for two unlocks at most, however often another one locks") {
  Mutex mu;
  bool stop = false;
  long cycles = 0;
  auto hog = go_on(0, [&]() -> Task<> {
    while (!stop) {
      auto guard = co_await mu.lock();
      ++cycles;
      co_await yield();
    }
  });
  co_await test::yields();
  for (int i = 0; i < 100; ++i) {
    long before = cycles;
    auto guard = co_await mu.lock();
    CHECK(cycles <= before + 2);
  }
  stop = true;
  co_await hog;
}

RINGO_TEST("MU-05: nobody starves among goroutines that lock all the time") {
  Mutex mu;
  bool stop = false;
  long hogs = 0;
  int mine = 0;
  WaitGroup wg;
  for (int i = 0; i < 3; ++i) {
    wg.go([&]() -> Task<> {
      for (;;) {
        auto guard = co_await mu.lock();
        if (stop) co_return;
        ++hogs;
      }
    });
  }
  for (int i = 0; i < 300; ++i) {
    auto guard = co_await mu.lock();
    ++mine;
  }
  {
    auto guard = co_await mu.lock();
    stop = true;
  }
  co_await wg.wait();
  CHECK(mine == 300);  // it came to its end
}

RINGO_TEST("MU-06: try_lock does not wait") {
  Mutex mu;
  auto guard = mu.try_lock();
  CHECK(guard.owns_lock());
  CHECK(bool(guard));
  CHECK(guard.mutex() == &mu);
  CHECK(!mu.try_lock());
  guard.unlock();
  CHECK(!guard.owns_lock());
  CHECK(mu.try_lock().owns_lock());  // and that one unlocks at once
  {
    auto held = co_await mu.lock();
    CHECK(!mu.try_lock());
  }
  CHECK(mu.try_lock().owns_lock());
}

TEST_CASE("MU-07: what was done under the lock is seen under the lock") {
  // The checks of a debug build cost more than all the rest of this.
  Options options;
  options.check_locks = Switch::off;
  test::run_matrix(
      []() -> Task<> {
        // Four goroutines, many times each; the counter is no atomic.
        Mutex mu;
        long counter = 0;
        std::vector<JoinHandle<void>> handles;
        for (int i = 0; i < 4; ++i) {
          handles.push_back(go([&]() -> Task<> {
            for (int k = 0; k < 100'000; ++k) {
              auto guard = co_await mu.lock();
              ++counter;
            }
          }));
        }
        for (auto& handle : handles) co_await handle;
        CHECK(counter == 400'000);
      },
      options);
}

RINGO_TEST("MU-08: held across waits") {
  Mutex mu;
  int inside = 0;
  int entered = 0;
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 8; ++i) {
    handles.push_back(go([&, i]() -> Task<> {
      for (int k = 0; k < 25; ++k) {
        auto guard = co_await mu.lock();
        CHECK(inside == 0);
        ++inside;
        ++entered;
        if ((i + k) % 8 == 0) co_await sleep_for(10us);
        if ((i + k) % 2 == 0) co_await yield();
        --inside;
      }
    }));
  }
  for (auto& handle : handles) co_await handle;
  CHECK(entered == 200);
}

RINGO_TEST("Mutex: guards move, and give back what they held") {
  Mutex a;
  Mutex b;
  {
    Mutex::Guard empty;
    CHECK(!empty);
    auto first = co_await a.lock();
    Mutex::Guard moved(std::move(first));
    CHECK(!first.owns_lock());
    CHECK(moved.owns_lock());
    moved = co_await b.lock();  // gives a back
    CHECK(a.try_lock().owns_lock());
    CHECK(!b.try_lock().owns_lock());
    Mutex::Guard& self = moved;
    moved = std::move(self);
    CHECK(moved.mutex() == &b);
  }
  CHECK(b.try_lock().owns_lock());
  Mutex* kept = (co_await a.lock()).release();
  CHECK(!a.try_lock().owns_lock());
  Mutex::Guard adopted(*kept);
  adopted = Mutex::Guard();
  CHECK(a.try_lock().owns_lock());
}

RINGO_TEST("Mutex: the last one to unlock may destroy it at once") {
  for (int round = 0; round < 3000; ++round) {
    auto mu = std::make_unique<Mutex>();
    int left = 3;
    WaitGroup wg;
    for (int i = 0; i < 3; ++i) {
      wg.go([&, round]() -> Task<> {
        auto guard = co_await mu->lock();
        test::jitter(static_cast<unsigned>(round));
        bool last = --left == 0;
        guard.unlock();
        if (last) mu.reset();
      });
    }
    co_await wg.wait();
  }
}

RINGO_TEST_PINNED("Mutex: lock() as a case of select") {
  Mutex mu;
  Channel<int> ch(1);
  auto select = [&](bool keep) -> Task<int> {
    co_return co_await select_any{on(mu.lock(),
                                     [&](Mutex::Guard guard) {
                                       if (keep) guard.release();
                                       return 0;
                                     }),
                                  on(ch.recv(), [] { return 1; })};
  };
  CHECK(co_await select(true) == 0);
  CHECK(!mu.try_lock());
  // It loses: the lock is not held, nor is a place in the queue.
  auto loser = go_on(0, select, true);
  co_await test::yields();
  co_await ch.send(1);
  mu.unlock();  // the loser has not left yet
  CHECK(mu.try_lock().owns_lock());
  CHECK(co_await loser == 1);
  CHECK(mu.try_lock().owns_lock());
  // It wins after waiting.
  auto held = co_await mu.lock();
  auto winner = go_on(0, select, true);
  co_await test::yields();
  held.unlock();
  CHECK(co_await winner == 0);
  CHECK(!mu.try_lock());
  mu.unlock();
  // A handler that does not take the guard lets go of it.
  co_await select_any{on(mu.lock(), [] {}), on(ch.recv(), [] {})};
  CHECK(mu.try_lock().owns_lock());
  // With a default, and without handlers.
  held = co_await mu.lock();
  CHECK(co_await select_any{on(mu.lock(), [] { return 0; }), otherwise([] { return 2; })} == 2);
  held.unlock();
  {
    auto result = co_await select_any{ch.recv(), mu.lock()};
    REQUIRE(result.index() == 1);
    CHECK(result.get<1>().owns_lock());
    CHECK(!mu.try_lock());
  }
  CHECK(mu.try_lock().owns_lock());
}

RINGO_TEST("Mutex: many select between a lock and a channel") {
  Mutex mu;
  Channel<int> ch;
  constexpr int goroutines = 4;
  constexpr int rounds = 3000;
  long locked = 0;
  std::atomic<long> received{0};
  std::atomic<bool> over{false};
  WaitGroup wg;
  for (int i = 0; i < goroutines; ++i) {
    wg.go([&]() -> Task<> {
      for (int k = 0; k < rounds; ++k) {
        co_await select_any{on(mu.lock(), [&](Mutex::Guard) { ++locked; }),
                            on(ch.recv(), [&] { ++received; })};
      }
    });
  }
  auto feeder = go([&]() -> Task<> {
    long sent = 0;
    while (!over) {
      bool went = co_await select_any{on(ch.send(1), [] { return true; }),
                                      on(after(1ms), [] { return false; })};
      if (went) ++sent;
    }
    CHECK(sent == received);
  });
  auto holder = go([&]() -> Task<> {
    while (!over) {
      auto guard = co_await mu.lock();
      co_await yield();
    }
  });
  co_await wg.wait();
  over = true;
  co_await feeder;
  co_await holder;
  CHECK(locked + received == goroutines * rounds);
}
