// The end of a program in which nobody can ever run again: what is reported, what is not.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <thread>

#include <ringo/blocking.hpp>
#include <ringo/channel.hpp>
#include <ringo/deadlock.hpp>
#include <ringo/keep_alive.hpp>
#include <ringo/net.hpp>
#include <ringo/readiness.hpp>
#include <ringo/select.hpp>
#include <ringo/signals.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

#include "base/log.hpp"
#include "matrix.hpp"
#include "runtime/report_text.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* headline = "fatal error: all goroutines are asleep - deadlock!\n";

/// The report that run() throws for this main; empty if it returns.
template <class F>
std::string deadlock_of(const Setting& setting, F&& body) {
  Options options;
  options.on_deadlock = DeadlockPolicy::throw_from_run;
  try {
    run_setting(setting, body, options);
  } catch (const Deadlock& deadlock) {
    return deadlock.what();
  }
  return "";
}

template <class F>
void expect_deadlock(F&& body, std::initializer_list<std::string> parts) {
  for_each_setting([&](const Setting& setting) {
    const auto begin = std::chrono::steady_clock::now();
    expect_in_order(deadlock_of(setting, body), parts);
    CHECK_LT(std::chrono::steady_clock::now() - begin, 20s);
  });
}

/// Main, which must come to its end though all that could wake it is what the case is about.
template <class F>
void expect_no_deadlock(F&& body) {
  for_each_setting([&](const Setting& setting) { CHECK_EQ(deadlock_of(setting, body), ""); });
}

std::string at(int line) { return at_line("deadlock_test.cpp", line); }

constexpr int waits_line = __LINE__ + 2;
Task<> waits(Channel<int> ch) {
  co_await ch.recv();
}

constexpr int chain_line = __LINE__ + 2;
Task<> waits_deeper(Channel<int> ch) {
  co_await waits(ch);
}

constexpr int spawn_line = __LINE__ + 3;
Task<> two_wait() {
  Channel<int> ch;
  go(waits_deeper, ch);
  co_await Channel<int>::nil().send(1);
}

}  // namespace

TEST_CASE("DL-01: the process ends with status 2 and a report of every goroutine") {
  for_each_setting([](const Setting& setting) {
    Ended ended = in_child([&] { run_setting(setting, two_wait); });
    CHECK_EQ(ended.code, 2);
    expect_in_order(ended.errors,
                    {headline, "\ngoroutine 1 [chan send (nil chan)]:\n", "two_wait(...)\n",
                     at(spawn_line + 1), "\ngoroutine ", " [chan receive]:\n", "waits(...)\n",
                     at(waits_line), "waits_deeper(...)\n", at(chain_line), "created by ",
                     "two_wait in goroutine 1\n", at(spawn_line)});
  });
}

TEST_CASE("DL-01: no destructor and no handler runs") {
  for_each_setting([](const Setting& setting) {
    Ended ended = in_child([&] {
      run_setting(setting, []() -> Task<> {
        Defer unwound{[&] { std::fprintf(stderr, "unwound\n"); }};
        try {
          co_await Channel<int>().recv();
        } catch (...) {
          std::fprintf(stderr, "caught\n");
        }
      });
    });
    CHECK_EQ(ended.code, 2);
    CHECK_EQ(count_of(headline, ended.errors), 1);
    CHECK_EQ(count_of("unwound", ended.errors) + count_of("caught", ended.errors), 0);
  });
}

TEST_CASE("DL-01: run() throws the report if it is asked to, and can be called again") {
  for_each_setting([](const Setting& setting) {
    for (int i = 0; i < 20; ++i) {
      expect_in_order(deadlock_of(setting, two_wait), {headline, "goroutine 1 [chan send (nil"});
    }
    CHECK_EQ(deadlock_of(setting, []() -> Task<> { co_await yield(); }), "");
  });
}

