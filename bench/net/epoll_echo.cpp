// The echo server one would write by hand on epoll: the twin that ringo is measured against. One
// thread; nothing of ringo.
//
// Each socket is registered once, edge-triggered, for both directions. One recv into a buffer
// shared by all connections (a short read has emptied the socket, so there is no second one just
// to see EAGAIN), and the bytes go back with one send before anything else is looked at. Only
// what the peer does not take at once is kept, and a connection that has such bytes is not read
// from until they are gone.
#include "options.hpp"
#include "server_socket.hpp"

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace {

using bench::die;

struct Settings {
  long port = 0;
  long buffer = 64 << 10;
  std::string trigger = "edge";
  std::string reads = "once";
};

struct Connection {
  int fd = -1;
  bool readable = false;  // edge-triggered: the socket may hold more that nobody will announce
  bool ending = false;    // the end of the stream has been announced
  std::size_t sent = 0;   // of pending
  std::vector<std::byte> pending;
};

class Server {
 public:
  explicit Server(const Settings& settings)
      : edge_(settings.trigger == "edge"),
        drain_(settings.reads == "drain"),
        buffer_(static_cast<std::size_t>(settings.buffer)),
        connections_(bench::raise_open_files()) {
    stop_ = bench::stop_signal();
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) die("epoll_create1");
    listener_ = bench::listen_on_loopback(settings.port, SOCK_NONBLOCK);
    control(EPOLL_CTL_ADD, stop_, EPOLLIN);
    control(EPOLL_CTL_ADD, listener_, EPOLLIN);
  }

  void run() {
    std::array<epoll_event, 512> events;
    for (;;) {
      const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      if (ready < 0) {
        if (errno == EINTR) continue;
        die("epoll_wait");
      }
      for (int i = 0; i < ready; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.fd == stop_) return;
        if (event.data.fd == listener_) {
          accept_all();
        } else {
          serve(*connections_[static_cast<std::size_t>(event.data.fd)], event.events);
        }
      }
    }
  }

 private:
  void control(int operation, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, operation, fd, &event) != 0) die("epoll_ctl");
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EAGAIN) return;
        if (errno == EMFILE || errno == ENFILE) {
          // Whoever is in the backlog stays there until a connection closes.
          control(EPOLL_CTL_MOD, listener_, 0);
          full_ = true;
          return;
        }
        if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
        die("accept4");
      }
      auto& slot = connections_[static_cast<std::size_t>(fd)];
      slot = std::make_unique<Connection>();
      slot->fd = fd;
      control(EPOLL_CTL_ADD, fd,
              edge_ ? EPOLLIN | EPOLLOUT | EPOLLRDHUP | static_cast<std::uint32_t>(EPOLLET)
                    : static_cast<std::uint32_t>(EPOLLIN));
    }
  }

  void serve(Connection& c, std::uint32_t events) {
    if ((events & EPOLLIN) != 0) c.readable = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) c.readable = c.ending = true;
    if (!c.pending.empty() && !send_pending(c)) return;
    if (c.readable) echo(c);
  }

  // Sends back what has come, until the socket is empty or does not take more. May close it.
  void echo(Connection& c) {
    while (c.readable) {
      const ssize_t got = recv(c.fd, buffer_.data(), buffer_.size(), 0);
      if (got <= 0) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) {
          c.readable = false;
          return;
        }
        close_connection(c);  // the end, or a broken connection, which has nobody to be told
        return;
      }
      const auto size = static_cast<std::size_t>(got);
      // Level-triggered, the next epoll_wait tells if there is more. Edge-triggered, a short read
      // means that there was not.
      if (!drain_) c.readable = edge_ && (size == buffer_.size() || c.ending);
      const ssize_t sent = send(c.fd, buffer_.data(), size, MSG_NOSIGNAL);
      if (sent == got) continue;
      if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        close_connection(c);
        return;
      }
      const auto taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
      c.pending.assign(buffer_.begin() + static_cast<std::ptrdiff_t>(taken),
                       buffer_.begin() + static_cast<std::ptrdiff_t>(size));
      c.sent = 0;
      if (!edge_) control(EPOLL_CTL_MOD, c.fd, EPOLLOUT);
      if (!send_pending(c)) return;
    }
  }

  // True when nothing is pending any more. May close the connection.
  bool send_pending(Connection& c) {
    while (c.sent < c.pending.size()) {
      const ssize_t sent =
          send(c.fd, c.pending.data() + c.sent, c.pending.size() - c.sent, MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) close_connection(c);
        return false;
      }
      c.sent += static_cast<std::size_t>(sent);
    }
    c.pending = {};
    if (!edge_) control(EPOLL_CTL_MOD, c.fd, EPOLLIN);
    return true;
  }

  void close_connection(Connection& c) {
    const int fd = c.fd;
    close(fd);
    connections_[static_cast<std::size_t>(fd)].reset();
    if (full_) {
      full_ = false;
      control(EPOLL_CTL_MOD, listener_, EPOLLIN);
    }
  }

  const bool edge_;
  const bool drain_;
  std::vector<std::byte> buffer_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by descriptor
  int stop_ = -1;
  int epoll_ = -1;
  int listener_ = -1;
  bool full_ = false;  // no descriptor left: not listening for the moment
};

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  bench::Options options("A TCP echo server on epoll, one thread, without ringo.");
  options.number("--port", s.port, 0, 65535, "listen there; 0: a free one, which is printed");
  options.number("--buffer", s.buffer, 64, 16 << 20, "bytes to receive at a time");
  options.choice("--trigger", s.trigger, {"edge", "level"}, "how epoll announces");
  options.choice("--reads", s.reads, {"once", "drain"}, "per announcement: one, or up to EAGAIN");
  options.parse(argc, argv);
  Server(s).run();
  return 0;
}
