// What one operation of ringo costs.
//
//   ringo-micro list             the benches, a line each: BENCH THREADS
//   ringo-micro BENCH THREADS    one line of CSV:
//                                peer,bench,params,ops,seconds,ns_per_op,extra
//   ringo-micro --quick          each bench once, briefly: shows that they work
//
// Exits with 2 for a bench or a number of threads that there is not, with 3 if a bench does not
// compute what it should. RINGO_DRIVER chooses the driver, which hardly matters here.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/mutex.hpp>
#include <ringo/run.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>
#include <ringo/wait_group.hpp>

using namespace ringo;
using namespace std::chrono_literals;

namespace {

/// Scales the amount of work; 1 in a real run.
std::int64_t divisor = 1;

struct Measured {
  std::int64_t operations;
  bool right;
};

[[gnu::noinline]] Task<std::int64_t> add_one(std::int64_t x) { co_return x + 1; }

Task<Measured> await_call() {
  const std::int64_t count = 10'000'000 / divisor;
  std::int64_t x = 0;
  for (std::int64_t i = 0; i < count; ++i) x = co_await add_one(x);
  co_return Measured{count, x == count};
}

Task<> finish(WaitGroup& group, std::int64_t& sum, std::int64_t i) {
  if ((i & 1) != 0) sum = sum + 0;
  group.done();
  co_return;
}

Task<Measured> spawn_join() {
  const std::int64_t batches = 1000 / divisor;
  WaitGroup group;
  std::int64_t sum = 0;
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    group.add(1000);
    for (int i = 0; i < 1000; ++i) go(finish, std::ref(group), std::ref(sum), 0);
    co_await group.wait();
  }
  co_return Measured{batches * 1000, sum == 0};
}

Task<Measured> spawn_seq() {
  const std::int64_t count = 1'000'000 / divisor;
  std::int64_t x = 0;
  for (std::int64_t i = 0; i < count; ++i) x = co_await go(add_one, x);
  co_return Measured{count, x == count};
}

Task<> answer(Channel<std::int64_t> in, Channel<std::int64_t> out) {
  while (auto x = co_await in.recv()) co_await out.send(*x + 1);
}

Task<Measured> chan_unbuf_pingpong() {
  const std::int64_t count = 1'000'000 / divisor;
  Channel<std::int64_t> there;
  Channel<std::int64_t> back;
  go(answer, there, back);
  std::int64_t x = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    co_await there.send(x);
    x = *co_await back.recv();
  }
  there.close();
  co_return Measured{count, x == count};
}

Task<> produce(Channel<std::int64_t> out, std::int64_t count, bool close) {
  for (std::int64_t i = 1; i <= count; ++i) co_await out.send(i);
  if (close) out.close();
}

Task<Measured> chan_buf() {
  const std::int64_t count = 10'000'000 / divisor;
  Channel<std::int64_t> items(128);
  go(produce, items, count, true);
  std::int64_t sum = 0;
  while (auto x = co_await items.recv()) sum += *x;
  co_return Measured{count, sum == count * (count + 1) / 2};
}

Task<> consume(Channel<std::int64_t> in, Channel<std::int64_t> sums) {
  std::int64_t sum = 0;
  while (auto x = co_await in.recv()) sum += *x;
  co_await sums.send(sum);
}

Task<Measured> chan_mpmc() {
  const std::int64_t each = 1'000'000 / divisor;
  Channel<std::int64_t> items(128);
  Channel<std::int64_t> sums(4);
  WaitGroup producers;
  for (int i = 0; i < 4; ++i) {
    producers.go(produce, items, each, false);
    go(consume, items, sums);
  }
  co_await producers.wait();
  items.close();
  std::int64_t sum = 0;
  for (int i = 0; i < 4; ++i) sum += *co_await sums.recv();
  co_return Measured{4 * each, sum == 4 * (each * (each + 1) / 2)};
}

Task<Measured> select_over_four(std::ptrdiff_t capacity) {
  const std::int64_t each = 500'000 / divisor;
  Channel<std::int64_t> a(capacity), b(capacity), c(capacity), d(capacity);
  for (auto& channel : {a, b, c, d}) go(produce, channel, each, false);
  std::int64_t sum = 0;
  auto take = [&](auto x) { sum += *x; };
  for (std::int64_t i = 0; i < 4 * each; ++i) {
    co_await select_any{on(a.recv(), take), on(b.recv(), take), on(c.recv(), take),
                        on(d.recv(), take)};
  }
  co_return Measured{4 * each, sum == 4 * (each * (each + 1) / 2)};
}

