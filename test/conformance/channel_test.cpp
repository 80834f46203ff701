// Channels: the rows CH of Go's semantics that concern making, sending, receiving and order.
// Closing is in close_test.cpp, types and directions in channel_types_test.cpp.
#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::blocks;
using test::Counted;
using test::on_one_worker;
using test::panic_of;
using test::yields;

RINGO_TEST("CH-01: capacity and length of a new channel") {
  Channel<int> plain;
  Channel<int> zero(0);
  Channel<int> ten(10);
  CHECK(plain.cap() == 0);
  CHECK(plain.len() == 0);
  CHECK(zero.cap() == 0);
  CHECK(zero.len() == 0);
  CHECK(ten.cap() == 10);
  CHECK(ten.len() == 0);
  for (int i = 0; i < 10; ++i) {
    co_await ten.send(i);
    CHECK(ten.len() == static_cast<std::size_t>(i) + 1);
  }
  CHECK(ten.cap() == 10);
}

RINGO_TEST("CH-02: a negative or absurd capacity panics, and can be recovered from") {
  constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max();
  const std::string text = "makechan: size out of range";
  CHECK(panic_of([] { Channel<int> ch(-1); }) == text);
  CHECK(panic_of([] { Channel<int> ch(std::numeric_limits<std::ptrdiff_t>::min()); }) == text);
  CHECK(panic_of([] { Channel<int> ch(most); }) == text);
  CHECK(panic_of([] { Channel<std::string> ch(most / 8); }) == text);
  Channel<int> still_works(1);
  co_await still_works.send(1);
  CHECK(co_await still_works.recv() == 1);
}

RINGO_TEST("CH-03: elements without content count too (zerosize)") {
  struct Nothing {};
  Channel<Nothing> buffered(3);
  co_await buffered.send(Nothing{});
  co_await buffered.send(Nothing{});
  CHECK(buffered.len() == 2);
  CHECK(buffered.try_send(Nothing{}));
  CHECK(!buffered.try_send(Nothing{}));
  int count = 0;
  buffered.close();
  while (co_await buffered.recv()) ++count;
  CHECK(count == 3);

  Channel<Nothing> rendezvous;
  go([rendezvous]() -> Task<> {
    for (int i = 0; i < 100; ++i) co_await rendezvous.send(Nothing{});
    rendezvous.close();
  });
  count = 0;
  while (co_await rendezvous.recv()) ++count;
  CHECK(count == 100);
}

RINGO_TEST("CH-04: a channel is a reference") {
  Channel<int> a(1);
  Channel<int> same = a;
  Channel<int> other(1);
  Sender<int> sender = a;
  Receiver<int> receiver = a;
  CHECK(a == same);
  CHECK(!(a == other));
  CHECK(a == sender);
  CHECK(a == receiver);
  CHECK(!(other == sender));
  CHECK(Channel<int>::nil() == Channel<int>::nil());
  CHECK(!(a == Channel<int>::nil()));
  co_await same.send(5);
  CHECK(a.len() == 1);
  CHECK(receiver.len() == 1);
  CHECK(co_await receiver.recv() == 5);
  a.close();
  CHECK(!co_await same.recv());
}

RINGO_TEST("CH-05: the nil channel is empty and has no room") {
  auto nil = Channel<int>::nil();
  CHECK(nil.is_nil());
  CHECK(nil.len() == 0);
  CHECK(nil.cap() == 0);
  CHECK(!nil.try_send(1));
  bool closed = false;
  CHECK(!nil.try_recv(&closed));
  CHECK(!closed);
  co_return;
}

RINGO_TEST("CH-06: sending to and receiving from the nil channel wait for ever") {
  co_await on_one_worker([]() -> Task<> {
    CHECK(co_await blocks([]() -> Task<> { co_await Channel<int>::nil().recv(); }));
    CHECK(co_await blocks([]() -> Task<> { co_await Channel<int>::nil().send(1); }));
    CHECK(co_await blocks([]() -> Task<> {
      auto nil = Channel<std::string>::nil();
      while (auto text = co_await nil.recv()) {}
    }));
  });
}

RINGO_TEST("CH-19: an unbuffered send completes when a receiver takes the value") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> ch;
    auto sender = go_on(0, [ch]() -> Task<> { co_await ch.send(7); });
    co_await yields();
    CHECK(!sender.done());
    CHECK(ch.len() == 0);
    CHECK(co_await ch.recv() == 7);
    co_await sender;
    CHECK(ch.len() == 0);
    // The other way round: the receiver is there first.
    auto receiver = go_on(0, [ch]() -> Task<int> { co_return (co_await ch.recv()).value_or(-1); });
    co_await yields();
    CHECK(!co_await blocks([&]() -> Task<> { co_await ch.send(8); }));
    CHECK(co_await receiver == 8);
  });
}

