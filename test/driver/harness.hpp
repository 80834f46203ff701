// What the driver tests share: a source that counts, pairs of sockets, and a way to run a case on
// every driver there is.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "driver/driver.hpp"
#include "driver/sys.hpp"
#include "driver/uring_options.hpp"

namespace driver_test {

using namespace ringo::detail;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

inline constexpr std::int64_t ms = 1'000'000;

/// A descriptor that closes itself.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) { REQUIRE(fd >= 0); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { close(); }

  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

/// Both ends of a connection. Under io_uring the descriptors stay in blocking mode; nothing here
/// blocks, because every call says MSG_DONTWAIT.
struct Pair {
  Fd a, b;
};

Pair unix_pair();
Pair tcp_pair();

/// Writes all of it, or as much as fits (returned).
std::size_t feed(const Fd& fd, std::string_view text);

/// What lies in the socket now.
std::string drain_socket(const Fd& fd);

/// `size` bytes that differ from place to place.
std::string pattern(std::size_t size, unsigned seed = 1);

class Source final : public IoSource {
 public:
  Source() = default;
  explicit Source(const Fd& descriptor) { fd = descriptor.get(); }
  Source(const Source&) = delete;
  ~Source();

  // What happened.
  int refs = 0;
  int calls[2] = {0, 0};
  int error[2] = {-1, -1};
  std::string received;
  int arrivals = 0;    // on_received() with bytes
  int ends = 0;        // on_received() with more == false
  int end_error = -1;  // of the last one
  std::vector<ReceivedBuffer> held;
  int sends = 0;                 // on_sent()
  std::int64_t sent = 0;         // bytes, over all of them
  std::int64_t send_result = 0;  // of the last one

  // What to do about it.
  bool hold = false;  // keep the buffers
  std::function<void(Direction, int)> when_ready;
  std::function<void()> when_received;
  std::function<void()> when_sent;

  void give_back_all();

  void on_ready(Direction direction, int code) override;
  void on_received(ReceivedBuffer buffer, int code, bool more) override;
  void on_sent(std::int64_t result) override;
  void retain() noexcept override { ++refs; }
  void release() noexcept override;
};

/// The bytes of a text, as send() takes them.
inline const std::byte* bytes(std::string_view text) {
  return reinterpret_cast<const std::byte*>(text.data());
}

/// Polls until the condition holds, at most 10 s.
void run_until(Driver& driver, const std::function<bool()>& done);

/// Polls without waiting until nothing comes any more.
void run_idle(Driver& driver);

/// Runs the body on each driver. Where io_uring is refused it says so, once, with the cause.
void on_each_driver(const std::function<void(Driver&)>& body);

/// Makes an io_uring driver of these sizes; null where io_uring is refused.
std::unique_ptr<Driver> make_uring(const UringOptions& options = {});

/// Installs a hook for a scope.
class WithFaults {
 public:
  explicit WithFaults(sys::Faults& faults) : before_(sys::set_faults(&faults)) {}
  ~WithFaults() { sys::set_faults(before_); }

 private:
  sys::Faults* before_;
};

/// Makes the calls of one kind fail with an errno, `times` times after letting `skip` through.
class FailCall : public sys::Faults {
 public:
  FailCall(sys::Call call, int error, int times = 1, int skip = 0)
      : call_(call), error_(error), times_(times), skip_(skip) {}
  int before(sys::Call call, int fd, std::size_t& length) override;
  int failed() const { return failed_; }

 private:
  sys::Call call_;
  int error_;
  int times_;
  int skip_;
  int failed_ = 0;
};

/// Changes the result of completions of one operation from `from` (0: any that is no error) to
/// `to`, unless more are to follow.
class Completions : public sys::Faults {
 public:
  Completions(Operation operation, std::int32_t from, std::int32_t to, int times)
      : operation_(operation), from_(from), to_(to), times_(times) {}
  int before(sys::Call, int, std::size_t&) override { return 0; }
  void completion(std::uint64_t user_data, std::int32_t& result, std::uint32_t flags) override {
    const bool more = (flags & 2) != 0;
    if (changed == times_ || (user_data & 7) != static_cast<std::uint64_t>(operation_) || more) {
      return;
    }
    if (from_ == 0 ? result < 0 : result != from_) return;
    result = to_;
    ++changed;
  }
  int changed = 0;

 private:
  Operation operation_;
  std::int32_t from_;
  std::int32_t to_;
  int times_;
};

}  // namespace driver_test
