// An echo: one goroutine a connection, written as if reads and writes blocked. The buffer is large
// because a read into a large one lets big messages come straight from the kernel; it is not
// filled with zeros, so of a connection with small messages only the first page is in memory. An
// idle connection could do without it by waiting with recv() instead.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <ringo/ringo.hpp>
#include <set>

namespace samples {

using namespace ringo;

/// The open connections, so that they can be closed from outside.
class Connections {
 public:
  void add(net::TcpStream& conn) {
    std::lock_guard guard(mutex_);
    open_.insert(&conn);
    ++served_;
  }
  void remove(net::TcpStream& conn) {
    std::lock_guard guard(mutex_);
    open_.erase(&conn);
  }
  /// Whoever reads or writes there gets an error, and ends.
  void close_all() {
    std::lock_guard guard(mutex_);
    for (net::TcpStream* conn : open_) (void)conn->close();
  }
  std::size_t served() const { return served_; }
  std::size_t open() const { return open_.size(); }

 private:
  std::mutex mutex_;
  std::set<net::TcpStream*> open_;
  std::size_t served_ = 0;
};

inline Task<> echo(net::TcpStream conn, Connections& connections) {
  connections.add(conn);
  Defer remove{[&] { connections.remove(conn); }};
  constexpr std::size_t size = 64 * 1024;
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  for (;;) {
    const Result<std::size_t> n = co_await conn.read(buffer.get(), size);
    if (!n || !co_await conn.write(buffer.get(), *n)) break;
  }
}

}  // namespace samples
