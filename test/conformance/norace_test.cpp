// What happens before what: the NoRace programs of Go's race detector. Each hands a plain variable
// from one goroutine to another with nothing but the operation in question in between, so a missing
// edge is a report of TSan, and a wrong order a wrong value.
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include <ringo/context.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;
using namespace ringo::test;

namespace {

/// Often enough for both sides to be first.
constexpr int rounds = 50;

}  // namespace

// --- channels -----------------------------------------------------------------------------------

RINGO_TEST("NoRaceChanSync, ChanAsync: a send before its receive is over") {
  for (int i = 0; i < rounds; ++i) {
    for (int capacity : {0, 10}) {
      int value = 0;
      Channel<> ch(capacity);
      auto writer = go([&value, ch]() -> Task<> {
        value = 1;
        co_await ch.send();
      });
      co_await ch.recv();
      CHECK_EQ(value, 1);
      value = 2;
      co_await writer;
    }
  }
}

RINGO_TEST("NoRaceChanSyncRev: a receive before its unbuffered send is over") {
  for (int i = 0; i < rounds; ++i) {
    int value = 0;
    Channel<> ch;
    auto writer = go([&value, ch]() -> Task<> {
      value = 1;
      co_await ch.recv();
    });
    co_await ch.send();
    CHECK_EQ(value, 1);
    value = 2;
    co_await writer;
  }
}

RINGO_TEST("NoRaceChanAsyncCloseRecv: close before what is received for it") {
  for (int i = 0; i < rounds; ++i) {
    for (int form : {0, 1, 2}) {
      int value = 0;
      Channel<> ch(10);
      auto writer = go([&value, ch]() -> Task<> {
        value = 1;
        ch.close();
        co_return;
      });
      if (form == 0) co_await ch.recv();
      if (form == 1) co_await select_any{ch.recv(), Channel<>::nil().recv()};
      if (form == 2) {
        while (auto got = co_await ch.recv()) FAIL_CHECK("nothing was sent");
      }
      CHECK_EQ(value, 1);
      value = 2;
      co_await writer;
    }
  }
}

RINGO_TEST("NoRaceChanMutex: the k-th receive before the send that takes its place") {
  for (int capacity : {1, 3}) {
    Channel<> places(capacity);
    std::vector<int> values(static_cast<std::size_t>(capacity));
    Channel<std::size_t> free(capacity);
    for (std::size_t place = 0; place < values.size(); ++place) co_await free.send(place);
    std::vector<JoinHandle<void>> users;
    for (int i = 0; i < rounds; ++i) {
      users.push_back(go([&values, places, free]() -> Task<> {
        co_await places.send();
        const std::size_t place = (co_await free.recv()).value();
        ++values[place];
        co_await yield();
        co_await free.send(place);
        co_await places.recv();
      }));
    }
    co_await join_all(users);
    int sum = 0;
    for (int value : values) sum += value;
    CHECK_EQ(sum, rounds);
  }
}

RINGO_TEST("NoRaceProducerConsumer: what a pointer on a channel points to") {
  Channel<std::shared_ptr<int>> filled(4);
  auto producer = go([filled]() -> Task<> {
    for (int i = 0; i < rounds * 10; ++i) {
      auto value = std::make_shared<int>(0);
      *value = i;
      co_await filled.send(value);
    }
    filled.close();
  });
  int next = 0;
  while (auto value = co_await filled.recv()) {
    CHECK_EQ(**value, next++);
    **value = -1;
  }
  CHECK_EQ(next, rounds * 10);
  co_await producer;
}

RINGO_TEST("NoRaceSelect: whichever case of a select it is, on both sides") {
  for (int i = 0; i < rounds; ++i) {
    int value = 0;
    Channel<int> a;
    Channel<int> b(1);
    auto writer = go([&value, a, b]() -> Task<> {
      value = 1;
      co_await select_any{a.send(1), b.send(2)};
    });
    co_await select_any{a.recv(), b.recv()};
    CHECK_EQ(value, 1);
    value = 2;
    co_await writer;
  }
}

RINGO_TEST("NoRaceSelect: a try that succeeds") {
  for (int i = 0; i < rounds; ++i) {
    int value = 0;
    Channel<int> ch(1);
    auto writer = go([&value, ch]() -> Task<> {
      value = 1;
      CHECK(ch.try_send(1));
      co_return;
    });
    while (!ch.try_recv()) co_await yield();
    CHECK_EQ(value, 1);
    value = 2;
    co_await writer;
  }
}

// --- goroutines ---------------------------------------------------------------------------------

RINGO_TEST("NoRaceGo: what was written before go, and before the end of who is joined") {
  for (int i = 0; i < rounds; ++i) {
    int value = 1;
    auto child = go([&value]() -> Task<> {
      CHECK_EQ(value, 1);
      value = 2;
      co_return;
    });
    co_await child;
    CHECK_EQ(value, 2);
  }
}

