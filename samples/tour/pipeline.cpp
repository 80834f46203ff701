// A pipeline: each stage receives from the one before it, and closes its own channel when it is
// through. (The tutorial declares a third channel that it never uses, which Go does not compile.)
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <ringo/ringo.hpp>

#include <vector>

using namespace ringo;

Task<std::vector<int>> pipeline(std::vector<int> data) {
  WaitGroup wg;
  Channel<int> stage1, stage2;

  wg.add(1);
  go([&]() -> Task<> {
    Defer done{[&] { wg.done(); }};
    Defer close{[&] { stage1.close(); }};  // the last Defer runs first
    for (int n : data) co_await stage1.send(n * n);
  });

  wg.add(1);
  go([&]() -> Task<> {
    Defer done{[&] { wg.done(); }};
    Defer close{[&] { stage2.close(); }};
    while (auto n = co_await stage1.recv()) co_await stage2.send(*n * 2);
  });

  std::vector<int> results;
  wg.add(1);
  go([&]() -> Task<> {
    Defer done{[&] { wg.done(); }};
    while (auto n = co_await stage2.recv()) results.push_back(*n);
  });

  co_await wg.wait();
  co_return results;
}

Task<> app() {
  std::vector<int> data{1, 2, 3, 4, 5};
  auto results = co_await pipeline(data);
  fmt::print("{}\n", fmt::join(results, " "));
}

int main() { return ringo::run(app); }
