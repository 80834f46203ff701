// What one operation costs that is done with a thread each: the twin of ringo-micro for the
// benches in which a thread can stand in for a goroutine, with fewer of them. THREADS is how many
// cores they share.
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "channel.hpp"
#include "common/micro.hpp"
#include "micro/process.hpp"

namespace {

using peers::Measured;

/// Keeps the process to the first of the cores that it may use, as many as it should.
class Cores {
 public:
  explicit Cores(unsigned count) {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t few;
    CPU_ZERO(&few);
    for (int cpu = 0; cpu < CPU_SETSIZE && count > 0; ++cpu) {
      if (!CPU_ISSET(cpu, &before_)) continue;
      CPU_SET(cpu, &few);
      --count;
    }
    sched_setaffinity(0, sizeof few, &few);
  }
  ~Cores() { sched_setaffinity(0, sizeof before_, &before_); }
  Cores(const Cores&) = delete;
  Cores& operator=(const Cores&) = delete;

 private:
  cpu_set_t before_;
};

Measured spawn_join(unsigned cores) {
  Cores few(cores);
  const std::int64_t batches = std::max<std::int64_t>(100 / peers::divisor, 1);
  std::atomic<std::int64_t> sum = 0;
  std::vector<std::thread> threads;
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    for (int i = 0; i < 1000; ++i) threads.emplace_back([&] { sum.fetch_add(1); });
    for (auto& thread : threads) thread.join();
    threads.clear();
  }
  return {batches * 1000, sum == batches * 1000};
}

Measured chan_unbuf_pingpong(unsigned cores) {
  Cores few(cores);
  const std::int64_t count = 100'000 / peers::divisor;
  Channel there;
  Channel back;
  std::thread answer([&] {
    while (auto x = there.receive()) back.send(*x + 1);
  });
  std::int64_t x = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    there.send(x);
    x = *back.receive();
  }
  there.close();
  answer.join();
  return {count, x == count};
}

/// The resident memory of a thread that waits to receive. What the kernel keeps for it, at least
/// a stack of 16 KiB more, is not in there.
Measured mem_tasks(unsigned cores) {
  Cores few(cores);
  const std::int64_t count = std::max<std::int64_t>(10'000 / peers::divisor, 100);
  auto before = micro::resident_bytes();
  Channel never;
  std::atomic<std::int64_t> started = 0;
  std::atomic<std::int64_t> ended = 0;
  std::vector<std::thread> threads;
  auto start = peers::Clock::now();
  for (std::int64_t i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      ++started;
      if (!never.receive()) ++ended;
    });
  }
  while (started < count) std::this_thread::yield();
  auto elapsed = peers::Clock::now() - start;
  auto each = (micro::resident_bytes() - before) / static_cast<double>(count);
  never.close();
  for (auto& thread : threads) thread.join();
  return {count, ended == count, elapsed, 0, "bytes=" + std::to_string(std::llround(each))};
}

constexpr peers::Bench benches[] = {
    {"spawn_join", "batches of 1000; 100 of them", spawn_join, 2},
    {"chan_unbuf_pingpong", "round trips; mutex and condition variables", chan_unbuf_pingpong, 2},
    {"mem_tasks", "blocked on a channel; mutex and condition variables", mem_tasks, 2},
};

}  // namespace

int main(int argc, char** argv) { return peers::micro_main("threads", benches, argc, argv); }