RINGO_TEST("CH-20: when a buffered channel makes wait") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> ch(2);
    Channel<int> done(8);
    CHECK(!co_await blocks([&]() -> Task<> { co_await ch.send(1); }));
    CHECK(!co_await blocks([&]() -> Task<> { co_await ch.send(2); }));
    CHECK(ch.len() == 2);
    CHECK(!ch.try_send(9));
    auto send_3 = [ch]() -> Task<> { co_await ch.send(3); };
    CHECK(co_await blocks(send_3));
    CHECK(ch.len() == 2);
    // Each receive lets the waiting sender in, so the buffer stays full once.
    CHECK(co_await ch.recv() == 1);
    CHECK(ch.len() == 2);
    CHECK(co_await ch.recv() == 2);
    CHECK(co_await ch.recv() == 3);
    CHECK(ch.len() == 0);
    CHECK(!ch.try_recv());
    auto receive = [ch, done]() -> Task<> {
      auto value = co_await ch.recv();
      co_await done.send(value.value_or(-1));
    };
    CHECK(co_await blocks(receive));
    CHECK(ch.try_send(4));  // goes past the buffer to the receiver
    CHECK(ch.len() == 0);
    CHECK(co_await done.recv() == 4);
  });
}

RINGO_TEST("CH-21: values come out in the order in which they went in") {
  for (int capacity : {0, 1, 2, 7, 100, 1000}) {
    Channel<int> ch(capacity);
    go([ch]() -> Task<> {
      for (int i = 0; i < 1000; ++i) co_await ch.send(i);
      ch.close();
    });
    int expected = 0;
    while (auto value = co_await ch.recv()) {
      if (*value != expected) break;
      ++expected;
    }
    CHECK_MESSAGE(expected == 1000, "capacity ", capacity);
  }
}

RINGO_TEST("CH-22: waiting receivers are served in the order in which they came") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> ch;
    std::vector<JoinHandle<int>> receivers;
    for (int i = 0; i < 10; ++i) {
      receivers.push_back(go_on(0, [ch]() -> Task<int> {
        auto value = co_await ch.recv();
        co_return value.value_or(-1);
      }));
    }
    co_await yields();
    for (int i = 0; i < 10; ++i) CHECK(ch.try_send(i));
    CHECK(!ch.try_send(99));
    for (int i = 0; i < 10; ++i) { CHECK(co_await receivers[static_cast<std::size_t>(i)] == i); }
  });
}

RINGO_TEST("CH-23: waiting senders are served in the order in which they came") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> ch(2);
    co_await ch.send(100);
    co_await ch.send(101);
    for (int i = 0; i < 6; ++i) {
      go_on(0, [ch, i]() -> Task<> { co_await ch.send(i); });
    }
    co_await yields();
    std::vector<int> seen;
    for (int i = 0; i < 8; ++i) {
      auto value = co_await ch.recv();
      seen.push_back(value.value_or(-1));
      CHECK(!ch.try_send(50));  // the freed place belongs to the first sender in line
      if (i == 5) break;
    }
    CHECK(seen == std::vector<int>{100, 101, 0, 1, 2, 3});
    CHECK(ch.len() == 2);
    CHECK(co_await ch.recv() == 4);
    CHECK(ch.try_send(6));
    CHECK(co_await ch.recv() == 5);
    CHECK(co_await ch.recv() == 6);
  });
}

RINGO_TEST("CH-24: nobody overtakes a waiter") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> ch(1);
    auto receiver = go_on(0, [ch]() -> Task<int> { co_return (co_await ch.recv()).value_or(-1); });
    co_await yields();
    CHECK(ch.try_send(1));
    // The value is the waiting receiver's, though that has not run yet.
    CHECK(!receiver.done());
    CHECK(!ch.try_recv());
    CHECK(ch.len() == 0);
    CHECK(co_await receiver == 1);

    Channel<int> full(1);
    co_await full.send(1);
    auto sender = go_on(0, [full]() -> Task<> { co_await full.send(2); });
    co_await yields();
    CHECK(full.try_recv() == 1);
    CHECK(full.len() == 1);  // the waiting sender's value
    CHECK(!full.try_send(3));
    CHECK(full.try_recv() == 2);
    co_await sender;
  });
}

RINGO_TEST("CH-26: len and cap may be asked while others use the channel") {
  Channel<int> ch(4);
  std::vector<JoinHandle<void>> handles;
  handles.push_back(go([ch]() -> Task<> {
    for (int i = 0; i < 2000; ++i) co_await ch.send(i);
    ch.close();
  }));
  handles.push_back(go([ch]() -> Task<> {
    while (co_await ch.recv()) {}
  }));
  for (int i = 0; i < 2; ++i) {
    handles.push_back(go([ch]() -> Task<> {
      bool sane = true;
      for (int k = 0; k < 1000; ++k) {
        sane = sane && ch.len() <= 4 && ch.cap() == 4;
        if (k % 16 == 0) co_await yield();
      }
      CHECK(sane);
    }));
  }
  co_await test::join_all(handles);
  CHECK(ch.len() == 0);
}

