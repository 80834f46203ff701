// task_group beyond what Go's errgroup does: results, nesting, cancellation from outside and from
// inside, and the end of a runtime.
#include <ringo/task_group.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/mutex.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::panic_of;

namespace {

enum class How { returned, canceled, join_canceled, failed };

template <class F>
Task<How> outcome_of(F body) {
  try {
    co_await body();
  } catch (const Canceled&) { co_return How::canceled; } catch (const JoinCanceled&) {
    co_return How::join_canceled;
  } catch (const std::exception&) { co_return How::failed; }
  co_return How::returned;
}

Task<int> doubled(int n) {
  co_await yield();
  co_return 2 * n;
}

Task<> add_to(int& sum, std::unique_ptr<int> n) {
  co_await yield();
  sum += *n;
}

int plain_sum(int a, int b, int c, int d, int e, int f, int g, int h) {
  return a + b + c + d + e + f + g + h;
}

}  // namespace

RINGO_TEST("task_group: gives what the body returns, and children their handles") {
  int sum = co_await task_group([](TaskGroup& group) -> Task<int> {
    auto a = group.go(doubled, 3);
    auto b = group.go(doubled(4));
    auto c = group.go(plain_sum, 1, 2, 3, 4, 5, 6, 7, 8);
    auto d = group.go([](int x) { return x + 1; }, 9);
    int total = co_await a;
    total += co_await b;
    total += co_await c;
    total += co_await d;
    co_return total;
  });
  CHECK(sum == 6 + 8 + 36 + 10);
  // Movable results, references, arguments that can only be moved.
  int by_reference = 0;
  auto text = co_await task_group([&](TaskGroup& group) -> Task<std::unique_ptr<std::string>> {
    group.go(add_to, std::ref(by_reference), std::make_unique<int>(5));
    co_return std::make_unique<std::string>("moved");
  });
  CHECK(*text == "moved");
  CHECK(by_reference == 5);
}

RINGO_TEST("task_group: children may use what lies outside by reference, and start more") {
  std::atomic<int> leaves{0};
  struct Tree {
    static Task<> grow(TaskGroup& group, std::atomic<int>& count, int depth) {
      if (depth == 0) {
        ++count;
        co_return;
      }
      for (int i = 0; i < 3; ++i) group.go(grow, std::ref(group), std::ref(count), depth - 1);
      co_await yield();
    }
  };
  co_await task_group([&](TaskGroup& group) { return Tree::grow(group, leaves, 5); });
  CHECK(leaves == 243);
}

RINGO_TEST("task_group: groups within groups; an inner failure goes up one group at a time") {
  std::atomic<int> seen{0};
  auto body = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& outer) -> Task<> {
      outer.go([&]() -> Task<> {
        auto inner = [&]() -> Task<> {
          co_await task_group([](TaskGroup& group) -> Task<> {
            group.go([]() -> Task<> { co_await sleep_for(24h); });
            group.go([] { throw std::runtime_error("inner"); });
            co_return;
          });
        };
        CHECK(co_await outcome_of(inner) == How::failed);
        CHECK(!this_context().err());  // the outer group goes on
        ++seen;
        co_await yield();
        ++seen;
      });
      co_return;
    });
  };
  CHECK(co_await outcome_of(body) == How::returned);
  CHECK(seen == 2);
  auto through = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& outer) -> Task<> {
      outer.go([]() -> Task<> { co_await sleep_for(24h); });
      outer.go([]() -> Task<> {
        co_await task_group([](TaskGroup& group) -> Task<> {
          group.go([] { throw std::runtime_error("inner"); });
          co_return;
        });
      });
      co_return;
    });
  };
  CHECK(co_await outcome_of(through) == How::failed);
}

RINGO_TEST("task_group: a failure of the body counts like one of a child") {
  std::atomic<int> unwound{0};
  auto body = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      group.go([&]() -> Task<> {
        try {
          co_await sleep_for(24h);
        } catch (const Canceled&) {
          ++unwound;
          throw;
        }
      });
      co_await yield();
      throw std::runtime_error("body");
    });
  };
  CHECK(co_await outcome_of(body) == How::failed);
  CHECK(unwound == 1);
  // A body that is no coroutine and throws before there is a Task.
  auto early = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      group.go([&] { ++unwound; });
      throw std::logic_error("no Task");
    });
  };
  CHECK(co_await outcome_of(early) == How::failed);
  CHECK(unwound == 2);
}

