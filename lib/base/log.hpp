// The only way ringo says something on its own account. What writes the lines (spdlog) stays out
// of every other file.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringo::detail {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// Writes one line to the logger named "ringo": the one the program registered with spdlog under
/// that name, otherwise one to standard error, whose level is `info` or what the environment
/// variable RINGO_LOG says (trace, debug, info, warning, error, critical, off). From any thread;
/// never throws; not from signal handlers.
void log(LogLevel level, std::string_view text) noexcept;

inline void log_debug(std::string_view text) noexcept { log(LogLevel::debug, text); }
inline void log_info(std::string_view text) noexcept { log(LogLevel::info, text); }
inline void log_warn(std::string_view text) noexcept { log(LogLevel::warning, text); }
inline void log_error(std::string_view text) noexcept { log(LogLevel::error, text); }

/// Sends every line to `hook` instead of the logger; null restores the logger. Returns the hook
/// that was set before. For tests.
using LogHook = void (*)(LogLevel level, std::string_view text);
LogHook set_log_hook(LogHook hook) noexcept;

}  // namespace ringo::detail
