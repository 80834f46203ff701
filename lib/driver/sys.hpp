// Every call that the drivers, and the sockets above them, make into the kernel: the functions of
// POSIX under their own names, with their own signatures (-1 and errno on failure), and in front of
// each a place where a test can make it fail or fall short.
//
// Without a test's hook a call costs one load and one branch that is never taken.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ringo::detail::sys {

/// Names a kernel call to a hook.
// clang-format off
enum class Call : std::uint8_t {
  socket, socketpair, bind, listen, accept4, connect, shutdown, close,
  getsockopt, setsockopt, getsockname, getpeername,
  recv, recvfrom, recvmsg, send, sendto, sendmsg, read, write, readv, writev,
  eventfd, epoll_create, epoll_ctl, epoll_wait, epoll_pwait2,
  uring_setup,     ///< the descriptor is -1, the length the entries asked for
  uring_register,  ///< the length is the opcode, IORING_REGISTER_...
  uring_enter,     ///< the length is the number of entries to submit
  uring_entry,     ///< asking for a free submission entry; failing it means that the queue is full
};
// clang-format on

/// What a test installs to make kernel calls fail. Called on whichever thread makes the call.
class Faults {
 public:
  virtual ~Faults() = default;

  /// Before a call: the errno it shall fail with, or 0 to let it through. `length` is the number of
  /// bytes the call asks for (0 where there are none) and may be made smaller, but not 0, for a
  /// short read or write.
  virtual int before(Call call, int fd, std::size_t& length) = 0;

  /// A completion of a ring is about to be handled: its result may be replaced. Replacing one that
  /// carries bytes or that has more to follow breaks the account of what the kernel holds.
  virtual void completion(std::uint64_t user_data, std::int32_t& result, std::uint32_t flags) {
    static_cast<void>(user_data), static_cast<void>(result), static_cast<void>(flags);
  }
};

/// Installs a hook for the whole process, null to remove it; returns the one before. The hook must
/// outlive every call that may be running while it is removed.
Faults* set_faults(Faults* faults) noexcept;

namespace faulty {

extern std::atomic<Faults*> installed;

/// Asks the hook; true with errno set if the call shall fail.
[[gnu::cold]] bool ask(Faults& faults, Call call, int fd, std::size_t& length) noexcept;

/// recvmsg or sendmsg of at most `length` bytes.
[[gnu::cold]] ssize_t message_in(int fd, msghdr* message, int flags) noexcept;
[[gnu::cold]] ssize_t message_out(int fd, const msghdr* message, int flags) noexcept;
[[gnu::cold]] ssize_t vector_in(int fd, const iovec* parts, int count) noexcept;
[[gnu::cold]] ssize_t vector_out(int fd, const iovec* parts, int count) noexcept;

}  // namespace faulty

/// The hook in force, or null.
inline Faults* faults() noexcept { return faulty::installed.load(std::memory_order_acquire); }

/// True, with errno set, if the hook makes this call fail.
inline bool fails(Call call, int fd, std::size_t& length) noexcept {
  Faults* hook = faults();
  if (hook == nullptr) [[likely]]
    return false;
  return faulty::ask(*hook, call, fd, length);
}

inline bool fails(Call call, int fd = -1) noexcept {
  std::size_t none = 0;
  return fails(call, fd, none);
}