RINGO_TEST("NoRaceWaitGroup: done before wait returns, of many and in turns") {
  for (int i = 0; i < rounds; ++i) {
    std::array<int, 4> values{};
    WaitGroup group;
    for (int turn = 1; turn <= 2; ++turn) {
      for (int& value : values) {
        group.go([&value]() -> Task<> {
          ++value;
          co_return;
        });
      }
      co_await group.wait();
      for (int value : values) CHECK_EQ(value, turn);
    }
  }
}

// --- locks --------------------------------------------------------------------------------------

namespace {

template <class Lock>
Task<> add_under(Lock& lock, int& value) {
  for (int i = 0; i < rounds; ++i) {
    auto guard = co_await lock.lock();
    ++value;
    if (i % 8 == 0) co_await yield();
  }
}

Task<> acquire_and_add(Semaphore& semaphore, int& value) {
  for (int i = 0; i < rounds; ++i) {
    co_await semaphore.acquire();
    ++value;
    semaphore.release();
  }
}

template <class F, class Lock>
Task<> contend(F user, Lock& lock) {
  int value = 0;
  std::vector<JoinHandle<void>> users;
  for (int i = 0; i < 6; ++i) users.push_back(go(user, std::ref(lock), std::ref(value)));
  co_await join_all(users);
  CHECK_EQ(value, 6 * rounds);
}

}  // namespace

RINGO_TEST("NoRaceMutex, NoRaceRWMutexMultipleWriters: one after the other") {
  Mutex mutex;
  co_await contend(&add_under<Mutex>, mutex);
  SharedMutex shared;
  co_await contend(&add_under<SharedMutex>, shared);
  Semaphore semaphore(1);
  co_await contend(&acquire_and_add, semaphore);
}

RINGO_TEST("NoRaceMutexPureHappensBefore: try_lock that succeeds") {
  for (int i = 0; i < rounds; ++i) {
    Mutex mutex;
    int value = 0;
    auto writer = go([&]() -> Task<> {
      auto guard = co_await mutex.lock();
      value = 1;
    });
    for (int seen = 0; seen == 0; co_await yield()) {
      if (auto guard = mutex.try_lock()) seen = value;
    }
    co_await writer;
    CHECK_EQ(value, 1);
  }
}

RINGO_TEST("NoRaceRWMutex: readers together, each against the writer") {
  SharedMutex mutex;
  int value = 0;
  std::vector<JoinHandle<void>> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(go([&]() -> Task<> {
      int last = 0;
      for (int n = 0; n < rounds; ++n) {
        auto reading = co_await mutex.lock_shared();
        CHECK_GE(value, last);
        last = value;
        if (n % 8 == 0) co_await yield();
        CHECK_EQ(value, last);
      }
    }));
  }
  all.push_back(go(add_under<SharedMutex>, std::ref(mutex), std::ref(value)));
  co_await join_all(all);
  CHECK_EQ(value, rounds);
}

RINGO_TEST("NoRaceOnce: what the function wrote, for all who call") {
  for (int i = 0; i < rounds; ++i) {
    Once once;
    int value = 0;
    std::vector<JoinHandle<void>> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.push_back(go([&]() -> Task<> {
        co_await once.call([&]() -> Task<> {
          co_await yield();
          value = 1;
        });
        CHECK_EQ(value, 1);
      }));
    }
    co_await join_all(callers);
  }
}

RINGO_TEST("NoRaceCond: what was written before the signal") {
  for (int i = 0; i < rounds; ++i) {
    Mutex mutex;
    Cond cond(mutex);
    bool ready = false;
    int value = 0;
    auto writer = go([&]() -> Task<> {
      value = 1;
      auto guard = co_await mutex.lock();
      ready = true;
      cond.signal();
    });
    {
      auto guard = co_await mutex.lock();
      co_await cond.wait(guard, [&] { return ready; });
    }
    CHECK_EQ(value, 1);
    co_await writer;
  }
}

// --- timers and Contexts ------------------------------------------------------------------------

RINGO_TEST("NoRaceTimers: what was written before after_func was called, and by its function") {
  for (int i = 0; i < rounds; ++i) {
    int value = 1;
    Channel<> called;
    auto timer = after_func(std::chrono::microseconds(1), [&value, called] {
      CHECK_EQ(value, 1);
      value = 2;
      called.close();
    });
    co_await called.recv();
    CHECK_EQ(value, 2);
  }
}

RINGO_TEST("NoRaceContext: what was written before cancel, for who hears of it") {
  for (int i = 0; i < rounds; ++i) {
    auto [ctx, cancel] = with_cancel(background());
    int value = 0;
    auto writer = go([&value, &cancel = cancel]() -> Task<> {
      value = 1;
      cancel();
      co_return;
    });
    co_await ctx.done();
    CHECK_EQ(value, 1);
    co_await writer;
  }
}
