// The prime sieve of Go's tutorials: a chain of goroutines that grows by one with each prime.
#include <ringo/channel.hpp>
#include <ringo/go.hpp>

#include "bench.hpp"

using namespace ringo;

namespace micro {
namespace {

Task<> generate(Channel<std::int64_t> out) {
  for (std::int64_t i = 2;; ++i) co_await out.send(i);
}

Task<> filter(Channel<std::int64_t> in, Channel<std::int64_t> out, std::int64_t prime) {
  for (;;) {
    const std::int64_t i = *co_await in.recv();
    if (i % prime != 0) co_await out.send(i);
  }
}

std::int64_t nth_prime(std::int64_t n) {
  std::int64_t candidate = 1;
  while (n > 0) {
    ++candidate;
    bool prime = true;
    for (std::int64_t i = 2; i * i <= candidate && prime; ++i) prime = candidate % i != 0;
    if (prime) --n;
  }
  return candidate;
}

}  // namespace

/// The chain is left behind where it stands when the last prime is known, as in Go.
Task<Measured> sieve() {
  const std::int64_t count = 2000 / divisor;
  Channel<std::int64_t> candidates;
  go(generate, candidates);
  std::int64_t prime = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    prime = *co_await candidates.recv();
    Channel<std::int64_t> rest;
    go(filter, candidates, rest, prime);
    candidates = rest;
  }
  co_return Measured{count, prime == nth_prime(count)};
}

}  // namespace micro
