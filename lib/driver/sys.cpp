#include "driver/sys.hpp"

#include <linux/time_types.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <limits>
#include <span>

namespace ringo::detail::sys {
namespace faulty {

std::atomic<Faults*> installed{nullptr};

bool ask(Faults& faults, Call call, int fd, std::size_t& length) noexcept {
  const int error = faults.before(call, fd, length);
  if (error == 0) return false;
  errno = error;
  return true;
}

namespace {

// An array of parts cut off after as many bytes as the hook allows.
class CutParts {
 public:
  CutParts(Call call, int fd, const iovec* parts, std::size_t count) noexcept {
    std::size_t total = 0;
    for (const iovec& part : std::span(parts, count)) total += part.iov_len;
    std::size_t left = total;
    failed_ = fails(call, fd, left);
    left = std::min(left, total);
    count = std::min(count, parts_.size());
    for (count_ = 0; count_ < count && (left != 0 || total == 0); ++count_) {
      parts_[count_] = parts[count_];
      parts_[count_].iov_len = std::min(parts[count_].iov_len, left);
      left -= parts_[count_].iov_len;
    }
  }

  bool failed() const noexcept { return failed_; }
  iovec* data() noexcept { return parts_.data(); }
  std::size_t count() const noexcept { return count_; }

 private:
  std::array<iovec, IOV_MAX> parts_;
  std::size_t count_ = 0;
  bool failed_ = false;
};

}  // namespace

ssize_t message_in(int fd, msghdr* message, int flags) noexcept {
  CutParts parts(Call::recvmsg, fd, message->msg_iov, message->msg_iovlen);
  if (parts.failed()) return -1;
  msghdr cut = *message;
  cut.msg_iov = parts.data();
  cut.msg_iovlen = parts.count();
  const ssize_t result = ::recvmsg(fd, &cut, flags);
  message->msg_namelen = cut.msg_namelen;
  message->msg_controllen = cut.msg_controllen;
  message->msg_flags = cut.msg_flags;
  return result;
}

ssize_t message_out(int fd, const msghdr* message, int flags) noexcept {
  CutParts parts(Call::sendmsg, fd, message->msg_iov, message->msg_iovlen);
  if (parts.failed()) return -1;
  msghdr cut = *message;
  cut.msg_iov = parts.data();
  cut.msg_iovlen = parts.count();
  return ::sendmsg(fd, &cut, flags);
}

ssize_t vector_in(int fd, const iovec* parts, int count) noexcept {
  CutParts cut(Call::readv, fd, parts, static_cast<std::size_t>(count));
  return cut.failed() ? -1 : ::readv(fd, cut.data(), static_cast<int>(cut.count()));
}

ssize_t vector_out(int fd, const iovec* parts, int count) noexcept {
  CutParts cut(Call::writev, fd, parts, static_cast<std::size_t>(count));
  return cut.failed() ? -1 : ::writev(fd, cut.data(), static_cast<int>(cut.count()));
}

}  // namespace faulty

Faults* set_faults(Faults* faults) noexcept {
  return faulty::installed.exchange(faults, std::memory_order_acq_rel);
}

namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::int64_t ns_per_s = 1'000'000'000;

// Set once the kernel said that it has no epoll_pwait2 (or a seccomp filter said so for it).
std::atomic<bool> no_pwait2{false};

}  // namespace

int epoll_wait_ns(int epoll, epoll_event* events, int count, std::int64_t timeout_ns) noexcept {
  if (fails(Call::epoll_wait, epoll)) return -1;
  if (timeout_ns <= 0) return ::epoll_wait(epoll, events, count, timeout_ns == 0 ? 0 : -1);
#ifdef SYS_epoll_pwait2
  if (!no_pwait2.load(std::memory_order_relaxed)) {
    // By number, because glibc has the function only since 2.35. The kernel takes the 64-bit
    // timespec of linux/time_types.h on every architecture.
    const __kernel_timespec timeout{timeout_ns / ns_per_s, timeout_ns % ns_per_s};
    const int result = fails(Call::epoll_pwait2, epoll)
                           ? -1
                           : static_cast<int>(::syscall(SYS_epoll_pwait2, epoll, events, count,
                                                        &timeout, nullptr, std::size_t{0}));
    if (result >= 0 || (errno != ENOSYS && errno != EPERM)) return result;
    no_pwait2.store(true, std::memory_order_relaxed);
  }
#endif
  const std::int64_t ms = timeout_ns / ns_per_ms + (timeout_ns % ns_per_ms != 0 ? 1 : 0);
  return ::epoll_wait(
      epoll, events, count,
      static_cast<int>(std::min<std::int64_t>(ms, std::numeric_limits<int>::max())));
}

int uring_enter(int ring, unsigned submit, unsigned wait, unsigned flags, const void* argument,
                std::size_t argument_size) noexcept {
  std::size_t length = submit;
  if (fails(Call::uring_enter, ring, length)) return -1;
  return static_cast<int>(::syscall(SYS_io_uring_enter, ring, static_cast<unsigned>(length), wait,
                                    flags, argument, argument_size));
}

int uring_register(int ring, unsigned opcode, const void* argument, unsigned count) noexcept {
  std::size_t length = opcode;
  if (fails(Call::uring_register, ring, length)) return -1;
  return static_cast<int>(::syscall(SYS_io_uring_register, ring, opcode, argument, count));
}

}  // namespace ringo::detail::sys
