// select: the rows SE of Go's semantics about chance, instants and run-time lists, with the tests
// of Go's runtime that stress them.
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <ringo/select_dyn.hpp>
#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::blocks;
using test::on_one_worker;
using test::panic_of_task;
using test::yields;

RINGO_TEST("SE-05: of several ready cases each has the same chance") {
  constexpr int rounds = 30000;
  std::array<Channel<int>, 3> channels;
  for (auto& ch : channels) ch.close();
  std::array<int, 3> count{};
  for (int i = 0; i < rounds; ++i) {
    ++count[co_await select_any{on(channels[0].recv(), [] { return std::size_t{0}; }),
                                on(channels[1].recv(), [] { return std::size_t{1}; }),
                                on(channels[2].recv(), [] { return std::size_t{2}; })}];
  }
  // Ten standard deviations of the binomial distribution.
  double limit = 10 * std::sqrt(rounds * (1.0 / 3) * (2.0 / 3));
  for (int n : count) CHECK(std::abs(n - rounds / 3) < limit);
}

RINGO_TEST("SE-05: a channel that is listed twice has two shares") {
  constexpr int rounds = 30000;
  Channel<int> once;
  Channel<int> twice;
  once.close();
  twice.close();
  int count = 0;
  for (int i = 0; i < rounds; ++i) {
    count +=
        co_await select_any{on(twice.recv(), [] { return 1; }), on(once.recv(), [] { return 0; }),
                            on(twice.recv(), [] { return 1; })};
  }
  CHECK(std::abs(count - 2 * rounds / 3) < 10 * std::sqrt(rounds * (1.0 / 3) * (2.0 / 3)));
}

RINGO_TEST("SE-05: channels and other ready operations share alike") {
  constexpr int rounds = 20000;
  Channel<int> ch;
  ch.close();
  int timers = 0;
  for (int i = 0; i < rounds; ++i) {
    timers +=
        co_await select_any{on(ch.recv(), [] { return 0; }), on(after(-1s), [] { return 1; })};
  }
  CHECK(std::abs(timers - rounds / 2) < 10 * std::sqrt(rounds * 0.25));
}

RINGO_TEST("TestSelectFairness: two busy channels beside two silent ones") {
  constexpr int trials = 10000;
  Channel<char> c1(trials + 1);
  Channel<char> c2(trials + 1);
  for (int i = 0; i <= trials; ++i) {
    co_await c1.send('1');
    co_await c2.send('2');
  }
  Channel<char> c3;
  Channel<char> c4;
  Channel<char> out;
  Channel<char> done;
  auto forwarder = go([=]() -> Task<> {
    for (;;) {
      std::optional<char> got;
      auto take = [&](std::optional<char> value) { got = value; };
      co_await select_any{on(c3.recv(), take), on(c4.recv(), take), on(c1.recv(), take),
                          on(c2.recv(), take)};
      bool over = false;
      co_await select_any{on(out.send(*got), [] {}), on(done.recv(), [&] { over = true; })};
      if (over) co_return;
    }
  });
  int count1 = 0;
  int count2 = 0;
  for (int i = 0; i < trials; ++i) {
    char c = (co_await out.recv()).value_or('?');
    count1 += c == '1';
    count2 += c == '2';
  }
  done.close();
  co_await forwarder;
  CHECK(count1 + count2 == trials);
  double r = static_cast<double>(count1) / trials;
  CHECK(std::abs(r - 0.5) < 10.0 / (2 * std::sqrt(trials)));
}

RINGO_TEST("TestPseudoRandomSend: two sends of one select both come through") {
  for (int capacity : {0, 100}) {
    constexpr int n = 1000;
    Channel<int> ch(capacity);
    auto sender = go([ch]() -> Task<> {
      for (int i = 0; i < n; ++i) {
        co_await select_any{on(ch.send(0), [] {}), on(ch.send(1), [] {})};
      }
    });
    int ones = 0;
    for (int i = 0; i < n; ++i) {
      co_await yield();
      ones += (co_await ch.recv()).value_or(0);
    }
    co_await sender;
    CHECK(ones > n / 10);
    CHECK(ones < n - n / 10);
  }
}

