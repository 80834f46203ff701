// LeakCheck: goroutines that were left behind.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ringo/task.hpp>

namespace ringo {

/// For tests: names the goroutines that were started since it was made and are still there, with
/// what they wait for (as Go people use goleak).
///
///     LeakCheck check;
///     co_await serve_one_request();
///     CHECK_EQ(co_await check.leaks(), "");
///
/// Made on a plain thread before ringo::run(), it also finds, after it, the goroutines that this
/// run has abandoned. All goroutines of the process count, so one test runs at a time. A check that
/// nobody asked writes what it finds to the log at its end.
class LeakCheck {
 public:
  /// All workers stand still for a moment, here and in each look, as in dump().
  [[nodiscard("give it a name")]] LeakCheck();
  LeakCheck(const LeakCheck&) = delete;
  LeakCheck& operator=(const LeakCheck&) = delete;
  ~LeakCheck();

  /// Looks until nothing is left, but for no longer than `patience`, since goroutines end a little
  /// after what they were waited for: yields what is left, one paragraph for each as in dump(), ""
  /// if nothing is. Cancellable.
  Task<std::string> leaks(std::chrono::nanoseconds patience = std::chrono::milliseconds(200));

  /// What there is now. From any thread; does not suspend.
  std::string leaks_now(std::size_t* count = nullptr);

 private:
  struct Name {
    std::uint32_t runtime;
    std::uint64_t goroutine;
    auto operator<=>(const Name&) const = default;
  };
  std::vector<Name> known_;  // sorted
  bool asked_ = false;
};

}  // namespace ringo
