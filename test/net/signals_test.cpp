#include <ringo/signals.hpp>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <ringo/panic.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "base/log.hpp"
#include "matrix.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

/// What the program itself had installed before ringo came: counts.
std::atomic<int> fallbacks{0};
extern "C" void count_fallback(int) { ++fallbacks; }

/// Installs it for a scope.
class Fallback {
 public:
  explicit Fallback(int number) : number_(number) {
    fallbacks = 0;
    struct sigaction action {};
    action.sa_handler = &count_fallback;
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, &before_);
  }
  ~Fallback() { sigaction(number_, &before_, nullptr); }

 private:
  int number_;
  struct sigaction before_ {};
};

/// Whether that is what the process does about the signal.
bool acts(int number, void (*handler)(int)) {
  struct sigaction now {};
  sigaction(number, nullptr, &now);
  return now.sa_handler == handler;
}

void send_to_process(int number) { REQUIRE_EQ(::kill(::getpid(), number), 0); }

}  // namespace

RINGO_TEST("SG-01: a signal arrives in the channel") {
  Channel<int> ch(1);
  signals::notify(ch, {SIGUSR1, SIGUSR2});
  for (int i = 0; i < 20; ++i) {
    int number = i % 2 == 0 ? SIGUSR1 : SIGUSR2;
    send_to_process(number);
    CHECK_EQ((co_await ch.recv()).value(), number);
  }
  // From another thread, while every worker sleeps.
  std::thread sender([] {
    std::this_thread::sleep_for(2ms);  // so that they do sleep; it works if they do not
    send_to_process(SIGUSR1);
  });
  auto got = co_await select_any{ch.recv(), after(10s)};
  CHECK_EQ(got.index(), 0u);
  sender.join();
  signals::stop(ch);
}

RINGO_TEST("SG-01: a signal that finds the channel full is dropped") {
  Channel<int> small(1);
  Channel<int> none;
  Channel<int> large(100);
  signals::notify(small, {SIGUSR1});
  signals::notify(none, {SIGUSR1});
  signals::notify(large, {SIGUSR1});
  for (int i = 0; i < 10; ++i) {
    ::raise(SIGUSR1);
    CHECK_EQ((co_await large.recv()).value(), SIGUSR1);
  }
  // One delivery serves all channels, in the order of notify().
  CHECK_EQ(small.len(), 1u);
  CHECK(!none.try_recv());
  CHECK(small.try_recv());
  ::raise(SIGUSR1);
  CHECK_EQ((co_await small.recv()).value(), SIGUSR1);
  // An unbuffered channel gets it when somebody waits.
  auto receiver = go([&]() -> Task<int> { co_return (co_await none.recv()).value(); });
  while (!receiver.done()) {
    ::raise(SIGUSR1);
    co_await sleep_for(1ms);
  }
  CHECK_EQ(co_await receiver, SIGUSR1);
  for (const auto& ch : {small, none, large}) signals::stop(ch);
}

RINGO_TEST("signals: each channel gets its own, added up over several calls") {
  Channel<int> a(8);
  Channel<int> b(8);
  signals::notify(a, {SIGUSR1});
  signals::notify(b, {SIGUSR2});
  signals::notify(a, {SIGHUP});
  signals::notify(a, {SIGUSR1});
  for (int number : {SIGUSR1, SIGUSR2, SIGHUP}) {
    ::raise(number);
    CHECK_EQ((co_await (number == SIGUSR2 ? b : a).recv()).value(), number);
  }
  CHECK_EQ(a.len() + b.len(), 0u);
  signals::stop(a);
  ::raise(SIGUSR2);
  CHECK_EQ((co_await b.recv()).value(), SIGUSR2);
  signals::stop(b);
}

RINGO_TEST("SG-01: stop() ends it, and the former action is restored with the last channel") {
  Fallback fallback(SIGUSR1);
  Channel<int> a(8);
  Channel<int> b(8);
  signals::notify(a, {SIGUSR1});
  signals::notify(b, {SIGUSR1});
  ::raise(SIGUSR1);
  CHECK(co_await a.recv());
  CHECK(co_await b.recv());
  signals::stop(a);
  ::raise(SIGUSR1);
  CHECK(co_await b.recv());
  CHECK_EQ(fallbacks, 0);
  signals::stop(b);
  CHECK(acts(SIGUSR1, &count_fallback));
  ::raise(SIGUSR1);
  CHECK_EQ(fallbacks, 1);
  CHECK_EQ(a.len() + b.len(), 0u);
  signals::stop(b);               // again: nothing
  signals::stop(Channel<int>{});  // never notified: nothing
}

