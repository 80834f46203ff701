// What the process has used so far.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace peers {

inline std::chrono::nanoseconds cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

/// A size in bytes out of /proc/self/status, by the name of its line.
inline std::int64_t memory(const char* name) {
  std::FILE* status = std::fopen("/proc/self/status", "r");
  if (status == nullptr) std::abort();
  char line[256];
  long long kilobytes = -1;
  while (kilobytes < 0 && std::fgets(line, sizeof line, status) != nullptr) {
    if (std::strncmp(line, name, std::strlen(name)) != 0) continue;
    std::sscanf(line + std::strlen(name), ": %lld", &kilobytes);
  }
  std::fclose(status);
  if (kilobytes < 0) std::abort();
  return kilobytes << 10;
}

inline std::int64_t resident() { return memory("VmRSS"); }
inline std::int64_t peak_resident() { return memory("VmHWM"); }

}  // namespace peers
