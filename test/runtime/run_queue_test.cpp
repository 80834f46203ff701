#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/run_queue.hpp"

using ringo::detail::Goroutine;
using ringo::detail::RunQueue;

namespace {

// What stands in for a goroutine: the queue never looks inside. `payload` is
// plain memory, so that ThreadSanitizer notices a missing release or acquire.
struct Item {
  long payload = 0;
  std::atomic<int> seen{0};
};

Goroutine* as_goroutine(Item* item) { return static_cast<Goroutine*>(static_cast<void*>(item)); }
Item* as_item(Goroutine* goroutine) { return static_cast<Item*>(static_cast<void*>(goroutine)); }

struct Items {
  explicit Items(std::size_t n) : items(std::make_unique<Item[]>(n)) {}
  Goroutine* operator[](std::size_t i) { return as_goroutine(&items[i]); }
  std::ptrdiff_t index(Goroutine* g) const { return as_item(g) - items.get(); }
  std::unique_ptr<Item[]> items;
};

}  // namespace

TEST_CASE("a run queue is first in, first out, and empty at the end") {
  for (bool stealable : {false, true}) {
    RunQueue queue(stealable);
    Items items(10);
    CHECK(queue.empty());
    CHECK(queue.pop() == nullptr);
    for (std::size_t i = 0; i < 10; ++i) queue.push(items[i]);
    CHECK(queue.size() == 10);
    CHECK(!queue.empty());
    for (std::size_t i = 0; i < 10; ++i) CHECK(queue.pop() == items[i]);
    CHECK(queue.pop() == nullptr);
    CHECK(queue.empty());
  }
}

TEST_CASE("a run queue keeps its order while it grows and wraps around") {
  for (bool stealable : {false, true}) {
    RunQueue queue(stealable, stealable ? 256 : 1);
    constexpr std::size_t total = 200'000;
    Items items(total);
    std::mt19937 random(7);
    std::size_t pushed = 0;
    std::size_t popped = 0;
    bool ordered = true;
    auto pop = [&] {
      Goroutine* g = queue.pop();
      ordered = ordered && (popped < pushed ? g == items[popped] : g == nullptr);
      if (g) ++popped;
    };
    while (popped < total) {
      // Bursts of any size up to the largest, and from time to time to the end.
      for (auto n = random() % (2u << random() % 14); n > 0 && pushed < total; --n)
        queue.push(items[pushed++]);
      for (auto n = random() % (2u << random() % 14); n > 0; --n) pop();
      if (random() % 8 == 0)
        while (popped < pushed) pop();
      ordered = ordered && queue.size() == pushed - popped;
      if (random() % 2 == 0 && popped == pushed) pop();
    }
    CHECK(ordered);
    CHECK(queue.pop() == nullptr);
  }
}

