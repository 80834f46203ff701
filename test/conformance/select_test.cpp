// select: the rows SE of Go's semantics about evaluation, choice and waiting. Fairness is in
// select_chance_test.cpp.
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::blocks;
using test::on_one_worker;
using test::panic_of_task;
using test::yields;

RINGO_TEST("SE-01: operands are evaluated once, in source order, chosen or not") {
  std::string order;
  Channel<int> ready(1);
  auto nil = Channel<int>::nil();
  auto channel = [&](Channel<int>& which, const char* name) -> Channel<int>& {
    order += name;
    return which;
  };
  auto value = [&](int v, const char* name) {
    order += name;
    return v;
  };
  // Built statement by statement: a braced list evaluates its elements in order.
  co_await select_any{
      on(channel(nil, "1").recv(), [&] { order += "wrong"; }),
      on(channel(nil, "2").send(value(7, "v")), [&] { order += "wrong"; }),
      on(channel(ready, "3").send(value(8, "w")), [&] { order += "!"; }),
      on(channel(nil, "4").recv(), [&] { order += "wrong"; }),
  };
  CHECK(order == "12v3w4!");
  CHECK(co_await ready.recv() == 8);
}

RINGO_TEST("SE-01: values are evaluated even for channels that cannot be chosen (select)") {
  int counter = 0;
  auto next = [&] { return ++counter; };
  Channel<int> full(1);
  auto nil = Channel<int>::nil();
  co_await full.send(0);
  for (int i = 0; i < 5; ++i) {
    bool chosen = false;
    co_await select_any{on(full.send(next()), [&] { chosen = true; }),
                        on(nil.send(next()), [&] { chosen = true; }), otherwise([] {})};
    CHECK(!chosen);
  }
  CHECK(counter == 10);
}

RINGO_TEST("SE-02: a select uses the channels that it was given") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> original;
    Channel<int> variable = original;
    auto waiter = go_on(0, [&variable]() -> Task<int> {
      co_return co_await select_any{
          on(variable.recv(), [](std::optional<int> value) { return value.value_or(-1); }),
          on(Channel<int>::nil().recv(), [](std::optional<int>) { return -2; })};
    });
    co_await yields();
    variable = Channel<int>::nil();
    CHECK(original.try_send(4));
    CHECK(co_await waiter == 4);
  });
}

RINGO_TEST("SE-03: an operand that throws ends it before anything communicates") {
  Channel<int> ch(1);
  bool later = false;
  auto thrower = []() -> int { throw std::runtime_error("operand"); };
  auto next = [&] {
    later = true;
    return 2;
  };
  bool caught = false;
  try {
    co_await select_any{on(ch.send(1), [] {}), on(ch.send(thrower()), [] {}),
                        on(ch.send(next()), [] {})};
  } catch (const std::runtime_error&) { caught = true; }
  CHECK(caught);
  CHECK(!later);
  CHECK(ch.len() == 0);
}

RINGO_TEST("SE-04: only the chosen case's handler runs (select4)") {
  Channel<int> ready(1);
  Channel<int> silent;
  co_await ready.send(42);
  int called = 0;
  int got = 0;
  co_await select_any{on(silent.recv(), [&](std::optional<int>) { ++called; }),
                      on(ready.recv(), [&](std::optional<int> value) { got = value.value_or(0); })};
  CHECK(called == 0);
  CHECK(got == 42);
}

RINGO_TEST("SE-07: exactly one case takes place") {
  Channel<int> a(1);
  Channel<int> b(1);
  for (int round = 0; round < 200; ++round) {
    co_await a.send(1);
    co_await b.send(2);
    auto value = co_await select_any{on(a.recv(), [](std::optional<int> v) { return v; }),
                                     on(b.recv(), [](std::optional<int> v) { return v; })};
    REQUIRE(value);
    CHECK(a.len() == (*value == 1 ? 0u : 1u));
    CHECK(b.len() == (*value == 2 ? 0u : 1u));
    co_await (*value == 1 ? b : a).recv();
  }
}

RINGO_TEST("SE-07: a losing case gives its value back to nobody, and takes none") {
  co_await on_one_worker([]() -> Task<> {
    test::Counted::Balance balance;
    Channel<test::Counted> out;
    Channel<int> in;
    auto waiter = go_on(0, [&]() -> Task<int> {
      int which = 0;
      co_await select_any{on(out.emplace(balance, 5), [&] { which = 1; }),
                          on(in.recv(), [&] { which = 2; })};
      co_return which;
    });
    co_await yields();
    CHECK(balance.holding == 1);
    CHECK(in.try_send(1));
    CHECK(!out.try_recv());
    CHECK(co_await waiter == 2);
    CHECK(balance.alive == 0);
  });
}

