#include <ringo/once.hpp>

#include <memory>
#include <string>
#include <type_traits>

#include <ringo/wait_group.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::End;
using test::Victim;

static_assert(!std::is_copy_constructible_v<Once> && !std::is_move_constructible_v<Once>);
static_assert(!std::is_copy_assignable_v<Once> && !std::is_move_assignable_v<Once>);
static_assert(!std::is_copy_constructible_v<OnceValue<int>>);
static_assert(!std::is_move_constructible_v<OnceValue<int>>);
static_assert(sizeof(Once) <= 24);

namespace {

/// A Once that somebody is at.
struct Running : Once {};
constexpr auto call_it = [](Running& once) -> Task<> {
  Channel<int> never;
  co_await once.call([&]() -> Task<> { co_await never.recv(); });
};

Task<> add_slowly(int& to, int amount) {
  co_await yield();
  to += amount;
}
void add(int& to, int amount) { to += amount; }

}  // namespace

RINGO_TEST("ON-01: f runs once, and who comes meanwhile waits for it") {
  for (int round = 0; round < 50; ++round) {
    Once once;
    CHECK(!once.done());
    int calls = 0;
    std::atomic<int> through{0};
    WaitGroup wg;
    for (int i = 0; i < 10; ++i) {
      wg.go([&]() -> Task<> {
        co_await once.call([&]() -> Task<> {
          CHECK(through == 0);
          co_await yield();
          ++calls;
          co_await yield();
        });
        CHECK(once.done());
        CHECK(calls == 1);  // visible
        ++through;
      });
    }
    co_await wg.wait();
    CHECK(calls == 1);
    CHECK(through == 10);
    co_await once.call([&] { ++calls; });
    CHECK(calls == 1);
  }
}

RINGO_TEST("ON-01: functions of all kinds, with arguments") {
  int sum = 0;
  Once a;
  co_await a.call(add, std::ref(sum), 1);
  Once b;
  co_await b.call(add_slowly, std::ref(sum), 10);
  Once c;
  std::unique_ptr<int> hundred(new int(100));
  auto takes = [&sum](std::unique_ptr<int> p) { sum += *p; };
  co_await c.call(takes, std::move(hundred));
  Once d;
  auto owns = [&sum, p = std::make_unique<int>(1000)]() -> Task<int> {
    co_await yield();
    sum += *p;
    co_return 1;
  };
  co_await d.call(std::move(owns));
  CHECK(sum == 1111);
}

RINGO_TEST("ON-02: an exception goes to its caller, and counts as done") {
  Once once;
  std::atomic<int> thrown{0};
  std::atomic<int> silent{0};
  int calls = 0;
  WaitGroup wg;
  for (int i = 0; i < 6; ++i) {
    wg.go([&]() -> Task<> {
      try {
        co_await once.call([&]() -> Task<> {
          co_await test::yields(3);
          ++calls;
          throw std::runtime_error("failed");
        });
        ++silent;
      } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "failed");
        ++thrown;
      }
    });
  }
  co_await wg.wait();
  CHECK(calls == 1);
  CHECK(thrown == 1);
  CHECK(silent == 5);
  CHECK(once.done());
  Once plain;
  CHECK(co_await test::panic_of_task(
            [&]() -> Task<> { co_await plain.call([] { panic("boo"); }); }) == "boo");
  co_await plain.call([&] { ++calls; });
  CHECK(calls == 1);
}

RINGO_TEST("ON-02: goexit counts as done too") {
  Once once;
  WaitGroup wg;
  wg.go([&]() -> Task<> {
    co_await once.call([] { goexit(); });
    FAIL("the goroutine went on");
  });
  co_await wg.wait();
  CHECK(once.done());
}

RINGO_TEST_PINNED("ON-03: a call inside its own function waits for itself") {
  Once once;
  int stage = 0;
  Victim victim([&]() -> Task<> {
    co_await once.call([&]() -> Task<> {
      stage = 1;
      co_await once.call([&] { stage = 2; });
      stage = 3;
    });
  });
  co_await test::yields(5);
  CHECK(stage == 1);
  CHECK(victim.cancel());
  co_await victim.ended();
  CHECK(stage == 1);
}

RINGO_TEST_PINNED("Once: if the goroutine that runs f is cancelled, the next one runs its own") {
  Once once;
  std::string order;
  Channel<int> ch;
  auto caller = [&](char name) {
    return [&, name]() -> Task<> {
      co_await once.call([&, name]() -> Task<> {
        order += name;
        co_await ch.recv();
        order += '!';
      });
    };
  };
  Victim a(caller('a'));
  Victim b(caller('b'));
  Victim c(caller('c'));
  Victim d(caller('d'));
  co_await test::yields();
  CHECK(order == "a");
  CHECK(b.cancel());  // one that waits
  CHECK(a.cancel());
  co_await a.ended();
  co_await test::yields();
  CHECK(order == "ac");
  CHECK(!once.done());
  co_await ch.send(1);
  co_await c.ended();
  co_await d.ended();
  CHECK(order == "ac!");
  CHECK(a.end() == End::canceled);
  CHECK(b.end() == End::canceled);
  CHECK(c.end() == End::returned);
  CHECK(d.end() == End::returned);
  // Nobody waits: the next one to come.
  Once other;
  Victim e([&]() -> Task<> { co_await other.call([&]() -> Task<> { co_await ch.recv(); }); });
  co_await test::yields();
  CHECK(e.cancel());
  co_await e.ended();
  int calls = 0;
  co_await other.call([&] { ++calls; });
  CHECK(calls == 1);
}

