// A chat room: everybody who connects gives a name, and each line goes to all the others.
//
//   chat --port 7002        then, in other terminals: nc 127.0.0.1 7002
//
// The room is one goroutine that owns the list of members and hears of everything through a
// channel, so there is no lock. It never waits for a member: each has an outbox, a buffered
// channel, emptied by a goroutine that writes to the connection. Whoever lets the outbox fill up is
// shown out.
//
// SIGINT (Ctrl-C) or SIGTERM: takes no new members, says goodbye to the others, waits for them and
// ends.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <ringo/ringo.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flags.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

constexpr auto write_limit = 2s;              // for one write; whoever is slower is shown out
constexpr std::ptrdiff_t outbox_size = 1024;  // lines
constexpr std::size_t largest_write = 64 * 1024;
constexpr std::size_t longest_line = 1000;
constexpr std::size_t longest_name = 20;

using Outbox = Channel<std::string>;

/// What the room hears.
class Event {
 public:
  enum class Kind { join, say, leave };

  Event(Kind what, std::string who, Outbox where, std::string said = {})
      : kind(what), name(std::move(who)), outbox(std::move(where)), text(std::move(said)) {}

  Kind kind;
  std::string name;
  Outbox outbox;
  std::string text;
};

struct Summary {
  unsigned members = 0;
  unsigned lines = 0;
  unsigned too_slow = 0;
};

/// The room. Answers a join on `outbox`, whose first line is "" if the name is taken.
Task<> room(Channel<Event> events, Summary& summary) {
  std::map<std::string, Outbox> members;

  auto tell = [&](const std::string& line, const std::string& not_to) {
    std::vector<std::string> slow;
    for (auto& [name, outbox] : members) {
      if (name != not_to && !outbox.try_send(line)) slow.push_back(name);
    }
    return slow;
  };
  auto announce = [&](const std::string& line, const std::string& not_to) {
    // Showing somebody out is announced too, which may find the next one whose outbox is full.
    auto slow = tell(line, not_to);
    while (!slow.empty()) {
      std::string name = slow.back();
      slow.pop_back();
      auto member = members.find(name);
      if (member == members.end()) continue;
      member->second.close();
      members.erase(member);
      ++summary.too_slow;
      auto more = tell(fmt::format("* {} is too slow and was shown out\n", name), name);
      slow.insert(slow.end(), more.begin(), more.end());
    }
  };

  while (auto event = co_await events.recv()) {
    const std::string& name = event->name;
    auto member = members.find(name);
    // Somebody else may have the name by now, if the sender was shown out.
    bool present = member != members.end() && member->second == event->outbox;
    switch (event->kind) {
      case Event::Kind::join: {
        if (member != members.end()) {
          event->outbox.try_send("");
          break;
        }
        std::string others;
        for (auto& [other, outbox] : members) others += (others.empty() ? "" : ", ") + other;
        event->outbox.try_send(fmt::format("* welcome, {}; here: {}\n", name,
                                           others.empty() ? "nobody else" : others));
        members.emplace(name, event->outbox);
        ++summary.members;
        announce(fmt::format("* {} has joined\n", name), name);
        break;
      }
      case Event::Kind::say:
        if (!present) break;
        ++summary.lines;
        announce(fmt::format("<{}> {}\n", name, event->text), name);
        break;
      case Event::Kind::leave:
        if (!present) break;
        member->second.close();
        members.erase(member);
        announce(fmt::format("* {} has left\n", name), name);
        break;
    }
  }
}

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

bool good_name(std::string_view name) {
  return !name.empty() && name.size() <= longest_name &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c); });
}

/// Writes what is in the outbox until it is closed and empty, then closes the connection. As many
/// lines as are there go out together.
Task<> write_out(net::TcpStream& conn, Outbox outbox) {
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

/// Asks for a name until the room has taken one. Nothing if the client goes away before.
Task<std::optional<std::string>> enter(net::TcpStream& conn, Lines& lines, Channel<Event> events,
                                       Outbox outbox) {
  for (;;) {
    if (!co_await with_timeout(write_limit, conn.write("name? "))) co_return std::nullopt;
    auto name = co_await lines.next();
    if (!name) co_return std::nullopt;
    if (!good_name(*name)) {
      auto why = fmt::format("* a name has 1 to {} letters and digits\n", longest_name);
      if (!co_await with_timeout(write_limit, conn.write(why))) co_return std::nullopt;
      continue;
    }
    co_await events.send(Event(Event::Kind::join, *name, outbox));
    auto answer = co_await outbox.recv();
    if (answer && answer->empty()) {
      auto taken = fmt::format("* {} is here already\n", *name);
      if (!co_await with_timeout(write_limit, conn.write(taken))) co_return std::nullopt;
      continue;
    }
    if (answer) (void)co_await with_timeout(write_limit, conn.write(*answer));
    co_return name;
  }
}

Task<> client(net::TcpStream conn, Channel<Event> events, Channel<int> closing) {
  Lines lines(conn, closing);
  Outbox outbox(outbox_size);
  auto name = co_await enter(conn, lines, events, outbox);
  if (!name) co_return;

  auto writer = go(write_out, std::ref(conn), outbox);
  while (auto line = co_await lines.next()) {
    if (*line == "/quit") break;
    if (!line->empty()) co_await events.send(Event(Event::Kind::say, *name, outbox, *line));
  }
  // Goes to this client alone, behind whatever is in its outbox.
  bool ends = false;
  (void)closing.try_recv(&ends);
  try {
    if (ends) outbox.try_send("* the server ends, goodbye\n");
  } catch (const Panic&) {
    // The room has closed the outbox: it was too slow.
  }
  co_await events.send(Event(Event::Kind::leave, *name, outbox));
  co_await writer;
}

Task<int> app(const samples::Flags& flags) {
  auto listener = net::TcpListener::listen(flags.address());
  if (!listener) {
    fmt::print(stderr, "chat: {}\n", listener.error().message());
    co_return 1;
  }
  Channel<int> stop(1);
  signals::notify(stop, {SIGINT, SIGTERM});
  fmt::print("listening on {}\n", listener->local_address().to_string());
  std::fflush(stdout);

  Channel<int> closing;  // never sent to: closed when everybody shall go home
  Channel<Event> events;
  Summary summary;
  auto the_room = go(room, events, std::ref(summary));
  WaitGroup clients;
  for (bool open = true; open;) {
    co_await select_any{
        on(listener->accept(),
           [&](Result<net::TcpStream> conn) {
             if (conn) {
               clients.go(client, std::move(*conn), events, closing);
             } else {
               fmt::print(stderr, "chat: {}\n", conn.error().message());
             }
           }),
        on(stop.recv(), [&] { open = false; }),
    };
  }

  signals::stop(stop);  // a second Ctrl-C ends the program at once
  (void)listener->close();
  closing.close();
  co_await clients.wait();
  events.close();
  co_await the_room;
  fmt::print("{} members, {} lines, {} too slow\n", summary.members, summary.lines,
             summary.too_slow);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  samples::Flags flags("chat", "A chat room for nc and telnet.", 7002);
  flags.parse(argc, argv);
  return run(flags.options, app, std::cref(flags));
}
