// Each primitive, cancelled at each of its suspensions: what was not done has left no trace, what
// was done is known to be done.
#include "cancel_everywhere.hpp"

#include <atomic>
#include <string>

#include <ringo/blocking.hpp>
#include <ringo/cond.hpp>
#include <ringo/defer.hpp>
#include <ringo/mutex.hpp>
#include <ringo/once.hpp>
#include <ringo/semaphore.hpp>
#include <ringo/shared_mutex.hpp>
#include <ringo/task_group.hpp>
#include <ringo/time.hpp>
#include <ringo/when.hpp>

#include "conformance/support.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

constexpr int count = 5;

/// Sends 0 to count - 1 with pauses, and says how many were taken.
Task<> feed(Channel<Counted> ch, Counted::Balance& balance, int& sent) {
  for (int i = 0; i < count; ++i) {
    if (i % 2 == 0) co_await yields(2);
    co_await ch.emplace(balance, i);
    ++sent;
  }
  ch.close();
}

/// Receives until the end: the values must go on from `next`.
Task<> take_all(Channel<Counted> ch, int& next) {
  while (auto value = co_await ch.recv()) {
    CHECK(value->value() == next);
    ++next;
    if (next % 2 == 0) co_await yields(2);
  }
}

}  // namespace

TEST_CASE("cancel everywhere: channel send") {
  for (int capacity : {0, 2}) {
    cancel_everywhere([capacity](Attempt& attempt) -> Task<> {
      Counted::Balance balance;
      {
        Channel<Counted> ch(capacity);
        int received = 0;
        int sent = 0;
        auto taker = go([&]() -> Task<> { co_await take_all(ch, received); });
        auto subject = [&]() -> Task<> {
          for (int i = 0; i < count; ++i) {
            co_await ch.emplace(balance, i);
            ++sent;
          }
        };
        Ran ran = co_await attempt.run(subject);
        CHECK((ran == Ran::canceled || sent == count));
        ch.close();
        co_await taker;
        CHECK(received == sent);
      }
      CHECK(balance.alive == 0);
    });
  }
}

TEST_CASE("cancel everywhere: channel receive") {
  for (int capacity : {0, 2}) {
    cancel_everywhere([capacity](Attempt& attempt) -> Task<> {
      Counted::Balance balance;
      {
        Channel<Counted> ch(capacity);
        int received = 0;
        int sent = 0;
        auto feeder = go([&]() -> Task<> { co_await feed(ch, balance, sent); });
        co_await attempt.run([&]() -> Task<> { co_await take_all(ch, received); });
        co_await take_all(ch, received);  // what the cancelled one has left
        co_await feeder;
        CHECK(received == count);
        CHECK(sent == count);
      }
      CHECK(balance.alive == 0);
    });
  }
}

TEST_CASE("cancel everywhere: select over sends, receives and a timer") {
  cancel_everywhere(
      [](Attempt& attempt) -> Task<> {
        Counted::Balance balance;
        {
          Channel<Counted> in;
          Channel<Counted> out;
          int fed = 0;
          int received = 0;
          int sent = 0;
          int delivered = 0;
          auto feeder = go([&]() -> Task<> { co_await feed(in, balance, fed); });
          auto taker = go([&]() -> Task<> { co_await take_all(out, delivered); });
          auto subject = [&]() -> Task<> {
            for (int round = 0; round < 2 * count; ++round) {
              auto happened =
                  co_await select_any{in.recv(), out.emplace(balance, sent), after(24h)};
              if (happened.index() == 0) {
                if (happened.get<0>()) {
                  CHECK(happened.get<0>()->value() == received);
                  ++received;
                }
              } else {
                CHECK(happened.index() == 1);
                ++sent;
              }
            }
          };
          co_await attempt.run(subject);
          out.close();
          co_await taker;
          CHECK(delivered == sent);
          co_await take_all(in, received);
          co_await feeder;
          CHECK(received == count);
        }
        CHECK(balance.alive == 0);
      },
      2);
}