RINGO_TEST("ON-04: OnceValue gives the same value to all") {
  for (int round = 0; round < 30; ++round) {
    std::atomic<int> calls{0};
    OnceValue<std::string> value([&]() -> Task<std::string> {
      co_await yield();
      ++calls;
      co_return "the value";
    });
    CHECK(!value.done());
    std::vector<JoinHandle<const std::string*>> handles;
    for (int i = 0; i < 8; ++i) {
      handles.push_back(go([&]() -> Task<const std::string*> { co_return &co_await value.get(); }));
    }
    const std::string& mine = co_await value.get();
    CHECK(mine == "the value");
    for (auto& handle : handles) CHECK(co_await handle == &mine);
    CHECK(calls == 1);
    CHECK(value.done());
  }
}

RINGO_TEST("ON-04: an exception is thrown at every call") {
  int calls = 0;
  OnceValue<int> value([&]() -> int {
    ++calls;
    panic("no value");
  });
  for (int i = 0; i < 3; ++i) {
    CHECK(co_await test::panic_of_task([&]() -> Task<> { co_await value.get(); }) == "no value");
  }
  CHECK(calls == 1);
  auto init = once_func([&]() -> Task<> {
    ++calls;
    co_await yield();
    panic("no init");
  });
  for (int i = 0; i < 3; ++i) {
    CHECK(co_await test::panic_of_task([&]() -> Task<> { co_await init(); }) == "no init");
  }
  CHECK(calls == 2);
}

RINGO_TEST("ON-04: goexit in the function is a panic for the later ones") {
  OnceValue<int> value([]() -> int { goexit(); });
  WaitGroup wg;
  wg.go([&]() -> Task<> {
    co_await value.get();
    FAIL("the goroutine went on");
  });
  co_await wg.wait();
  CHECK(co_await test::panic_of_task([&]() -> Task<> { co_await value.get(); }) ==
        "sync: the function of a OnceValue called goexit");
}

RINGO_TEST("ON-04: the function is gone when it has run") {
  auto kept = std::make_shared<int>(7);
  auto compute = [kept] { return *kept; };
  OnceValue<int> value(std::move(compute));
  CHECK(kept.use_count() == 2);
  CHECK(co_await value.get() == 7);
  CHECK(kept.use_count() == 1);
}

RINGO_TEST("ON-04: once_value and once_func") {
  int calls = 0;
  auto number = once_value([&] { return ++calls; });
  CHECK(co_await number() == 1);
  CHECK(co_await number() == 1);
  auto text = once_value([&]() -> Task<std::string> {
    ++calls;
    co_return "text";
  });
  CHECK(co_await text() == "text");
  CHECK((co_await text.get()).size() == 4);
  auto init = once_func([&] { ++calls; });
  co_await init();
  co_await init();
  CHECK(calls == 3);
  OnceValue<> nothing([&]() -> Task<> {
    ++calls;
    co_return;
  });
  co_await nothing.get();
  co_await nothing.get();
  CHECK(calls == 4);
}

RINGO_TEST_PINNED("OnceValue: cancelled while computing, the next one computes") {
  Channel<int> ch;
  int calls = 0;
  OnceValue<int> value([&]() -> Task<int> {
    ++calls;
    co_return (co_await ch.recv()).value();
  });
  Victim a([&]() -> Task<> { co_await value.get(); });
  int seen = 0;
  Victim b([&]() -> Task<> { seen = co_await value.get(); });
  co_await test::yields();
  CHECK(a.cancel());
  co_await a.ended();
  CHECK(a.end() == End::canceled);
  co_await test::yields();
  CHECK(calls == 2);
  co_await ch.send(5);
  co_await b.ended();
  CHECK(seen == 5);
  CHECK(co_await value.get() == 5);
  CHECK(calls == 2);
}

TEST_CASE("Once: drained waiters are cancelled") { test::expect_drained<Running>(call_it); }

TEST_CASE("Once: destroyed while goroutines wait") {
  test::expect_exit_matrix(2, "fatal error: sync: Once destroyed while 1 goroutine waits on it",
                           []() -> Task<> {
                             co_await test::on_one_worker([]() -> Task<> {
                               auto once = std::make_unique<Running>();
                               for (int i = 0; i < 2; ++i) {
                                 go_on(0, [p = once.get()]() -> Task<> { co_await call_it(*p); });
                               }
                               co_await test::yields(3);
                               once.reset();
                             });
                           });
}

TEST_CASE("Once: abandoned in the middle, the next runtime runs it again") {
  test::for_each_setting([](const test::Setting& setting) {
    Once once;
    int calls = 0;
    auto call = [&]() -> Task<> {
      co_await once.call([&]() -> Task<> {
        Channel<int> never;
        if (++calls == 1) co_await never.recv();
      });
    };
    test::run_setting(setting, [&]() -> Task<> {
      co_await test::on_one_worker([&]() -> Task<> {
        for (int i = 0; i < 3; ++i) go_on(0, call);
        co_await test::yields(3);
      });
    });
    CHECK(calls == 1);
    test::run_setting(setting, [&]() -> Task<> {
      co_await call();
      co_await call();
    });
    CHECK(calls == 2);
    CHECK(once.done());
  });
}
