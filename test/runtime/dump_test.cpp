// dump() and SIGQUIT: what every goroutine does, while the program goes on.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <ringo/blocking.hpp>
#include <ringo/channel.hpp>
#include <ringo/dump.hpp>
#include <ringo/net.hpp>
#include <ringo/sync.hpp>
#include <ringo/signals.hpp>
#include <ringo/time.hpp>

#include "matrix.hpp"
#include "runtime/report_text.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

std::string at(int line) { return at_line("dump_test.cpp", line); }

/// The part of a dump that is about the goroutine of that state.
std::string part_of(const std::string& text, const std::string& state) {
  const std::size_t begin = text.find("[" + state + "]:\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find("\n\n", begin) - begin);
}

constexpr int inner_line = __LINE__ + 2;
Task<> inner(Channel<int> ch) {
  co_await ch.recv();
}

constexpr int middle_line = __LINE__ + 2;
Task<int> middle(Channel<int> ch) {
  co_await inner(ch);
  co_return 1;
}

constexpr int outer_line = __LINE__ + 2;
Task<> outer(Channel<int> ch) {
  co_await middle(ch);
}

void spin_until(const std::atomic<bool>& flag) {
  while (!flag.load(std::memory_order_relaxed)) {
  }
}

}  // namespace

RINGO_TEST("GO-12: dump() shows what each goroutine waits for, with its chain, and all goes on") {
  Channel<int> ch;
  Channel<int> other;
  Mutex mutex;
  auto held = co_await mutex.lock();
  const int spawn_line = __LINE__ + 1;
  auto waiting = go(outer, ch);
  auto sending = go([other]() -> Task<> { co_await other.send(1); });
  auto locking = go([&]() -> Task<> { auto guard = co_await mutex.lock(); });
  auto sleeping = go([]() -> Task<> { co_await sleep_for(50ms); });
  auto calling =
      go([]() -> Task<> { co_await blocking([] { std::this_thread::sleep_for(80ms); }); });
  co_await sleep_for(20ms);
  const std::string text = dump();
  expect_in_order(text, {"ringo: ", " goroutines, ", " workers, driver "});
  CHECK_EQ(count_of("\ngoroutine ", text), num_goroutines());
  CHECK_EQ(count_of("\ngoroutine 1 [running]:\n", text), 1);
  expect_in_order(part_of(text, "chan receive"),
                  {"inner(...)\n", at(inner_line), "middle(...)\n", at(middle_line), "outer(...)\n",
                   at(outer_line), "created by ", " in goroutine 1\n",
                   "dump_test.cpp:" + std::to_string(spawn_line)});
  CHECK_NE(part_of(text, "chan send"), "");
  CHECK_NE(part_of(text, "sync.Mutex.Lock"), "");
  CHECK_NE(part_of(text, "sleep"), "");
  CHECK_NE(part_of(text, "blocking call"), "");
  // Everything goes on.
  held.unlock();
  co_await other.recv();
  co_await ch.send(1);
  co_await waiting;
  co_await sending;
  co_await locking;
  co_await sleeping;
  co_await calling;
}

RINGO_TEST("dump() from a plain thread; the frames of one that runs are those of its own await") {
  Channel<int> ch;
  auto waiting = go(outer, ch);
  co_await sleep_for(5ms);
  std::string text;
  const int line = __LINE__ + 1;
  co_await blocking([&] { text = dump(); });
  CHECK_NE(part_of(text, "chan receive"), "");
  expect_in_order(part_of(text, "blocking call"),
                  {"(...)\n", "dump_test.cpp:" + std::to_string(line)});
  co_await ch.send(1);
  co_await waiting;
}

