#include "base/log.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdlib>
#include <memory>

namespace ringo::detail {
namespace {

std::atomic<LogHook> hook_installed{nullptr};

std::shared_ptr<spdlog::logger> make_logger() {
  if (auto theirs = spdlog::get("ringo")) return theirs;
  // Not registered: a program may register its own "ringo" later without meeting ours.
  auto ours = std::make_shared<spdlog::logger>(
      "ringo", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  if (const char* level = std::getenv("RINGO_LOG")) ours->set_level(spdlog::level::from_str(level));
  return ours;
}

// Never destroyed: a worker or a destructor of a static may log after main() returned.
spdlog::logger& logger() {
  static auto& instance = *new std::shared_ptr<spdlog::logger>(make_logger());
  return *instance;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void log(LogLevel level, std::string_view text) noexcept {
  if (LogHook hook = hook_installed.load(std::memory_order_acquire)) {
    hook(level, text);
    return;
  }
  try {
    logger().log(level_of(level), spdlog::string_view_t(text.data(), text.size()));
  } catch (...) {
    // Out of memory, or a sink of the program's that throws: a line less, and nothing else.
  }
}

LogHook set_log_hook(LogHook hook) noexcept {
  return hook_installed.exchange(hook, std::memory_order_acq_rel);
}

}  // namespace ringo::detail
