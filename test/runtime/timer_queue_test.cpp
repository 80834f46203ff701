#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "runtime/timer_queue.hpp"
#include "runtime/worker_timers.hpp"

using ringo::detail::TimerNode;
using ringo::detail::TimerQueue;

namespace {

constexpr std::int64_t never = TimerQueue::never;
constexpr std::int64_t us = 1'000;
constexpr std::int64_t ms = 1'000 * us;
constexpr std::int64_t second = 1'000 * ms;
constexpr std::int64_t year = 365 * 24 * 3600 * second;
constexpr std::int64_t start = 3 * 24 * 3600 * second + 12'345;  // as a steady clock may read

TimerNode at(std::int64_t when) {
  TimerNode node;
  node.when = when;
  return node;
}

}  // namespace

TEST_CASE("an empty queue has no deadline and nothing due") {
  TimerQueue queue;
  CHECK(queue.size() == 0);
  CHECK(queue.next_deadline() == never);
  CHECK(queue.pop_due(start) == nullptr);
  CHECK(queue.pop_due(never) == nullptr);
  TimerNode stranger = at(start);
  CHECK(!queue.remove(stranger));
}

TEST_CASE("TM-01: a timer is due at its nanosecond and not before") {
  for (std::int64_t delay :
       {std::int64_t{0}, std::int64_t{1}, 50 * us, 65'536L, 65'537L, ms, 17 * ms, 300 * ms, second,
        60 * second, 3'600 * second, year, 200 * year}) {
    CAPTURE(delay);
    TimerQueue queue;
    TimerNode node = at(start + delay);
    queue.insert(node, start);
    CHECK(node.home == &queue);
    CHECK(queue.size() == 1);
    // Alone it needs no wake-up before its time, from however far away.
    CHECK(queue.next_deadline() == start + delay);
    CHECK(queue.pop_due(start + delay - 1) == nullptr);
    CHECK(queue.next_deadline() == start + delay);
    CHECK(queue.pop_due(start + delay) == &node);
    CHECK(node.home == nullptr);
    CHECK(queue.size() == 0);
    CHECK(queue.next_deadline() == never);
    CHECK(queue.pop_due(never) == nullptr);
  }
}

TEST_CASE("times in the past and at the end of time") {
  TimerQueue queue;
  TimerNode last = at(never - 1);
  TimerNode negative = at(-5);
  TimerNode past = at(start - second);
  queue.insert(last, start);
  queue.insert(past, start);
  queue.insert(negative, start);
  CHECK(queue.next_deadline() == -5);
  CHECK(queue.pop_due(start) == &negative);
  CHECK(queue.pop_due(start) == &past);
  CHECK(queue.pop_due(start) == nullptr);
  CHECK(queue.next_deadline() == never - 1);
  CHECK(queue.pop_due(never - 2) == nullptr);
  CHECK(queue.pop_due(never - 1) == &last);
}

TEST_CASE("TM-03: timers of the same instant fire in the order of insertion") {
  TimerQueue queue;
  std::vector<TimerNode> nodes(1'000, at(start + 3 * second + 7));
  // From different distances, so that they come by different ways.
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const std::int64_t now = start + static_cast<std::int64_t>(i) * 3 * ms;
    CHECK(queue.pop_due(now) == nullptr);
    queue.insert(nodes[i], now);
  }
  bool ordered = true;
  for (TimerNode& node : nodes) ordered = ordered && queue.pop_due(start + 4 * second) == &node;
  CHECK(ordered);
  CHECK(queue.size() == 0);
}

TEST_CASE("a removed timer does not fire, wherever it was") {
  TimerQueue queue;
  TimerQueue other;
  std::vector<TimerNode> nodes;
  for (std::int64_t delay : {10 * us, 11 * us, 12 * us, ms, ms, ms + 1, second, 2 * second, year})
    nodes.push_back(at(start + delay));
  for (std::size_t gone = 0; gone < nodes.size(); ++gone) {
    CAPTURE(gone);
    for (TimerNode& node : nodes) queue.insert(node, start);
    CHECK(!other.remove(nodes[gone]));
    CHECK(queue.remove(nodes[gone]));
    CHECK(nodes[gone].home == nullptr);
    CHECK(!queue.remove(nodes[gone]));
    CHECK(queue.size() == nodes.size() - 1);
    for (std::size_t i = 0; i < nodes.size(); ++i)
      if (i != gone) CHECK(queue.pop_due(start + 2 * year) == &nodes[i]);
    CHECK(queue.pop_due(start + 2 * year) == nullptr);
    CHECK(queue.next_deadline() == never);
  }
}

TEST_CASE("a timer can be inserted and removed again and again while time passes") {
  TimerQueue queue;
  TimerNode deadline = at(0);
  TimerNode far = at(start + 500 * second);
  queue.insert(far, start);
  std::int64_t now = start;
  for (int i = 0; i < 200'000; ++i) {
    deadline.when = now + second;
    queue.insert(deadline, now);
    if (i % 100 == 0) REQUIRE(queue.next_deadline() == deadline.when);
    REQUIRE(queue.remove(deadline));
    if (i % 100 == 50) {
      REQUIRE(queue.next_deadline() == far.when);
      REQUIRE(queue.pop_due(now) == nullptr);
    }
    now += ms;
  }
  CHECK(queue.size() == 1);
  CHECK(queue.pop_due(far.when) == &far);
}

TEST_CASE("sparse timers wake the worker once each, dense ones rarely in vain") {
  auto wake_ups = [](std::size_t count, std::int64_t span) {
    TimerQueue queue;
    std::mt19937_64 random(5);
    std::vector<TimerNode> nodes(count);
    for (TimerNode& node : nodes) {
      node.when = start + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(span));
      queue.insert(node, start);
    }
    std::size_t in_vain = 0;
    std::size_t fired = 0;
    std::int64_t now = start;
    while (queue.size() > 0) {
      const std::int64_t next = queue.next_deadline();
      REQUIRE((next > now || now == start));
      now = next;
      const std::size_t before = fired;
      while (TimerNode* node = queue.pop_due(now)) {
        REQUIRE(node->when == now);
        ++fired;
      }
      in_vain += fired == before;
    }
    CHECK(fired == count);
    return in_vain;
  };
  CHECK(wake_ups(5, 10 * second) == 0);
  CHECK(wake_ups(16, 3'600 * second) == 0);
  // At most one for a slot of more than 16 timers, on any level.
  CHECK(wake_ups(10'000, 10 * second) <= 10'000 / 16 * 2);
  CHECK(wake_ups(100'000, second) <= 100'000 / 16 * 2);
}

TEST_CASE("a deadline that was only a slot's start does not outlive the slot's timers") {
  // Too many for an exact deadline, removed before the slot begins.
  for (std::int64_t distance : {3 * ms, second, 1'000 * second}) {
    CAPTURE(distance);
    TimerQueue queue;
    std::vector<TimerNode> crowd(100, at(start + distance));
    TimerNode other = at(start + 3 * distance);
    queue.insert(other, start);
    for (TimerNode& node : crowd) queue.insert(node, start);
    TimerNode first = at(start + distance / 2);
    queue.insert(first, start);
    CHECK(queue.next_deadline() == first.when);
    CHECK(queue.remove(first));
    const std::int64_t early = queue.next_deadline();
    CHECK(early > start);
    CHECK(early < start + distance);
    for (TimerNode& node : crowd) REQUIRE(queue.remove(node));
    CHECK(queue.pop_due(early) == nullptr);
    CHECK(queue.next_deadline() == other.when);
    CHECK(queue.pop_due(other.when) == &other);
  }
}

namespace {

// REQUIRE, without its cost a few million times.
void expect(bool good, const char* what) {
  if (!good) FAIL(std::string(what));
}

// The queue beside an obviously right one. A multimap keeps equal keys in the
// order of insertion.
struct Pair {
  TimerQueue queue;
  std::multimap<std::int64_t, TimerNode*> model;
  std::vector<std::unique_ptr<TimerNode>> nodes;
  std::vector<TimerNode*> idle;
  std::int64_t now = start;
  std::mt19937_64 random;
  std::size_t fired = 0;
  std::size_t removed = 0;
  bool hasty = false;

  explicit Pair(std::uint64_t seed, std::size_t count) : random(seed) {
    for (std::size_t i = 0; i < count; ++i) {
      nodes.push_back(std::make_unique<TimerNode>());
      idle.push_back(nodes.back().get());
    }
  }

  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  }

  // Anything from nothing to centuries, with a liking for the borders of slots.
  std::int64_t when() {
    switch (below(8)) {
      case 0:
        return now - below(100 * ms);
      case 1:
        return now + below(200 * us);
      case 2:
        return now + below(2 * second);
      case 3:
        return now + below(std::int64_t{1} << (1 + below(61)));
      case 4: {  // a border of some level, or beside it
        const int bits = 16 + 8 * static_cast<int>(below(5));
        return (((now >> bits) + below(4)) << bits) + below(3) - 1;
      }
      case 5:
        return model.empty()
                   ? now
                   : std::next(model.begin(), below(std::min<std::int64_t>(20, size())))->first;
      case 6:
        return never - 1 - below(3);
      default:
        return now + ms * (1 + below(20));  // many at one instant
    }
  }

  std::int64_t size() const { return static_cast<std::int64_t>(model.size()); }

  void insert() {
    if (idle.empty()) return;
    std::swap(idle[static_cast<std::size_t>(below(static_cast<std::int64_t>(idle.size())))],
              idle.back());
    TimerNode* node = idle.back();
    idle.pop_back();
    node->when = when();
    model.emplace(node->when, node);
    // The worker's idea of the time may be old.
    queue.insert(*node, below(4) == 0 ? now - below(second) : now);
    expect(node->home == &queue, "node->home == &queue");
  }

  void remove() {
    TimerNode* node =
        nodes[static_cast<std::size_t>(below(static_cast<std::int64_t>(nodes.size())))].get();
    auto [first, last] = model.equal_range(node->when);
    while (first != last && first->second != node) ++first;
    const bool queued = first != last;
    expect(queue.remove(*node) == queued, "queue.remove(*node) == queued");
    if (!queued) return;
    model.erase(first);
    idle.push_back(node);
    ++removed;
  }

  void advance() {
    std::int64_t step = 0;
    switch (below(6)) {
      case 0:
        step = below(100);
        break;
      case 1:
        step = below(200 * us);
        break;
      case 2:
        step = below(50 * ms);
        break;
      case 3:
        step = below(5 * second);
        break;
      case 4:
        step = std::max<std::int64_t>(0, queue.next_deadline() - now);
        break;
      default:
        step = below(40) == 0 ? below(year) : below(ms);
        break;
    }
    if (step < 3 * year) now += step;  // never - 1 stays in the future
    const bool all = below(4) != 0;    // a worker may stop in the middle
    for (auto limit = all ? never : below(5); limit > 0; --limit) {
      // In one go, or with little effort each time.
      int effort = hasty ? 1 + static_cast<int>(below(4)) : 1'000'000'000;
      TimerNode* due = queue.pop_due(now, effort);
      if (due == nullptr && effort <= 0) {
        // Unfinished; what is due will come, and whoever asks is told to come again.
        if (!model.empty() && model.begin()->first <= now) {
          expect(queue.next_deadline() <= now, "queue.next_deadline() <= now");
        }
        continue;
      }
      if (model.empty() || model.begin()->first > now) {
        expect(due == nullptr, "due == nullptr");
        const std::int64_t next = queue.next_deadline();
        expect(next > now, "next > now");
        expect(next <= (model.empty() ? never : model.begin()->first),
               "next <= (model.empty() ? never : model.begin()->first)");
        break;
      }
      expect(due == model.begin()->second, "due == model.begin()->second");
      expect(due->home == nullptr, "due->home == nullptr");
      model.erase(model.begin());
      idle.push_back(due);
      ++fired;
    }
  }

  void check() {
    expect(queue.size() == model.size(), "queue.size() == model.size()");
    expect(queue.next_deadline() <= (model.empty() ? never : model.begin()->first),
           "queue.next_deadline() <= (model.empty() ? never : model.begin()->first)");
  }
};

}  // namespace

TEST_CASE("TM-03: random timers fire as those of a sorted list") {
  std::size_t fired = 0;
  std::size_t removed = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const std::size_t count = seed % 3 == 0 ? 3 : seed % 3 == 1 ? 60 : 2'000;
    Pair pair(seed, count);
    pair.hasty = seed % 2 == 0;
    const auto inserts = 2 + pair.below(8);  // of 16: some fill up, some stay nearly empty
    for (int i = 0; i < 20'000; ++i) {
      const auto dice = pair.below(16);
      if (dice < inserts)
        pair.insert();
      else if (dice < 12)
        pair.remove();
      else
        pair.advance();
      if (i % 4 == 0) pair.check();
    }
    while (!pair.model.empty()) {
      pair.now = pair.model.begin()->first;
      expect(pair.queue.pop_due(pair.now) == pair.model.begin()->second,
             "pair.queue.pop_due(pair.now) == pair.model.begin()->second");
      pair.model.erase(pair.model.begin());
    }
    pair.check();
    fired += pair.fired;
    removed += pair.removed;
  }
  CHECK(fired > 50'000);
  CHECK(removed > 50'000);
}

TEST_CASE("a hundred thousand sleepers wake in order, in small steps and in one jump") {
  for (std::int64_t step : {50 * us, 7 * ms, 100 * second}) {
    CAPTURE(step);
    TimerQueue queue;
    std::mt19937_64 random(11);
    std::vector<TimerNode> nodes(100'000);
    for (TimerNode& node : nodes) {
      node.when = start + ms + static_cast<std::int64_t>(random() % (999 * ms));
      queue.insert(node, start);
    }
    std::size_t fired = 0;
    std::int64_t previous = 0;
    bool ordered = true;
    for (std::int64_t now = start; queue.size() > 0; now += step) {
      while (TimerNode* node = queue.pop_due(now)) {
        ordered = ordered && node->when >= previous && node->when <= now && node->when > now - step;
        previous = node->when;
        ++fired;
      }
    }
    CHECK(ordered);
    CHECK(fired == nodes.size());
  }
}

TEST_CASE("a crowd that is due at once is served in small steps, in order, none of them long") {
  // In one slot of the wheel, which comes down through two levels.
  constexpr int limit = 100;
  TimerQueue queue;
  std::mt19937_64 random(5);
  std::vector<TimerNode> nodes(100'000);
  for (TimerNode& node : nodes) {
    node.when = start + 10 * second + static_cast<std::int64_t>(random() % (900 * ms));
    queue.insert(node, start);
  }
  const std::int64_t now = start + 20 * second;
  std::size_t popped = 0;
  std::size_t removed = 0;
  std::int64_t previous = 0;
  bool ordered = true;
  int rounds = 0;
  while (queue.next_deadline() <= now) {
    REQUIRE(++rounds < 10'000);
    int effort = limit;
    while (effort > 0) {
      TimerNode* node = queue.pop_due(now, effort);
      // A row of the lists is moved as a whole.
      REQUIRE(effort > -4);
      if (node == nullptr) {
        if (effort > 0) REQUIRE(queue.next_deadline() == never);
        break;
      }
      ordered = ordered && node->when >= previous;
      previous = node->when;
      ++popped;
    }
    // Some leave meanwhile, wherever they are.
    if (queue.remove(nodes[random() % nodes.size()])) ++removed;
  }
  CHECK(ordered);
  CHECK(queue.size() == 0);
  CHECK(removed > 100);
  CHECK(popped + removed == nodes.size());
  CHECK(rounds > 2 * 100'000 / limit);
  CHECK(queue.next_deadline() == never);
}

TEST_CASE("a worker's timers: one call fires so many and no more, the next goes on in order") {
  using ringo::detail::WorkerTimers;
  struct Node : TimerNode {
    std::vector<int>* order = nullptr;
    int number = 0;
  };
  constexpr int count = 5 * WorkerTimers::round_limit;
  std::vector<int> order;
  std::vector<Node> nodes(count);
  WorkerTimers timers;
  for (int i = 0; i < count; ++i) {
    Node& node = nodes[static_cast<std::size_t>(i)];
    node.when = start + ms + i;
    node.order = &order;
    node.number = i;
    // Every third has been won by something else.
    node.claim = [](TimerNode* timer) noexcept {
      return static_cast<Node*>(timer)->number % 3 != 0;
    };
    node.fire = [](TimerNode* timer) noexcept {
      auto* self = static_cast<Node*>(timer);
      self->order->push_back(self->number);
    };
    timers.insert(node, start);
  }
  CHECK_FALSE(timers.fire_due(start));
  std::size_t before = 0;
  int rounds = 0;
  while (timers.next_deadline() <= start + second) {
    REQUIRE(++rounds < 1'000);
    CHECK(timers.fire_due(start + second));
    CHECK(order.size() - before <= static_cast<std::size_t>(WorkerTimers::round_limit));
    before = order.size();
  }
  CHECK(rounds >= 5);
  std::vector<int> expected;
  for (int i = 0; i < count; ++i) {
    if (i % 3 != 0) expected.push_back(i);
  }
  CHECK(order == expected);
  CHECK_FALSE(timers.fire_due(start + second));
}