TEST_CASE("cancel everywhere: mutex and shared mutex") {
  cancel_everywhere(
      [](Attempt& attempt) -> Task<> {
        Mutex mu;
        SharedMutex shared;
        int inside = 0;
        auto work = [&]() -> Task<> {
          for (int i = 0; i < 8; ++i) {
            auto guard = co_await mu.lock();
            CHECK(++inside == 1);
            co_await yields(2);
            --inside;
          }
          for (int i = 0; i < 8; ++i) {
            if (i % 2 == 0) {
              auto guard = co_await shared.lock();
              co_await yields(2);
            } else {
              auto guard = co_await shared.lock_shared();
              co_await yields(2);
            }
          }
        };
        auto partner = go(work);
        auto other = go(work);
        auto guarded = [&]() -> Task<> {
          for (int i = 0; i < 6; ++i) {
            auto guard = co_await mu.lock();
            CHECK(++inside == 1);
            Defer leave{[&] { --inside; }};
            co_await yield();
          }
          for (int i = 0; i < 2; ++i) {
            { auto guard = co_await shared.lock(); }
            auto guard = co_await shared.lock_shared();
            co_await yields(2);
          }
        };
        co_await attempt.run(guarded);
        co_await partner;
        co_await other;
        CHECK(inside == 0);
        CHECK(mu.try_lock());
        CHECK(shared.try_lock());
      },
      2);
}

TEST_CASE("cancel everywhere: cond") {
  cancel_everywhere([](Attempt& attempt) -> Task<> {
    Mutex mu;
    Cond cond(mu);
    int items = 0;
    int taken = 0;
    bool over = false;
    auto producer = go([&]() -> Task<> {
      for (int i = 0; i < count; ++i) {
        co_await yields(3);
        auto guard = co_await mu.lock();
        ++items;
        cond.signal();
      }
    });
    auto consumer = [&]() -> Task<> {
      auto guard = co_await mu.lock();
      while (!over && taken < count) {
        while (items == 0 && !over) co_await cond.wait(guard);
        if (items > 0) --items, ++taken;
      }
    };
    co_await attempt.run(consumer);
    co_await producer;
    CHECK(mu.try_lock());
    // A signal is not lost with a cancelled waiter: whoever comes next finds the items.
    co_await consumer();
    CHECK(taken == count);
    CHECK(items == 0);
  });
}

TEST_CASE("cancel everywhere: once") {
  cancel_everywhere([](Attempt& attempt) -> Task<> {
    Once once;
    int calls = 0;
    int ends = 0;
    auto work = [&]() -> Task<> {
      ++calls;
      co_await sleep_for(1us);
      co_await yields(2);
      ++ends;
    };
    auto other = go([&]() -> Task<> {
      co_await yield();
      co_await once.call(work);
      CHECK(ends == 1);
    });
    co_await attempt.run([&]() -> Task<> { co_await once.call(work); });
    co_await other;
    CHECK(ends == 1);
    CHECK(calls <= 2);  // a cancelled call does not count
    CHECK(once.done());
  });
}

TEST_CASE("cancel everywhere: semaphore and wait group") {
  cancel_everywhere(
      [](Attempt& attempt) -> Task<> {
        Semaphore sem(3);
        WaitGroup wg;
        auto partner = go([&]() -> Task<> {
          for (int i = 0; i < 4; ++i) {
            co_await sem.acquire(2);
            co_await yields(2);
            sem.release(2);
          }
        });
        wg.go([]() -> Task<> { co_await yields(12); });
        auto subject = [&]() -> Task<> {
          for (int n = 1; n <= 3; ++n) {
            co_await sem.acquire(n);
            Defer back{[&sem, n] { sem.release(n); }};
            co_await yields(2);
          }
          co_await wg.wait();
        };
        co_await attempt.run(subject);
        co_await partner;
        co_await wg.wait();
        CHECK(sem.try_acquire(3));
        sem.release(3);
      },
      2);
}

TEST_CASE("cancel everywhere: join, timers and done()") {
  cancel_everywhere(
      [](Attempt& attempt) -> Task<> {
        auto child = background().go([]() -> Task<int> {
          co_await yields(6);
          co_return 5;
        });
        Timer timer(500us);
        Ticker ticker(300us);
        auto [other, cancel_other] = with_timeout(background(), 400us);
        bool joined = false;
        auto subject = [&]() -> Task<> {
          int five = co_await child;  // not in CHECK, which would keep Canceled to itself
          CHECK(five == 5);
          joined = true;
          co_await timer;
          co_await ticker;
          co_await after(100us);
          co_await sleep_for(100us);
          co_await other.done();
          co_await select_any{on(ticker, [] {}), on(after(24h), [] {})};
        };
        co_await attempt.run(subject);
        if (!joined) CHECK(co_await child == 5);  // the handle is as it was
        timer.stop();
        ticker.stop();
      },
      2);
}