inline int socket(int domain, int type, int protocol) noexcept {
  return fails(Call::socket) ? -1 : ::socket(domain, type, protocol);
}
inline int socketpair(int domain, int type, int protocol, int fds[2]) noexcept {
  return fails(Call::socketpair) ? -1 : ::socketpair(domain, type, protocol, fds);
}
inline int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
  return fails(Call::bind, fd) ? -1 : ::bind(fd, address, size);
}
inline int listen(int fd, int backlog) noexcept {
  return fails(Call::listen, fd) ? -1 : ::listen(fd, backlog);
}
inline int accept4(int fd, sockaddr* address, socklen_t* size, int flags) noexcept {
  return fails(Call::accept4, fd) ? -1 : ::accept4(fd, address, size, flags);
}
inline int connect(int fd, const sockaddr* address, socklen_t size) noexcept {
  return fails(Call::connect, fd) ? -1 : ::connect(fd, address, size);
}
inline int shutdown(int fd, int how) noexcept {
  return fails(Call::shutdown, fd) ? -1 : ::shutdown(fd, how);
}
/// A hook sees the close but cannot prevent it: Linux releases the descriptor whatever it returns.
inline int close(int fd) noexcept {
  const bool failed = fails(Call::close, fd);
  const int result = ::close(fd);
  return failed ? -1 : result;
}
inline int getsockopt(int fd, int level, int name, void* value, socklen_t* size) noexcept {
  return fails(Call::getsockopt, fd) ? -1 : ::getsockopt(fd, level, name, value, size);
}
inline int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  return fails(Call::setsockopt, fd) ? -1 : ::setsockopt(fd, level, name, value, size);
}
inline int getsockname(int fd, sockaddr* address, socklen_t* size) noexcept {
  return fails(Call::getsockname, fd) ? -1 : ::getsockname(fd, address, size);
}
inline int getpeername(int fd, sockaddr* address, socklen_t* size) noexcept {
  return fails(Call::getpeername, fd) ? -1 : ::getpeername(fd, address, size);
}
inline ssize_t recv(int fd, void* data, std::size_t size, int flags) noexcept {
  return fails(Call::recv, fd, size) ? -1 : ::recv(fd, data, size, flags);
}
inline ssize_t recvfrom(int fd, void* data, std::size_t size, int flags, sockaddr* address,
                        socklen_t* address_size) noexcept {
  return fails(Call::recvfrom, fd, size) ? -1
                                         : ::recvfrom(fd, data, size, flags, address, address_size);
}
inline ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
  if (faults() == nullptr) [[likely]]
    return ::recvmsg(fd, message, flags);
  return faulty::message_in(fd, message, flags);
}
inline ssize_t send(int fd, const void* data, std::size_t size, int flags) noexcept {
  return fails(Call::send, fd, size) ? -1 : ::send(fd, data, size, flags);
}
inline ssize_t sendto(int fd, const void* data, std::size_t size, int flags,
                      const sockaddr* address, socklen_t address_size) noexcept {
  return fails(Call::sendto, fd, size) ? -1
                                       : ::sendto(fd, data, size, flags, address, address_size);
}
inline ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
  if (faults() == nullptr) [[likely]]
    return ::sendmsg(fd, message, flags);
  return faulty::message_out(fd, message, flags);
}
inline ssize_t read(int fd, void* data, std::size_t size) noexcept {
  return fails(Call::read, fd, size) ? -1 : ::read(fd, data, size);
}
inline ssize_t write(int fd, const void* data, std::size_t size) noexcept {
  return fails(Call::write, fd, size) ? -1 : ::write(fd, data, size);
}
inline ssize_t readv(int fd, const iovec* parts, int count) noexcept {
  if (faults() == nullptr) [[likely]]
    return ::readv(fd, parts, count);
  return faulty::vector_in(fd, parts, count);
}
inline ssize_t writev(int fd, const iovec* parts, int count) noexcept {
  if (faults() == nullptr) [[likely]]
    return ::writev(fd, parts, count);
  return faulty::vector_out(fd, parts, count);
}

inline int eventfd(unsigned value, int flags) noexcept {
  return fails(Call::eventfd) ? -1 : ::eventfd(value, flags);
}
inline int epoll_create1(int flags) noexcept {
  return fails(Call::epoll_create) ? -1 : ::epoll_create1(flags);
}
inline int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  return fails(Call::epoll_ctl, fd) ? -1 : ::epoll_ctl(epoll, operation, fd, event);
}

/// epoll_wait(2) with a timeout in nanoseconds (negative: no limit). Kernels before 5.11 know
/// milliseconds only; there it is rounded up, so that nobody wakes early.
int epoll_wait_ns(int epoll, epoll_event* events, int count, std::int64_t timeout_ns) noexcept;

/// io_uring_enter(2) and io_uring_register(2), which glibc does not wrap.
int uring_enter(int ring, unsigned submit, unsigned wait, unsigned flags, const void* argument,
                std::size_t argument_size) noexcept;
int uring_register(int ring, unsigned opcode, const void* argument, unsigned count) noexcept;

}  // namespace ringo::detail::sys