RINGO_TEST("task_group: later failures are dropped, and a dropped handle reports nothing") {
  auto body = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      for (int i = 0; i < 10; ++i) {
        auto handle = group.go([]() -> Task<> {
          try {
            co_await sleep_for(1ms);
          } catch (const Canceled&) {}
          throw std::runtime_error("each of them");
        });
        if (i % 2 == 0) handle.detach();
      }
      co_return;
    });
  };
  CHECK(co_await outcome_of(body) == How::failed);
}

RINGO_TEST("task_group: cancel() ends the work of all without a failure") {
  std::atomic<int> ended{0};
  auto children = [&](TaskGroup& group) {
    for (int i = 0; i < 5; ++i) {
      group.go([&]() -> Task<> {
        try {
          co_await sleep_for(24h);
        } catch (const Canceled&) {
          ++ended;
          throw;
        }
      });
    }
  };
  auto by_body = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      children(group);
      co_await test::yields(3);
      group.cancel();
      group.cancel();
    });
  };
  CHECK(co_await outcome_of(by_body) == How::returned);
  auto body_waits = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      children(group);
      group.go([&]() -> Task<> {
        co_await test::yields(3);
        group.cancel();
      });
      co_await sleep_for(24h);
    });
  };
  CHECK(co_await outcome_of(body_waits) == How::returned);
  auto no_value = [&]() -> Task<> {
    (void)co_await task_group([&](TaskGroup& group) -> Task<int> {
      group.cancel();
      co_await sleep_for(24h);
      co_return 1;
    });
  };
  CHECK(co_await outcome_of(no_value) == How::join_canceled);
  auto with_value = [&]() -> Task<> {
    int n = co_await task_group([&](TaskGroup& group) -> Task<int> {
      group.cancel();
      co_return 7;
    });
    CHECK(n == 7);
  };
  CHECK(co_await outcome_of(with_value) == How::returned);
}

RINGO_TEST("task_group: a cancellation from outside comes out when all have unwound") {
  // Whether the body still waits or has returned: what its children were to do was not done.
  for (bool body_waits : {true, false}) {
    for (bool gives_value : {true, false}) {
      auto [ctx, cancel] = with_cancel(background());
      std::atomic<int> unwound{0};
      std::atomic<int> started{0};
      auto child = [&]() -> Task<> {
        ++started;
        try {
          co_await sleep_for(24h);
        } catch (const Canceled&) {
          ++unwound;
          throw;
        }
      };
      auto body = [&]() -> Task<> {
        if (gives_value) {
          (void)co_await task_group([&](TaskGroup& group) -> Task<int> {
            for (int i = 0; i < 3; ++i) group.go(child);
            if (body_waits) co_await sleep_for(24h);
            co_return 1;
          });
        } else {
          co_await task_group([&](TaskGroup& group) -> Task<> {
            for (int i = 0; i < 3; ++i) group.go(child);
            if (body_waits) co_await sleep_for(24h);
          });
        }
      };
      auto whole = [&]() -> Task<> { CHECK(co_await outcome_of(body) == How::canceled); };
      auto runner = ctx.go(whole);
      co_await test::eventually([&] { return started == 3; });
      co_await test::yields(3);
      cancel();
      co_await runner;
      CHECK(unwound == 3);
    }
  }
  // All that was to be done is done: no reason to throw, though the Context is over.
  auto [ctx, cancel] = with_cancel(background());
  auto body = [&, &cancel = cancel]() -> Task<> {
    int n = co_await task_group([&](TaskGroup& group) -> Task<int> {
      auto handle = group.go([] { return 5; });
      int result = co_await handle;
      cancel();
      co_return result;
    });
    CHECK(n == 5);
  };
  auto runner = ctx.go([&]() -> Task<> { CHECK(co_await outcome_of(body) == How::returned); });
  co_await runner;
}

RINGO_TEST("task_group: a timeout around a group is a timeout, wherever the group is") {
  for (bool body_waits : {true, false}) {
    auto work = [&]() -> Task<> {
      co_await task_group([&](TaskGroup& group) -> Task<> {
        group.go([]() -> Task<> { co_await sleep_for(24h); });
        if (body_waits) co_await sleep_for(24h);
      });
    };
    auto done = co_await with_timeout(2ms, work());
    CHECK(!done);
    CHECK(done.error() == Errc::timeout);
    CHECK(!this_context().err());
  }
}