RINGO_TEST("SE-08: cases on nil channels are off, from one execution to the next") {
  Channel<int> a(4);
  Channel<int> b(4);
  for (int i = 0; i < 4; ++i) {
    co_await a.send(1);
    co_await b.send(1);
  }
  a.close();
  b.close();
  int from_a = 0;
  int from_b = 0;
  while (!a.is_nil() || !b.is_nil()) {
    co_await select_any{
        on(a.recv(),
           [&](std::optional<int> v) { v ? void(++from_a) : void(a = Channel<int>::nil()); }),
        on(b.recv(),
           [&](std::optional<int> v) { v ? void(++from_b) : void(b = Channel<int>::nil()); })};
  }
  CHECK(from_a == 4);
  CHECK(from_b == 4);
}

RINGO_TEST("SE-09: a select without cases, or with nil channels only, waits for ever") {
  co_await on_one_worker([]() -> Task<> {
    CHECK(co_await blocks([]() -> Task<> { co_await select_any{}; }));
    CHECK(co_await blocks([]() -> Task<> {
      co_await select_any{on(Channel<int>::nil().recv(), [] {}),
                          on(Channel<int>::nil().send(1), [] {})};
    }));
    CHECK(!co_await blocks([]() -> Task<> {
      co_await select_any{on(Channel<int>::nil().recv(), [] {}), otherwise([] {})};
    }));
  });
}

RINGO_TEST("SE-11: one case is the plain operation, with a default the one that does not wait") {
  for (int position = 0; position < 2; ++position) {
    Channel<int> ch(1);
    auto try_recv = [&]() -> Task<int> {
      auto take = [](std::optional<int> v) { return v.value_or(-1); };
      auto none = [] { return -2; };
      if (position == 0) co_return co_await select_any{on(ch.recv(), take), otherwise(none)};
      co_return co_await select_any{otherwise(none), on(ch.recv(), take)};
    };
    auto try_send = [&](int value) -> Task<bool> {
      auto done = [] { return true; };
      auto none = [] { return false; };
      if (position == 0) co_return co_await select_any{on(ch.send(value), done), otherwise(none)};
      co_return co_await select_any{otherwise(none), on(ch.send(value), done)};
    };
    CHECK(co_await try_recv() == -2);
    CHECK(co_await try_send(3));
    CHECK(!co_await try_send(4));
    CHECK(co_await try_recv() == 3);
    CHECK(co_await try_recv() == -2);
    co_await select_any{on(ch.send(6), [] {})};
    CHECK(co_await select_any{on(ch.recv(), [](std::optional<int> v) { return v.value_or(-1); })} ==
          6);
    ch.close();
    CHECK(co_await try_recv() == -1);
  }
}

RINGO_TEST("SE-12: the same channel may be in several cases") {
  Channel<int> ch(1);
  int sent = 0;
  int received = 0;
  for (int i = 0; i < 100; ++i) {
    co_await select_any{on(ch.send(1), [&] { ++sent; }), on(ch.recv(), [&] { ++received; }),
                        on(ch.send(2), [&] { ++sent; }), on(ch.recv(), [&] { ++received; })};
  }
  CHECK(sent == 50);
  CHECK(received == 50);
}

RINGO_TEST("SE-13: after a select its cases have left all queues") {
  co_await on_one_worker([]() -> Task<> {
    std::vector<Channel<int>> channels(3);
    auto waiter = go_on(0, [&channels]() -> Task<int> {
      co_return co_await select_any{on(channels[0].recv(), [](std::optional<int>) { return 0; }),
                                    on(channels[1].recv(), [](std::optional<int>) { return 1; }),
                                    on(channels[2].recv(), [](std::optional<int>) { return 2; })};
    });
    // Others stand in line behind it.
    std::vector<JoinHandle<int>> behind;
    for (const auto& ch : channels) {
      behind.push_back(go_on(0, [ch]() -> Task<int> { co_return (co_await ch.recv()).value(); }));
    }
    co_await yields();
    CHECK(channels[1].try_send(10));
    CHECK(co_await waiter == 1);
    for (int i = 0; i < 3; ++i) CHECK(channels[static_cast<std::size_t>(i)].try_send(20 + i));
    for (int i = 0; i < 3; ++i) CHECK(co_await behind[static_cast<std::size_t>(i)] == 20 + i);
    for (const auto& ch : channels) CHECK(!ch.try_send(1));
  });
}

RINGO_TEST("SE-13: a loop of selects leaves nothing in the queue of the case that never wins") {
  co_await on_one_worker([]() -> Task<> {
    constexpr int rounds = 20;
    Channel<int> never;
    Channel<int> often;
    auto loop = go_on(0, [&]() -> Task<> {
      for (int i = 0; i < rounds; ++i) {
        co_await select_any{on(never.recv(), [] { CHECK(false); }),
                            on(often.recv(), [i](std::optional<int> v) { CHECK(v == i); })};
      }
    });
    for (int i = 0; i < rounds; ++i) {
      co_await yields();
      CHECK(often.try_send(i));
    }
    co_await loop;
    CHECK(!never.try_send(1));
    auto receiver = go_on(0, [&]() -> Task<int> { co_return (co_await never.recv()).value(); });
    co_await yields();
    CHECK(never.try_send(7));
    CHECK(co_await receiver == 7);
  });
}