RINGO_TEST("CH-30: the value is evaluated and copied before the communication") {
  co_await on_one_worker([]() -> Task<> {
    Channel<std::string> ch;
    std::string text = "before";
    auto operation = ch.send(text);  // starts nothing
    text = "after";
    CHECK(!ch.try_recv());
    auto receiver =
        go_on(0, [ch]() -> Task<std::string> { co_return (co_await ch.recv()).value_or(""); });
    co_await std::move(operation);
    CHECK(co_await receiver == "before");
    CHECK(text == "after");

    // The expression is evaluated even if the channel is nil, before the wait.
    auto evaluated = std::make_shared<bool>(false);
    auto send = [evaluated]() -> Task<> { co_await Channel<bool>::nil().send(*evaluated = true); };
    CHECK(co_await blocks(send));
    CHECK(*evaluated);
  });
}

RINGO_TEST("CH-36: a channel keeps nothing of a value that was taken") {
  Counted::Balance balance;
  {
    Channel<Counted> ch(4);
    for (int i = 0; i < 4; ++i) co_await ch.emplace(balance, i);
    CHECK(balance.holding == 4);
    CHECK(balance.alive == 4);
    for (int i = 0; i < 3; ++i) {
      auto value = co_await ch.recv();
      REQUIRE(value);
      CHECK(value->value() == i);
    }
    CHECK(balance.alive == 1);
    CHECK(ch.len() == 1);
  }
  // CH-37: the last handle frees the channel with what is in it, closed or not.
  CHECK(balance.alive == 0);
  CHECK(balance.holding == 0);
}

RINGO_TEST("CH-37: a channel need not be closed") {
  Counted::Balance balance;
  for (int round = 0; round < 100; ++round) {
    Channel<Counted> ch(3);
    co_await ch.emplace(balance, round);
    Channel<Counted> copy = ch;
    Sender<Counted> sender = copy;
    ch = Channel<Counted>(1);
    copy = ch;
    co_await sender.emplace(balance, round);
    CHECK(balance.alive == 2);
  }
  CHECK(balance.alive == 0);
}

RINGO_TEST("CH-37: what waits keeps the channel, and so do operations of a temporary handle") {
  Counted::Balance balance;
  std::optional<Channel<Counted>> only(std::in_place, 1);
  auto waits = go([&]() -> Task<> {
    // Looked at by the select when it ends, after the last handle has gone.
    co_await select_any{on(only->recv(), [] {}), on(after(2ms), [] {})};
  });
  auto& core = ringo::detail::ChannelAccess::core(*only);
  co_await test::eventually([&] { return waits.done() || core.has_receiver(); });
  only.reset();
  co_await waits;

  {
    auto send = Channel<Counted>(1).emplace(balance, 1);
    co_await std::move(send);
  }
  CHECK(balance.alive == 0);
  auto receive = Channel<Counted>(1).recv();
  auto copy = [] {
    const Channel<Counted> closed;
    auto op = closed.recv();
    auto kept = op;
    closed.close();
    return kept;
  }();
  auto nothing = co_await std::move(copy);
  CHECK(!nothing);
  co_await select_any{on(std::move(receive), [] {}), on(after(1us), [] {})};
}

RINGO_TEST("CH-39: a send that races with close delivers or panics, and loses nothing") {
  Counted::Balance balance;
  for (int round = 0; round < 200; ++round) {
    Channel<Counted> ch(round % 3);
    std::vector<JoinHandle<int>> senders;
    for (int i = 0; i < 3; ++i) {
      senders.push_back(go([ch, &balance]() -> Task<int> {
        int sent = 0;
        try {
          for (int k = 0; k < 4; ++k) {
            co_await ch.emplace(balance, k);
            ++sent;
          }
        } catch (const Panic& panic) {
          CHECK(std::string(panic.what()) == "send on closed channel");
        }
        co_return sent;
      }));
    }
    auto closer = go([ch]() -> Task<> {
      co_await yield();
      ch.close();
    });
    int received = 0;
    while (co_await ch.recv()) ++received;
    int sent = 0;
    for (auto& sender : senders) sent += co_await sender;
    co_await closer;
    CHECK(received == sent);
  }
  CHECK(balance.alive == 0);
}

RINGO_TEST("CH-40: a channel of capacity 1 is a mutex") {
  Channel<char> mutex(1);
  long counter = 0;  // plain: the channel orders the accesses
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 8; ++i) {
    handles.push_back(go([&counter, mutex]() -> Task<> {
      for (int k = 0; k < 500; ++k) {
        co_await mutex.send('x');
        ++counter;
        co_await mutex.recv();
      }
    }));
  }
  co_await test::join_all(handles);
  CHECK(counter == 4000);
}

RINGO_TEST("CH-40: a channel of capacity C lets C in at a time") {
  constexpr int capacity = 3;
  Channel<char> semaphore(capacity);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 10; ++i) {
    handles.push_back(go([&, semaphore]() -> Task<> {
      for (int k = 0; k < 100; ++k) {
        co_await semaphore.send('x');
        int now = ++inside;
        int seen = most.load();
        while (seen < now && !most.compare_exchange_weak(seen, now)) {}
        do {
          co_await yield();
        } while (most < capacity);  // the first ones wait for each other
        --inside;
        co_await semaphore.recv();
      }
    }));
  }
  co_await test::join_all(handles);
  CHECK_EQ(most.load(), capacity);
}