RINGO_TEST("task_group: children that are shielded, or deaf, are waited for") {
  std::atomic<int> brought_to_end{0};
  auto body = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      group.go([&]() -> Task<> {
        auto important = [&]() -> Task<> {
          co_await sleep_for(3ms);
          ++brought_to_end;
        };
        co_await shield(important());
      });
      group.go([&]() -> Task<> {
        for (int i = 0; i < 3; ++i) {
          try {
            co_await sleep_for(1ms);
          } catch (const Canceled&) {}
        }
        ++brought_to_end;
      });
      co_await test::yields(2);
      throw std::runtime_error("now");
    });
  };
  CHECK(co_await outcome_of(body) == How::failed);
  CHECK(brought_to_end == 2);
}

RINGO_TEST("task_group: goexit in a child ends that child, in the body the goroutine") {
  std::atomic<int> ran{0};
  auto body = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      group.go([] { goexit(); });
      group.go([&]() -> Task<> {
        co_await test::yields(3);
        ++ran;
      });
      co_return;
    });
  };
  CHECK(co_await outcome_of(body) == How::returned);
  CHECK(ran == 1);
  bool after = false;
  auto goroutine = go([&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      group.go([&] { ++ran; });
      goexit();
      co_return;
    });
    after = true;
  });
  std::string text;
  try {
    co_await goroutine;
  } catch (const Panic& panic) { text = panic.what(); }
  CHECK(text == "joined goroutine called goexit");
  CHECK(!after);
  CHECK(ran == 2);
}

RINGO_TEST("task_group: a child in line for its place is cancelled there") {
  std::atomic<int> began{0};
  auto body = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      group.set_limit(2);
      for (int i = 0; i < 10; ++i) {
        group.go([&]() -> Task<> {
          ++began;
          co_await sleep_for(24h);
        });
      }
      co_await test::eventually([&] { return began == 2; });
      co_await test::yields(3);
      throw std::runtime_error("no more");
    });
  };
  CHECK(co_await outcome_of(body) == How::failed);
  CHECK(began == 2);
  // room() too.
  auto waits_for_room = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      group.set_limit(1);
      group.go([]() -> Task<> { co_await sleep_for(24h); });
      for (;;) {
        co_await group.room();
        co_await yield();
      }
    });
  };
  auto canceled = co_await with_timeout(5ms, waits_for_room());
  CHECK(!canceled);
}

RINGO_TEST("task_group: storm of failures and cancellations, everything ends and nothing is kept") {
  std::atomic<long> alive{0};
  struct Alive {
    explicit Alive(std::atomic<long>& n) : count(n) { ++count; }
    ~Alive() { --count; }
    std::atomic<long>& count;
  };
  int failed = 0;
  for (int round = 0; round < 150; ++round) {
    auto body = [&]() -> Task<> {
      co_await task_group([&](TaskGroup& group) -> Task<> {
        // Four children wait until they are cancelled: the limit leaves a place beside them.
        if (round % 3 == 0) group.set_limit(5);
        for (int i = 0; i < 12; ++i) {
          group.go([&, i]() -> Task<> {
            Alive one(alive);
            for (int k = 0; k < (i * 7 + round) % 11; ++k) co_await yield();
            if (i == round % 12) throw std::runtime_error("one fails");
            if (i % 3 == 0) co_await sleep_for(24h);
            if (i % 5 == 0) group.cancel();
          });
        }
        co_return;
      });
    };
    failed += co_await outcome_of(body) == How::failed;
    CHECK(alive == 0);
  }
  CHECK(failed > 0);
}

TEST_CASE("task_group: groups at the end of a runtime, abandoned and drained") {
  test::for_each_setting([](const test::Setting& setting) {
    for (bool drain : {false, true}) {
      Options options;
      if (drain) options.drain = 20s;
      auto unwound = std::make_shared<std::atomic<int>>(0);
      test::run_setting(
          setting,
          [unwound]() -> Task<> {
            auto started = std::make_shared<std::atomic<int>>(0);
            go([unwound, started]() -> Task<> {
              try {
                co_await task_group([&](TaskGroup& group) -> Task<> {
                  for (int i = 0; i < 4; ++i) {
                    group.go([unwound, started]() -> Task<> {
                      ++*started;
                      try {
                        co_await sleep_for(24h);
                      } catch (const Canceled&) {
                        ++*unwound;
                        throw;
                      }
                    });
                  }
                  co_return;
                });
              } catch (const Canceled&) {
                ++*unwound;
                throw;
              }
            });
            co_await test::eventually([&] { return *started == 4; });
            co_await test::yields(2);
          },
          options);
      CHECK(*unwound == (drain ? 5 : 0));
    }
  });
}
