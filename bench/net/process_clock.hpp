// CPU time of another process.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

namespace bench {

inline std::uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// The CPU clock of a process: all its threads, those that have ended and the kernel's io_uring
/// workers among them, user and system time together, to the nanosecond. (The times in
/// /proc/PID/stat come in steps of 10 ms, and those in schedstat lag by up to a tick.)
class ProcessClock {
 public:
  /// False if there is no such process.
  bool open(pid_t pid) {
    pid_ = pid;
    timespec now{};
    return clock_getcpuclockid(pid, &clock_) == 0 && clock_gettime(clock_, &now) == 0;
  }

  /// Nanoseconds on a CPU so far.
  std::uint64_t used() const { return nanoseconds(clock_); }

  /// Nanoseconds the live threads have been ready to run while something else had the CPU: how
  /// much the machine's other work has disturbed the process. 0 where the kernel does not say.
  std::uint64_t waited() const {
    const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
    DIR* folder = opendir(tasks.c_str());
    if (folder == nullptr) return 0;
    std::uint64_t sum = 0;
    while (const dirent* entry = readdir(folder)) {
      if (entry->d_name[0] == '.') continue;
      std::FILE* file = std::fopen((tasks + "/" + entry->d_name + "/schedstat").c_str(), "r");
      if (file == nullptr) continue;
      unsigned long long ran = 0;
      unsigned long long waited = 0;
      if (std::fscanf(file, "%llu %llu", &ran, &waited) == 2) sum += waited;
      std::fclose(file);
    }
    closedir(folder);
    return sum;
  }

 private:
  pid_t pid_ = 0;
  clockid_t clock_{};
};

}  // namespace bench