TEST_CASE("cancel everywhere: task_group, when_all, when_any, with_timeout, shield") {
  cancel_everywhere(
      [](Attempt& attempt) -> Task<> {
        int begun = 0;
        int unwound = 0;
        int shielded = 0;
        auto step = [&](int turns) -> Task<int> {
          ++begun;
          Defer end{[&] { ++unwound; }};
          co_await yields(turns);
          co_await sleep_for(10us);
          co_return turns;
        };
        auto important = [&]() -> Task<> {
          co_await sleep_for(50us);
          co_await yield();
          ++shielded;
        };
        bool entered_shield = false;
        auto subject = [&]() -> Task<> {
          co_await task_group([&](TaskGroup& group) -> Task<> {
            group.set_limit(2);
            for (int i = 0; i < 4; ++i) group.go(step, i);
            co_await group.room();
          });
          CHECK(begun == unwound);
          auto [a, b] = co_await when_all(step(1), step(2));
          CHECK(a + b == 3);
          auto first = co_await when_any(step(1), step(30));
          CHECK(begun == unwound);
          (void)first;
          auto timed = co_await with_timeout(24h, step(1));
          CHECK(timed.value() == 1);
          auto late = [&]() -> Task<> { co_await sleep_for(24h); };
          auto none = co_await with_timeout(50us, late());
          CHECK(none.error() == Errc::timeout);
          entered_shield = true;
          co_await shield(important());
        };
        co_await attempt.run(subject);
        CHECK(begun == unwound);
        CHECK(shielded == (entered_shield ? 1 : 0));
      },
      8);
}

TEST_CASE("cancel everywhere: blocking calls") {
  cancel_everywhere([](Attempt& attempt) -> Task<> {
    std::atomic<int> called{0};
    int returned = 0;
    auto call = [&] {
      ++called;
      return 1;
    };
    auto subject = [&]() -> Task<> {
      for (int i = 0; i < 3; ++i) {
        returned += co_await blocking(std::ref(call));
        co_await sleep_for(10us);
      }
    };
    co_await attempt.run(subject);
    CHECK(called == returned);  // one that ran was waited for
  });
}

TEST_CASE("cancel everywhere: accept, connect, read and write") {
  cancel_everywhere(
      [](Attempt& attempt) -> Task<> {
        net::TcpListener listener = listen_anywhere();
        std::size_t echoed = 0;
        auto server = go([&]() -> Task<> {
          auto conn = co_await listener.accept();
          if (!conn) co_return;
          char buffer[64];
          for (;;) {
            auto n = co_await conn->read(buffer);
            if (!n) break;
            co_await yields(2);
            if (!co_await conn->write(buffer, *n)) break;
            echoed += *n;
          }
        });
        net::TcpListener own = listen_anywhere();
        std::size_t got = 0;
        bool io_said_so = false;
        auto subject = [&]() -> Task<> {
          auto failed = [&](const Error& error) {
            if (error == std::errc::operation_canceled) io_said_so = true;
            return static_cast<bool>(error);
          };
          auto conn = co_await net::TcpStream::connect(listener.local_address());
          if (failed(conn.error())) co_return;
          for (int i = 0; i < 3; ++i) {
            auto sent = co_await conn->write("0123456789");
            if (failed(sent.error())) co_return;
            for (std::size_t have = 0; have < 10;) {
              char buffer[7];
              auto n = co_await conn->read(buffer);
              if (failed(n.error())) co_return;
              for (std::size_t k = 0; k < *n; ++k) {
                CHECK(buffer[k] == static_cast<char>('0' + got % 10));
                ++got;
              }
              have += *n;
            }
          }
          (void)conn->close();
          auto dialled = background().go([&]() -> Task<> {
            co_await yields(3);
            (void)co_await net::TcpStream::connect(own.local_address());
          });
          auto accepted = co_await own.accept();
          co_await dialled;
          failed(accepted.error());
        };
        Ran ran = co_await attempt.run(subject);
        if (!attempt.canceled()) {
          CHECK(ran == Ran::to_its_end);
          CHECK(got == 30);
        } else {
          CHECK((ran == Ran::canceled || io_said_so));
        }
        (void)listener.close();
        (void)own.close();
        co_await server;
        CHECK(got <= echoed);
        co_await eventually([] { return num_goroutines() == 1; });
      },
      4);
}
