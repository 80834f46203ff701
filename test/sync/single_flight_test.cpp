// Go's singleflight (SF), told anew.
#include <ringo/single_flight.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include <ringo/cancellation.hpp>
#include <ringo/channel.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;

RINGO_TEST("SF-01: one call, whose result all share who came meanwhile") {
  SingleFlight<std::string, std::string> flights;
  CHECK(co_await flights.call("key", [] { return std::string("bar"); }) == "bar");
  std::atomic<int> calls{0};
  Channel<int> release;
  auto fetch = [&calls, release]() -> Task<std::string> {
    ++calls;
    co_await release.recv();
    co_return "bar";
  };
  std::vector<JoinHandle<std::string>> callers;
  for (int i = 0; i < 10; ++i) {
    callers.push_back(go([&]() -> Task<std::string> { return flights.call("key", fetch); }));
  }
  auto other = go([&]() -> Task<std::string> { return flights.call("other", fetch); });
  co_await test::eventually([&] { return calls == 2; });
  co_await test::yields(5);
  release.close();
  for (auto& caller : callers) CHECK(co_await caller == "bar");
  CHECK(co_await other == "bar");
  CHECK(calls >= 2);
  CHECK(flights.size() == 0);
  // The next one starts anew.
  CHECK(co_await flights.call("key", fetch) == "bar");
}

RINGO_TEST("SF-01: an exception, a panic and a goexit reach all who wait") {
  SingleFlight<int, int> flights;
  for (int way = 0; way < 3; ++way) {
    Channel<int> release;
    auto fails = [way, release]() -> Task<int> {
      co_await release.recv();
      if (way == 0) throw std::runtime_error("some error");
      if (way == 1) panic("invalid memory address");
      goexit();
      co_return 1;
    };
    std::vector<JoinHandle<int>> callers;
    for (int i = 0; i < 5; ++i) {
      callers.push_back(go([&]() -> Task<int> { return flights.call(1, fails); }));
    }
    co_await test::eventually([&] { return flights.size() == 1; });
    co_await test::yields(3);
    release.close();
    int right = 0;
    const char* expected[] = {"some error", "invalid memory address",
                              "SingleFlight: the call used goexit"};
    for (auto& caller : callers) {
      try {
        co_await caller;
      } catch (const std::exception& error) { right += std::string(error.what()) == expected[way]; }
    }
    CHECK(right == 5);
  }
}

RINGO_TEST("SF-01: forget lets the next caller start a call of its own") {
  SingleFlight<int, int> flights;
  Channel<int> first_may_end;
  auto slow = [first_may_end]() -> Task<int> {
    co_await first_may_end.recv();
    co_return 1;
  };
  auto first = go([&]() -> Task<int> { return flights.call(7, slow); });
  co_await test::eventually([&] { return flights.size() == 1; });
  flights.forget(7);
  flights.forget(8);
  CHECK(co_await flights.call(7, [] { return 2; }) == 2);
  first_may_end.close();
  CHECK(co_await first == 1);
  CHECK(flights.size() == 0);
}

RINGO_TEST("SF-01: the call does not die with the caller that started it") {
  SingleFlight<int, int> flights;
  Channel<int> release;
  auto slow = [release]() -> Task<int> {
    co_await release.recv();
    co_return this_context().err() ? -1 : 5;
  };
  auto [ctx, cancel] = with_cancel(background());
  auto first = ctx.go([&]() -> Task<int> { return flights.call(1, slow); });
  co_await test::eventually([&] { return flights.size() == 1; });
  auto second = go([&]() -> Task<int> { return flights.call(1, slow); });
  co_await test::yields(3);
  cancel();
  bool canceled = false;
  try {
    co_await first;
  } catch (const JoinCanceled&) { canceled = true; }
  CHECK(canceled);
  auto impatient = co_await with_timeout(1ms, flights.call(1, slow));
  CHECK(impatient.error() == Errc::timeout);
  release.close();
  CHECK(co_await second == 5);
}

RINGO_TEST("SF-01: many keys and callers, never two calls of a key at once") {
  constexpr int keys = 5;
  SingleFlight<int, int> flights;
  std::vector<std::atomic<int>> inside(keys);
  std::atomic<int> calls{0};
  std::vector<JoinHandle<>> callers;
  for (int i = 0; i < 20; ++i) {
    callers.push_back(go([&, i]() -> Task<> {
      for (int k = 0; k < 50; ++k) {
        const int key = (i + k) % keys;
        auto fetch = [&, key]() -> Task<int> {
          ++calls;
          CHECK(++inside[static_cast<std::size_t>(key)] == 1);
          co_await yield();
          --inside[static_cast<std::size_t>(key)];
          co_return key * 10;
        };
        int value = co_await flights.call(key, fetch);
        CHECK(value == key * 10);
      }
    }));
  }
  for (auto& caller : callers) co_await caller;
  CHECK(calls < 1000);
  CHECK(calls > 0);
  co_await test::eventually([] { return num_goroutines() == 1; });
}
