// What a runtime is made of when the program leaves it open: environment variables and the machine.
#pragma once

#include <string>

#include <ringo/run.hpp>

namespace ringo::detail {

inline constexpr unsigned workers_max = 256;
inline constexpr unsigned blocking_threads_max = 10'000;
inline constexpr unsigned blocking_threads_default = 64;

/// Fills in what is left open. Throws Panic for impossible options; ends the process with status 2
/// and a message if an environment variable holds nonsense. A simulated environment has one
/// worker and asks for no driver.
Options resolve_options(const Options& options, bool simulated);

/// How many threads blocking() may have: RINGO_BLOCKING_THREADS, or the default. Ends the process
/// as above.
unsigned blocking_threads();

/// Cores this process may use: affinity mask, and the CPU quota of its cgroup rounded up.
unsigned usable_cores();

/// Says once per process that epoll is used in place of io_uring, and why.
void log_fallback(const std::string& cause);

}  // namespace ringo::detail
