#include "driver/uring_failure.hpp"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace ringo::detail {
namespace {

std::string kernel_release() {
  utsname name{};
  return ::uname(&name) == 0 ? std::string("Linux ") + name.release : "this kernel";
}

// kernel.io_uring_disabled (Linux 6.6 and newer): 0 allowed, 1 for the privileged only, 2 for
// nobody. -1 if there is no such setting.
int disabled_by_sysctl() {
  int value = -1;
  if (std::FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re")) {
    if (std::fscanf(file, "%d", &value) != 1) value = -1;
    std::fclose(file);
  }
  return value;
}

std::string memlock_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return "unknown";
  if (limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return std::to_string(limit.rlim_cur / 1024) + " KiB";
}

std::string cause_of(const char* step, int error) {
  switch (error) {
    case EPERM:
    case EACCES: {
      const int disabled = disabled_by_sysctl();
      if (disabled > 0) {
        return "is switched off by the sysctl kernel.io_uring_disabled=" + std::to_string(disabled);
      }
      return std::string("is forbidden (") + step +
             ": operation not permitted), as a rule by the seccomp profile of a container";
    }
    case ENOSYS:
      return "does not exist here: " + kernel_release() +
             " was built without it, or a seccomp filter hides it";
    case EINVAL:
    case EOPNOTSUPP:
      return std::string("is too old here: ") + kernel_release() + " refuses what ringo needs (" +
             step + ", with IORING_SETUP_DEFER_TASKRUN), which came with Linux 6.1";
    case ENOMEM:
      return "may not lock enough memory: RLIMIT_MEMLOCK is " + memlock_limit() +
             " for all rings of this user; raise it (ulimit -l, LimitMEMLOCK= of a systemd unit, "
             "docker run --ulimit memlock=-1)";
    case EMFILE:
      return "needs more file descriptors than RLIMIT_NOFILE allows this process";
    case ENFILE:
      return "needs more file descriptors than this system has left";
    default:
      return std::string("failed: ") + step + ": " + std::strerror(error);
  }
}

}  // namespace

DriverFailure describe_uring_failure(const char* step, int error) {
  return {error, "io_uring " + cause_of(step, error)};
}

}  // namespace ringo::detail