TEST_CASE("SC-05: a thief takes the older half, rounded up, in order") {
  RunQueue victim;
  RunQueue mine;
  Items items(1'000);
  CHECK(victim.steal_into(mine) == nullptr);
  CHECK(mine.empty());

  victim.push(items[0]);
  CHECK(victim.steal_into(mine) == items[0]);
  CHECK(victim.empty());
  CHECK(mine.empty());

  for (std::size_t i = 0; i < 7; ++i) victim.push(items[i]);
  CHECK(victim.steal_into(mine) == items[0]);
  CHECK(mine.size() == 3);
  CHECK(victim.size() == 3);
  for (std::size_t i = 1; i < 4; ++i) CHECK(mine.pop() == items[i]);
  for (std::size_t i = 4; i < 7; ++i) CHECK(victim.pop() == items[i]);

  for (std::size_t i = 0; i < 1'000; ++i) victim.push(items[i]);
  CHECK(victim.steal_into(mine) == items[0]);
  CHECK(mine.size() == RunQueue::steal_max - 1);
  CHECK(victim.size() == 1'000 - RunQueue::steal_max);
}

TEST_CASE("stolen goroutines go behind the thief's own, which may have to grow for them") {
  RunQueue victim;
  RunQueue mine;
  Items items(2'000);
  std::size_t next = 0;
  std::deque<Goroutine*> expected;
  for (; next < 250; ++next) {
    mine.push(items[next]);
    expected.push_back(items[next]);
  }
  for (; next < 2'000; ++next) victim.push(items[next]);
  std::size_t first = 250;
  for (int i = 0; i < 5; ++i) {
    const std::size_t n = RunQueue::steal_max;
    REQUIRE(victim.steal_into(mine) == items[first]);
    for (std::size_t k = 1; k < n; ++k) expected.push_back(items[first + k]);
    first += n;
  }
  CHECK(mine.size() == expected.size());
  bool ordered = true;
  mine.drain_to([&](Goroutine* g) {
    ordered = ordered && !expected.empty() && g == expected.front();
    if (!expected.empty()) expected.pop_front();
  });
  CHECK(ordered);
  CHECK(expected.empty());
}

TEST_CASE("what is taken back from a run queue leaves the others in their order") {
  for (bool stealable : {false, true}) {
    RunQueue queue(stealable, 1);
    constexpr std::size_t total = 100'000;
    Items items(total);
    std::mt19937 random(11);
    // What is to be in the queue: the items and their positions.
    std::deque<std::pair<Goroutine*, std::uint64_t>> expected;
    bool right = true;
    for (std::size_t made = 0; made < total || !expected.empty();) {
      const auto what = random() % 8;
      if (what < 4 && made < total) {
        expected.emplace_back(items[made], queue.next_position());
        queue.push(items[made]);
        ++made;
      } else if (what == 4 || (what == 5 && expected.size() > 100)) {
        Goroutine* g = queue.pop();
        right = right && g == (expected.empty() ? nullptr : expected.front().first);
        if (!expected.empty()) expected.pop_front();
      } else if (!expected.empty()) {
        const auto i = static_cast<std::ptrdiff_t>(random() % expected.size());
        const auto [g, position] = expected[static_cast<std::size_t>(i)];
        right = right && queue.take_back(g, position) && !queue.take_back(g, position);
        // That is not where it is.
        if (i > 0) right = right && !queue.take_back(expected.front().first, position);
        expected.erase(expected.begin() + i);
      }
      right = right && queue.size() >= expected.size();
    }
    CHECK(right);
    CHECK(queue.pop() == nullptr);
    CHECK(queue.empty());
    CHECK_FALSE(queue.take_back(items[0], 0));
    CHECK_FALSE(queue.take_back(items[0], ~std::uint64_t{0}));
  }
}

TEST_CASE("a run queue does not fill up with the places of what was taken back") {
  RunQueue queue;
  Items items(3);
  queue.push(items[0]);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t one = queue.next_position();
    queue.push(items[1]);
    const std::uint64_t two = queue.next_position();
    queue.push(items[2]);
    CHECK(queue.take_back(items[1], one));
    CHECK(queue.size() == 3);
    CHECK(queue.take_back(items[2], two));
    CHECK(queue.size() == 1);
  }
  CHECK(queue.pop() == items[0]);
  CHECK(queue.pop() == nullptr);
}

TEST_CASE("a thief skips what was taken back") {
  RunQueue victim;
  RunQueue mine;
  Items items(8);
  std::uint64_t positions[8];
  for (std::size_t i = 0; i < 8; ++i) {
    positions[i] = victim.next_position();
    victim.push(items[i]);
  }
  for (std::size_t i : {0u, 1u, 2u, 3u, 4u, 6u}) CHECK(victim.take_back(items[i], positions[i]));
  CHECK(victim.steal_into(mine) == items[5]);
  CHECK(mine.empty());
  CHECK(victim.steal_into(mine) == items[7]);
  CHECK(victim.steal_into(mine) == nullptr);
}

TEST_CASE("drain_to hands over everything, also what is pushed meanwhile") {
  RunQueue queue;
  Items items(600);
  for (std::size_t i = 0; i < 300; ++i) queue.push(items[i]);
  std::size_t count = 0;
  queue.drain_to([&](Goroutine* g) {
    CHECK(g == items[count]);
    if (count < 300) queue.push(items[300 + count]);
    ++count;
  });
  CHECK(count == 600);
  CHECK(queue.empty());
}

namespace {

enum class Victims { anyone, predecessor };

// One producer, which takes some back, with thieves that steal from it and from
// each other. Every item must be seen once, with its payload.
void stress(std::size_t total, unsigned thieves, std::uint64_t capacity, unsigned largest_burst,
            Victims victims = Victims::anyone) {
  Items items(total);
  std::vector<std::unique_ptr<RunQueue>> queues;
  for (unsigned i = 0; i <= thieves; ++i)
    queues.push_back(std::make_unique<RunQueue>(true, capacity));
  std::atomic<std::size_t> consumed{0};
  std::atomic<int> wrong_payload{0};
  auto consume = [&](Goroutine* g) {
    Item* item = as_item(g);
    if (item->payload != items.index(g) + 1) ++wrong_payload;
    item->seen.fetch_add(1, std::memory_order_relaxed);
    consumed.fetch_add(1, std::memory_order_relaxed);
  };

  std::vector<std::thread> threads;
  for (unsigned t = 1; t <= thieves; ++t) {
    threads.emplace_back([&, t] {
      RunQueue& mine = *queues[t];
      std::mt19937 random(t);
      while (consumed.load(std::memory_order_relaxed) < total) {
        // Leave some of the loot in place for the other thieves.
        for (auto n = random() % 100; n > 0; --n) {
          Goroutine* g = mine.pop();
          if (!g) break;
          consume(g);
        }
        const auto victim = victims == Victims::anyone ? random() % queues.size() : t - 1;
        if (victim == t) {
          std::this_thread::yield();
        } else if (Goroutine* g = queues[victim]->steal_into(mine)) {
          consume(g);
        }
      }
    });
  }

  RunQueue& queue = *queues[0];
  std::mt19937 random(99);
  for (std::size_t made = 0; made < total;) {
    for (auto n = random() % largest_burst + 1; n > 0 && made < total; --n, ++made) {
      as_item(items[made])->payload = static_cast<long>(made) + 1;
      const std::uint64_t position = queue.next_position();
      queue.push(items[made]);
      if (random() % 4 == 0)
        if (Goroutine* g = queue.pop()) consume(g);
      const std::size_t back = random() % 4;
      if (back <= made && queue.take_back(items[made - back], position - back))
        consume(items[made - back]);
    }
    // Down to nothing and one more pop, so that the ring shrinks again.
    if (random() % 4 == 0) queue.drain_to(consume);
  }
  while (consumed.load(std::memory_order_relaxed) < total) {
    if (Goroutine* g = queue.pop())
      consume(g);
    else
      std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();

  std::size_t lost = 0;
  std::size_t twice = 0;
  for (std::size_t i = 0; i < total; ++i) {
    const int seen = items.items[i].seen.load();
    lost += seen == 0;
    twice += seen > 1;
  }
  CHECK(lost == 0);
  CHECK(twice == 0);
  CHECK(consumed == total);
  CHECK(wrong_payload == 0);
  for (const auto& each : queues) CHECK(each->empty());
}

}  // namespace

TEST_CASE("SC-05: an owner and three thieves see every goroutine exactly once") {
  SUBCASE("few at a time, all contend for the head") { stress(400'000, 3, 256, 4); }
  SUBCASE("bursts below the capacity") { stress(400'000, 3, 256, 200); }
  SUBCASE("bursts that make the ring grow") { stress(400'000, 3, 256, 20'000); }
  SUBCASE("a ring that is nearly always full or growing") { stress(400'000, 3, 1, 8); }
  // Here a thief knows the producer's writes only through the thief before it.
  SUBCASE("a chain of thieves") { stress(400'000, 3, 256, 2'000, Victims::predecessor); }
}
