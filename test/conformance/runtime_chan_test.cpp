// The channel tests of Go's runtime: TestChan and TestMultiConsumer (CH-31).
#include <array>
#include <atomic>
#include <vector>

#include "support.hpp"

using namespace ringo;
using test::blocks;
using test::on_one_worker;

RINGO_TEST("CH-20: TestChan: what waits, for every capacity") {
  co_await on_one_worker([]() -> Task<> {
    for (int capacity = 0; capacity < 200; capacity += capacity < 20 ? 1 : 30) {
      // Receiving from an empty channel waits.
      Channel<int> empty(capacity);
      auto receive = [empty]() -> Task<> { co_await empty.recv(); };
      CHECK(co_await blocks(receive));
      CHECK(co_await blocks(receive));
      empty.close();  // and ends when it is closed
      CHECK(!co_await blocks(receive));

      // Sending to a full one waits, and the value comes after all others.
      Channel<int> full(capacity);
      for (int i = 0; i < capacity; ++i) co_await full.send(i);
      auto send = [full, capacity]() -> Task<> { co_await full.send(capacity); };
      CHECK(co_await blocks(send));
      for (int i = 0; i <= capacity; ++i) {
        auto value = co_await full.recv();
        CHECK(value == i);
      }
      CHECK(full.len() == 0);
    }
  });
}

RINGO_TEST("CH-31: TestChan: many producers and consumers, for every capacity") {
  constexpr int parties = 4;
  constexpr int each = 1000;
  for (int capacity : {0, 1, 2, 3, 10, 50, 199}) {
    Channel<int> ch(capacity);
    std::vector<std::atomic<int>> seen(each);
    std::vector<JoinHandle<void>> handles;
    for (int p = 0; p < parties; ++p) {
      handles.push_back(go([ch]() -> Task<> {
        for (int i = 0; i < each; ++i) co_await ch.send(i);
      }));
      handles.push_back(go([&seen, ch]() -> Task<> {
        for (int i = 0; i < each; ++i) {
          auto value = co_await ch.recv();
          ++seen.at(static_cast<std::size_t>(value.value()));
        }
      }));
    }
    co_await test::join_all(handles);
    int wrong = 0;
    for (auto& one : seen) wrong += one != parties;
    CHECK_MESSAGE(wrong == 0, "capacity ", capacity);
    CHECK(ch.len() == 0);
  }
}

RINGO_TEST("CH-31: TestMultiConsumer: 23 workers, and closing in a cascade") {
  constexpr int workers = 23;
  constexpr int items = 271'828 / 8;
  constexpr std::array<int, 12> primes{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
  Channel<int> queue(workers * 3);
  Channel<int> results(workers * 3);
  std::vector<JoinHandle<void>> handles;
  for (int w = 0; w < workers; ++w) {
    handles.push_back(go([=]() -> Task<> {
      while (auto value = co_await queue.recv()) {
        if (primes[static_cast<std::size_t>(*value) % primes.size()] == *value) co_await yield();
        co_await results.send(*value);
      }
    }));
  }
  std::atomic<long> expected{0};
  auto producer = go([&]() -> Task<> {
    for (int i = 0; i < items; ++i) {
      int value = primes[static_cast<std::size_t>(i) % primes.size()];
      expected += value;
      co_await queue.send(value);
    }
    queue.close();
    co_await test::join_all(handles);
    results.close();
  });
  long sum = 0;
  int count = 0;
  while (auto value = co_await results.recv()) {
    sum += *value;
    ++count;
  }
  co_await producer;
  CHECK(count == items);
  CHECK(sum == expected);
}
