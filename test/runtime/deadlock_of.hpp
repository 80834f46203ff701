// What tests of the end by deadlock share.
#pragma once

#include <chrono>
#include <initializer_list>
#include <string>

#include <ringo/deadlock.hpp>

#include "matrix.hpp"
#include "runtime/report_text.hpp"

namespace ringo::test {

inline constexpr const char* headline = "fatal error: all goroutines are asleep - deadlock!\n";

/// The report that run() throws for this main; empty if it returns.
template <class F>
std::string deadlock_of(const Setting& setting, F&& body) {
  Options options;
  options.on_deadlock = DeadlockPolicy::throw_from_run;
  try {
    run_setting(setting, body, options);
  } catch (const Deadlock& deadlock) {
    return deadlock.what();
  }
  return "";
}

/// Main, whose report has these parts in this order.
template <class F>
void expect_deadlock(F&& body, std::initializer_list<std::string> parts) {
  for_each_setting([&](const Setting& setting) {
    const auto begin = std::chrono::steady_clock::now();
    expect_in_order(deadlock_of(setting, body), parts);
    CHECK_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  });
}

/// The same for a main whose end takes a second or more to find.
template <class F>
void expect_late_deadlock(F&& body, std::initializer_list<std::string> parts) {
  for_each_setting_at_once(
      [&](const Setting& setting) { expect_in_order(deadlock_of(setting, body), parts); });
}

/// Main, which must come to its end though all that could wake it is what the case is about.
template <class F>
void expect_no_deadlock(F&& body) {
  for_each_setting([&](const Setting& setting) { CHECK_EQ(deadlock_of(setting, body), ""); });
}

/// The same for a main that sleeps longer than it takes to find a deadlock.
template <class F>
void expect_no_late_deadlock(F&& body) {
  for_each_setting_at_once(
      [&](const Setting& setting) { CHECK_EQ(deadlock_of(setting, body), ""); });
}

}  // namespace ringo::test
