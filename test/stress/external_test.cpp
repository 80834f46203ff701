// Plain threads at work with goroutines, and runtimes beside and after each other.
#include <atomic>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "../conformance/support.hpp"

using namespace ringo;
using test::Counted;
using test::panic_of;
using test::Setting;

namespace {

/// Threads of a test; joined at the end of its scope.
class Threads {
 public:
  template <class F>
  void start(F f) {
    ++running_;
    threads_.emplace_back([this, f = std::move(f)] {
      f();
      --running_;
    });
  }
  /// All functions have returned. Goroutines wait for this, since join() would hold a worker.
  bool done() const { return running_ == 0; }
  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  ~Threads() { join(); }

 private:
  std::atomic<int> running_{0};
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("external: values from plain threads to goroutines and back") {
  test::for_each_setting([](const Setting& setting) {
    constexpr int per_thread = 300;
    Counted::Balance balance;
    std::atomic<long> sent{0};
    std::atomic<long> received{0};
    {
      Channel<Counted> in(2);
      Channel<int> out;
      Threads threads;
      test::run_setting(setting, [&]() -> Task<> {
        for (int t = 0; t < 3; ++t) {
          threads.start([&] {
            for (int i = 0; i < per_thread; ++i) {
              in.send_blocking(Counted(balance, i));
              sent += i;
            }
          });
        }
        threads.start([&] {
          while (auto value = out.recv_blocking()) received += *value;
        });
        std::vector<JoinHandle<void>> relays;
        for (int i = 0; i < 4; ++i) {
          relays.push_back(go([&]() -> Task<> {
            while (auto value = co_await in.recv()) {
              if (value->value() < 0) break;
              co_await out.send(value->value());
            }
          }));
        }
        co_await test::eventually(
            [&] { return received == 3L * per_thread * (per_thread - 1) / 2; });
        in.close();
        co_await test::join_all(relays);
        out.close();
        co_await test::eventually([&] { return threads.done(); });
      });
    }
    CHECK(sent == received);
    CHECK(balance.alive == 0);
  });
}

TEST_CASE("external: go and join_blocking from plain threads") {
  test::for_each_setting([](const Setting& setting) {
    std::atomic<int> joined{0};
    Threads threads;
    test::run_setting(setting, [&]() -> Task<> {
      for (int t = 0; t < 3; ++t) {
        threads.start([&joined, t] {
          for (int i = 0; i < 100; ++i) {
            auto handle = go(
                [](int a, int b) -> Task<int> {
                  co_await yield();
                  co_return a + b;
                },
                t, i);
            if (handle.join_blocking() == t + i) ++joined;
            // One that throws: the exception comes to whoever joins.
            auto thrower = go([]() -> Task<> {
              panic("thrown");
              co_return;
            });
            if (panic_of([&] { thrower.join_blocking(); }) == "thrown") ++joined;
          }
        });
      }
      co_await test::eventually([&] { return threads.done(); });
    });
    CHECK(joined == 600);
  });
}

TEST_CASE("external: the blocking forms refuse to run in a goroutine, and without a runtime") {
  Channel<int> ch(1);
  const std::string none = "no runtime is running";
  CHECK(panic_of([&] { ch.send_blocking(1); }).find(none) != std::string::npos);
  CHECK(panic_of([&] { (void)ch.recv_blocking(); }).find(none) != std::string::npos);
  CHECK(panic_of([&] { go([] {}); }).find(none) != std::string::npos);
  test::run_matrix([&]() -> Task<> {
    const std::string block = "it would block a worker";
    CHECK(panic_of([&] { ch.send_blocking(1); }).find(block) != std::string::npos);
    CHECK(panic_of([&] { (void)ch.recv_blocking(); }).find(block) != std::string::npos);
    auto child = go([]() -> Task<> { co_return; });
    auto text = panic_of([&] { child.join_blocking(); });
    CHECK((child.done() || text.find(block) != std::string::npos));
    co_await yield();
    CHECK(ch.len() == 0);
  });
}

TEST_CASE("external: a thread that waits when the runtime ends is told so") {
  for (auto drain : {std::chrono::nanoseconds(0), std::chrono::nanoseconds(2'000'000'000)}) {
    test::for_each_setting([drain](const Setting& setting) {
      Channel<int> ch;
      std::string receiving;
      std::string sending;
      Channel<int> other;
      Threads threads;
      Options options;
      options.drain = drain;
      test::run_setting(
          setting,
          [&]() -> Task<> {
            threads.start([&] {
              try {
                receiving = panic_of([&] { (void)ch.recv_blocking(); });
              } catch (...) { receiving = "another exception"; }
            });
            threads.start([&] {
              try {
                sending = panic_of([&] { other.send_blocking(1); });
              } catch (...) { sending = "another exception"; }
            });
            // Main, and a goroutine for each thread.
            co_await test::eventually([] { return num_goroutines() == 3; });
            co_await test::yields(3);
          },
          options);
      threads.join();
      CHECK(receiving.find("the runtime ended before it took place") != std::string::npos);
      CHECK(sending.find("the runtime ended before it took place") != std::string::npos);
    });
  }
}

TEST_CASE("external: threads that start goroutines while the runtime ends") {
  // Whatever moment it is, go() either starts it or throws.
  test::for_each_setting([](const Setting& setting) {
    for (int round = 0; round < 20; ++round) {
      std::atomic<bool> up{false};
      Threads threads;
      for (int t = 0; t < 2; ++t) {
        threads.start([&up] {
          while (!up) std::this_thread::yield();
          std::string text;
          while (text.empty()) {
            text = panic_of([] { go([]() -> Task<> { co_await yield(); }); });
          }
          CHECK(text.find("runtime") != std::string::npos);
        });
      }
      test::run_setting(setting, [&up]() -> Task<> {
        up = true;
        co_await test::yields(20);
      });
    }
  });
}

TEST_CASE("runtime: a thousand runs in one process" * doctest::test_suite("long")) {
  for (unsigned workers : {1u, 2u}) {
    for (int i = 0; i < 500; ++i) {
      Options options;
      options.workers = workers;
      options.driver = DriverKind::epoll;
      int result = run(options, [i]() -> Task<int> {
        Channel<int> ch(1);
        auto child = go([ch, i]() -> Task<> { co_await ch.send(i); });
        int got = (co_await ch.recv()).value_or(-1);
        co_await child;
        go([]() -> Task<> { co_await Channel<int>::nil().recv(); });
        co_return got;
      });
      REQUIRE(result == i);
    }
  }
}

TEST_CASE("runtime: each run gives what its main gives") {
  CHECK(run([]() -> Task<int> { co_return 7; }) == 7);
  CHECK(run([]() -> Task<> { co_return; }) == 0);
  CHECK(run([] { return 8; }) == 8);
  CHECK(run([](int a, std::string b) -> Task<std::string> { co_return b + std::to_string(a); }, 4,
            std::string("x")) == "x4");
  CHECK(num_goroutines() == 0);
  CHECK(num_workers() == 0);
  CHECK(driver_name().empty());
}

TEST_CASE("runtime: two runtimes in two threads share nothing") {
  test::for_each_setting([](const Setting& setting) {
    std::optional<Channel<int>> shared;
    std::latch made(1);
    std::latch tried(1);
    std::string text;
    std::thread other([&] {
      made.wait();
      Options options = test::options_of(setting);
      run(options, [&]() -> Task<> {
        text = co_await test::panic_of_task([&]() -> Task<> { co_await shared->send(1); });
        CHECK(!panic_of([&] { shared->try_send(1); }).empty());
        CHECK(!panic_of([&] { (void)shared->try_recv(); }).empty());
        CHECK(!panic_of([&] { shared->close(); }).empty());
        CHECK(!(co_await test::panic_of_task([&]() -> Task<> {
                 co_await select_any{on(shared->recv(), [] {}), otherwise([] {})};
               })).empty());
        // Its own are fine.
        Channel<int> own;
        auto child = go([own]() -> Task<> { co_await own.send(3); });
        CHECK(co_await own.recv() == 3);
        co_await child;
      });
      tried.count_down();
    });
    test::run_setting(setting, [&]() -> Task<> {
      shared.emplace(4);
      co_await shared->send(2);
      made.count_down();
      co_await test::eventually([&] { return tried.try_wait(); });
      CHECK(shared->len() == 1);
      CHECK(co_await shared->recv() == 2);
    });
    other.join();
    CHECK(text.find("another runtime") != std::string::npos);
  });
}

RINGO_TEST("runtime: run inside a goroutine panics") {
  CHECK(panic_of([] { run([]() -> Task<> { co_return; }); }).find("inside a goroutine") !=
        std::string::npos);
  co_return;
}

namespace {

/// What goroutines of one run left behind: receivers that wait on `ch`, a full buffer and a waiting
/// sender at `buffered`.
void leave_waiters(const Setting& setting, Channel<int> ch, Channel<int> buffered) {
  test::run_setting(setting, [&]() -> Task<> {
    for (int i = 0; i < 3; ++i) go([ch]() -> Task<> { co_await ch.recv(); });
    go([buffered]() -> Task<> {
      for (int i = 0;; ++i) co_await buffered.send(i);
    });
    co_await test::eventually([&] { return buffered.len() == 2; });
    co_await test::yields(5);
  });
}

}  // namespace

TEST_CASE("runtime: plain threads may use a channel whose runtime has ended") {
  test::for_each_setting([](const Setting& setting) {
    Channel<int> ch;
    Channel<int> buffered(2);
    leave_waiters(setting, ch, buffered);
    CHECK(!ch.try_send(1));
    CHECK(!ch.try_recv());
    CHECK(buffered.try_recv() == 0);
    CHECK(buffered.try_recv() == 1);
    CHECK(!buffered.try_recv());
    CHECK(buffered.try_send(9));
    ch.close();
    buffered.close();
  });
}

TEST_CASE("runtime: a channel may outlive its runtime and serve the next one") {
  test::for_each_setting([](const Setting& setting) {
    Channel<int> ch;
    Channel<int> buffered(2);
    leave_waiters(setting, ch, buffered);
    test::run_setting(setting, [&]() -> Task<> {
      CHECK(!ch.try_send(1));
      auto child = go([ch]() -> Task<> { co_await ch.send(5); });
      CHECK(co_await ch.recv() == 5);
      co_await child;
      CHECK(co_await buffered.recv() == 0);
      CHECK(co_await buffered.recv() == 1);
      CHECK(!buffered.try_recv());
      buffered.close();
    });
  });
}

TEST_CASE("external: threads at a channel while its runtimes come and go lose and double nothing") {
  // A call finds the runtime at work, ending (posted, carried out by nobody's loop), gone, or being
  // followed by the next one that takes the channel over.
  test::for_each_setting([](const Setting& setting) {
    constexpr int rounds = 40;
    constexpr int values = 20;
    std::atomic<bool> over{false};
    std::atomic<long> sent{0};
    std::atomic<long> received{0};
    Channel<int> ch(3);
    {
      Threads threads;
      for (int t = 0; t < 2; ++t) {
        threads.start([&, t] {
          for (int i = 1 + t; !over; ++i) {
            if (ch.try_send(i)) sent += i;
          }
        });
        threads.start([&] {
          while (!over) received += ch.try_recv().value_or(0);
        });
      }
      for (int round = 0; round < rounds; ++round) {
        test::run_setting(setting, [&]() -> Task<> {
          std::vector<JoinHandle<void>> all;
          all.push_back(go([&]() -> Task<> {
            for (int i = 0; i < values; ++i) received += (co_await ch.recv()).value_or(0);
          }));
          all.push_back(go([&]() -> Task<> {
            for (int i = 1; i <= values; ++i) {
              co_await ch.send(i);
              sent += i;
            }
          }));
          all.push_back(go([&]() -> Task<> {
            for (int i = 0; i < values; ++i) {
              co_await select_any{on(ch.recv(), [&](auto value) { received += value.value_or(0); }),
                                  on(sleep_for(std::chrono::microseconds(50)), [] {})};
            }
          }));
          co_await test::join_all(all);
        });
      }
      over = true;
    }
    while (auto value = ch.try_recv()) received += *value;
    CHECK(sent == received);
  });
}
