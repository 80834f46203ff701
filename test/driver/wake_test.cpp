// The bell, and how long a poll() waits.
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "harness.hpp"

using namespace driver_test;

namespace {

constexpr std::int64_t long_wait = 20'000 * ms;

TEST_CASE("a wake before poll() ends the next one, and only that") {
  on_each_driver([](Driver& driver) {
    driver.poll(0);
    for (int round = 0; round < 3; ++round) {
      driver.wake();
      CHECK(driver.poll(long_wait) == 1);
      CHECK(driver.poll(0) == 0);
    }
  });
}

TEST_CASE("many wakes cost one bell") {
  on_each_driver([](Driver& driver) {
    const std::uint64_t before = driver.stats().bells;
    for (int i = 0; i < 1'000; ++i) driver.wake();
    CHECK(driver.poll(long_wait) == 1);
    CHECK(driver.poll(0) == 0);
    CHECK(driver.stats().bells == before + 1);
  });
}

TEST_CASE("a wake is work that may_have_work() sees") {
  on_each_driver([](Driver& driver) {
    run_idle(driver);
    CHECK_FALSE(driver.may_have_work());
    driver.wake();
    CHECK(driver.may_have_work());
    CHECK(driver.poll(0) == 1);
    CHECK_FALSE(driver.may_have_work());
  });
}

TEST_CASE("what arrives is work that may_have_work() sees") {
  on_each_driver([](Driver& driver) {
    Pair pair = tcp_pair();
    Source source(pair.a);
    driver.want(source, Direction::in);
    run_idle(driver);
    CHECK_FALSE(driver.may_have_work());
    feed(pair.b, "x");
    CHECK(driver.may_have_work());
    CHECK(source.calls[0] == 0);
    driver.poll(0);
    CHECK(source.calls[0] == 1);
    driver.stop(source);
  });
}

TEST_CASE("a wake from another thread ends a poll() that waits without limit") {
  on_each_driver([](Driver& driver) {
    for (int round = 0; round < 20; ++round) {
      std::atomic<bool> waiting{false};
      std::thread waker([&] {
        while (!waiting.load()) std::this_thread::yield();
        driver.wake();
      });
      waiting = true;
      while (driver.poll(-1) == 0) {}
      waker.join();
      run_idle(driver);
    }
  });
}

TEST_CASE("the bell survives an overflow of the completion queue") {
  const auto driver = make_uring({.sq_entries = 1, .cq_entries = 2, .buffers = 1});
  if (!driver) return;
  for (int round = 0; round < 20; ++round) {
    std::vector<Pair> pairs;
    std::vector<std::unique_ptr<Source>> sources;
    for (int i = 0; i < 20; ++i) {
      pairs.push_back(unix_pair());
      sources.push_back(std::make_unique<Source>(pairs.back().a));
      driver->want(*sources.back(), Direction::in);
    }
    run_idle(*driver);
    for (Pair& pair : pairs) feed(pair.b, "x");
    driver->wake();
    run_until(*driver, [&] { return driver->in_flight() == 0; });
    run_idle(*driver);
    for (auto& source : sources) driver->stop(*source);
    driver->wake();
    CHECK(driver->poll(long_wait) >= 1);
    run_idle(*driver);
  }
  CHECK(driver->stats().overflows > 0);
}

// The protocol of a worker's inbox: a message is put into memory, then the bell is rung; the worker
// looks at its messages after each poll(), and waits only if there is none.
void exchange(Driver& driver, int wakers, std::uint64_t rounds) {
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> seen{0};
  std::vector<std::thread> threads;
  for (int id = 0; id < wakers; ++id) {
    threads.emplace_back([&, id] {
      std::uint64_t random = static_cast<std::uint64_t>(id) + 1;
      for (std::uint64_t i = 0; i < rounds; ++i) {
        const std::uint64_t mine = sent.fetch_add(1, std::memory_order_relaxed) + 1;
        driver.wake();
        random = random * 6364136223846793005u + 1442695040888963407u;
        // Half of the time the worker is left to fall asleep first.
        if (random >> 63 != 0) continue;
        while (seen.load(std::memory_order_acquire) < mine) std::this_thread::yield();
      }
    });
  }
  const std::uint64_t total = rounds * static_cast<std::uint64_t>(wakers);
  bool lost = false;
  std::uint64_t known = 0;
  while (known < total) {
    const std::uint64_t now = sent.load(std::memory_order_relaxed);
    if (now != known) {
      known = now;
      seen.store(now, std::memory_order_release);
      continue;
    }
    if (driver.poll(long_wait) == 0 && !lost) {
      lost = true;  // reported once the threads are gone; they go on because the worker does
    }
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(lost);
  run_idle(driver);
}

TEST_CASE("no wake is lost in 100000 rounds" * doctest::test_suite("long")) {
  on_each_driver([](Driver& driver) { exchange(driver, 1, 100'000); });
}

TEST_CASE("no wake is lost among several wakers") {
  on_each_driver([](Driver& driver) { exchange(driver, 3, 2'000); });
}

// ---- signals ----------------------------------------------------------------------------------

Driver* driver_of_handler = nullptr;
std::atomic<int> handled_signals{0};

// A handler for SIGUSR1 for a scope.
class WithHandler {
 public:
  explicit WithHandler(void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    REQUIRE(::sigaction(SIGUSR1, &action, &before_) == 0);
    handled_signals = 0;
  }
  ~WithHandler() { ::sigaction(SIGUSR1, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

TEST_CASE("wake() from a signal handler, which keeps errno") {
  on_each_driver([](Driver& driver) {
    driver_of_handler = &driver;
    const WithHandler handler([](int) {
      driver_of_handler->wake();
      ++handled_signals;
    });
    errno = 4711;
    REQUIRE(::raise(SIGUSR1) == 0);
    CHECK(errno == 4711);
    CHECK(driver.poll(long_wait) == 1);

    // And into a poll() that waits.
    const pthread_t self = ::pthread_self();
    std::atomic<bool> done{false};
    std::thread killer([&] {
      ::pthread_kill(self, SIGUSR1);
      while (!done) std::this_thread::yield();
    });
    while (driver.poll(long_wait) == 0) {}
    done = true;
    killer.join();
    CHECK(handled_signals == 2);
  });
}

TEST_CASE("a signal does not shorten a poll()") {
  on_each_driver([](Driver& driver) {
    const WithHandler handler([](int) { ++handled_signals; });
    run_idle(driver);
    const pthread_t self = ::pthread_self();
    std::atomic<bool> done{false};
    std::thread killer([&] {
      while (!done) {
        ::pthread_kill(self, SIGUSR1);
        std::this_thread::sleep_for(1ms);
      }
    });
    // On a busy machine the other thread may not get to it in one of them.
    int signals = 0;
    for (int i = 0; i < 100 && signals < 3; ++i) {
      const int already = handled_signals;
      const auto before = Clock::now();
      CHECK(driver.poll(30 * ms) == 0);
      CHECK(Clock::now() - before >= 30ms);
      signals = handled_signals - already;
    }
    done = true;
    killer.join();
    CHECK(signals >= 3);
  });
}

// ---- how long ---------------------------------------------------------------------------------

TEST_CASE("a timeout is never cut short, and not rounded up to the next millisecond" *
          doctest::test_suite("timing")) {
  on_each_driver([](Driver& driver) {
    run_idle(driver);
    for (const auto timeout : {0us, 50us, 300us, 1'000us, 1'500us, 10'000us, 50'000us}) {
      CAPTURE(timeout.count());
      // A busy machine may delay any one of them, so one that was not delayed will do.
      bool punctual = false;
      const auto give_up = Clock::now() + 10s;
      while (!punctual && Clock::now() < give_up) {
        const auto before = Clock::now();
        CHECK(driver.poll(std::chrono::nanoseconds(timeout).count()) == 0);
        const auto waited = Clock::now() - before;
        CHECK(waited >= timeout);
        punctual = waited < timeout + 500us;
      }
      CHECK(punctual);
    }
  });
}

TEST_CASE("io_uring: a wait takes as long as the thread's timer slack, unless something comes") {
  const int before = ::prctl(PR_GET_TIMERSLACK);
  REQUIRE(::prctl(PR_SET_TIMERSLACK, 20 * ms) == 0);
  if (const auto driver = make_uring()) {
    run_idle(*driver);
    const auto begin = Clock::now();
    CHECK(driver->poll(1'000) == 0);
    CHECK(Clock::now() - begin >= 20ms);
    driver->wake();
    CHECK(driver->poll(1'000) == 1);
  }
  ::prctl(PR_SET_TIMERSLACK, before);
}

TEST_CASE("a timeout ends at once when something comes") {
  on_each_driver([](Driver& driver) {
    Pair pair = tcp_pair();
    Source source(pair.a);
    driver.want(source, Direction::in);
    run_idle(driver);
    std::thread sender([&] { feed(pair.b, "x"); });
    const auto before = Clock::now();
    while (source.calls[0] == 0) driver.poll(long_wait);
    CHECK(Clock::now() - before < 10s);
    sender.join();
    driver.stop(source);
  });
}

}  // namespace
