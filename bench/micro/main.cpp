// What one operation of ringo costs.
//
//   ringo-micro list                    the benches, a line each: BENCH THREADS
//   ringo-micro BENCH THREADS [PART]    one line of CSV:
//                                       peer,bench,params,ops,seconds,ns_per_op,extra
//                                       with PART only one part of that many of the work
//   ringo-micro --quick                 each bench once, briefly: shows that they work
//
// `seconds` are from the start of the bench to its end. ns_per_op belongs to those that the bench
// is about (of timers those on a CPU, of ctx_cancel those after the cancellation), all otherwise.
//
// Exits with 2 for a bench or a number of threads that there is not, with 3 if a bench does not
// compute what it should. RINGO_DRIVER chooses the driver, which hardly matters here but for echo.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <ringo/run.hpp>

#include "bench.hpp"
#include "process.hpp"

using namespace ringo;
using namespace micro;

namespace {

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
    {"chan_popular", "1:1000 unbuffered", chan_popular, 2},
    {"select4", "unbuffered", select4, 2},
    {"select4_buf", "capacity 128", select4_buf, 2},
    {"select_timeout", "ready channel and a timer of 1 s", select_timeout, 2},
    {"mutex", "4 goroutines", mutex, 2},
    {"yield", "2 goroutines", yields, 2},
    {"timers", "sleepers of 1 to 1000 ms", timers, 2},
    {"mem_tasks", "blocked on a channel", mem_tasks, 1},
    {"skynet", "leaves by join handles", skynet, 2},
    {"skynet_chan", "leaves by channels", skynet_chan, 2},
    {"sieve", "primes", sieve, 2},
    {"ctx_cancel", "goroutines waiting for its end", ctx_cancel, 2},
    {"echo", "round trips of 64 B over loopback", echo, 2},
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
    const auto start = std::chrono::steady_clock::now();
    Measured result = co_await bench.run();
    seconds = seconds_since(start);
    co_return result;
  });
  const double counted = measured.seconds > 0 ? measured.seconds : seconds;
  std::printf("ringo,%s,%s,%lld,%.6f,%.2f,threads=%u%s%s\n", bench.name, bench.params,
              static_cast<long long>(measured.operations), seconds,
              counted * 1e9 / static_cast<double>(measured.operations), threads,
              measured.extra[0] != '\0' ? " " : "", measured.extra);
  if (measured.right) return 0;
  std::fprintf(stderr, "ringo-micro: %s computed a wrong result\n", bench.name);
  return 3;
}

int usage() {
  std::fprintf(stderr, "usage: ringo-micro list | --quick | BENCH THREADS [PART]\n");
  list();
  return 2;
}

/// A number from 1 to `most`; 0 for anything else.
unsigned parse(const char* text, unsigned most) {
  char* end = nullptr;
  const unsigned long number = std::strtoul(text, &end, 10);
  return end != text && *end == '\0' && number <= most ? static_cast<unsigned>(number) : 0;
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
  if (argc != 3 && argc != 4) return usage();
  for (const Bench& bench : benches) {
    if (std::strcmp(bench.name, argv[1]) != 0) continue;
    const unsigned threads = parse(argv[2], bench.most_threads);
    const unsigned part = argc == 4 ? parse(argv[3], 1000) : 1;
    if (threads == 0 || part == 0) return usage();
    divisor = part;
    return measure(bench, threads);
  }
  return usage();
}
