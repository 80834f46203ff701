// The load generator's engine: connects, keeps the messages going, checks what comes back, counts.
//
// It is meant to be cheaper than any server it drives, so that the server's core is the limit:
// edge-triggered, each socket is registered once for both directions; one recv and one send per
// wake-up, however many messages are in them; requests are sent straight out of the pattern they
// are checked against. What it cannot avoid is half of the TCP stack.
#pragma once

#include "histogram.hpp"
#include "pattern.hpp"
#include "process_clock.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace bench {

struct LoadSettings {
  long connections = 64;
  long size = 64;          // bytes in a message
  long pipeline = 1;       // messages outstanding on each connection
  double seconds = 1.0;    // measured
  double warmup = 0.3;     // before that
  double patience = 10.0;  // without any answer, then give up
  double spin = 0.0;       // to look for answers before sleeping
  long server_pid = 0;     // whose CPU time to read; 0: nobody's
};

struct LoadResult {
  double seconds = 0;
  std::uint64_t requests = 0;
  Histogram latency;  // in ns
  // In ns: time on a CPU, and time spent waiting for one that something else had.
  std::uint64_t server_used = 0;
  std::uint64_t server_waited = 0;
  std::uint64_t client_used = 0;
  std::uint64_t client_waited = 0;
};

// Ends the program: something is wrong with the server, the network or the machine.
[[noreturn]] __attribute__((format(printf, 1, 2))) inline void give_up(const char* format, ...) {
  std::fputs("echo_load: ", stderr);
  std::va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
  std::exit(1);
}

