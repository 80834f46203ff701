// Small programs of Go's test/ and test/fixedbugs: where a receive puts its value and its `ok`, and
// what deferred calls and goexit do to each other.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <ringo/defer.hpp>
#include <ringo/leak_check.hpp>

#include "support.hpp"

using namespace ringo;
using namespace ringo::test;

// --- receiving ----------------------------------------------------------------------------------

RINGO_TEST("issue8347: the default leaves alone what the receive would have written") {
  Channel<bool> ch(1);
  std::optional<bool> got = true;
  for (int i = 0; i < 12; ++i) {
    const bool received = co_await select_any{
        on(ch.recv(), [&](std::optional<bool> value) { return got = value, true; }),
        otherwise([] { return false; })};
    CHECK_FALSE(received);
    CHECK(got == true);
  }
  ch.close();
  co_await select_any{on(ch.recv(), [&](std::optional<bool> value) { got = value; }),
                      otherwise([] {})};
  CHECK_FALSE(got);
}

RINGO_TEST("bug225: a value that is received for nothing is received") {
  Channel<int> ch(3);
  for (int i = 0; i < 3; ++i) co_await ch.send(i);
  (void)co_await ch.recv();
  co_await select_any{ch.recv()};
  CHECK_EQ(ch.len(), 1);
  CHECK(ch.try_recv() == 2);
}

RINGO_TEST("bug312: all 64 bits go through a select") {
  constexpr std::uint64_t wide = 0x1234'5678'9abc'def0u;
  Channel<std::uint64_t> ch(1);
  co_await select_any{on(ch.send(wide), [] {}), otherwise([] { FAIL_CHECK("no room"); })};
  std::uint64_t got = 0;
  co_await select_any{
      on(ch.recv(), [&](std::optional<std::uint64_t> value) { got = value.value(); }),
      otherwise([] { FAIL_CHECK("no value"); })};
  CHECK_EQ(got, wide);
}

namespace {

/// Receives into a place that is chosen only when there is a value, in one of three forms.
template <class Place>
Task<bool> receive_into(Channel<int> ch, int form, Place place) {
  std::optional<int> got;
  auto take = [&](std::optional<int> value) { got = value; };
  switch (form) {
    case 0:
      got = co_await ch.recv();
      break;
    case 1:
      co_await select_any{on(ch.recv(), take)};
      break;
    default:
      co_await select_any{on(ch.recv(), take), on(Channel<int>::nil().recv(), take)};
  }
  if (got) place() = *got;
  co_return got.has_value();
}

}  // namespace

RINGO_TEST("bug320: into a variable, an element, a map and through a pointer") {
  for (int form : {0, 1, 2}) {
    Channel<int> ch(10);
    for (int i = 1; i <= 4; ++i) co_await ch.send(i);
    ch.close();
    int variable = 0;
    std::vector<int> list(2);
    std::map<std::string, int> map;
    int behind = 0;
    int* pointer = &behind;
    int evaluated = 0;
    auto into_variable = [&]() -> int& { return variable; };
    auto into_list = [&]() -> int& { return list[1]; };
    auto into_map = [&]() -> int& { return ++evaluated, map["key"]; };
    auto through_pointer = [&]() -> int& { return *pointer; };
    CHECK(co_await receive_into(ch, form, into_variable));
    CHECK(co_await receive_into(ch, form, into_list));
    CHECK(co_await receive_into(ch, form, into_map));
    CHECK(co_await receive_into(ch, form, through_pointer));
    CHECK_EQ(variable, 1);
    CHECK_EQ(list[1], 2);
    CHECK_EQ(map["key"], 3);
    CHECK_EQ(behind, 4);
    CHECK_FALSE(co_await receive_into(ch, form, into_map));
    CHECK_EQ(evaluated, 1);
    CHECK_EQ(map["key"], 3);
  }
}

namespace {

/// Of its own type, made from what a receive says.
struct Yes {
  Yes& operator=(bool value) {
    text = value ? "yes" : "no";
    return *this;
  }
  std::string text;
};

template <class Flag>
Task<> receive_flag(Flag& empty, Flag& full, Flag& closed) {
  Channel<int> ch(1);
  int value = 100;
  auto poll = [&](Flag& flag) -> Task<bool> {
    co_return co_await select_any{on(ch.recv(),
                                     [&](std::optional<int> got) {
                                       value = got.value_or(0);
                                       flag = got.has_value();
                                       return true;
                                     }),
                                  otherwise([] { return false; })};
  };
  CHECK_FALSE(co_await poll(empty));
  CHECK_EQ(value, 100);
  co_await ch.send(1);
  CHECK(co_await poll(full));
  CHECK_EQ(value, 1);
  ch.close();
  CHECK(co_await poll(closed));
  CHECK_EQ(value, 0);
}

}  // namespace