TEST_CASE("DL-02: every primitive") {
  expect_deadlock(
      []() -> Task<> {
        Mutex mutex;
        auto held = co_await mutex.lock();
        auto never = co_await mutex.lock();
      },
      {headline, "[sync.Mutex.Lock]:"});
  expect_deadlock(
      []() -> Task<> {
        SharedMutex mutex;
        auto held = co_await mutex.lock_shared();
        auto never = co_await mutex.lock();
      },
      {headline, "[sync.RWMutex.Lock]:"});
  expect_deadlock(
      []() -> Task<> {
        SharedMutex mutex;
        auto held = co_await mutex.lock();
        auto never = co_await mutex.lock_shared();
      },
      {headline, "[sync.RWMutex.RLock]:"});
  expect_deadlock(
      []() -> Task<> {
        WaitGroup wg;
        wg.add(1);
        co_await wg.wait();
      },
      {headline, "[sync.WaitGroup.Wait]:"});
  expect_deadlock(
      []() -> Task<> {
        Mutex mutex;
        Cond cond(mutex);
        auto held = co_await mutex.lock();
        co_await cond.wait(held);
      },
      {headline, "[sync.Cond.Wait]:"});
  expect_deadlock(
      []() -> Task<> {
        Semaphore semaphore(1);
        co_await semaphore.acquire(1);
        co_await semaphore.acquire(1);
      },
      {headline, "[semacquire]:"});
  expect_deadlock([]() -> Task<> { co_await Channel<int>::nil().recv(); },
                  {headline, "[chan receive (nil chan)]:"});
  expect_deadlock([]() -> Task<> { co_await select_any{}; }, {headline, "[select (no cases)]:"});
  expect_deadlock(
      []() -> Task<> {
        Channel<int> a;
        Channel<int> b;
        co_await select_any{a.recv(), b.send(1)};
      },
      {headline, "[select]:"});
  expect_deadlock(
      []() -> Task<> {
        Once once;
        std::function<Task<>()> again = [&]() -> Task<> {
          co_await once.call([&]() -> Task<> { co_await again(); });
        };
        co_await again();
      },
      {headline, "[sync.Once.Do]:"});
  expect_deadlock(
      []() -> Task<> {
        auto child = go([]() -> Task<> { co_await Channel<int>().recv(); });
        co_await child;
      },
      {headline, "[join]:"});
}

TEST_CASE("DL-02: sleeping for ever, and a timer that was stopped") {
  expect_deadlock([]() -> Task<> { co_await sleep_for(std::chrono::hours::max()); },
                  {headline, "[sleep]:"});
  expect_deadlock(
      []() -> Task<> {
        Timer timer(1h);
        timer.stop();
        co_await timer;
      },
      {headline, "[sleep]:"});
}

TEST_CASE("DL-03: main has called goexit and the others have ended") {
  for_each_setting([](const Setting& setting) {
    auto main = []() -> Task<> {
      go([]() -> Task<> { co_await sleep_for(5ms); });
      goexit();
      co_return;
    };
    Options options = options_of(setting);
    expect_exit(2, "fatal error: no goroutines (main called goexit) - deadlock!",
                [&] { run(options, main); });
    options.on_deadlock = DeadlockPolicy::throw_from_run;
    CHECK_THROWS_WITH_AS(run(options, main),
                         doctest::Contains("no goroutines (main called goexit) - deadlock!"),
                         Deadlock);
  });
}

TEST_CASE("DL-03: others go on after main's goexit, and are reported if they hang") {
  for_each_setting([](const Setting& setting) {
    Options options = options_of(setting);
    options.on_deadlock = DeadlockPolicy::throw_from_run;
    std::atomic<bool> went_on{false};
    std::string report;
    try {
      run(options, [&]() -> Task<> {
        go([&]() -> Task<> {
          co_await sleep_for(2ms);
          went_on = true;
          co_await Channel<int>().recv();
        });
        goexit();
        co_return;
      });
    } catch (const Deadlock& deadlock) {
      report = deadlock.what();
    }
    CHECK(went_on);
    expect_in_order(report, {headline, "[chan receive"});
    CHECK_EQ(count_of("goroutine 1 ", report), 0);
  });
}

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
        Channel<int> ready(1);
        ready.try_send(1);
        co_await select_any{ready.recv(), timer};
        co_await ready.recv();
      },
      {headline, "[chan receive"});
}