RINGO_TEST("SE-14: a waiter that was won elsewhere is skipped") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> a;
    Channel<int> b;
    auto first = go_on(0, [&]() -> Task<int> {
      co_return co_await select_any{
          on(a.recv(), [](std::optional<int> v) { return v.value_or(-1); }),
          on(b.recv(), [](std::optional<int> v) { return v.value_or(-1); })};
    });
    auto second = go_on(0, [&]() -> Task<int> { co_return (co_await b.recv()).value_or(-1); });
    co_await yields();
    // The select is won by a; though it has not run since, b's value goes to the next in line.
    CHECK(a.try_send(1));
    CHECK(b.try_send(2));
    CHECK(!b.try_send(3));
    CHECK(co_await first == 1);
    CHECK(co_await second == 2);
  });
}

RINGO_TEST("SE-14: a goroutine that ends does not disturb a select that another case has won") {
  co_await on_one_worker([]() -> Task<> {
    Channel<int> ch;
    auto child = go_on(0, [ch]() -> Task<int> {
      co_await yields();
      CHECK(ch.try_send(1));  // and it ends before the select runs
      co_return 2;
    });
    CHECK(co_await select_any{on(ch.recv(), [](std::optional<int> v) { return v.value_or(-1); }),
                              on(child, [](int result) { return result; })} == 1);
    CHECK(co_await child == 2);
  });
}

RINGO_TEST("SE-15: a select that waits to send delivers the value it was given") {
  co_await on_one_worker([]() -> Task<> {
    Channel<std::string> ch;
    std::string text = "then";
    auto sender = go_on(0, [&, ch]() -> Task<> {
      co_await select_any{on(ch.send(text), [] {}), on(Channel<int>::nil().recv(), [] {})};
    });
    co_await yields();
    text = "now";
    CHECK(co_await ch.recv() == "then");
    co_await sender;
  });
}

RINGO_TEST("SE-17: handlers and the index form leave the loop as C++ does (select8)") {
  Channel<int> ch(3);
  for (int i = 0; i < 3; ++i) co_await ch.send(i);
  Channel<int> nil = Channel<int>::nil();
  int rounds = 0;
  for (;;) {
    auto result = co_await select_any{ch.recv(), nil.recv(), otherwise()};
    if (result.index() == 2) break;
    REQUIRE(result.index() == 0);
    CHECK(result.get<0>() == rounds);
    CHECK_THROWS_AS(result.get<1>(), std::bad_variant_access);
    ++rounds;
  }
  CHECK(rounds == 3);
}

RINGO_TEST("SE-18: select_first takes the topmost ready case") {
  Channel<int> stop(1);
  Channel<int> data(1);
  co_await data.send(1);
  for (int i = 0; i < 100; ++i) {
    stop = Channel<int>(1);
    co_await stop.send(1);
    auto which = co_await select_first{on(stop.recv(), [] { return 's'; }),
                                       on(after(-1s), [] { return 't'; }),
                                       on(data.recv(), [] { return 'd'; })};
    CHECK(which == 's');
    CHECK(co_await select_first{on(after(0s), [] { return 't'; }),
                                on(data.recv(), [] { return 'd'; })} == 't');
  }
  CHECK(data.len() == 1);
  CHECK(co_await select_first{on(stop.recv(), [] { return 's'; }),
                              on(data.recv(), [] { return 'd'; })} == 'd');
}

RINGO_TEST("SE-22: timers, joins and channels are cases of one select") {
  Channel<int> ch;
  auto child = go([]() -> Task<int> {
    co_await yield();
    co_return 9;
  });
  int joined = co_await select_any{on(ch.recv(), [](std::optional<int>) { return -1; }),
                                   on(after(1h), [] { return -2; }),
                                   on(child, [](int result) { return result; })};
  CHECK(joined == 9);
  // A Task is no case, nor is what cannot be taken back.
  static_assert(detail::IsOperation<decltype(ch.recv())>);
  static_assert(detail::IsOperation<JoinHandle<int>>);
  static_assert(detail::IsOperation<After>);
  static_assert(!detail::IsOperation<Task<int>>);
  static_assert(!detail::IsOperation<int>);
}

RINGO_TEST("select: results of handlers, and their exceptions") {
  Channel<int> ch(2);
  co_await ch.send(1);
  std::unique_ptr<int> result = co_await select_any{
      on(ch.recv(), [](std::optional<int> v) { return std::make_unique<int>(*v); }),
      otherwise([] { return std::unique_ptr<int>(); })};
  REQUIRE(result);
  CHECK(*result == 1);
  co_await ch.send(2);
  CHECK(co_await panic_of_task([&]() -> Task<> {
          co_await select_any{on(ch.recv(), [] { panic("handler"); })};
        }) == "handler");
  CHECK(ch.len() == 0);  // the case had taken place
}
