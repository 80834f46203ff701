// A goroutine that has run for long enough lets others go first before it takes a lock, and holds
// none meanwhile (MU-04: in Go, too, whoever runs may take a lock that is free).
#include <ringo/mutex.hpp>
#include <ringo/semaphore.hpp>
#include <ringo/shared_mutex.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace ringo::test;

namespace {

/// take() locks and unlocks without a wait in between; is_free() tells whether nobody holds it.
template <class Take, class IsFree>
Task<> expect_free_while_others_run(Take take, IsFree is_free) {
  bool done = false;
  bool always_free = true;
  int looks = 0;
  auto other = go_on(0, [&]() -> Task<> {
    while (!done) {
      always_free = always_free && is_free();
      ++looks;
      co_await yield();
    }
  });
  for (int i = 0; i < 10'000; ++i) co_await take();
  done = true;
  co_await other;
  CHECK(always_free);
  CHECK_GE(looks, 50);
}

Task<> lock_for_ever(Mutex& mu, long& times) {
  for (;;) {
    auto guard = co_await mu.lock();
    ++times;
  }
}

}  // namespace

RINGO_TEST_PINNED("MU-04: no Mutex is held by a goroutine that lets others go first") {
  Mutex mu;
  co_await expect_free_while_others_run([&]() -> Task<> { auto guard = co_await mu.lock(); },
                                        [&] { return static_cast<bool>(mu.try_lock()); });
}

RINGO_TEST_PINNED("MU-04: no Mutex is held by one that can be cancelled and lets others go first") {
  Mutex mu;
  Victim victim([&]() -> Task<> {
    co_await expect_free_while_others_run([&]() -> Task<> { auto guard = co_await mu.lock(); },
                                          [&] { return static_cast<bool>(mu.try_lock()); });
  });
  co_await victim.ended();
  CHECK(victim.end() == End::returned);
}

RINGO_TEST_PINNED("RW-01: no SharedMutex is held by a goroutine that lets others go first") {
  SharedMutex mu;
  const auto is_free = [&] { return static_cast<bool>(mu.try_lock()); };
  co_await expect_free_while_others_run([&]() -> Task<> { auto guard = co_await mu.lock(); },
                                        is_free);
  co_await expect_free_while_others_run(
      [&]() -> Task<> { auto guard = co_await mu.lock_shared(); }, is_free);
}

RINGO_TEST_PINNED("no Semaphore's tokens are held by a goroutine that lets others go first") {
  Semaphore semaphore(2);
  co_await expect_free_while_others_run(
      [&]() -> Task<> {
        co_await semaphore.acquire();
        semaphore.release();
      },
      [&] {
        const bool free = semaphore.try_acquire(2);
        if (free) semaphore.release(2);
        return free;
      });
}

RINGO_TEST_PINNED("MU-01: who finds it locked when its turn comes again waits like anybody") {
  Mutex mu;
  long times = 0;
  auto busy = go_on(0, lock_for_ever, std::ref(mu), std::ref(times));
  co_await yields(2);
  const long before = times;
  CHECK_GT(before, 0);
  {
    auto guard = co_await mu.lock();
    co_await yields(10);
    CHECK_EQ(times, before);
  }
  co_await yields(2);
  CHECK_GT(times, before);
  busy.detach();
}

RINGO_TEST_PINNED("cancelled while it lets others go first, a goroutine does not get the lock") {
  Mutex mu;
  long times = 0;
  Victim victim([&] { return lock_for_ever(mu, times); });
  co_await yields(3);
  const long before = times;
  CHECK_GT(before, 0);
  CHECK_FALSE(victim.cancel());  // it does not wait
  co_await victim.ended();
  CHECK(victim.end() == End::canceled);
  CHECK_EQ(times, before);
  CHECK(static_cast<bool>(mu.try_lock()));
}

TEST_CASE("a runtime may end while goroutines let others go first") {
  for_each_setting([](const Setting& setting) {
    for (int round = 0; round < 3; ++round) {
      auto mu = std::make_unique<Mutex>();
      long times = 0;
      run_setting(setting, [&]() -> Task<> {
        for (int i = 0; i < 10; ++i) go_on(0, lock_for_ever, std::ref(*mu), std::ref(times));
        go_on(0, [&]() -> Task<> { co_await yields(5); });
        co_await yields(5);
      });
      // The next runtime of the process is none the worse for it.
      run_setting(setting, []() -> Task<> {
        for (int i = 0; i < 20; ++i) co_await go_on(0, [] {});
      });
    }
  });
}
