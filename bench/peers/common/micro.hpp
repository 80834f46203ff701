// What the micro benches of the C++ peers have in common: ringo-micro's interface.
//
//   PROGRAM list             the benches, a line each: BENCH THREADS
//   PROGRAM BENCH THREADS    one line of CSV:
//                            peer,bench,params,ops,seconds,ns_per_op,extra
//   PROGRAM --quick          each bench once, briefly: shows that they work
//
// Exits with 2 for a bench or a number of threads that there is not, with 3 if a bench does not
// compute what it should.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <string>

namespace peers {

using Clock = std::chrono::steady_clock;

/// Scales the amount of work; 1 in a real run.
inline std::int64_t divisor = 1;

/// What a bench found. Most leave it to measure() to take the time.
struct Measured {
  std::int64_t operations = 0;
  bool right = false;
  /// The part that counts, if not all of it does.
  std::optional<Clock::duration> elapsed = {};
  /// What stands in for the nanoseconds of elapsed time per operation.
  std::optional<double> ns_per_op = {};
  /// More to tell, in words of the form name=value.
  std::string extra = {};
};

struct Bench {
  const char* name;
  /// What is measured, in ringo-micro's words, and after a semicolon what the peer does otherwise.
  const char* params;
  Measured (*run)(unsigned threads);
  unsigned most_threads;
};

inline double seconds_of(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

inline void list(std::span<const Bench> benches, std::FILE* to) {
  for (const Bench& bench : benches) {
    for (unsigned threads = 1; threads <= bench.most_threads; ++threads) {
      std::fprintf(to, "%s %u\n", bench.name, threads);
    }
  }
}

/// Returns the status to exit with.
inline int measure(const char* peer, const Bench& bench, unsigned threads) {
  auto start = Clock::now();
  Measured found = bench.run(threads);
  double seconds = seconds_of(found.elapsed.value_or(Clock::now() - start));
  double each = found.ns_per_op.value_or(seconds * 1e9 / static_cast<double>(found.operations));
  std::printf("%s,%s,%s,%lld,%.6f,%.2f,threads=%u%s%s\n", peer, bench.name, bench.params,
              static_cast<long long>(found.operations), seconds, each, threads,
              found.extra.empty() ? "" : " ", found.extra.c_str());
  std::fflush(stdout);
  if (found.right) return 0;
  std::fprintf(stderr, "%s-micro: %s computed a wrong result\n", peer, bench.name);
  return 3;
}

inline int usage(const char* peer, std::span<const Bench> benches) {
  std::fprintf(stderr, "usage: %s-micro list | --quick | BENCH THREADS\n", peer);
  list(benches, stderr);
  return 2;
}

inline int micro_main(const char* peer, std::span<const Bench> benches, int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "list") == 0) {
    list(benches, stdout);
    return 0;
  }
  if (argc == 2 && std::strcmp(argv[1], "--quick") == 0) {
    divisor = 1000;
    int worst = 0;
    for (const Bench& bench : benches) {
      for (unsigned threads = 1; threads <= bench.most_threads; ++threads) {
        if (int status = measure(peer, bench, threads); status > worst) worst = status;
      }
    }
    return worst;
  }
  if (argc != 3) return usage(peer, benches);
  for (const Bench& bench : benches) {
    if (std::strcmp(bench.name, argv[1]) != 0) continue;
    char* end = nullptr;
    unsigned long threads = std::strtoul(argv[2], &end, 10);
    if (*end != '\0' || threads < 1 || threads > bench.most_threads) break;
    return measure(peer, bench, static_cast<unsigned>(threads));
  }
  return usage(peer, benches);
}

}  // namespace peers
