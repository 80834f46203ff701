// The chat's room: one goroutine that owns the list of members and hears of everything through a
// channel, so there is no lock. It never waits for a member: each has an outbox, a buffered
// channel. Whoever lets the outbox fill up is shown out.
#pragma once

#include <fmt/core.h>

#include <map>
#include <ringo/ringo.hpp>
#include <string>
#include <utility>
#include <vector>

namespace samples {

using namespace ringo;

using Outbox = Channel<std::string>;

/// What the room hears.
class RoomEvent {
 public:
  enum class Kind { join, say, leave };

  RoomEvent(Kind what, std::string who, Outbox where, std::string said = {})
      : kind(what), name(std::move(who)), outbox(std::move(where)), text(std::move(said)) {}

  Kind kind;
  std::string name;
  Outbox outbox;
  std::string text;
};

struct Summary {
  unsigned members = 0;
  unsigned present = 0;
  unsigned lines = 0;
  unsigned too_slow = 0;
};

/// The room. Answers a join on `outbox`, whose first line is "" if the name is taken.
inline Task<> room(Channel<RoomEvent> events, Summary& summary) {
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
      --summary.present;
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
      case RoomEvent::Kind::join: {
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
        ++summary.present;
        announce(fmt::format("* {} has joined\n", name), name);
        break;
      }
      case RoomEvent::Kind::say:
        if (!present) break;
        ++summary.lines;
        announce(fmt::format("<{}> {}\n", name, event->text), name);
        break;
      case RoomEvent::Kind::leave:
        if (!present) break;
        member->second.close();
        members.erase(member);
        --summary.present;
        announce(fmt::format("* {} has left\n", name), name);
        break;
    }
  }
}

}  // namespace samples