RINGO_TEST("TestChanSendInterface: one select sends values of different kinds on one channel") {
  using Value = std::variant<int, std::string>;
  Channel<Value> ch(1);
  co_await ch.send(Value(std::string("first")));
  co_await select_any{on(ch.send(Value(1)), [] {}), otherwise([] {})};
  CHECK((co_await ch.recv()).value() == Value(std::string("first")));
  co_await select_any{on(ch.send(Value(1)), [] {}), on(ch.send(Value(std::string("two"))), [] {})};
  CHECK(ch.len() == 1);
}

RINGO_TEST(
    "SE-06: a default is taken only if nothing was ready at one instant (TestNonblockSelectRace)") {
  // At every moment one of the two channels can be sent to or received from.
  constexpr int rounds = 10000;
  Channel<bool> done(1);
  for (int i = 0; i < rounds; ++i) {
    Channel<int> c1(1);
    Channel<int> c2(1);
    co_await c1.send(1);
    go([=]() -> Task<> {
      bool missed = false;
      co_await select_any{on(c1.recv(), [] {}), on(c2.recv(), [] {}),
                          otherwise([&] { missed = true; })};
      co_await done.send(!missed);
    });
    co_await c2.send(1);
    co_await select_any{on(c1.recv(), [] {}), otherwise([] {})};
    bool found = (co_await done.recv()).value_or(false);
    if (!found) FAIL("no channel was ready in round ", i);
  }
}

RINGO_TEST("SE-06: the same with a channel that is closed meanwhile (TestNonblockSelectRace2)") {
  constexpr int rounds = 10000;
  Channel<bool> done(1);
  for (int i = 0; i < rounds; ++i) {
    Channel<int> c1(1);
    Channel<int> c2;
    co_await c1.send(1);
    go([=]() -> Task<> {
      bool missed = false;
      co_await select_any{on(c1.recv(), [] {}), on(c2.recv(), [] {}),
                          otherwise([&] { missed = true; })};
      co_await done.send(!missed);
    });
    c2.close();
    co_await select_any{on(c1.recv(), [] {}), otherwise([] {})};
    bool found = (co_await done.recv()).value_or(false);
    if (!found) FAIL("no channel was ready in round ", i);
  }
}

RINGO_TEST("CH-25: a select never meets itself (TestSelfSelect)") {
  for (int capacity : {0, 10}) {
    constexpr int rounds = 1000;
    Channel<int> ch(capacity);
    std::atomic<int> own{0};
    std::vector<JoinHandle<void>> handles;
    for (int p = 0; p < 2; ++p) {
      handles.push_back(go([&own, ch, p]() -> Task<> {
        for (int i = 0; i < rounds; ++i) {
          auto take = [&](std::optional<int> value) { own += value == p; };
          // The order of the cases must not matter.
          if (p == 0 || i % 2 == 0) {
            co_await select_any{on(ch.send(p), [] {}), on(ch.recv(), take)};
          } else {
            co_await select_any{on(ch.recv(), take), on(ch.send(p), [] {})};
          }
        }
      }));
    }
    co_await test::join_all(handles);
    if (capacity == 0) CHECK(own == 0);
  }
}

RINGO_TEST("CH-25: alone with its channel a select waits") {
  co_await on_one_worker([]() -> Task<> {
    CHECK(co_await blocks([]() -> Task<> {
      Channel<int> ch;
      co_await select_any{on(ch.send(1), [] {}), on(ch.recv(), [] {})};
    }));
    CHECK(!co_await blocks([]() -> Task<> {
      Channel<int> ch(1);
      co_await select_any{on(ch.send(1), [] {}), on(ch.recv(), [] {})};
    }));
  });
}

RINGO_TEST("SE-10: a send on a closed channel is ready, and panics if it is the one") {
  constexpr int rounds = 10000;
  Channel<int> closed;
  Channel<int> ready;
  closed.close();
  ready.close();
  int panicked = 0;
  for (int i = 0; i < rounds; ++i) {
    auto text = co_await panic_of_task([&]() -> Task<> {
      co_await select_any{on(closed.send(1), [] {}), on(ready.recv(), [] {})};
    });
    panicked += !text.empty();
  }
  CHECK(std::abs(panicked - rounds / 2) < 10 * std::sqrt(rounds * 0.25));
}