Task<Measured> select4() { return select_over_four(0); }
Task<Measured> select4_buf() { return select_over_four(128); }

Task<Measured> select_timeout() {
  const std::int64_t count = 1'000'000 / divisor;
  Channel<std::int64_t> ready(1);
  std::int64_t sum = 0;
  std::int64_t timeouts = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    ready.try_send(1);
    co_await select_any{
        on(ready.recv(), [&](auto x) { sum += *x; }),
        on(after(1s), [&] { ++timeouts; }),
    };
  }
  co_return Measured{count, sum == count && timeouts == 0};
}

Task<> lock_often(Mutex& mutex, std::int64_t& counter, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    auto guard = co_await mutex.lock();
    ++counter;
  }
}

Task<Measured> mutex() {
  const std::int64_t each = 1'000'000 / divisor;
  Mutex mutex;
  std::int64_t counter = 0;
  WaitGroup group;
  for (int i = 0; i < 4; ++i) group.go(lock_often, std::ref(mutex), std::ref(counter), each);
  co_await group.wait();
  co_return Measured{4 * each, counter == 4 * each};
}

Task<> yield_often(std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) co_await yield();
}

Task<Measured> yields() {
  const std::int64_t each = 5'000'000 / divisor;
  WaitGroup group;
  group.go(yield_often, each);
  group.go(yield_often, each);
  co_await group.wait();
  co_return Measured{2 * each, true};
}

struct Bench {
  const char* name;
  const char* params;
  Task<Measured> (*run)();
  unsigned most_threads;
};

constexpr Bench benches[] = {
    {"spawn_join", "batches of 1000", spawn_join, 2},
    {"spawn_seq", "", spawn_seq, 2},
    {"await_call", "not inlined", await_call, 1},
    {"chan_unbuf_pingpong", "round trips", chan_unbuf_pingpong, 2},
    {"chan_buf", "1:1 capacity 128", chan_buf, 2},
    {"chan_mpmc", "4:4 capacity 128", chan_mpmc, 2},
    {"select4", "unbuffered", select4, 2},
    {"select4_buf", "capacity 128", select4_buf, 2},
    {"select_timeout", "ready channel and a timer of 1 s", select_timeout, 2},
    {"mutex", "4 goroutines", mutex, 2},
    {"yield", "2 goroutines", yields, 2},
};

int list() {
  for (const Bench& bench : benches) {
    for (unsigned threads = 1; threads <= bench.most_threads; ++threads) {
      std::printf("%s %u\n", bench.name, threads);
    }
  }
  return 0;
}

int measure(const Bench& bench, unsigned threads) {
  Options options;
  options.workers = threads;
  double seconds = 0;
  Measured measured = run(options, [&]() -> Task<Measured> {
    auto start = std::chrono::steady_clock::now();
    Measured result = co_await bench.run();
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    co_return result;
  });
  std::printf("ringo,%s,%s,%lld,%.6f,%.2f,threads=%u\n", bench.name, bench.params,
              static_cast<long long>(measured.operations), seconds,
              seconds * 1e9 / static_cast<double>(measured.operations), threads);
  if (measured.right) return 0;
  std::fprintf(stderr, "ringo-micro: %s computed a wrong result\n", bench.name);
  return 3;
}

int usage() {
  std::fprintf(stderr, "usage: ringo-micro list | --quick | BENCH THREADS\n");
  list();
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "list") == 0) return list();
  if (argc == 2 && std::strcmp(argv[1], "--quick") == 0) {
    divisor = 100;
    int worst = 0;
    for (const Bench& bench : benches) {
      for (unsigned threads = 1; threads <= bench.most_threads; ++threads) {
        if (int status = measure(bench, threads); status > worst) worst = status;
      }
    }
    return worst;
  }
  if (argc != 3) return usage();
  for (const Bench& bench : benches) {
    if (std::strcmp(bench.name, argv[1]) != 0) continue;
    char* end = nullptr;
    unsigned long threads = std::strtoul(argv[2], &end, 10);
    if (*end != '\0' || threads < 1 || threads > bench.most_threads) return usage();
    return measure(bench, static_cast<unsigned>(threads));
  }
  return usage();
}
