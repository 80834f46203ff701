// The scheduler: the rows SC of Go's semantics.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::on_one_worker;
using test::Setting;

namespace {

/// Busy for that long, without a chance for others.
void hold_worker(std::chrono::microseconds time) {
  auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {}
}

}  // namespace

TEST_CASE("SC-01: the number of workers is what was asked for") {
  test::for_each_setting([](const Setting& setting) {
    unsigned seen = run(test::options_of(setting), []() -> Task<unsigned> {
      CHECK(this_worker() < num_workers());
      co_return num_workers();
    });
    CHECK(seen == setting.workers);
  });
  Options options;
  options.driver = DriverKind::epoll;
  options.workers = 100000;
  CHECK(!test::panic_of([&] { run(options, []() -> Task<> { co_return; }); }).empty());
  options.workers = 0;
  CHECK(run(options, []() -> Task<unsigned> { co_return num_workers(); }) >= 1);
}

RINGO_TEST("SC-02: goroutines on different workers run in parallel (TestGoroutineParallelism)") {
  // They spin for each other, which ends only if all of them run at once.
  unsigned count = num_workers();
  std::atomic<unsigned> turn{0};
  std::vector<JoinHandle<void>> handles;
  for (unsigned w = 0; w < count; ++w) {
    handles.push_back(go_on(static_cast<int>(w), [&turn, w, count]() -> Task<> {
      for (unsigned i = 0; i < 20; ++i) {
        while (turn != count * i + w) std::this_thread::yield();
        ++turn;
      }
      co_return;
    }));
  }
  co_await test::join_all(handles);
  CHECK(turn == 20 * count);
}

