// Channels: the rows CH of Go's semantics that concern closing, and receiving until closed.
#include <optional>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ringo;
using test::blocks;
using test::Counted;
using test::on_one_worker;
using test::panic_of;
using test::panic_of_task;
using test::yields;

namespace {
const std::string send_on_closed = "send on closed channel";

template <class C>
concept tells_whether_closed = requires(C ch) {
  ch.closed();
}
|| requires(C ch) { ch.is_closed(); };
}  // namespace

RINGO_TEST("CH-07: close of the nil channel panics") {
  CHECK(panic_of([] { Channel<int>::nil().close(); }) == "close of nil channel");
  CHECK(panic_of([] {
          Sender<int> sender = Channel<int>::nil();
          sender.close();
        }) == "close of nil channel");
  co_return;
}

RINGO_TEST("CH-08: close of a closed channel panics") {
  for (int capacity : {0, 2}) {
    Channel<int> ch(capacity);
    ch.close();
    CHECK(panic_of([&] { ch.close(); }) == "close of closed channel");
    CHECK(panic_of([&] { static_cast<Sender<int>>(ch).close(); }) == "close of closed channel");
  }
  co_return;
}

RINGO_TEST("CH-09: a send on a closed channel panics, in every form and with room in the buffer") {
  for (int capacity : {0, 2}) {
    Channel<int> ch(capacity);
    ch.close();
    CHECK(co_await panic_of_task([&]() -> Task<> { co_await ch.send(1); }) == send_on_closed);
    CHECK(co_await panic_of_task([&]() -> Task<> { co_await ch.emplace(1); }) == send_on_closed);
    CHECK(panic_of([&] { ch.try_send(1); }) == send_on_closed);
    CHECK(co_await panic_of_task([&]() -> Task<> {
            co_await select_any{on(ch.send(1), [] {}), otherwise([] {})};
          }) == send_on_closed);
    CHECK(co_await panic_of_task([&]() -> Task<> {
            co_await select_any{on(ch.send(1), [] {}), on(Channel<int>::nil().recv(), [] {})};
          }) == send_on_closed);
    CHECK(ch.len() == 0);
    CHECK(!co_await ch.recv());
  }
}

RINGO_TEST("CH-10: a sender that waits when the channel is closed panics; nothing is delivered") {
  Counted::Balance balance;
  co_await on_one_worker([&]() -> Task<> {
    Channel<Counted> ch;
    std::vector<JoinHandle<std::string>> senders;
    for (int i = 0; i < 3; ++i) {
      senders.push_back(go_on(0, [ch, &balance]() -> Task<std::string> {
        return panic_of_task([&]() -> Task<> { co_await ch.emplace(balance, 1); });
      }));
    }
    co_await yields();
    for (auto& sender : senders) CHECK(!sender.done());
    ch.close();
    for (auto& sender : senders) CHECK(co_await sender == send_on_closed);
    CHECK(!co_await ch.recv());
  });
  CHECK(balance.alive == 0);
}

RINGO_TEST("CH-11: a select that waits to send panics when the channel is closed") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> ch;
    Channel<int> other;
    auto selecting = go_on(0, [ch, other]() -> Task<std::string> {
      return panic_of_task([&]() -> Task<> {
        co_await select_any{on(other.recv(), [] {}), on(ch.send(1), [] {})};
      });
    });
    co_await yields();
    CHECK(!selecting.done());
    ch.close();
    CHECK(co_await selecting == send_on_closed);
    CHECK(!other.try_send(1));  // it has left the other queue
  });
}

RINGO_TEST("CH-12: the panics are exceptions, and everything is usable afterwards") {
  Channel<int> ch(1);
  ch.close();
  int caught = 0;
  try {
    co_await ch.send(1);
  } catch (const std::exception& error) {
    ++caught;
    CHECK(std::string(error.what()) == send_on_closed);
  }
  try {
    ch.close();
  } catch (const Panic& panic) {
    ++caught;
    CHECK(panic.where().line() > 0);
  }
  CHECK(caught == 2);
  bool closed = false;
  CHECK(!ch.try_recv(&closed));
  CHECK(closed);
  Channel<int> another(1);
  co_await another.send(3);
  CHECK(co_await another.recv() == 3);
}

RINGO_TEST("CH-13: a value whose send panicked never shows up") {
  Channel<int> ch(2);
  co_await ch.send(1);
  ch.close();
  for (int i = 0; i < 3; ++i) CHECK(panic_of([&] { ch.try_send(7); }) == send_on_closed);
  CHECK(co_await ch.recv() == 1);
  CHECK(!co_await ch.recv());
}

RINGO_TEST("CH-14: after close the buffered values, then nothing for ever") {
  Channel<int> ch(3);
  for (int i = 0; i < 3; ++i) co_await ch.send(i);
  ch.close();
  CHECK(ch.len() == 3);
  CHECK(co_await ch.recv() == 0);
  CHECK(ch.try_recv() == 1);
  CHECK(co_await select_any{on(ch.recv(), [](std::optional<int> v) { return v.value_or(-1); })} ==
        2);
  for (int i = 0; i < 5; ++i) {
    CHECK(!co_await ch.recv());
    bool closed = false;
    CHECK(!ch.try_recv(&closed));
    CHECK(closed);
    auto value = co_await select_any{on(ch.recv(), [](std::optional<int> v) { return v; }),
                                     otherwise([] { return std::optional<int>(-1); })};
    CHECK(!value);
  }
}

