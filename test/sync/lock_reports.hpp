// What the cases of the checks of locks share: runs with what was reported in them.
#pragma once

#include <chrono>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/go.hpp>
#include <ringo/run.hpp>
#include <ringo/time.hpp>

#include "base/log.hpp"
#include "matrix.hpp"
#include "runtime/report_text.hpp"

namespace ringo::test {

inline std::mutex heard_mutex;
inline std::string heard;

inline void hear(ringo::detail::LogLevel level, std::string_view text) {
  if (level != ringo::detail::LogLevel::error) return;
  std::lock_guard guard(heard_mutex);
  heard.append(text).append("\n");
}

/// What is reported while body runs as main's goroutine.
template <class F>
std::string reports_of(const Setting& setting, F&& body, Switch checks = Switch::on) {
  Options options;
  options.check_locks = checks;
  auto before = ringo::detail::set_log_hook(&hear);
  run_setting(setting, body, options);
  ringo::detail::set_log_hook(before);
  std::lock_guard guard(heard_mutex);
  return std::exchange(heard, {});
}

/// One report with these parts, in every setting.
template <class F>
void expect_report(F&& body, std::initializer_list<std::string> parts) {
  for_each_setting([&](const Setting& setting) {
    const std::string text = reports_of(setting, body);
    expect_in_order(text, parts);
    const int reports = count_of("waits for itself", text) +
                        count_of("wait for each other", text) + count_of("opposite orders", text);
    CHECK_EQ(reports, 1);
  });
}

template <class F>
void expect_silence(F&& body) {
  for_each_setting([&](const Setting& setting) { CHECK_EQ(reports_of(setting, body), ""); });
}

/// A goroutine that ends by cancellation once it has waited in vain for a while.
template <class F>
Task<> canceled_soon(F body) {
  auto [context, cancel] = with_cancel(this_context());
  auto handle = context.go(std::move(body));
  co_await sleep_for(std::chrono::milliseconds(20));
  cancel();
  try {
    co_await handle;
  } catch (const JoinCanceled&) {
  }
}

}  // namespace ringo::test
