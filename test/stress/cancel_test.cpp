// Cancellation of waits, from other workers and at random moments, through the hook that contexts
// are built on: no value is lost or doubled, and no node stays in a queue.
#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include <ringo/detail/goroutine.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "../conformance/support.hpp"
#include "cancel_target.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::Counted;

namespace {

struct Bench {
  std::vector<test::CancelTarget> targets;
  std::atomic<int> canceled{0};
  std::atomic<bool> over{false};
  explicit Bench(std::size_t count) : targets(count) {}

  /// Cancels the waits of all targets again and again, until they have ended.
  Task<> canceller() {
    while (!over) {
      for (auto& target : targets) {
        target.cancel();
        co_await yield();
      }
    }
  }
};

/// One cancellable attempt; true if it was not cancelled.
template <class F>
Task<bool> attempt(Bench& bench, F&& body) {
  bool done = true;
  try {
    co_await body();
  } catch (const Canceled&) {
    done = false;
    ++bench.canceled;
  }
  test::forget_cancellation();
  co_return done;
}

}  // namespace

RINGO_TEST("cancel: sends and receives that are cancelled did not take place") {
  constexpr int pairs = 3;
  constexpr int values = 1500;
  for (int capacity : {0, 2}) {
    Counted::Balance balance;
    std::vector<std::atomic<int>> seen(pairs * values);
    {
      Bench bench(2 * pairs);
      Channel<Counted> ch(capacity);
      std::atomic<int> received{0};
      std::vector<JoinHandle<void>> handles;
      for (int i = 0; i < pairs; ++i) {
        handles.push_back(go([&, i]() -> Task<> {
          test::CancelTarget& target = bench.targets[static_cast<std::size_t>(2 * i)];
          target.open();
          for (int k = 0; k < values; ++k) {
            auto send = [&]() -> Task<> { co_await ch.emplace(balance, i * values + k); };
            auto select = [&]() -> Task<> {
              co_await select_any{on(ch.emplace(balance, i * values + k), [] {}),
                                  on(after(1h), [] {})};
            };
            for (bool sent = false; !sent;) {
              if (k % 2 == 0) {
                sent = co_await attempt(bench, send);
              } else {
                sent = co_await attempt(bench, select);
              }
            }
          }
          target.close();
        }));
        handles.push_back(go([&, i]() -> Task<> {
          test::CancelTarget& target = bench.targets[static_cast<std::size_t>(2 * i + 1)];
          target.open();
          while (received < pairs * values) {
            std::optional<Counted> got;
            auto take = [&](std::optional<Counted> value) { got = std::move(value); };
            auto recv = [&]() -> Task<> {
              co_await select_any{on(ch.recv(), take), on(after(1ms), [] {})};
            };
            co_await attempt(bench, recv);
            if (!got) continue;
            ++seen.at(static_cast<std::size_t>(got->value()));
            ++received;
          }
          target.close();
        }));
      }
      auto canceller = go([&]() -> Task<> { return bench.canceller(); });
      co_await test::join_all(handles);
      bench.over = true;
      co_await canceller;
      CHECK(ch.len() == 0);
      CHECK(bench.canceled > 0);
    }
    int wrong = 0;
    for (auto& one : seen) wrong += one != 1;
    CHECK(wrong == 0);
    CHECK(balance.alive == 0);
  }
}

RINGO_TEST("cancel: sleeps, timers, joins and selects end at once and leave nothing") {
  constexpr int kinds = 6;
  Bench bench(kinds);
  Channel<int> silent;
  Timer timer(24h);
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < kinds; ++i) {
    handles.push_back(go([&, i]() -> Task<> {
      test::CancelTarget& target = bench.targets[static_cast<std::size_t>(i)];
      target.open();
      auto child = go([silent]() -> Task<> { co_await silent.recv(); });
      auto wait = [&]() -> Task<> {
        switch (i) {
          case 0:
            co_await sleep_for(24h);
            break;
          case 1:
            co_await timer;
            break;
          case 2:
            co_await child;
            break;
          case 3:
            co_await silent.recv();
            break;
          case 4:
            co_await Channel<int>::nil().recv();
            break;
          default:
            co_await select_any{on(silent.recv(), [] {}), on(timer, [] {}), on(child, [] {}),
                                on(after(24h), [] {})};
        }
      };
      for (int k = 0; k < 300; ++k) CHECK(!co_await attempt(bench, wait));
      target.close();
    }));
  }
  auto canceller = go([&]() -> Task<> { return bench.canceller(); });
  co_await test::join_all(handles);
  bench.over = true;
  co_await canceller;
  CHECK(bench.canceled == 300 * kinds);
  CHECK(timer.stop());
  silent.close();
}

RINGO_TEST("cancel: a wait that was completed first keeps its value") {
  // The canceller and the sender race for the same wait; whoever wins, the value is somewhere.
  Counted::Balance balance;
  {
    Channel<Counted> ch;
    test::CancelTarget target;
    constexpr int rounds = 1000;
    auto receiver = go([&]() -> Task<int> {
      int got = 0;
      target.open();
      for (int i = 0; i < rounds;) {
        try {
          if ((co_await ch.recv()).has_value()) ++got, ++i;
        } catch (const Canceled&) {}
        test::forget_cancellation();
      }
      target.close();
      co_return got;
    });
    std::atomic<bool> over{false};
    auto canceller = go([&]() -> Task<> {
      while (!over) {
        target.cancel();
        co_await yield();
      }
    });
    for (int i = 0; i < rounds; ++i) co_await ch.emplace(balance, i);
    CHECK(co_await receiver == rounds);
    over = true;
    co_await canceller;
  }
  CHECK(balance.alive == 0);
}