TEST_CASE("DL-06: not while somebody waits for the network") {
  expect_no_deadlock([]() -> Task<> {
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
  expect_deadlock(
      []() -> Task<> {
        auto listener = net::TcpListener::listen("127.0.0.1:0").value();
        co_await Channel<int>().recv();
      },
      {headline, "goroutine 1 [chan receive"});
  expect_deadlock(
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
  expect_no_deadlock([]() -> Task<> {
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
  for_each_setting([](const Setting& setting) {
    Ended ended = in_child([&] {
      run_setting(setting, []() -> Task<> {
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
    });
    CHECK_MESSAGE(ended.code == 0, ended.errors);
  });
  expect_deadlock(
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
  CHECK_THROWS_AS(KeepAlive(), Panic);
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
  for_each_setting([](const Setting& setting) {
    warnings = 0;
    auto before = ringo::detail::set_log_hook(&count_warnings);
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
    ringo::detail::set_log_hook(before);
    CHECK_EQ(warnings, 1);
  });
}

TEST_CASE("DL-08: a partial deadlock is not reported") {
  expect_no_deadlock([]() -> Task<> {
    for (int i = 0; i < 10; ++i) go([]() -> Task<> { co_await Channel<int>().recv(); });
    co_await sleep_for(20ms);
  });
}

TEST_CASE("DeadlockPolicy::ignore reports nothing") {
  Options options;
  options.on_deadlock = DeadlockPolicy::ignore;
  for_each_setting([&](const Setting& setting) {
    Ended ended = in_child([&] {
      ::alarm(1);
      run_setting(setting, two_wait, options);
    });
    CHECK_EQ(count_of(headline, ended.errors), 0);
    CHECK_NE(ended.code, 0);
    CHECK_NE(ended.code, 2);
  });
}

// Work that is handed on from goroutine to goroutine, so that all workers fall asleep at nearly any
// moment, with something on its way: in an inbox (go_on), in a slot, to a thief, in a timer, in a
// pool thread.
namespace {

Task<> relay(Channel<int> in, Channel<int> out, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    auto value = co_await in.recv();
    co_await out.send(*value + 1);
  }
}

Task<> busy_then_quiet(unsigned seed) {
  constexpr int stations = 6;
  constexpr int rounds = 40;
  Channel<int> first;
  Channel<int> last = first;
  for (int i = 0; i < stations; ++i) {
    Channel<int> next(i % 2);
    go_on(static_cast<int>((seed + static_cast<unsigned>(i)) % num_workers()), relay, last, next,
          rounds);
    last = next;
  }
  for (int i = 0; i < rounds; ++i) {
    co_await first.send(i);
    CHECK_EQ(*co_await last.recv(), i + stations);
    switch ((seed + static_cast<unsigned>(i)) % 8) {
      case 0: co_await sleep_for(std::chrono::microseconds(seed % 100)); break;
      case 1: co_await blocking([] {}); break;
      case 2: co_await yield(); break;
      case 3: {
        auto child = go([]() -> Task<> { co_await sleep_for(10us); });
        co_await child;
        break;
      }
      default: break;
    }
  }
}

}  // namespace

TEST_CASE("DL-01: nothing false and nothing missed, thousands of times" *
          doctest::test_suite("long")) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  unsigned seed = 0;
  int found = 0;
  int clean = 0;
  while (std::chrono::steady_clock::now() < until) {
    for_each_setting([&](const Setting& setting) {
      ++seed;
      CHECK_EQ(deadlock_of(setting, [&] { return busy_then_quiet(seed); }), "");
      ++clean;
      CHECK_NE(deadlock_of(setting,
                           [&]() -> Task<> {
                             co_await busy_then_quiet(seed);
                             co_await Channel<int>().recv();
                           }),
               "");
      ++found;
    });
  }
  MESSAGE("runs without a deadlock: ", clean, ", with one: ", found);
}
