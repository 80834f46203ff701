// Coroutines and goroutines that do nothing but begin, end and make room.
#include <functional>

#include <ringo/go.hpp>
#include <ringo/run.hpp>
#include <ringo/wait_group.hpp>

#include "bench.hpp"

using namespace ringo;

namespace micro {
namespace {

[[gnu::noinline]] Task<std::int64_t> add_one(std::int64_t x) { co_return x + 1; }

Task<> finish(WaitGroup& group, std::int64_t& sum, std::int64_t i) {
  if ((i & 1) != 0) sum = sum + 0;
  group.done();
  co_return;
}

Task<> yield_often(std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) co_await yield();
}

}  // namespace

Task<Measured> await_call() {
  const std::int64_t count = 10'000'000 / divisor;
  std::int64_t x = 0;
  for (std::int64_t i = 0; i < count; ++i) x = co_await add_one(x);
  co_return Measured{count, x == count};
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

Task<Measured> yields() {
  const std::int64_t each = 5'000'000 / divisor;
  WaitGroup group;
  group.go(yield_often, each);
  group.go(yield_often, each);
  co_await group.wait();
  co_return Measured{2 * each, true};
}

}  // namespace micro
