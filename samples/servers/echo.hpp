// An echo: one goroutine a connection, written as if reads and writes blocked. What recv() gives
// lies where the kernel has put it and goes back after the write, so nothing is copied, and a
// connection that waits holds no buffer.
#pragma once

#include <cstddef>
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
  for (;;) {
    Result<net::Buffer> received = co_await conn.recv();
    if (!received || !co_await conn.write(received->data(), received->size())) break;
  }
}

}  // namespace samples