RINGO_TEST("SG-01: a signal around stop() is either in the channel or acts as before, never lost") {
  Fallback fallback(SIGUSR1);
  int delivered = 0;
  for (int round = 0; round < 200; ++round) {
    Channel<int> ch(4);
    signals::notify(ch, {SIGUSR1});
    std::thread sender([] { ::kill(::getpid(), SIGUSR1); });
    for (int k = 0; k < round % 8; ++k) co_await yield();
    signals::stop(ch);
    std::size_t now = ch.len();
    sender.join();
    // The signal may still be on its way to a thread of this process.
    co_await test::eventually(
        [&] { return static_cast<int>(ch.len()) + delivered + fallbacks == round + 1; });
    CHECK_EQ(ch.len(), now);  // nothing came after stop()
    delivered += static_cast<int>(ch.len());
  }
  CHECK_EQ(delivered + fallbacks, 200);
}

RINGO_TEST("signals: reset() and ignore()") {
  Fallback first(SIGUSR1);
  Channel<int> ch(8);
  signals::notify(ch, {SIGUSR1, SIGUSR2});
  CHECK(!signals::ignored(SIGUSR1));
  signals::ignore({SIGUSR1});
  CHECK(signals::ignored(SIGUSR1));
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  CHECK_EQ((co_await ch.recv()).value(), SIGUSR2);
  CHECK_EQ(ch.len(), 0u);

  // notify() ends it, and the action before both comes back in the end.
  signals::notify(ch, {SIGUSR1});
  CHECK(!signals::ignored(SIGUSR1));
  ::raise(SIGUSR1);
  CHECK_EQ((co_await ch.recv()).value(), SIGUSR1);
  signals::reset({SIGUSR1});
  CHECK(acts(SIGUSR1, &count_fallback));
  ::raise(SIGUSR1);
  CHECK_EQ(fallbacks, 1);
  ::raise(SIGUSR2);
  CHECK_EQ((co_await ch.recv()).value(), SIGUSR2);

  signals::ignore({SIGUSR1});
  signals::reset();
  CHECK(acts(SIGUSR1, &count_fallback));
  CHECK(acts(SIGUSR2, SIG_DFL));
  CHECK_EQ(ch.len(), 0u);
}

RINGO_TEST("SG-01: misuse is a Panic and changes nothing") {
  CHECK_THROWS_WITH_AS(signals::notify(Channel<int>::nil(), {SIGUSR1}),
                       "signals::notify: the channel is nil", Panic);
  Channel<int> ch(1);
  for (int number : {SIGKILL, SIGSTOP, SIGSEGV, 0, -1, 65, 1000}) {
    CHECK_THROWS_AS(signals::notify(ch, {SIGUSR1, number}), Panic);
  }
  CHECK_THROWS_WITH_AS(signals::ignore({SIGUSR1, SIGKILL}),
                       "signals::ignore: signal 9 cannot be ignored", Panic);
  CHECK(acts(SIGUSR1, SIG_DFL));
  signals::reset({SIGKILL, -1, 99});  // nothing to undo
  co_return;
}

TEST_CASE("signals: outside a goroutine") {
  Channel<int> ch(1);
  CHECK_THROWS_WITH_AS(signals::notify(ch, {SIGUSR1}),
                       "signals::notify: called outside a goroutine", Panic);
  signals::stop(ch);
  signals::ignore({SIGUSR1});
  CHECK(signals::ignored(SIGUSR1));
  signals::reset({SIGUSR1});
  CHECK(acts(SIGUSR1, SIG_DFL));
}

RINGO_TEST("signals: stop() from a plain thread") {
  Channel<int> ch(4);
  signals::notify(ch, {SIGUSR1});
  ::raise(SIGUSR1);
  std::atomic<bool> stopped{false};
  std::thread other([&] {
    signals::stop(ch);
    stopped = true;
  });
  co_await test::eventually([&] { return stopped.load(); });
  other.join();
  CHECK_EQ(ch.len(), 1u);
  CHECK(acts(SIGUSR1, SIG_DFL));
}

namespace {
std::string logged;
}

RINGO_TEST("signals: a closed channel is dropped") {
  auto before = ringo::detail::set_log_hook(
      [](ringo::detail::LogLevel, std::string_view text) { logged = text; });
  Channel<int> closed(1);
  Channel<int> other(1);
  signals::notify(closed, {SIGUSR1});
  signals::notify(other, {SIGUSR1});
  closed.close();
  ::raise(SIGUSR1);
  CHECK(co_await other.recv());
  CHECK_EQ(logged, "signals: send on closed channel: the channel gets no more signals");
  logged.clear();
  ::raise(SIGUSR1);
  CHECK(co_await other.recv());
  CHECK_EQ(logged, "");
  ringo::detail::set_log_hook(before);
  signals::stop(other);
  CHECK(acts(SIGUSR1, SIG_DFL));
}

TEST_CASE("signals: the runtime's end restores the action, and the next runtime starts anew") {
  test::for_each_setting([](const test::Setting& setting) {
    Fallback fallback(SIGUSR1);
    Channel<int> kept(4);
    for (int i = 1; i <= 3; ++i) {
      test::run_setting(setting, [&]() -> Task<> {
        Channel<int> ch(1);
        signals::notify(ch, {SIGUSR1});
        signals::notify(kept, {SIGUSR2});
        ::raise(SIGUSR1);
        CHECK(co_await ch.recv());
        ::raise(SIGUSR2);
        CHECK(co_await kept.recv());
      });
      CHECK(acts(SIGUSR1, &count_fallback));
      CHECK(acts(SIGUSR2, SIG_DFL));
      ::raise(SIGUSR1);
      CHECK_EQ(fallbacks, i);
    }
  });
}

