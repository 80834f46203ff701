// Waiting costs no memory: select2 (CH-35), issue9110, and CH-34, which is about time.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <vector>

#include <ringo/time.hpp>

#include "base/sanitizers.hpp"
#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {
std::atomic<long> allocations{0};
}

// The whole program counts. A sanitizer's own nothrow form would not come here as the standard's
// does, and what it gives is not for free().
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size != 0 ? size : 1);
}
void* operator new(std::size_t size) {
  if (void* memory = ::operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

/// Under AddressSanitizer frames come from the heap, one by one; then only what is not a frame is
/// counted here, and that frames are freed is for LeakSanitizer to say.
constexpr bool frames_are_pooled = !RINGO_ASAN && !RINGO_TSAN;

Task<> sender(Channel<int> ch, Channel<int> dummy, int count) {
  for (int i = 0; i < count; ++i) {
    co_await select_any{on(ch.send(i), [] {}), on(dummy.recv(), [] {})};
  }
}
Task<> receiver(Channel<int> ch, Channel<int> dummy, int count) {
  for (int i = 0; i < count; ++i) {
    co_await select_any{on(ch.recv(), [] {}), on(dummy.recv(), [] {}), on(after(1h), [] {})};
  }
}

/// A report of the watchdog, about a machine that has other things to do, would be counted.
const Options unwatched = [] {
  Options options;
  options.watchdog = 0ns;
  return options;
}();

Task<> exchange(Channel<int> ch, Channel<int> dummy, int count) {
  auto a = go(sender, ch, dummy, count);
  auto b = go(receiver, ch, dummy, count);
  co_await a;
  co_await b;
}

Task<> select2() {
  Channel<int> ch;
  Channel<int> dummy;
  co_await exchange(ch, dummy, 20'000);  // warms the pools up
  long before = allocations;
  constexpr int count = 100'000;
  co_await exchange(ch, dummy, count);
  long used = allocations - before;
  // Queues may still grow a little, with workers taking turns.
  if (frames_are_pooled) CHECK_MESSAGE(used < 50, used, " allocations for ", count, " selects");
  CHECK_MESSAGE(used < count / 100, used, " allocations for ", count, " selects");
}

}  // namespace

TEST_CASE("CH-35: select2: waiting in selects leaves nothing and allocates nothing") {
  test::run_matrix(select2, unwatched);
}

RINGO_TEST("issue9110: selects that list a channel twice leave no waiter behind") {
  for (int round = 0; round < 10; ++round) {
    Channel<int> ch1;
    Channel<int> ch2;
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 20; ++i) {
      handles.push_back(go([=]() -> Task<> {
        co_await select_any{on(ch1.recv(), [] {}), on(ch1.recv(), [] {}), on(ch2.recv(), [] {}),
                            on(ch2.recv(), [] {})};
      }));
    }
    co_await test::yields(3);
    ch1.close();
    co_await test::join_all(handles);
    // Nobody stands in the other queue.
    CHECK(!ch2.try_send(1));
    ch2.close();
  }
}

namespace {

/// Seconds until n goroutines, all waiting for one channel that stays silent and one of their own,
/// have been woken ten times each.
Task<double> wake_from_long_queue(int n) {
  Channel<int> shared;
  std::vector<Channel<int>> own(static_cast<std::size_t>(n));
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < n; ++i) {
    handles.push_back(go([shared, mine = own[static_cast<std::size_t>(i)]]() -> Task<> {
      for (int k = 0; k < 10; ++k) {
        co_await select_any{on(shared.recv(), [] {}), on(mine.recv(), [] {})};
      }
    }));
  }
  auto begin = std::chrono::steady_clock::now();
  for (int k = 0; k < 10; ++k) {
    for (auto& ch : own) co_await ch.send(k);
  }
  co_await test::join_all(handles);
  co_return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

RINGO_TEST("CH-34: leaving a long queue does not depend on its length" *
           doctest::test_suite("timing")) {
  co_await wake_from_long_queue(1000);
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    double once = co_await wake_from_long_queue(4000);
    double twice = co_await wake_from_long_queue(8000);
    best = std::min(best, twice / once);
  }
  CHECK_MESSAGE(best < 3, "twice as many took ", best, " times as long");
}