TEST_CASE("dump() stops workers whose goroutines do not suspend") {
  for_each_setting([](const Setting& setting) {
    std::atomic<bool> spinning{false};
    std::atomic<bool> enough{false};
    std::string text;
    std::thread other([&] {
      while (!spinning) std::this_thread::yield();
      text = dump();
      enough = true;
    });
    run_setting(setting, [&]() -> Task<> {
      Channel<int> ch;
      go(outer, ch);
      co_await sleep_for(5ms);
      co_await [](std::atomic<bool>& begins, std::atomic<bool>& flag) -> Task<> {
        co_await yield();
        begins = true;
        spin_until(flag);
      }(spinning, enough);
    });
    other.join();
    expect_in_order(part_of(text, "chan receive"), {at(inner_line), at(outer_line)});
    // The frame that spins, and the one that awaits it.
    CHECK_EQ(count_of("goroutine 1 [running]:\n", text), 1);
    CHECK_GE(count_of("dump_test.cpp:", part_of(text, "running")), 2);
    CHECK_EQ(count_of("unavailable", text), 0);
  });
}

TEST_CASE("dump() waits for a thread that is late to take the signal, as on a busy machine") {
  for_each_setting([](const Setting& setting) {
    std::atomic<bool> spinning{false};
    std::atomic<bool> written{false};
    std::string text;
    std::thread other([&] {
      while (!spinning) std::this_thread::yield();
      text = dump();
      written = true;
    });
    run_setting(setting, [&]() -> Task<> {
      Channel<int> ch;
      go(outer, ch);
      co_await sleep_for(5ms);
      sigset_t urgent;
      sigemptyset(&urgent);
      sigaddset(&urgent, SIGURG);
      ::pthread_sigmask(SIG_BLOCK, &urgent, nullptr);
      spinning = true;
      const auto end = std::chrono::steady_clock::now() + 400ms;
      while (std::chrono::steady_clock::now() < end) {
      }
      ::pthread_sigmask(SIG_UNBLOCK, &urgent, nullptr);
      while (!written) co_await sleep_for(1ms);
    });
    other.join();
    expect_in_order(part_of(text, "chan receive"), {at(inner_line), at(outer_line)});
    CHECK_EQ(count_of("unavailable", text), 0);
  });
}

TEST_CASE("many dumps at once from goroutines and threads, under load") {
  for_each_setting([](const Setting& setting) {
    std::atomic<bool> started{false};
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    std::atomic<int> dumps{0};
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        while (!started) std::this_thread::yield();
        while (!done) {
          dump();
          ++dumps;
          std::this_thread::sleep_for(1ms);
        }
      });
    }
    run_setting(setting, [&]() -> Task<> {
      started = true;
      Channel<int> ch;
      WaitGroup wg;
      for (int i = 0; i < 8; ++i) {
        wg.go([ch, i]() -> Task<> {
          for (int k = 0; k < 200; ++k) {
            if (i % 2 == 0) {
              co_await ch.send(k);
            } else {
              co_await ch.recv();
            }
            if (k % 50 == 0) dump();
          }
        });
      }
      co_await wg.wait();
      auto limit = std::chrono::steady_clock::now() + 10s;
      while (dumps < 4 && std::chrono::steady_clock::now() < limit) co_await sleep_for(1ms);
    });
    done = true;
    for (auto& thread : threads) thread.join();
    CHECK_GE(dumps, 4);
  });
}

TEST_CASE("dump() while runtimes begin and end") {
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) dump();
  });
  for (int i = 0; i < 20; ++i) {
    for_each_setting([](const Setting& setting) {
      run_setting(setting, []() -> Task<> {
        go([]() -> Task<> { co_await Channel<int>().recv(); });
        co_await yield();
      });
    });
  }
  done = true;
  other.join();
  CHECK_EQ(dump(), "ringo: no runtime\n");
}

RINGO_TEST("dump() to a descriptor and to a stream") {
  int ends[2];
  REQUIRE_EQ(::pipe2(ends, O_CLOEXEC), 0);
  dump(ends[1]);
  char buffer[16384];
  ssize_t n = ::read(ends[0], buffer, sizeof buffer);
  REQUIRE_GT(n, 0);
  CHECK_EQ(count_of("goroutine 1 [running]", std::string(buffer, static_cast<std::size_t>(n))), 1);
  std::FILE* stream = ::fdopen(ends[1], "w");
  dump(stream);
  n = ::read(ends[0], buffer, sizeof buffer);
  REQUIRE_GT(n, 0);
  CHECK_EQ(count_of("goroutine 1 [running]", std::string(buffer, static_cast<std::size_t>(n))), 1);
  std::fclose(stream);
  ::close(ends[0]);
  co_return;
}