RINGO_TEST("issue16870: ok of any type that takes a bool, open, empty and closed") {
  bool plain[3] = {true, false, true};
  co_await receive_flag(plain[0], plain[1], plain[2]);
  CHECK(plain[0]);
  CHECK(plain[1]);
  CHECK_FALSE(plain[2]);
  Yes own[3];
  co_await receive_flag(own[0], own[1], own[2]);
  CHECK_EQ(own[0].text, "");
  CHECK_EQ(own[1].text, "yes");
  CHECK_EQ(own[2].text, "no");
}

// --- deferred calls and goexit ------------------------------------------------------------------

RINGO_TEST("issue8158: goexit after a recovery, over and over") {
  LeakCheck check;
  for (int i = 0; i < 100; ++i) {
    Channel<> ended(1);
    std::string order;
    go([&order, ended]() -> Task<> {
      Defer outer{[&] {
        order += "outer";
        ended.try_send(Unit{});
      }};
      bool recovered = false;
      try {
        Defer inner{[&] { order += "inner "; }};
        co_await yield();
        panic("to be recovered from");
      } catch (const Panic&) { recovered = true; }
      if (recovered) goexit();
      order += "went on ";
    });
    co_await ended.recv();
    CHECK_EQ(order, "inner outer");
  }
  CHECK_EQ(co_await check.leaks(std::chrono::seconds(10)), "");
}

// Go calls goexit while its packages are initialised. There is no such time here: the nearest is
// main's own goroutine, before it has waited for anything, in a call that others await.
TEST_CASE("issue5963: goexit in main leaves the others at work, who end the program") {
  for_each_setting([](const Setting& setting) {
    expect_exit(7, "", [&] {
      run(options_of(setting), []() -> Task<> {
        Channel<int> ch;
        go([ch]() -> Task<> {
          const int status = (co_await ch.recv()).value();
          std::_Exit(status);
        });
        auto initialise = [ch]() -> Task<> {
          go([ch]() -> Task<> { co_await ch.send(7); });
          goexit();
          co_return;
        };
        co_await initialise();
        std::_Exit(1);
      });
    });
  });
}

TEST_CASE("defer: ten calls of a loop, and of a function, in reverse") {
  std::string text;
  const auto add = [&](int digit) { text += std::to_string(digit); };
  {
    DeferStack calls;
    for (int i = 0; i < 10; ++i) calls.push(add, i);
    text += "before ";
  }
  CHECK_EQ(text, "before 9876543210");
  text.clear();
  const auto nested = [&](auto self, int depth) -> void {
    Defer call{add, depth};
    if (depth > 0) self(self, depth - 1);
  };
  nested(nested, 9);
  CHECK_EQ(text, "0123456789");
}

TEST_CASE("deferprint: what is printed are the values of when it was deferred") {
  std::string text;
  const auto print = [&](int number, bool truth, double real, const std::string& word) {
    text += std::to_string(number) + (truth ? " true " : " false ") +
            std::to_string(static_cast<int>(real * 10)) + " " + word + "\n";
  };
  int number = 42;
  bool truth = true;
  double real = 1.5;
  std::string word = "world";
  {
    Defer first{print, number, truth, real, word};
    number = 20;
    truth = false;
    Defer second{print, number, truth, real, word};
    number = 0;
    real = 0;
    word = "gone";
  }
  CHECK_EQ(text, "20 false 15 world\n42 true 15 world\n");
}

TEST_CASE("issue8047: a null function panics where it would be called, behind all others") {
  std::string order;
  const std::string said = panic_of([&] {
    Defer first{[&] { order += "first"; }};
    void (*none)() = nullptr;
    Defer nil{none};
    Defer last{[&] { order += "last "; }};
    order += "body ";
  });
  CHECK_EQ(order, "body last first");
  CHECK_NE(said.find("nil pointer"), said.npos);
}