RINGO_TEST("SC-02: idle workers take over what waits behind a busy one") {
  if (num_workers() == 1) co_return;
  // The children wake up on this worker, which then stays busy until all of them have run.
  std::atomic<int> ran{0};
  for (int i = 0; i < 10; ++i) go([&ran] { ++ran; });
  auto limit = std::chrono::steady_clock::now() + 10s;
  while (ran < 10 && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  CHECK(ran == 10);
}

RINGO_TEST("SC-03: yield lets all that is ready go first") {
  co_await on_one_worker([]() -> Task<> {
    std::string order;
    for (char name : {'a', 'b'}) {
      go_on(0, [&order, name]() -> Task<> {
        order += name;
        co_return;
      });
    }
    order += '1';
    co_await yield();
    order += '2';
    CHECK(order == "1ab2");
    // With nobody else it goes on.
    for (int i = 0; i < 1000; ++i) co_await yield();
  });
}

RINGO_TEST("SC-03: yield lets all go first that is ready on the only worker") {
  if (num_workers() != 1) co_return;
  int ran = 0;
  for (int i = 0; i < 3; ++i) go([&ran] { ++ran; });
  co_await yield();
  CHECK(ran == 3);
}

RINGO_TEST("SC-03: yielding makes progress (TestYieldProgress)") {
  std::atomic<bool> stop{false};
  auto spinner = go([&]() -> Task<> {
    while (!stop) co_await yield();
  });
  auto stopper = go([&]() -> Task<> {
    co_await test::yields(10);
    stop = true;
  });
  co_await spinner;
  co_await stopper;
  CHECK(stop);
}

RINGO_TEST("SC-04: a tree whose goroutines join their children is not all alive at once") {
  // Go may run them in any order. Who is joined runs next here: a branch comes after the other.
  struct Tree {
    static Task<int> leaves(int levels, std::atomic<std::size_t>& most) {
      std::size_t alive = num_goroutines();
      for (std::size_t seen = most; alive > seen && !most.compare_exchange_weak(seen, alive);) {}
      if (levels == 0) co_return 1;
      std::array<JoinHandle<int>, 10> children;
      for (auto& child : children) child = go(leaves, levels - 1, std::ref(most));
      int sum = 0;
      for (auto& child : children) sum += co_await child;
      co_return sum;
    }
  };
  // The others have their turn after some time, too, which on a busy machine may be soon; but not
  // in every round.
  std::size_t least = 11'111;
  for (int round = 0; round < 20 && least >= 4'000; ++round) {
    std::atomic<std::size_t> most{0};
    CHECK_EQ(co_await Tree::leaves(4, most), 10'000);
    least = std::min(least, most.load());
  }
  CHECK_LT(least, 4'000);
}

RINGO_TEST("SC-05: an idle worker is woken for work, over and over") {
  for (int i = 0; i < 50; ++i) {
    co_await sleep_for(200us);
    std::vector<JoinHandle<int>> handles;
    for (int k = 0; k < 4; ++k) {
      handles.push_back(go([k]() -> Task<int> {
        co_await sleep_for(10us);
        co_return k;
      }));
    }
    int sum = 0;
    for (auto& handle : handles) sum += co_await handle;
    CHECK(sum == 6);
  }
}

RINGO_TEST("SC-07: a ping-pong does not starve others") {
  std::atomic<bool> stop{false};
  Channel<int> ping;
  Channel<int> pong;
  auto a = go([&]() -> Task<> {
    while (!stop) {
      co_await ping.send(1);
      co_await pong.recv();
    }
    ping.close();
  });
  auto b = go([&]() -> Task<> {
    while (co_await ping.recv()) co_await pong.send(1);
  });
  int turns = 0;
  while (turns < 500) {
    co_await yield();
    ++turns;
  }
  stop = true;
  co_await a;
  co_await b;
  CHECK(turns == 500);
}

RINGO_TEST("SC-07: two ping-pongs get comparable shares (TestPingPongHog)") {
  // Each pair readies its partner into the slot that runs next; the slot must not become a closed
  // circle that shuts the other pair out.
  co_await on_one_worker([]() -> Task<> {
    std::atomic<bool> stop{false};
    std::array<long, 2> rounds{};
    std::array<Channel<int>, 2> there;
    std::array<Channel<int>, 2> back;
    std::vector<JoinHandle<void>> handles;
    for (std::size_t pair = 0; pair < 2; ++pair) {
      handles.push_back(go_on(0, [&, pair]() -> Task<> {
        while (!stop) {
          co_await there[pair].send(1);
          co_await back[pair].recv();
          ++rounds[pair];
        }
        there[pair].close();
      }));
      handles.push_back(go_on(0, [&, pair]() -> Task<> {
        while (co_await there[pair].recv()) co_await back[pair].send(1);
      }));
    }
    while (rounds[0] + rounds[1] < 20000) co_await yield();
    stop = true;
    co_await test::join_all(handles);
    CHECK(rounds[0] < 20 * rounds[1]);
    CHECK(rounds[1] < 20 * rounds[0]);
  });
}

RINGO_TEST("SC-07: a ping-pong and a goroutine that yields share a worker") {
  Channel<int> there;
  Channel<int> back;
  auto a = go([&]() -> Task<> {
    for (int i = 0; i < 5000; ++i) {
      co_await there.send(i);
      co_await back.recv();
    }
    there.close();
  });
  auto b = go([&]() -> Task<> {
    while (auto value = co_await there.recv()) co_await back.send(*value);
  });
  long turns = 0;
  while (!b.done()) {
    ++turns;
    co_await yield();
  }
  co_await a;
  CHECK(turns > 5);
}

RINGO_TEST("SC-08: an expired timer is served beside goroutines that are always ready") {
  // Also TestAfterFuncStarvation.
  Channel<char> baton(1);
  std::atomic<bool> stop{false};
  std::vector<JoinHandle<void>> busy;
  for (int i = 0; i < 2; ++i) {
    busy.push_back(go([&]() -> Task<> {
      while (!stop) {
        co_await baton.send('x');
        co_await baton.recv();
      }
    }));
  }
  auto timer = after_func(5ms, [&] { stop = true; });
  co_await test::join_all(busy);
  CHECK(stop);
}

RINGO_TEST("SC-08: a goroutine that never has to wait still lets timers and others run") {
  std::atomic<bool> stop{false};
  Channel<int> ch(1);
  auto busy = go([&]() -> Task<> {
    while (!stop) {
      co_await ch.send(1);
      co_await ch.recv();
    }
  });
  co_await sleep_for(2ms);
  stop = true;
  co_await busy;
  CHECK(stop);
}

RINGO_TEST("SC-08: a select that never has to wait still lets timers and others run") {
  std::atomic<bool> stop{false};
  Channel<int> ch(1);
  auto busy = go([&]() -> Task<> {
    while (!stop) co_await select_any{on(ch.send(1), [] {}), on(ch.recv(), [] {})};
  });
  co_await sleep_for(2ms);
  stop = true;
  co_await busy;
  CHECK(stop);
}

RINGO_TEST("SC-10: nothing depends on the order of goroutines") {
  std::atomic<int> sum{0};
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 200; ++i) {
    handles.push_back(go([&sum, i]() -> Task<> {
      for (int k = 0; k < i % 7; ++k) co_await yield();
      if (i % 50 == 0) hold_worker(200us);
      sum += i;
    }));
  }
  co_await test::join_all(handles);
  CHECK(sum == 199 * 100);
}

TEST_CASE("scheduler: pinned workers keep their goroutines") {
  Options options;
  options.pinned = true;
  test::run_matrix(
      []() -> Task<> {
        unsigned here = this_worker();
        std::vector<JoinHandle<bool>> handles;
        for (int i = 0; i < 20; ++i) {
          handles.push_back(go([here]() -> Task<bool> {
            bool same = true;
            for (int k = 0; k < 10; ++k) {
              same = same && this_worker() == here;
              co_await yield();
              if (k % 3 == 0) co_await sleep_for(20us);
            }
            co_return same;
          }));
        }
        for (auto& handle : handles) CHECK(co_await handle);
      },
      options);
}
