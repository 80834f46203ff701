// What keeps a program alive in which no goroutine can run, and what does not.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <ringo/blocking.hpp>
#include <ringo/channel.hpp>
#include <ringo/deadlock.hpp>
#include <ringo/keep_alive.hpp>
#include <ringo/net.hpp>
#include <ringo/readiness.hpp>
#include <ringo/select.hpp>
#include <ringo/signals.hpp>
#include <ringo/time.hpp>

#include "base/log.hpp"
#include "matrix.hpp"
#include "runtime/deadlock_of.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

TEST_CASE("DL-04: not while somebody sleeps or a function is to run later, but after it has") {
  expect_no_deadlock([]() -> Task<> {
    Channel<int> ch;
    go([ch]() -> Task<> {
      co_await sleep_for(30ms);
      co_await ch.send(1);
    });
    co_await ch.recv();
  });
  expect_no_deadlock([]() -> Task<> {
    Channel<int> ch(1);
    auto later = after_func(30ms, [ch] { ch.try_send(1); });
    co_await ch.recv();
  });
  expect_no_deadlock([]() -> Task<> {
    Timer timer(30ms);
    Channel<int> never;
    co_await select_any{never.recv(), timer};
    co_await select_any{never.recv(), after(10ms)};
  });
  for_each_setting([](const Setting& setting) {
    std::atomic<bool> ran{false};
    expect_in_order(deadlock_of(setting,
                                [&]() -> Task<> {
                                  auto later = after_func(10ms, [&] { ran = true; });
                                  co_await Channel<int>().recv();
                                }),
                    {headline, "[chan receive"});
    CHECK(ran);
  });
}

TEST_CASE("DL-05: a ticker or timer that nobody waits for does not hide the deadlock") {
  expect_deadlock(
      []() -> Task<> {
        Ticker ticker(1ms);
        co_await ticker;
        Timer timer(1h);
        Channel<int> ch(1);
        ch.try_send(1);
        co_await select_any{ch.recv(), timer};
        // And one that somebody has waited for.
        go([ch]() -> Task<> { co_await ch.send(2); });
        co_await select_any{ch.recv(), timer};
        co_await ch.recv();
      },
      {headline, "[chan receive"});
}

TEST_CASE("DL-06: not while somebody waits for the network") {
  expect_no_late_deadlock([]() -> Task<> {
    auto listener = net::TcpListener::listen("127.0.0.1:0").value();
    const net::Address address = listener.local_address();
    Channel<int> done;
    go([&]() -> Task<> {
      auto connection = (co_await listener.accept()).value();
      char byte;
      // Longer than it takes to look twice.
      auto got = co_await connection.read(&byte, 1);
      CHECK_EQ(got.value(), 1);
      co_await done.send(1);
    });
    auto connection = (co_await net::TcpStream::connect(address)).value();
    go([&]() -> Task<> {
      co_await blocking([] { std::this_thread::sleep_for(1500ms); });
      (co_await connection.write("x", 1)).value();
    });
    co_await done.recv();
  });
}

TEST_CASE("DL-06: a listener nobody accepts on and a connection nobody reads are no life") {
  expect_late_deadlock(
      []() -> Task<> {
        auto listener = net::TcpListener::listen("127.0.0.1:0").value();
        co_await Channel<int>().recv();
      },
      {headline, "goroutine 1 [chan receive"});
  expect_late_deadlock(
      []() -> Task<> {
        auto listener = net::TcpListener::listen("127.0.0.1:0").value();
        auto client = (co_await net::TcpStream::connect(listener.local_address())).value();
        auto server = (co_await listener.accept()).value();
        // The receive goes on after the wait has ended, and so does its deadline.
        server.set_read_deadline(std::chrono::steady_clock::now() + 1h).value();
        char byte;
        Channel<int> ready(1);
        ready.try_send(1);
        co_await select_first{ready.recv(), server.read(&byte, 1)};
        auto late = co_await with_timeout(5ms, server.read(&byte, 1));
        CHECK(!late);
        co_await ready.recv();
      },
      {headline, "goroutine 1 [chan receive"});
}

TEST_CASE("DL-06: not while somebody waits for a descriptor of somebody else") {
  expect_no_late_deadlock([]() -> Task<> {
    int ends[2];
    REQUIRE_EQ(::pipe2(ends, O_CLOEXEC), 0);
    // Written by another process, so that nothing in this one is alive.
    pid_t child = ::fork();
    if (child == 0) {
      ::usleep(1'300'000);
      ::_exit(::write(ends[1], "x", 1) == 1 ? 0 : 1);
    }
    (co_await readable(ends[0])).value();
    int status = 0;
    ::waitpid(child, &status, 0);
    ::close(ends[0]);
    ::close(ends[1]);
  });
}