RINGO_TEST("SE-16: every form of receiving against every form of sending (select7)") {
  Channel<int> no_sender;
  Channel<int> no_receiver;
  for (int receive = 0; receive < 3; ++receive) {
    for (int send = 0; send < 3; ++send) {
      for (bool receiver_first : {true, false}) {
        Channel<int> ch;
        auto receiver = [=]() -> Task<int> {
          auto take = [](std::optional<int> value) { return value.value_or(-1); };
          switch (receive) {
            case 0:
              co_return (co_await ch.recv()).value_or(-1);
            case 1:
              co_return co_await select_any{on(ch.recv(), take)};
            default:
              co_return co_await select_any{on(ch.recv(), take), on(no_sender.recv(), take)};
          }
        };
        auto sender = [=]() -> Task<> {
          switch (send) {
            case 0:
              co_await ch.send(1);
              break;
            case 1:
              co_await select_any{on(ch.send(1), [] {})};
              break;
            default:
              co_await select_any{on(ch.send(1), [] {}), on(no_receiver.send(2), [] {})};
          }
        };
        JoinHandle<int> result;
        JoinHandle<void> sent;
        if (receiver_first) {
          result = go(receiver);
          co_await yields();
          sent = go(sender);
        } else {
          sent = go(sender);
          co_await yields();
          result = go(receiver);
        }
        CHECK(co_await result == 1);
        co_await sent;
      }
    }
  }
}

RINGO_TEST("SE-19: a run-time list of cases follows the same rules") {
  Channel<int> a(1);
  Channel<int> b(1);
  int got = 0;
  auto take = [&](std::optional<int> value) { got = value.value_or(-1); };
  std::vector<SelectCase> cases;
  cases.push_back(on(a.recv(), take));
  cases.push_back(on(Channel<int>::nil().recv(), take));
  cases.push_back(on(b.send(5), [&] { got = 100; }));
  CHECK(co_await select_dyn(cases) == 2);
  CHECK(got == 100);
  co_await a.send(7);
  // The same list again: the send would have to wait, the receive is ready.
  CHECK(co_await select_dyn(cases) == 0);
  CHECK(got == 7);
  cases.push_back(otherwise([&] { got = 200; }));
  CHECK(co_await select_dyn(cases) == 3);
  CHECK(got == 200);
  CHECK(co_await b.recv() == 5);
  CHECK(co_await select_dyn(cases) == 2);

  cases.push_back(otherwise([] {}));
  CHECK(!(co_await panic_of_task([&]() -> Task<> { co_await select_dyn(cases); })).empty());
}

RINGO_TEST("SE-19: an empty list waits for ever, and there is a limit") {
  co_await on_one_worker([]() -> Task<> {
    CHECK(co_await blocks([]() -> Task<> {
      std::vector<SelectCase> none;
      co_await select_dyn(none);
    }));
  });
  Channel<int> ch;
  ch.close();
  std::vector<SelectCase> cases;
  cases.reserve(65537);
  for (int i = 0; i < 65536; ++i) cases.push_back(on(ch.recv(), [] {}));
  CHECK(co_await select_dyn(cases) < 65536);
  cases.push_back(on(ch.recv(), [] {}));
  CHECK((co_await panic_of_task([&]() -> Task<> { co_await select_dyn(cases); })).find("65536") !=
        std::string::npos);
}

