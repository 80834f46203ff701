// A Mutex that four goroutines want.
#include <ringo/mutex.hpp>

#include <functional>

#include <ringo/wait_group.hpp>

#include "bench.hpp"

using namespace ringo;

namespace micro {
namespace {

Task<> lock_often(Mutex& mutex, std::int64_t& counter, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    auto guard = co_await mutex.lock();
    ++counter;
  }
}

}  // namespace

Task<Measured> mutex() {
  const std::int64_t each = 1'000'000 / divisor;
  Mutex mutex;
  std::int64_t counter = 0;
  WaitGroup group;
  for (int i = 0; i < 4; ++i) group.go(lock_often, std::ref(mutex), std::ref(counter), each);
  co_await group.wait();
  co_return Measured{4 * each, counter == 4 * each};
}

}  // namespace micro
