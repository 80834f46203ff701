// A batch in which items may fail: every goroutine leaves its value or its error in its own place.
//
// It must not let an exception out: nobody would join it, and the process would end as after an
// uncaught panic. (Keeping the JoinHandle of go() and awaiting it is the other way: it rethrows.)
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <stdexcept>
#include <string>
#include <vector>

using namespace ringo;

struct ItemResult {
  int value = 0;
  std::string error;
};

int process_item(const std::string& item) {
  if (item.empty()) throw std::invalid_argument("empty item");
  return static_cast<int>(item.size());
}

Task<std::vector<ItemResult>> process_batch(std::vector<std::string> items) {
  std::vector<ItemResult> results(items.size());
  auto process = [&](std::size_t place, const std::string& item) {
    try {
      results[place].value = process_item(item);
    } catch (const std::exception& failure) { results[place].error = failure.what(); }
  };

  WaitGroup wg;
  for (std::size_t i = 0; i < items.size(); ++i) wg.go(process, i, items[i]);

  co_await wg.wait();
  co_return results;
}

Task<> app() {
  std::vector<std::string> items{"one", "", "three"};
  for (const ItemResult& outcome : co_await process_batch(std::move(items))) {
    if (outcome.error.empty()) {
      fmt::print("value {}\n", outcome.value);
    } else {
      fmt::print("error: {}\n", outcome.error);
    }
  }
}

int main() { return ringo::run(app); }