RINGO_TEST("SE-19: timers, joins and values that can only be moved in a run-time list") {
  Channel<test::MoveOnly> ch;
  auto child = go([]() -> Task<int> {
    co_await yield();
    co_return 4;
  });
  int joined = 0;
  std::vector<SelectCase> cases;
  cases.push_back(on(ch.send(test::MoveOnly(1)), [] {}));
  cases.push_back(on(after(1h), [] {}));
  cases.push_back(on(std::move(child), [&](int result) { joined = result; }));
  CHECK(co_await select_dyn(cases) == 2);
  CHECK(joined == 4);
  CHECK(!(co_await panic_of_task([&]() -> Task<> { co_await select_dyn(cases); })).empty());

  // A timeout keeps its moment and fires once, however many selects it is in.
  std::vector<SelectCase> timed;
  int fired = 0;
  timed.push_back(on(after(2ms), [&] { ++fired; }));
  timed.push_back(otherwise([] {}));
  CHECK(co_await select_dyn(timed) == 1);
  co_await sleep_for(5ms);
  CHECK(co_await select_dyn(timed) == 0);
  for (int i = 0; i < 3; ++i) CHECK(co_await select_dyn(timed) == 1);
  CHECK(fired == 1);

  // An operation given by name stays the caller's.
  Timer timer(1ms);
  std::vector<SelectCase> named;
  named.push_back(on(timer, [&] { ++fired; }));
  CHECK(co_await select_dyn(named) == 0);
  timer.reset(1us);
  CHECK(co_await select_dyn(named) == 0);
  CHECK(fired == 3);
}

RINGO_TEST("SE-19: a list that panics may be used again, and keeps nothing") {
  test::Counted::Balance balance;
  {
    Channel<test::Counted> counted(1);
    Channel<test::MoveOnly> only_movable(1);
    std::vector<SelectCase> cases;
    cases.push_back(on(counted.recv(), [] {}));
    cases.push_back(on(only_movable.send(test::MoveOnly(1)), [] {}));
    CHECK(co_await select_dyn(cases) == 1);
    for (int i = 0; i < 3; ++i) {
      CHECK(!(co_await panic_of_task([&]() -> Task<> { co_await select_dyn(cases); })).empty());
    }
    cases.pop_back();
    co_await counted.emplace(balance, 1);
    CHECK(co_await select_dyn(cases) == 0);
    co_await counted.emplace(balance, 2);
  }
  CHECK(balance.alive == 0);
}

RINGO_TEST("SE-20: what was done before a send is seen after the receive, in selects too") {
  Channel<char> ping;
  Channel<char> pong;
  Channel<char> never;
  long shared = 0;  // plain: the channels order the accesses
  auto other = go([&]() -> Task<> {
    for (int i = 0; i < 2000; ++i) {
      co_await select_any{on(ping.recv(), [] {}), on(never.recv(), [] {})};
      ++shared;
      co_await select_any{on(never.recv(), [] {}), on(pong.send('x'), [] {})};
    }
  });
  for (int i = 0; i < 2000; ++i) {
    ++shared;
    co_await select_any{on(ping.send('x'), [] {}), on(never.send('y'), [] {})};
    co_await select_any{on(pong.recv(), [] {}), on(never.recv(), [] {})};
  }
  co_await other;
  CHECK(shared == 4000);
}

RINGO_TEST("SE-21: senders that are always ready cannot starve a timer (TestTimerFairness)") {
  Channel<char> done;
  Channel<int> ch;
  std::vector<JoinHandle<void>> senders;
  for (int i = 0; i < 2; ++i) {
    senders.push_back(go([=]() -> Task<> {
      for (bool over = false; !over;) {
        co_await select_any{on(ch.send(1), [] {}), on(done.recv(), [&] { over = true; })};
      }
    }));
  }
  auto timer = after(20ms);
  int received = 0;
  for (bool fired = false; !fired;) {
    co_await select_any{on(ch.recv(), [&] { ++received; }), on(timer, [&] { fired = true; })};
  }
  CHECK(received > 0);
  done.close();
  co_await test::join_all(senders);
}

RINGO_TEST("SE-21: nor can a channel that is always ready (TestTimerFairness2)") {
  Channel<int> ch(1);
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 2; ++i) {
    handles.push_back(go([=]() -> Task<> {
      auto timer = after(20ms);
      for (bool fired = false; !fired;) {
        co_await select_any{on(ch.send(1), [] {}), on(ch.recv(), [] {}),
                            on(timer, [&] { fired = true; })};
      }
    }));
  }
  co_await test::join_all(handles);
  CHECK(ch.cap() == 1);
}