RINGO_TEST("CH-15: close with a full buffer and a waiting sender") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> ch(2);
    co_await ch.send(1);
    co_await ch.send(2);
    auto sender = go_on(0, [ch]() -> Task<std::string> {
      return panic_of_task([&]() -> Task<> { co_await ch.send(3); });
    });
    co_await yields();
    ch.close();
    CHECK(co_await ch.recv() == 1);
    CHECK(co_await ch.recv() == 2);
    CHECK(!co_await ch.recv());
    CHECK(co_await sender == send_on_closed);
  });
}

RINGO_TEST("CH-16: close wakes all receivers") {
  Channel<int> ch;
  std::atomic<int> waiting{0};
  std::vector<JoinHandle<bool>> receivers;
  for (int i = 0; i < 50; ++i) {
    receivers.push_back(go([&waiting, ch, i]() -> Task<bool> {
      ++waiting;
      if (i % 2 == 0) co_return (co_await ch.recv()).has_value();
      co_return co_await select_any{
          on(ch.recv(), [](std::optional<int> value) { return value.has_value(); }),
          on(Channel<bool>::nil().recv(), [](std::optional<bool>) { return true; }),
      };
    }));
  }
  co_await test::eventually([&] { return waiting == 50; });
  ch.close();
  for (auto& receiver : receivers) CHECK(!co_await receiver);
}

RINGO_TEST("CH-17: receivers woken by close run in the order in which they came") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> ch;
    std::vector<int> order;
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 6; ++i) {
      handles.push_back(go_on(0, [&order, ch, i]() -> Task<> {
        co_await ch.recv();
        order.push_back(i);
      }));
    }
    co_await yields();
    ch.close();
    co_await test::join_all(handles);
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5});
  });
}

RINGO_TEST("CH-18: a received value may be dropped") {
  Channel<std::string> ch(3);
  for (const char* text : {"a", "b", "c"}) co_await ch.send(text);
  co_await ch.recv();
  (void)ch.try_recv();
  co_await select_any{on(ch.recv(), [] {})};
  CHECK(ch.len() == 0);
  ch.close();
  co_await ch.recv();
}

RINGO_TEST("CH-27: nothing but a receive tells that a channel is closed") {
  static_assert(!tells_whether_closed<Channel<int>>);
  Channel<int> ch(1);
  co_await ch.send(1);
  ch.close();
  bool closed = false;
  CHECK(ch.try_recv(&closed) == 1);
  CHECK(!closed);  // only a receive that finds nothing says so
  (void)ch.try_recv(&closed);
  CHECK(closed);
}

RINGO_TEST("CH-28: receiving in a loop ends when the channel is closed and drained (range)") {
  Channel<char> ch(5);
  go([ch]() -> Task<> {
    for (char c = 'a'; c <= 'z'; ++c) co_await ch.send(c);
    ch.close();
  });
  std::string text;
  while (auto c = co_await ch.recv()) text += *c;
  CHECK(text == "abcdefghijklmnopqrstuvwxyz");
  // Each round has its own value.
  Channel<int> numbers(3);
  for (int i = 0; i < 3; ++i) co_await numbers.send(i);
  numbers.close();
  std::vector<std::optional<int>> kept;
  while (auto value = co_await numbers.recv()) kept.push_back(value);
  CHECK(kept == std::vector<std::optional<int>>{0, 1, 2});
}

RINGO_TEST("CH-29: a value in the buffer is always seen, though the channel is being closed") {
  for (int round = 0; round < 2000; ++round) {
    Channel<int> ch(1);
    co_await ch.send(1);
    auto receiver = go([ch]() -> Task<bool> {
      bool got = ch.try_recv().has_value();
      co_return got;
    });
    ch.close();
    auto second = ch.try_recv();
    CHECK((co_await receiver) != second.has_value());
  }
}

RINGO_TEST("closedchan: every form of receiving from a closed channel, plain and in select") {
  for (int capacity : {0, 1, 2}) {
    Channel<int> ch(capacity);
    Channel<int> dummy;  // never ready
    for (int i = 0; i < capacity; ++i) co_await ch.send(10 + i);
    ch.close();
    for (int form = 0; form < 4; ++form) {
      auto recv = [&]() -> Task<std::optional<int>> {
        auto take = [](std::optional<int> value) { return value; };
        auto wrong = []() -> std::optional<int> { return -1; };
        switch (form) {
          case 0:
            co_return co_await ch.recv();
          case 1:
            co_return co_await select_any{on(ch.recv(), take)};
          case 2:
            co_return co_await select_any{on(dummy.recv(), wrong), on(ch.recv(), take),
                                          on(dummy.send(5), wrong)};
          default:
            co_return co_await select_any{on(ch.recv(), take), otherwise(wrong)};
        }
      };
      if (form < capacity) {
        CHECK(co_await recv() == 10 + form);
      } else {
        for (int i = 0; i < 3; ++i) CHECK(!co_await recv());
      }
      CHECK(co_await panic_of_task([&]() -> Task<> {
              co_await select_any{on(dummy.recv(), [] {}), on(ch.send(9), [] {}), otherwise([] {})};
            }) == send_on_closed);
    }
  }
}