TEST_CASE("signals: two runtimes at once both hear of them") {
  test::for_each_setting([](const test::Setting& setting) {
    std::atomic<int> ready{0};
    std::atomic<int> got{0};
    auto body = [&]() -> Task<> {
      Channel<int> ch(1);
      signals::notify(ch, {SIGUSR1});
      ++ready;
      if (co_await ch.recv() == SIGUSR1) ++got;
    };
    std::thread one([&] { ringo::run(test::options_of(setting), body); });
    std::thread two([&] { ringo::run(test::options_of(setting), body); });
    while (ready < 2) std::this_thread::yield();
    send_to_process(SIGUSR1);
    one.join();
    two.join();
    CHECK_EQ(got, 2);
    CHECK(acts(SIGUSR1, SIG_DFL));
  });
}

TEST_CASE("signals: the default action ends the process again after stop()") {
  test::for_each_setting([](const test::Setting& setting) {
    test::expect_exit(128 + SIGINT, "caught 2\n", [&] {
      ::signal(SIGINT, SIG_DFL);
      test::run_setting(setting, []() -> Task<> {
        Channel<int> ch(1);
        signals::notify(ch, {SIGINT});
        send_to_process(SIGINT);
        std::fprintf(stderr, "caught %d\n", (co_await ch.recv()).value());
        signals::stop(ch);
        send_to_process(SIGINT);
        co_await sleep_for(10s);
        std::fprintf(stderr, "still here\n");
      });
    });
  });
}

TEST_CASE("signals: a program that is told to end, ends in its own way") {
  test::for_each_setting([](const test::Setting& setting) {
    test::expect_exit(0, "told 15, tidied up\n", [&] {
      test::run_setting(setting, []() -> Task<> {
        Channel<int> ch(1);
        signals::notify(ch, {SIGINT, SIGTERM});
        std::thread([] { ::kill(::getpid(), SIGTERM); }).join();
        auto told = co_await ch.recv();
        std::fprintf(stderr, "told %d, tidied up\n", *told);
      });
    });
  });
}

TEST_CASE("signals: without numbers, all") {
  test::for_each_setting([](const test::Setting& setting) {
    test::expect_exit(0, "", [&] {
      // doctest has handlers of its own.
      for (int number : {SIGINT, SIGTERM, SIGSEGV}) ::signal(number, SIG_DFL);
      test::run_setting(setting, []() -> Task<> {
        Channel<int> ch(100);
        signals::notify(ch);
        for (int number :
             {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGPIPE, SIGWINCH, SIGRTMAX}) {
          ::raise(number);
          CHECK_EQ((co_await ch.recv()).value(), number);
        }
        CHECK(acts(SIGSEGV, SIG_DFL));
        signals::stop(ch);
        CHECK(acts(SIGTERM, SIG_DFL));
      });
    });
  });
}

TEST_CASE("signals: a child process has a bell of its own") {
  test::for_each_setting([](const test::Setting& setting) {
    test::run_setting(setting, []() -> Task<> {
      Channel<int> ch(1);
      signals::notify(ch, {SIGUSR1});
      ::raise(SIGUSR1);
      CHECK(co_await ch.recv());
    });
    test::expect_exit(0, "", [&] {
      test::run_setting(setting, []() -> Task<> {
        Channel<int> ch(1);
        signals::notify(ch, {SIGUSR1});
        ::raise(SIGUSR1);
        CHECK(co_await ch.recv());
      });
    });
  });
}

RINGO_TEST("signals: a storm from several threads, while channels come and go") {
  std::atomic<bool> end{false};
  Channel<int> steady(64);
  signals::notify(steady, {SIGUSR1});  // so that SIGUSR1 never kills
  std::vector<std::thread> senders;
  for (int i = 0; i < 2; ++i) {
    senders.emplace_back([&] {
      while (!end) {
        ::kill(::getpid(), SIGUSR1);
        std::this_thread::sleep_for(50us);
      }
    });
  }
  int received = 0;
  for (int round = 0; round < 100; ++round) {
    Channel<int> ch(2);
    signals::notify(ch, {SIGUSR1, SIGUSR2});
    CHECK_EQ((co_await ch.recv()).value(), SIGUSR1);
    ++received;
    signals::stop(ch);
    auto left = ch.len();
    co_await yield();
    CHECK_EQ(ch.len(), left);
    while (steady.try_recv()) ++received;
  }
  end = true;
  for (auto& sender : senders) sender.join();
  CHECK_GE(received, 100);
  // Signals sent and not yet handled must meet the handler, not the default.
  co_await sleep_for(5ms);
  signals::stop(steady);
}
