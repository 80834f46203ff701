// What happens when nothing can ever run again.
#pragma once

#include <source_location>

#include <ringo/panic.hpp>

namespace ringo {

/// What a runtime does when all its goroutines wait for each other (Options::on_deadlock).
enum class DeadlockPolicy {
  /// Prints "fatal error: all goroutines are asleep - deadlock!" with every goroutine to standard
  /// error and ends the process with status 2, as Go does. No destructor runs.
  report_and_exit,
  /// run() ends as if main had returned, and throws Deadlock. For tests.
  throw_from_run,
  /// Nothing: the program hangs.
  ignore,
};

/// Thrown by run() with DeadlockPolicy::throw_from_run; what() is the whole report.
class Deadlock : public Panic {
 public:
  explicit Deadlock(const char* report,
                    std::source_location where = std::source_location::current())
      : Panic(report, where) {}
};

}  // namespace ringo
