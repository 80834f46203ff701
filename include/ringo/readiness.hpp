// Waiting for file descriptors that belong to somebody else: the door for C libraries that speak
// through a descriptor of their own (libpq, hiredis, curl, inotify, pipes).
#pragma once

#include <cstdint>
#include <utility>

#include <ringo/detail/wait.hpp>
#include <ringo/result.hpp>

namespace ringo {

namespace detail {

class ReadinessSource;

class ReadinessCase final : public CaseBase {
 public:
  template <class Op>
  explicit ReadinessCase(const Op& op) noexcept : fd_(op.fd_), write_(op.write_) {
    node.slot = &error_;
  }
  ~ReadinessCase();

  bool try_take() override { return looks_ready(); }
  Enlist enlist() override;
  void withdraw() noexcept override;
  bool looks_ready() override;
  WaitReason reason() const noexcept { return WaitReason::io_wait; }
  bool ends_from_outside() const noexcept override { return true; }
  Result<void> result() const noexcept;
  Result<void> canceled_result() const noexcept;

 private:
  Result<void> failed(int error) const noexcept;

  const int fd_;
  const bool write_;
  int error_ = 0;
  ReadinessSource* source_ = nullptr;
};

}  // namespace detail

/// A wait for a descriptor, not yet begun; see readable() and writable().
class [[nodiscard("co_await it, or make it a case of select_any")]] Readiness {
 public:
  using Case = detail::ReadinessCase;
  Readiness(int fd, bool write) noexcept : fd_(fd), write_(write) {}

 private:
  friend Case;
  int fd_;
  bool write_;
};

/// Waits until read(2) on fd would not block: there is something to read, or the end of the stream,
/// or an error that read(2) will tell. Yields Result<void>, whose error is one of the wait itself:
/// EBADF for what is no open descriptor ("readable fd 42: Bad file descriptor"), and
/// std::errc::operation_canceled if the wait was cancelled. What poll(2) calls always ready, as
/// plain files, is ready at once. Also a case of select, and of with_timeout. Nothing is read, so a
/// case that loses takes nothing; somebody else may read first, so fd should be in non-blocking
/// mode.
///
/// The descriptor stays the caller's: ringo neither closes it nor changes its mode, and any number
/// of goroutines may wait for it, in both directions. Goroutines only, on any worker.
///
/// Do not close fd while somebody waits for it. If that happens nothing breaks, but the wait need
/// not hear of it: it goes on until something happens to what was behind fd (io_uring), or for ever
/// (epoll), unless it is cancelled or has a timeout; and it never takes a new descriptor of the
/// same number for the old one.
inline Readiness readable(int fd) noexcept { return Readiness(fd, false); }

/// As readable(), for write(2).
inline Readiness writable(int fd) noexcept { return Readiness(fd, true); }

}  // namespace ringo