class Load {
 public:
  Load(const LoadSettings& settings, const addrinfo& address, std::string where)
      : settings_(settings),
        address_(address),
        where_(std::move(where)),
        size_(static_cast<std::size_t>(settings.size)),
        pipeline_(static_cast<std::uint32_t>(settings.pipeline)),
        pattern_(longest_transfer),
        connections_(static_cast<std::size_t>(settings.connections)),
        times_(connections_.size() * pipeline_) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) give_up("epoll_create1: %s", std::strerror(errno));
  }

  LoadResult run() {
    connect_all();
    result_ = LoadResult{};
    const std::uint64_t begin = nanoseconds(CLOCK_MONOTONIC);
    const std::uint64_t measure = begin + in_ns(settings_.warmup);
    for (Connection& c : connections_) begin_messages(c, pipeline_, begin);
    turn_until(measure);

    ProcessClock server;
    const bool watch_server = settings_.server_pid != 0;
    if (watch_server && !server.open(static_cast<pid_t>(settings_.server_pid))) {
      give_up("cannot read the CPU time of process %ld: %s", settings_.server_pid,
              std::strerror(ESRCH));
    }
    result_ = LoadResult{};
    if (watch_server) result_.server_waited = server.waited();
    ProcessClock client;
    client.open(getpid());
    result_.client_waited = client.waited();
    const std::uint64_t client_before = client.used();
    const std::uint64_t server_before = watch_server ? server.used() : 0;
    const std::uint64_t from = nanoseconds(CLOCK_MONOTONIC);
    turn_until(from + in_ns(settings_.seconds));
    const std::uint64_t to = nanoseconds(CLOCK_MONOTONIC);
    if (watch_server) {
      result_.server_used = server.used() - server_before;
      result_.server_waited = server.waited() - result_.server_waited;
    }
    result_.client_used = client.used() - client_before;
    result_.client_waited = client.waited() - result_.client_waited;
    result_.seconds = static_cast<double>(to - from) / 1e9;

    LoadResult measured = std::move(result_);
    result_ = LoadResult{};
    drain();
    close_all();
    return measured;
  }

 private:
  struct Connection {
    int fd = -1;
    std::uint32_t oldest = 0;    // index of the oldest outstanding message's time of sending
    std::size_t send_place = 0;  // in the pattern
    std::size_t receive_place = 0;
    std::size_t unsent = 0;      // bytes of begun messages that the kernel has not taken yet
    std::uint64_t sent = 0;      // bytes of all messages begun
    std::uint64_t received = 0;  // bytes come back
    std::size_t of_message = 0;  // bytes come back of the oldest outstanding message
  };

  static constexpr std::size_t longest_transfer = std::size_t{256} << 10;
  // Connections that may be on their way at a time. A connection is only there when its first
  // message has come back, that is when the server has accepted it, so no backlog of more than
  // this many can overflow (which costs a second each time).
  static constexpr std::size_t connecting_at_once = 100;

  static std::uint64_t in_ns(double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); }

  int index_of(const Connection& c) const { return static_cast<int>(&c - connections_.data()); }

  void connect_all() {
    std::size_t next = 0;
    while (there_ < connections_.size()) {
      while (next < connections_.size() && next - there_ < connecting_at_once) connect_one(next++);
      turn();
    }
    starting_ = false;
  }

  void connect_one(std::size_t index) {
    Connection& c = connections_[index];
    c.send_place = c.receive_place = Pattern::start_of(index);
    c.fd = socket(address_.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c.fd < 0) give_up("socket: %s", std::strerror(errno));
    const int on = 1;
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c.fd, address_.ai_addr, address_.ai_addrlen) != 0 && errno != EINPROGRESS) {
      no_connection(errno);
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &c;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event) != 0) {
      give_up("epoll_ctl: %s", std::strerror(errno));
    }
  }

  [[noreturn]] void no_connection(int error) const {
    give_up("cannot connect to %s: %s", where_.c_str(), std::strerror(error));
  }

  void turn_until(std::uint64_t end) {
    while (turn() < end) {}
  }

  // Handles what is ready, waiting for it if nothing is. Returns the time after that.
  std::uint64_t turn() {
    int ready = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 0);
    std::uint64_t now = nanoseconds(CLOCK_MONOTONIC);
    if (ready == 0) {
      const std::uint64_t spin_end = now + in_ns(settings_.spin);
      while (ready == 0 && now < spin_end) {
        ready = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 0);
        now = nanoseconds(CLOCK_MONOTONIC);
      }
      if (ready == 0) {
        ready = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 100);
        now = nanoseconds(CLOCK_MONOTONIC);
      }
    }
    if (ready < 0 && errno != EINTR) give_up("epoll_wait: %s", std::strerror(errno));
    if (ready > 0) {
      last_event_ = now;
    } else if (last_event_ == 0) {
      last_event_ = now;
    } else if (now - last_event_ > in_ns(settings_.patience)) {
      out_of_patience();
    }
    for (int i = 0; i < ready; ++i) {
      Connection& c = *static_cast<Connection*>(events_[static_cast<std::size_t>(i)].data.ptr);
      handle(c, events_[static_cast<std::size_t>(i)].events);
    }
    return now;
  }

  [[noreturn]] void out_of_patience() const {
    if (starting_) {
      give_up("%zu of %zu connections to %s were accepted and answered, then nothing for %g s",
              there_, connections_.size(), where_.c_str(), settings_.patience);
    }
    if (closing_) {
      give_up("the server has left %zu connections open for %g s after their end", there_,
              settings_.patience);
    }
    for (const Connection& c : connections_) {
      if (c.received != c.sent) {
        give_up("nothing has come for %g s; connection %d, for one, waits for byte %llu of %llu",
                settings_.patience, index_of(c), static_cast<unsigned long long>(c.received),
                static_cast<unsigned long long>(c.sent));
      }
    }
    give_up("nothing has come for %g s", settings_.patience);
  }

  void handle(Connection& c, std::uint32_t events) {
    if (starting_ && c.sent == 0) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) no_connection(error);
      if ((events & EPOLLOUT) == 0) return;
      begin_messages(c, 1, nanoseconds(CLOCK_MONOTONIC));
      return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) receive(c, events);
    if (c.unsent != 0) send_unsent(c);
  }

  void receive(Connection& c, std::uint32_t events) {
    for (;;) {
      const ssize_t got = recv(c.fd, buffer_.data(), buffer_.size(), 0);
      if (got < 0) {
        if (errno == EAGAIN || errno == EINTR) return;
        broken(c, std::strerror(errno));
      }
      if (got == 0) {
        if (!closing_) broken(c, "the server closed it");
        close(c.fd);
        c.fd = -1;
        --there_;
        return;
      }
      take(c, static_cast<std::size_t>(got));
      // A short read has emptied the socket; what comes now is a new edge. Not so the end of the
      // stream, which may have come with the bytes.
      if (static_cast<std::size_t>(got) < buffer_.size() && (events & EPOLLRDHUP) == 0) return;
    }
  }

  // `count` bytes have come into buffer_.
  void take(Connection& c, std::size_t count) {
    const std::uint64_t expected = c.sent - c.unsent - c.received;
    if (count > expected) {
      give_up("connection %d: %zu bytes too many after byte %llu, which was the last one sent",
              index_of(c), static_cast<std::size_t>(count - expected),
              static_cast<unsigned long long>(c.received + expected));
    }
    const std::size_t right = pattern_.right(c.receive_place, buffer_.data(), count);
    if (right != count) wrong(c, right);
    c.receive_place = Pattern::advance(c.receive_place, count);
    c.received += count;
    c.of_message += count;
    if (c.of_message < size_) return;

    const std::uint64_t now = nanoseconds(CLOCK_MONOTONIC);
    std::uint32_t whole = 0;
    while (c.of_message >= size_) {
      c.of_message -= size_;
      result_.latency.record(now - times_[first_time(c) + c.oldest]);
      if (++c.oldest == pipeline_) c.oldest = 0;
      ++whole;
    }
    result_.requests += whole;
    if (starting_) {
      ++there_;
    } else if (!draining_) {
      begin_messages(c, whole, now);
    }
  }

  std::size_t first_time(const Connection& c) const {
    return static_cast<std::size_t>(index_of(c)) * pipeline_;
  }

  // Sends `count` new messages; with them, at most `pipeline_` are outstanding.
  void begin_messages(Connection& c, std::uint32_t count, std::uint64_t now) {
    const std::uint64_t begun = c.sent / size_;
    const std::uint64_t done = c.received / size_;
    std::uint32_t slot = c.oldest + static_cast<std::uint32_t>(begun - done);
    for (std::uint32_t i = 0; i < count; ++i, ++slot) {
      times_[first_time(c) + (slot < pipeline_ ? slot : slot - pipeline_)] = now;
    }
    c.sent += count * size_;
    c.unsent += count * size_;
    send_unsent(c);
  }

  // As much as the kernel takes; if that is not all, EPOLLOUT brings us back.
  void send_unsent(Connection& c) {
    while (c.unsent != 0) {
      const std::size_t part = std::min(c.unsent, longest_transfer);
      const ssize_t sent = send(c.fd, pattern_.from(c.send_place), part, MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EAGAIN || errno == EINTR) return;
        broken(c, std::strerror(errno));
      }
      c.unsent -= static_cast<std::size_t>(sent);
      c.send_place = Pattern::advance(c.send_place, static_cast<std::size_t>(sent));
    }
  }

  [[noreturn]] void broken(const Connection& c, const char* why) const {
    give_up("connection %d broke after %llu of %llu bytes: %s", index_of(c),
            static_cast<unsigned long long>(c.received), static_cast<unsigned long long>(c.sent),
            why);
  }

  [[noreturn]] void wrong(const Connection& c, std::size_t right) const {
    const std::uint64_t offset = c.received + right;
    give_up(
        "connection %d: byte %llu of its stream (message %llu, byte %llu) came back as 0x%02x, "
        "not 0x%02x",
        index_of(c), static_cast<unsigned long long>(offset),
        static_cast<unsigned long long>(offset / size_),
        static_cast<unsigned long long>(offset % size_), buffer_[right],
        pattern_.from(c.receive_place)[right]);
  }

  // Every byte sent must come back.
  void drain() {
    draining_ = true;
    for (Connection& c : connections_) {
      while (c.received != c.sent) turn();
    }
  }

  // And the server must close what its client has closed.
  void close_all() {
    closing_ = true;
    for (Connection& c : connections_) shutdown(c.fd, SHUT_WR);
    while (there_ > 0) turn();
  }

  const LoadSettings& settings_;
  const addrinfo& address_;
  const std::string where_;
  const std::size_t size_;
  const std::uint32_t pipeline_;
  const Pattern pattern_;
  std::vector<Connection> connections_;
  std::vector<std::uint64_t> times_;  // of sending: pipeline_ of them for each connection, a ring
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(longest_transfer);
  std::array<epoll_event, 256> events_{};
  int epoll_ = -1;
  std::size_t there_ = 0;  // connections established; while closing, those still open
  std::uint64_t last_event_ = 0;
  bool starting_ = true;
  bool draining_ = false;
  bool closing_ = false;
  LoadResult result_;
};

}  // namespace bench
