// What the leaking programs of Go's goroutine leak profile share: a program is run as its authors
// wrote it and with their mistake mended, and LeakCheck says what it leaves behind.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ringo/cancellation.hpp>
#include <ringo/channel.hpp>
#include <ringo/context.hpp>
#include <ringo/leak_check.hpp>
#include <ringo/select.hpp>
#include <ringo/sync.hpp>
#include <ringo/time.hpp>

#include "matrix.hpp"

namespace ringo::test {

/// How to run a program: with or without its mistake, and where. `v.go(f, args...)` starts its
/// goroutines: on worker 0, where they take turns and v.others() lets all of them come to their
/// next wait, or on any worker.
class Variant : public detail::GoOverloads<Variant> {
 public:
  Variant(bool is_fixed, bool is_pinned) noexcept : fixed(is_fixed), pinned_(is_pinned) {}

  const bool fixed;

  /// Brings about the order of events that a mistake needs. What must not depend on it is the
  /// mended program, which runs on all workers at once as well.
  Task<> others() const { return yields(16); }

 private:
  friend detail::GoOverloads<Variant>;
  template <class F, class... Args>
  auto go_at(std::source_location site, F&& f, Args&&... args) const {
    return detail::SpawnAccess::go(pinned_ ? 0 : -1, site, std::forward<F>(f),
                                   std::forward<Args>(args)...);
  }

  const bool pinned_;
};

/// A program; its goroutine's function is found in reports by its name.
using Program = Task<> (*)(Variant);

/// Whether the goroutines of a program can run in any order, or only v.others() brings the leak
/// about.
enum class Leak { always, by_order };

namespace goker {

/// The goroutine in which the program runs; not part of it.
inline Task<> run_program(Context ctx, Program program, Variant variant) {
  co_await with_context(std::move(ctx), program(variant));
}

/// "function [what it waits for]" for each paragraph of a report, sorted. The function is the
/// outermost one, without its namespace.
inline std::vector<std::string> summary(std::string_view report) {
  std::vector<std::string> list;
  std::string reason;
  std::string function;
  while (!report.empty()) {
    const std::size_t end = std::min(report.find('\n'), report.size() - 1);
    const std::string_view line = report.substr(0, end);
    report.remove_prefix(end + 1);
    if (line.starts_with("goroutine ")) {
      const std::size_t bracket = line.find('[');
      reason = line.substr(bracket, line.find_first_of(",]", bracket) - bracket);
      function.clear();
    } else if (line.starts_with("created by ")) {
      list.push_back(function + " " + reason + "]");
    } else if (line.ends_with("(...)")) {
      const std::string_view whole = line.substr(0, line.size() - 5);
      const std::size_t scope = whole.rfind("::");
      const std::string_view name = scope == whole.npos ? whole : whole.substr(scope + 2);
      if (name != "run_program") function = name;
    }
  }
  std::sort(list.begin(), list.end());
  return list;
}

inline std::string one_a_line(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& item : list) text += item + "\n";
  return text;
}

/// The program with its mistake leaves these goroutines, for good, and they end when their Context
/// is cancelled: nothing that they hold is lost.
inline Task<> expect_leak(Program program, bool pinned, const std::string& expected) {
  LeakCheck check;
  auto [ctx, cancel] = with_cancel(background());
  const Variant variant(false, pinned);
  variant.go(run_program, ctx, program, variant);
  if (pinned) co_await yields(200);
  std::string left = one_a_line(summary(check.leaks_now()));
  // Elsewhere the others need not have come to their last wait yet.
  for (std::chrono::nanoseconds pause = std::chrono::microseconds(50);
       !pinned && left != expected && pause < std::chrono::seconds(5); pause *= 2) {
    co_await sleep_for(pause);
    left = one_a_line(summary(check.leaks_now()));
  }
  CHECK_EQ(left, expected);
  cancel();
  CHECK_EQ(co_await check.leaks(std::chrono::seconds(10)), "");
}

/// Without it, nothing is left, and nothing was thrown.
inline Task<> expect_no_leak(Program program, bool pinned) {
  LeakCheck check;
  const Variant variant(true, pinned);
  auto handle = variant.go(run_program, background(), program, variant);
  const std::string left = co_await check.leaks(std::chrono::seconds(10));
  CHECK_EQ(left, "");
  if (left.empty()) co_await handle;
}

}  // namespace goker

/// Checks both variants of a program, under every combination; `expected` is what the one with the
/// mistake leaves behind, "function [what it waits for]", in any order.
inline void check_program(Program program, Leak leak, std::vector<std::string> expected) {
  std::sort(expected.begin(), expected.end());
  const std::string text = goker::one_a_line(expected);
  run_matrix([&]() -> Task<> {
    co_await on_one_worker([&]() -> Task<> {
      co_await goker::expect_leak(program, true, text);
      co_await goker::expect_no_leak(program, true);
    });
    if (leak == Leak::always) co_await goker::expect_leak(program, false, text);
    co_await goker::expect_no_leak(program, false);
  });
}

}  // namespace ringo::test
