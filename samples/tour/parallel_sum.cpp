// Parallel data processing: each goroutine takes a chunk, and main combines what they found.
//
// Every goroutine writes to a place of its own, and wait() makes all of it visible to main: no lock
// is needed.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <functional>
#include <numeric>
#include <span>
#include <vector>

using namespace ringo;

void process_chunk(std::span<const int> chunk, long& sum, WaitGroup& wg) {
  Defer done{[&] { wg.done(); }};
  for (int value : chunk) sum += value;
}

Task<> app() {
  std::vector<int> data(10'000);
  std::iota(data.begin(), data.end(), 1);
  constexpr std::size_t chunk_size = 1000;
  std::vector<long> sums(data.size() / chunk_size);

  WaitGroup wg;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    wg.add(1);
    auto chunk = std::span<const int>(data).subspan(i * chunk_size, chunk_size);
    go(process_chunk, chunk, std::ref(sums[i]), std::ref(wg));
  }
  co_await wg.wait();

  long total = std::accumulate(sums.begin(), sums.end(), 0L);
  fmt::print("{} chunks, total {}\n", sums.size(), total);
}

int main() { return ringo::run(app); }