TEST_CASE("DL-07: a signal is life where a goroutine waits for it, and nowhere else") {
  expect_no_late_deadlock([]() -> Task<> {
    Channel<int> signals(1);
    signals::notify(signals, {SIGUSR1});
    pid_t parent = ::getpid();
    if (::fork() == 0) {
      ::usleep(1'300'000);
      ::kill(parent, SIGUSR1);
      ::_exit(0);
    }
    CHECK_EQ(*co_await signals.recv(), SIGUSR1);
  });
  expect_late_deadlock(
      []() -> Task<> {
        Channel<int> signals(1);
        signals::notify(signals, {SIGUSR1});
        co_await Channel<int>().recv();
      },
      {headline, "[chan receive"});
}

TEST_CASE("a call of blocking() is life, and threads it has left behind are not") {
  expect_no_deadlock([]() -> Task<> {
    Channel<int> ch(1);
    go([ch]() -> Task<> {
      co_await blocking([ch] {
        std::this_thread::sleep_for(30ms);
        ch.try_send(1);
      });
    });
    co_await ch.recv();
  });
  expect_deadlock(
      []() -> Task<> {
        co_await blocking([] {});
        co_await Channel<int>().recv();
      },
      {headline, "[chan receive"});
}

TEST_CASE("a KeepAlive is life") {
  for_each_setting([](const Setting& setting) {
    std::atomic<bool> ended{false};
    expect_in_order(deadlock_of(setting,
                                [&]() -> Task<> {
                                  go([&]() -> Task<> {
                                    KeepAlive alive;
                                    KeepAlive moved(std::move(alive));
                                    co_await sleep_for(20ms);
                                    ended = true;
                                  });
                                  co_await Channel<int>().recv();
                                }),
                    {headline, "[chan receive"});
    CHECK(ended);
  });
  // One whose goroutine does nothing else.
  for_each_setting([](const Setting& setting) {
    Options options = options_of(setting);
    options.on_deadlock = DeadlockPolicy::throw_from_run;
    KeepAlive* held = nullptr;
    std::atomic<bool> made{false};
    std::atomic<bool> dropping{false};
    std::thread other([&] {
      while (!made) std::this_thread::yield();
      std::this_thread::sleep_for(50ms);
      dropping = true;
      delete held;
    });
    std::string report;
    try {
      run(options, [&]() -> Task<> {
        held = new KeepAlive;
        made = true;
        co_await Channel<int>().recv();
      });
    } catch (const Deadlock& deadlock) {
      report = deadlock.what();
      CHECK(dropping);
    }
    other.join();
    CHECK_NE(report, "");
  });
}

TEST_CASE("KeepAlive outlives its runtime, and needs one") {
  std::unique_ptr<KeepAlive> left;
  for_each_setting([&](const Setting& setting) {
    run_setting(setting, [&]() -> Task<> {
      left = std::make_unique<KeepAlive>();
      co_return;
    });
    left.reset();
  });
  CHECK_THROWS_AS(KeepAlive unnamed, Panic);
}

TEST_CASE("a plain thread inside a _blocking call is life") {
  for_each_setting([](const Setting& setting) {
    Options options;
    options.on_deadlock = DeadlockPolicy::throw_from_run;
    std::thread other;
    run_setting(
        setting,
        [&]() -> Task<> {
          Channel<int> ch;
          Channel<int> back;
          // The thread waits for main, which waits for it: a deadlock, but it is no goroutine's.
          other = std::thread([ch, back] {
            ch.recv_blocking();
            back.send_blocking(1);
          });
          co_await sleep_for(20ms);
          co_await ch.send(1);
          co_await back.recv();
        },
        options);
    other.join();
  });
}

namespace {
std::atomic<int> warnings{0};
void count_warnings(ringo::detail::LogLevel level, std::string_view text) {
  if (level == ringo::detail::LogLevel::warning && text.find("deadlock?") != text.npos) ++warnings;
}
}  // namespace

TEST_CASE("with threads that are not ringo's a line says so once" * doctest::test_suite("long")) {
  for_each_setting_at_once([](const Setting& setting) {
    ringo::detail::set_log_hook(&count_warnings);
    Channel<int> ch;
    std::atomic<bool> in_use{false};
    std::thread other([&] {
      while (!in_use) std::this_thread::sleep_for(1ms);
      std::this_thread::sleep_for(13s);
      ch.try_send(1);
    });
    CHECK_EQ(deadlock_of(setting,
                         [&]() -> Task<> {
                           ch.try_send(0);
                           in_use = true;
                           co_await ch.recv();
                         }),
             "");
    other.join();
    CHECK_EQ(warnings, 1);
  });
}
