// What the tests of sockets share.
#pragma once

#include <dirent.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/net.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>
#include <ringo/wait_group.hpp>

#include "driver/sys.hpp"
#include "matrix.hpp"

namespace ringo::test {

using namespace std::chrono_literals;

/// Two ends of one connection.
class Pair {
 public:
  Pair(net::TcpStream first, net::TcpStream second) : a(std::move(first)), b(std::move(second)) {}
  net::TcpStream a;  // the one that connected
  net::TcpStream b;  // the one that was accepted
};

inline net::TcpListener listen_anywhere() {
  Result<net::TcpListener> listener = net::TcpListener::listen("127.0.0.1:0");
  REQUIRE_MESSAGE(listener, listener.error().message());
  return std::move(*listener);
}

inline Task<Pair> connected() {
  net::TcpListener listener = listen_anywhere();
  Result<net::TcpStream> a = co_await net::TcpStream::connect(listener.local_address());
  REQUIRE_MESSAGE(a, a.error().message());
  Result<net::TcpStream> b = co_await listener.accept();
  REQUIRE_MESSAGE(b, b.error().message());
  co_return Pair(std::move(*a), std::move(*b));
}

/// Descriptors this process has open.
inline std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* const directory = ::opendir("/proc/self/fd");
  REQUIRE(directory != nullptr);
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

/// A stream of bytes that both sides know; its period is a prime.
inline std::uint8_t pattern(std::uint64_t at) {
  return static_cast<std::uint8_t>((at % 8191) * 167 >> 4);
}

inline std::vector<std::uint8_t> pattern(std::uint64_t from, std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = pattern(from + i);
  return bytes;
}

/// Index of the first byte that does not continue the pattern at `from`; `size` if all do.
inline std::size_t first_wrong(const std::uint8_t* data, std::size_t size, std::uint64_t from) {
  for (std::size_t i = 0; i < size; ++i) {
    if (data[i] != pattern(from + i)) return i;
  }
  return size;
}

/// Makes socket buffers small, so that writers soon have to wait.
inline void shrink_buffers(net::TcpStream& stream) {
  const int size = 4096;
  REQUIRE_EQ(::setsockopt(stream.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
  REQUIRE_EQ(::setsockopt(stream.native_handle(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
}

/// xorshift; the seed is the test's.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u | 1) {}
  std::uint32_t below(std::uint32_t bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<std::uint32_t>(state_ >> 32) % bound;
  }

 private:
  std::uint64_t state_;
};

/// Installs a hook for kernel calls while it lives.
class WithFaults {
 public:
  explicit WithFaults(ringo::detail::sys::Faults& faults) {
    ringo::detail::sys::set_faults(&faults);
  }
  WithFaults(const WithFaults&) = delete;
  WithFaults& operator=(const WithFaults&) = delete;
  ~WithFaults() { ringo::detail::sys::set_faults(nullptr); }
};

}  // namespace ringo::test
