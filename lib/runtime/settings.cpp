#include "runtime/settings.hpp"

#include <sched.h>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include <ringo/panic.hpp>

#include "base/log.hpp"
#include "base/sanitizers.hpp"
#include "runtime/lock_check.hpp"

namespace ringo {

std::optional<DriverKind> parse_driver(std::string_view name) noexcept {
  if (name == "auto") return DriverKind::automatic;
  if (name == "uring") return DriverKind::uring;
  if (name == "epoll") return DriverKind::epoll;
  return std::nullopt;
}

}  // namespace ringo

namespace ringo::detail {

namespace {

[[noreturn]] void refuse(const std::string& why) {
  std::fflush(stdout);
  std::fprintf(stderr, "ringo: %s\n", why.c_str());
  std::_Exit(2);
}

/// The number in that variable, 0 if it is not set.
unsigned number_from_environment(const char* name, unsigned most) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return 0;
  unsigned value = 0;
  const char* end = text + std::strlen(text);
  auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc{} || stop != end || value == 0 || value > most) {
    refuse(std::string(name) + "=" + text + ": not a number from 1 to " + std::to_string(most));
  }
  return value;
}

// Sanitizers slow programs down, and delay signals.
constexpr bool sanitized = RINGO_ASAN || RINGO_TSAN;

std::chrono::nanoseconds watchdog_limit(unsigned workers) {
  const char* text = std::getenv("RINGO_WATCHDOG");
  if (text != nullptr && std::strcmp(text, "0") == 0) return std::chrono::nanoseconds(0);
  if (unsigned ms = number_from_environment("RINGO_WATCHDOG", 1'000'000)) {
    return std::chrono::milliseconds(ms);
  }
  return std::chrono::milliseconds(workers > 1 && !sanitized ? 10 : 0);
}

DriverKind driver_from_environment() {
  const char* text = std::getenv("RINGO_DRIVER");
  if (text == nullptr || *text == '\0') return DriverKind::automatic;
  std::optional<DriverKind> kind = parse_driver(text);
  if (!kind) {
    refuse("RINGO_DRIVER=" + std::string(text) + ": not one of auto, uring, epoll");
  }
  return *kind;
}

Switch lock_checks_from_environment() {
  const std::string_view text = [] {
    const char* set = std::getenv("RINGO_CHECK_LOCKS");
    return set != nullptr ? set : "";
  }();
  if (text.empty()) return checks_locks_by_default() ? Switch::on : Switch::off;
  if (text != "0" && text != "1") {
    refuse("RINGO_CHECK_LOCKS=" + std::string(text) + ": not 0 or 1");
  }
  return text == "1" ? Switch::on : Switch::off;
}

/// Cores granted by the CPU quota of cgroup v2, rounded up; 0 if there is none.
unsigned cgroup_quota() {
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  std::string path;
  while (std::getline(groups, line)) {
    if (line.rfind("0::", 0) == 0) path = line.substr(3);
  }
  unsigned least = 0;
  // A quota of any group above counts too.
  for (;;) {
    std::ifstream file("/sys/fs/cgroup" + (path == "/" ? "" : path) + "/cpu.max");
    std::string quota;
    unsigned long long period = 0;
    if (file >> quota >> period && quota != "max" && period > 0) {
      unsigned long long micros = std::strtoull(quota.c_str(), nullptr, 10);
      auto cores = static_cast<unsigned>((micros + period - 1) / period);
      if (cores > 0 && (least == 0 || cores < least)) least = cores;
    }
    std::size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos) return least;
    path.resize(slash);
  }
}

}  // namespace

unsigned usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  unsigned cores = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = static_cast<unsigned>(CPU_COUNT(&set));
  if (unsigned quota = cgroup_quota(); quota != 0 && quota < cores) cores = quota;
  if (cores == 0) cores = 1;
  return cores < workers_max ? cores : workers_max;
}

unsigned blocking_threads() {
  unsigned threads = number_from_environment("RINGO_BLOCKING_THREADS", blocking_threads_max);
  return threads != 0 ? threads : blocking_threads_default;
}

Options resolve_options(const Options& options, bool simulated) {
  Options resolved = options;
  if (options.workers > workers_max) panic("Options::workers: at most 256");
  if (options.drain.count() < 0) panic("Options::drain: a negative time");
  if (resolved.check_locks == Switch::automatic) {
    resolved.check_locks = lock_checks_from_environment();
  }
  if (simulated) {
    resolved.workers = 1;
    resolved.watchdog = std::chrono::nanoseconds(0);
    return resolved;
  }
  if (resolved.workers == 0)
    resolved.workers = number_from_environment("RINGO_WORKERS", workers_max);
  if (resolved.workers == 0) resolved.workers = usable_cores();
  if (resolved.watchdog.count() < 0) resolved.watchdog = watchdog_limit(resolved.workers);
  if (resolved.driver == DriverKind::automatic) resolved.driver = driver_from_environment();
  return resolved;
}

void log_fallback(const std::string& cause) {
  static std::atomic<bool> said{false};
  if (said.exchange(true)) return;
  log_warn(cause + "; using epoll (RINGO_DRIVER=epoll chooses it without this message)");
}

}  // namespace ringo::detail
