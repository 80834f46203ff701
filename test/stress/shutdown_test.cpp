// The end of a run with goroutines blocked in every kind of wait. Abandoned, none of their code
// runs any more and their memory stays reachable (LeakSanitizer is content); drained, all of them
// unwind.
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <ringo/select_dyn.hpp>
#include <ringo/time.hpp>

#include "../conformance/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::Counted;
using test::Setting;

namespace {

/// Counts the goroutines that are past their start, and those that were unwound.
struct Tally {
  std::atomic<int> started{0};
  std::atomic<int> unwound{0};
  std::atomic<int> canceled{0};
  std::atomic<int> went_on{0};
  Counted::Balance balance;
};

/// Shared by the goroutines, which outlive main's locals.
using TallyPtr = std::shared_ptr<Tally>;

/// Runs `wait` between the accounts of a tally. The wait never ends by itself.
template <class F>
Task<> blocked_in(TallyPtr tally, F wait) {
  struct Unwind {
    Tally& tally;
    ~Unwind() { ++tally.unwound; }
  } unwind{*tally};
  Counted local(tally->balance, 1);
  ++tally->started;
  try {
    co_await wait();
  } catch (const Canceled&) {
    ++tally->canceled;
    throw;
  }
  ++tally->went_on;
}

/// One goroutine in each kind of wait; returns how many.
int start_all(const TallyPtr& tally, bool with_busy_one) {
  int count = 0;
  auto start = [&](auto wait) {
    ++count;
    go([tally, wait]() -> Task<> { return blocked_in(tally, wait); });
  };
  Channel<Counted> unbuffered;
  Channel<Counted> buffered(2);
  Channel<Counted> full(1);
  start([unbuffered]() -> Task<> { co_await unbuffered.recv(); });
  start([buffered]() -> Task<> { co_await buffered.recv(); });
  start([tally, full]() -> Task<> {
    for (;;) co_await full.emplace(tally->balance, 1);
  });
  Channel<Counted> nobody;
  start([tally, nobody]() -> Task<> { co_await nobody.emplace(tally->balance, 1); });
  start([]() -> Task<> { co_await Channel<int>::nil().recv(); });
  start([]() -> Task<> { co_await Channel<int>::nil().send(1); });
  start([]() -> Task<> { co_await select_any{}; });
  start([unbuffered, buffered]() -> Task<> {
    co_await select_any{on(unbuffered.recv(), [] {}), on(buffered.recv(), [] {}),
                        on(after(24h), [] {})};
  });
  start([tally, nobody]() -> Task<> {
    co_await select_any{on(nobody.emplace(tally->balance, 2), [] {}), on(after(24h), [] {})};
  });
  start([unbuffered]() -> Task<> {
    std::vector<SelectCase> cases;
    cases.push_back(on(unbuffered.recv(), [] {}));
    co_await select_dyn(cases);
  });
  start([]() -> Task<> { co_await sleep_for(24h); });
  start([]() -> Task<> { co_await after(24h); });
  start([]() -> Task<> {
    Timer timer(24h);
    co_await timer;
  });
  start([]() -> Task<> {
    Ticker ticker(24h);
    co_await select_any{on(ticker, [] {}), on(Channel<int>::nil().recv(), [] {})};
  });
  start([unbuffered]() -> Task<> {
    auto child = go([unbuffered]() -> Task<> { co_await unbuffered.recv(); });
    co_await child;
  });
  start([unbuffered]() -> Task<> {
    auto child = go([unbuffered]() -> Task<> { co_await unbuffered.recv(); });
    co_await select_any{on(child, [] {}), on(after(24h), [] {})};
  });
  start([]() -> Task<> { (void)co_await with_timeout(24h, Channel<int>::nil().recv()); });
  // Never waits, and so never hears of a cancellation.
  if (with_busy_one) {
    start([]() -> Task<> {
      for (;;) co_await yield();
    });
  }
  // Waits below other frames.
  start([unbuffered]() -> Task<> {
    auto inner = [unbuffered]() -> Task<> { co_await unbuffered.recv(); };
    co_await inner();
  });
  return count;
}

}  // namespace

TEST_CASE("shutdown: abandoned goroutines run no more code (GO-05)") {
  test::for_each_setting([](const Setting& setting) {
    auto tally = std::make_shared<Tally>();
    int count = 0;
    test::run_setting(setting, [&]() -> Task<> {
      count = start_all(tally, true);
      co_await test::eventually([&] { return tally->started == count; });
      co_await test::yields(5);
    });
    CHECK(tally->unwound == 0);
    CHECK(tally->canceled == 0);
    CHECK(tally->went_on == 0);
    CHECK(tally->balance.alive >= count);  // nothing was destroyed
  });
}

TEST_CASE("shutdown: drained goroutines unwind") {
  test::for_each_setting([](const Setting& setting) {
    auto tally = std::make_shared<Tally>();
    int count = 0;
    Options options;
    options.drain = 20s;
    auto begin = std::chrono::steady_clock::now();
    test::run_setting(
        setting,
        [&]() -> Task<> {
          count = start_all(tally, false);
          co_await test::eventually([&] { return tally->started == count; });
          co_await test::yields(5);
        },
        options);
    CHECK(tally->unwound == count);
    CHECK(tally->canceled == count);
    CHECK(tally->balance.alive == 0);
    CHECK(tally->went_on == 0);
    CHECK(std::chrono::steady_clock::now() - begin < 25s);
  });
}

TEST_CASE("shutdown: while everything moves") {
  // No goroutine is at rest when main returns.
  test::for_each_setting([](const Setting& setting) {
    for (auto drain : {std::chrono::nanoseconds(0), std::chrono::nanoseconds(10s)}) {
      for (int round = 0; round < 10; ++round) {
        auto tally = std::make_shared<Tally>();
        Options options;
        options.drain = drain;
        test::run_setting(
            setting,
            [&]() -> Task<> {
              Channel<Counted> ch(round % 2);
              for (int i = 0; i < 8; ++i) {
                go([tally, ch, i]() -> Task<> {
                  auto work = [&]() -> Task<> {
                    for (int k = 0;; ++k) {
                      if (i % 2 == 0) {
                        co_await ch.emplace(tally->balance, k);
                      } else {
                        co_await select_any{on(ch.recv(), [] {}), on(sleep_for(10us), [] {})};
                      }
                    }
                  };
                  co_await blocked_in(tally, work);
                });
              }
              co_await test::eventually([&] { return tally->started == 8; });
              co_await sleep_for(std::chrono::microseconds(50 * round));
            },
            options);
        CHECK(tally->unwound == (drain.count() == 0 ? 0 : 8));
        if (drain.count() != 0) CHECK(tally->balance.alive == 0);
      }
    }
  });
}

TEST_CASE("shutdown: a goroutine that ignores cancellation is given up after the drain time") {
  test::for_each_setting([](const Setting& setting) {
    Options options;
    options.drain = 30ms;
    auto begin = std::chrono::steady_clock::now();
    test::run_setting(
        setting,
        []() -> Task<> {
          go([]() -> Task<> {
            for (;;) {
              // Both are cancelled at once from then on; it goes on all the same.
              try {
                co_await sleep_for(1ms);
              } catch (const Canceled&) {}
              try {
                co_await yield();
              } catch (const Canceled&) {}
            }
          });
          co_await yield();
        },
        options);
    auto took = std::chrono::steady_clock::now() - begin;
    CHECK(took >= 30ms);
    CHECK(took < 10s);
  });
}