TEST_CASE("waits of a second and more are shown with their length") {
  for_each_setting_at_once([](const Setting& setting) {
    run_setting(setting, []() -> Task<> {
      Channel<int> ch;
      auto waiting = go(outer, ch);
      co_await sleep_for(1200ms);
      const std::string text = dump();
      CHECK_EQ(count_of("[chan receive, 1 second]:", text), 1);
      co_await ch.send(1);
      co_await waiting;
    });
  });
}

// --- SIGQUIT ------------------------------------------------------------------------------------

TEST_CASE("SG-03, GO-12: SIGQUIT prints every goroutine and exits with 2") {
  for_each_setting([](const Setting& setting) {
    Ended ended = in_child([&] {
      run_setting(setting, []() -> Task<> {
        Channel<int> ch;
        go(outer, ch);
        co_await sleep_for(10ms);
        ::kill(::getpid(), SIGQUIT);
        co_await sleep_for(10s);
      });
    });
    CHECK_EQ(ended.code, 2);
    expect_in_order(ended.errors, {"SIGQUIT: quit\n\nringo: 2 goroutines, ", "goroutine 1 ["});
    expect_in_order(part_of(ended.errors, "chan receive"),
                    {at(inner_line), at(middle_line), at(outer_line), "created by "});
  });
}

TEST_CASE("SIGQUIT finds a program whose goroutines do not suspend") {
  for_each_setting([](const Setting& setting) {
    Ended ended = in_child([&] {
      static std::atomic<bool> never{false};
      run_setting(setting, []() -> Task<> {
        Channel<int> ch;
        go(outer, ch);
        co_await sleep_for(10ms);
        for (unsigned i = 1; i < num_workers(); ++i) {
          go([]() -> Task<> {
            spin_until(never);
            co_return;
          });
        }
        ::kill(::getpid(), SIGQUIT);
        spin_until(never);
      });
    });
    CHECK_EQ(ended.code, 2);
    expect_in_order(part_of(ended.errors, "chan receive"), {at(inner_line), at(outer_line)});
    CHECK_EQ(count_of("goroutine 1 [running]:", ended.errors), 1);
  });
}

TEST_CASE("SIGQUIT is left alone where the program or the options say so") {
  for_each_setting([](const Setting& setting) {
    Options options;
    options.dump_on_sigquit = false;
    Ended plain = in_child([&] {
      run_setting(
          setting,
          []() -> Task<> {
            ::raise(SIGQUIT);
            co_return;
          },
          options);
    });
    CHECK_EQ(plain.code, 128 + SIGQUIT);
    CHECK_EQ(plain.errors, "");

    Ended handled = in_child([&] {
      struct sigaction own {};
      own.sa_handler = [](int) { ::_exit(7); };
      ::sigaction(SIGQUIT, &own, nullptr);
      run_setting(setting, []() -> Task<> {
        ::raise(SIGQUIT);
        co_return;
      });
    });
    CHECK_EQ(handled.code, 7);

    Ended notified = in_child([&] {
      run_setting(setting, []() -> Task<> {
        Channel<int> signals(1);
        signals::notify(signals, {SIGQUIT});
        ::raise(SIGQUIT);
        CHECK_EQ(*co_await signals.recv(), SIGQUIT);
      });
    });
    CHECK_MESSAGE(notified.code == 0, notified.errors);

    Ended afterwards = in_child([&] {
      run_setting(setting, []() -> Task<> { co_return; });
      ::raise(SIGQUIT);
    });
    CHECK_EQ(afterwards.code, 128 + SIGQUIT);
  });
}
