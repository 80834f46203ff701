// ken/chan: all pairings of plain and selecting senders with plain and selecting receivers, whose
// cases are switched off one by one, over buffers of several sizes. Every channel carries a
// sequence of its own, so loss, doubling and disorder all show.
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ringo;

namespace {

constexpr int per_channel = 76;

/// One channel with the sequences of its two ends.
struct Line {
  explicit Line(int capacity) : ch(capacity) {}
  Channel<int> ch;
  std::atomic<int> next_sent{0};
  std::atomic<int> next_received{0};
};

struct Totals {
  std::atomic<long> sent{0};
  std::atomic<long> received{0};
  std::atomic<int> disorder{0};
};

void arrived(Totals& totals, Line& line, std::optional<int> value) {
  totals.disorder += value != line.next_received++;
  ++totals.received;
}

Task<> plain_send(Totals& totals, Line& line) {
  for (int i = 0; i < per_channel; ++i) {
    co_await line.ch.send(line.next_sent++);
    ++totals.sent;
    if (i % 8 == 0) co_await yield();
  }
}

Task<> plain_receive(Totals& totals, Line& line) {
  for (int i = 0; i < per_channel; ++i) {
    auto value = co_await line.ch.recv();
    arrived(totals, line, value);
    if (i % 8 == 4) co_await yield();
  }
}

/// Up to eight cases; a channel whose sequence is over becomes nil.
Task<> select_end(Totals& totals, std::vector<Line*> lines, bool send) {
  std::array<Channel<int>, 8> on_case{Channel<int>::nil(), Channel<int>::nil(), Channel<int>::nil(),
                                      Channel<int>::nil(), Channel<int>::nil(), Channel<int>::nil(),
                                      Channel<int>::nil(), Channel<int>::nil()};
  std::array<int, 8> left{};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    on_case[i] = lines[i]->ch;
    left[i] = per_channel;
  }
  int open = static_cast<int>(lines.size());
  auto used = [&](std::size_t i) {
    if (--left[i] > 0) return;
    on_case[i] = Channel<int>::nil();
    --open;
  };
  auto sent = [&](std::size_t i) {
    ++lines[i]->next_sent;
    ++totals.sent;
    used(i);
  };
  auto got = [&](std::size_t i, std::optional<int> value) {
    arrived(totals, *lines[i], value);
    used(i);
  };
  auto value = [&](std::size_t i) { return i < lines.size() ? lines[i]->next_sent.load() : -1; };
  while (open > 0) {
    if (send) {
      co_await select_any{
          on(on_case[0].send(value(0)), [&] { sent(0); }),
          on(on_case[1].send(value(1)), [&] { sent(1); }),
          on(on_case[2].send(value(2)), [&] { sent(2); }),
          on(on_case[3].send(value(3)), [&] { sent(3); }),
          on(on_case[4].send(value(4)), [&] { sent(4); }),
          on(on_case[5].send(value(5)), [&] { sent(5); }),
          on(on_case[6].send(value(6)), [&] { sent(6); }),
          on(on_case[7].send(value(7)), [&] { sent(7); }),
      };
    } else {
      co_await select_any{
          on(on_case[0].recv(), [&](std::optional<int> v) { got(0, v); }),
          on(on_case[1].recv(), [&](std::optional<int> v) { got(1, v); }),
          on(on_case[2].recv(), [&](std::optional<int> v) { got(2, v); }),
          on(on_case[3].recv(), [&](std::optional<int> v) { got(3, v); }),
          on(on_case[4].recv(), [&](std::optional<int> v) { got(4, v); }),
          on(on_case[5].recv(), [&](std::optional<int> v) { got(5, v); }),
          on(on_case[6].recv(), [&](std::optional<int> v) { got(6, v); }),
          on(on_case[7].recv(), [&](std::optional<int> v) { got(7, v); }),
      };
    }
  }
}

/// `lines` channels; each end by one plain goroutine a channel, or by one select over all.
Task<> pairing(Totals& totals, int capacity, int lines, bool select_sends, bool select_receives) {
  std::vector<std::unique_ptr<Line>> owned;
  std::vector<Line*> all;
  for (int i = 0; i < lines; ++i) {
    owned.push_back(std::make_unique<Line>(capacity));
    all.push_back(owned.back().get());
  }
  std::vector<JoinHandle<void>> handles;
  auto start = [&](bool by_select, bool send) {
    if (by_select) {
      handles.push_back(go(select_end, std::ref(totals), all, send));
      return;
    }
    for (Line* line : all) {
      handles.push_back(send ? go(plain_send, std::ref(totals), std::ref(*line))
                             : go(plain_receive, std::ref(totals), std::ref(*line)));
    }
  };
  start(select_sends, true);
  start(select_receives, false);
  co_await test::join_all(handles);
  for (Line* line : all) CHECK(line->ch.len() == 0);
}

}  // namespace

RINGO_TEST("ken/chan: every pairing over buffers of 0, 1, 10 and 100") {
  Totals totals;
  for (int capacity : {0, 1, 10, 100}) {
    for (bool select_sends : {false, true}) {
      for (bool select_receives : {false, true}) {
        co_await pairing(totals, capacity, 4, select_sends, select_receives);
      }
    }
    co_await pairing(totals, capacity, 8, true, true);
    // Two pairings at the same time.
    auto beside = go(pairing, std::ref(totals), capacity, 4, true, false);
    co_await pairing(totals, capacity, 8, false, true);
    co_await beside;
  }
  CHECK(totals.sent == 4L * (16 + 8 + 12) * per_channel);
  CHECK(totals.received == totals.sent);
  CHECK(totals.disorder == 0);
}
