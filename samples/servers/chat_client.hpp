// A client of the chat: asks for a name, and carries lines to the room and back, until the client
// or the server wants no more, or its goroutine is cancelled.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <functional>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "chat_room.hpp"

namespace samples {

constexpr auto write_limit = std::chrono::seconds(2);  // for one write; slower ones are shown out
constexpr std::ptrdiff_t outbox_size = 1024;           // lines
constexpr std::size_t largest_write = 64 * 1024;
constexpr std::size_t longest_line = 1000;
constexpr std::size_t longest_name = 20;

/// The lines that come from a connection.
class Lines {
 public:
  Lines(net::TcpStream& conn, Channel<int> closing) : conn_(conn), closing_(std::move(closing)) {}

  /// The next one without its end; nothing when the client has gone, has sent an endless line, or
  /// the server ends.
  Task<std::optional<std::string>> next() {
    for (;;) {
      if (std::size_t end = pending_.find('\n'); end != std::string::npos) {
        std::string line = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        if (!line.empty() && line.back() == '\r') line.pop_back();
        co_return line;
      }
      if (pending_.size() > longest_line) co_return std::nullopt;
      char buffer[1024];
      auto happened = co_await select_any{conn_.read(buffer), closing_.recv()};
      if (happened.index() == 1) co_return std::nullopt;
      Result<std::size_t> n = happened.get<0>();
      if (!n) co_return std::nullopt;
      pending_.append(buffer, *n);
    }
  }

 private:
  net::TcpStream& conn_;
  Channel<int> closing_;
  std::string pending_;
};

inline bool good_name(std::string_view name) {
  return !name.empty() && name.size() <= longest_name &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c); });
}

/// Writes what is in the outbox until it is closed and empty, then closes the connection. As many
/// lines as are there go out together.
inline Task<> write_out(net::TcpStream& conn, Outbox outbox) {
  while (auto lines = co_await outbox.recv()) {
    while (lines->size() < largest_write) {
      auto more = outbox.try_recv();
      if (!more) break;
      *lines += *more;
    }
    if (!co_await with_timeout(write_limit, conn.write(*lines))) break;
  }
  (void)conn.close();
}

inline Task<> leave(Channel<RoomEvent> events, std::string name, Outbox outbox,
                    WaitGroup& clients) {
  Defer done{[&] { clients.done(); }};
  co_await events.send(RoomEvent(RoomEvent::Kind::leave, name, outbox));
}

/// A place in the room, for as long as this lives.
class Membership {
 public:
  Membership(Channel<RoomEvent> events, Outbox outbox, WaitGroup& clients)
      : events_(std::move(events)), outbox_(std::move(outbox)), clients_(clients) {}
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;
  /// The room is told by another goroutine: a destructor cannot wait, and this one may be
  /// cancelled.
  ~Membership() {
    if (name_.empty()) return;
    clients_.add(1);
    background().go(leave, events_, name_, outbox_, std::ref(clients_)).detach();
  }

  /// The room's answer, "" if the name is taken. Left before it came, the room is told, too.
  Task<std::string> join(std::string name) {
    name_ = name;
    co_await events_.send(RoomEvent(RoomEvent::Kind::join, name_, outbox_));
    std::string answer = (co_await outbox_.recv()).value_or("");
    if (answer.empty()) name_.clear();
    co_return answer;
  }
  Task<> say(std::string line) {
    co_await events_.send(RoomEvent(RoomEvent::Kind::say, name_, outbox_, std::move(line)));
  }

 private:
  Channel<RoomEvent> events_;
  Outbox outbox_;
  WaitGroup& clients_;
  std::string name_;
};

/// Asks for a name until the room has taken one. False if the client goes away before.
inline Task<bool> enter(net::TcpStream& conn, Lines& lines, Membership& membership) {
  for (;;) {
    if (!co_await with_timeout(write_limit, conn.write("name? "))) co_return false;
    auto name = co_await lines.next();
    if (!name) co_return false;
    std::string answer = fmt::format("* a name has 1 to {} letters and digits\n", longest_name);
    if (good_name(*name)) {
      std::string welcome = co_await membership.join(*name);
      if (!welcome.empty()) {
        (void)co_await with_timeout(write_limit, conn.write(welcome));
        co_return true;
      }
      answer = fmt::format("* {} is here already\n", *name);
    }
    if (!co_await with_timeout(write_limit, conn.write(answer))) co_return false;
  }
}

/// `clients` counts this one, too.
inline Task<> client(net::TcpStream conn, Channel<RoomEvent> events, Channel<int> closing,
                     WaitGroup& clients) {
  Lines lines(conn, closing);
  Outbox outbox(outbox_size);
  // The writer is done once the room has closed the outbox, or with this goroutine if that is
  // cancelled; never later than the connection.
  auto talk = [&](TaskGroup& group) -> Task<> {
    Membership membership(events, outbox, clients);
    if (!co_await enter(conn, lines, membership)) co_return;
    group.go(write_out, std::ref(conn), outbox);
    while (auto line = co_await lines.next()) {
      if (*line == "/quit") break;
      if (!line->empty()) co_await membership.say(*line);
    }
    // Goes to this client alone, behind whatever is in its outbox.
    bool ends = false;
    (void)closing.try_recv(&ends);
    try {
      if (ends) outbox.try_send("* the server ends, goodbye\n");
    } catch (const Panic&) {
      // The room has closed the outbox: it was too slow.
    }
  };
  co_await task_group(talk);
}

}  // namespace samples
