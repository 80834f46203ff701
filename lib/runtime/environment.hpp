// What a runtime takes from the world outside: time, chance, and kernels. A simulator replaces all
// of it in one place; with it given, every choice of the runtime follows from its answers (none
// depends on an address or on the order of a hash table).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "driver/driver.hpp"

namespace ringo::detail {

class Environment {
 public:
  virtual ~Environment() = default;

  /// Nanoseconds of a clock that never goes back.
  virtual std::int64_t now() = 0;

  /// Seed of the random numbers of a worker, which pick select cases and victims of stealing.
  virtual std::uint64_t seed(unsigned worker) = 0;

  /// Which of `count` ready goroutines runs next, 0 being the one at the head of the queue.
  virtual std::size_t pick_ready(std::size_t count) = 0;

  /// The kernel of a worker, made on its thread.
  virtual std::unique_ptr<Driver> make_driver(unsigned worker) = 0;
};

/// Steady clock of the machine, in nanoseconds.
std::int64_t steady_now() noexcept;

}  // namespace ringo::detail
