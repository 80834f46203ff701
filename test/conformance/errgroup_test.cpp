// Go's errgroup (EG), as task_group: an exception stands where Go returns an error.
#include <ringo/task_group.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "conformance/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::panic_of;

namespace {

/// The what() of the std::exception that leaves body(), "" if none does.
template <class F>
Task<std::string> failure_of(F body) {
  try {
    co_await body();
  } catch (const std::exception& error) { co_return error.what(); }
  co_return "";
}

}  // namespace

RINGO_TEST("EG-01: a group waits for all its children") {
  int body_only = 0;
  co_await task_group([&](TaskGroup&) -> Task<> {
    ++body_only;
    co_return;
  });
  CHECK(body_only == 1);
  std::atomic<int> ended{0};
  co_await task_group([&](TaskGroup& group) -> Task<> {
    for (int i = 0; i < 20; ++i) {
      group.go([&, i]() -> Task<> {
        if (i % 2 == 0) co_await sleep_for(1ms);
        co_await yield();
        ++ended;
      });
    }
    group.go([&] { ++ended; });  // a plain function
    co_return;
  });
  CHECK(ended == 21);
}

RINGO_TEST("EG-01: the first failure, by time, is what comes out") {
  for (int failing : {0, 1, 2, 3}) {
    // Bit 0: the child that was started first fails; bit 1: the second one, which gets there first.
    Channel<int> second_is_through;
    auto body = [&]() -> Task<> {
      co_await task_group([&](TaskGroup& group) -> Task<> {
        group.go([&]() -> Task<> {
          auto wait = [&]() -> Task<> {
            const bool second_fails = (failing & 2) != 0;
            if (second_fails) {
              co_await group.context().done();
            } else {
              co_await second_is_through.recv();
            }
          };
          co_await shield(wait());
          if (failing & 1) throw std::runtime_error("first");
        });
        group.go([&] {
          if (failing & 2) throw std::runtime_error("second");
          second_is_through.close();
        });
        co_return;
      });
    };
    const char* expected[] = {"", "first", "second", "second"};
    CHECK(co_await failure_of(body) == expected[failing]);
  }
}

RINGO_TEST("EG-02: the group's Context is done at the first failure, and when the group ends") {
  Context seen;
  // A success.
  co_await task_group([&](TaskGroup& group) -> Task<> {
    seen = group.context();
    group.go([&] { CHECK(!this_context().err()); });
    CHECK(this_context() == group.context());
    co_return;
  });
  CHECK(seen.err() == Errc::canceled);
  CHECK(seen.cause() == Errc::canceled);
  CHECK(!this_context().err());
  // A failure: the others hear of it at once, and why.
  std::string cause;
  auto body = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      seen = group.context();
      group.go([&, watched = without_cancel(background())]() -> Task<> {
        // As in Go, a goroutine that only looks at the Context.
        auto look = [&]() -> Task<> { co_await seen.done(); };
        co_await with_context(watched, look());
        cause = seen.cause().message();
      });
      group.go([]() -> Task<> {
        co_await yield();
        throw std::runtime_error("it broke");
      });
      co_return;
    });
  };
  CHECK(co_await failure_of(body) == "it broke");
  CHECK(seen.err() == Errc::canceled);
  CHECK(cause.find("it broke") != std::string::npos);
  CHECK(cause.starts_with("task_group"));
}

RINGO_TEST("EG-03: never more children at work than the limit") {
  for (int limit : {1, 3}) {
    std::atomic<int> active{0};
    std::atomic<int> most{0};
    std::atomic<int> ran{0};
    co_await task_group([&](TaskGroup& group) -> Task<> {
      group.set_limit(limit);
      for (int i = 0; i < 100; ++i) {
        if (i % 2 == 0) co_await group.room();
        group.go([&]() -> Task<> {
          int now = ++active;
          for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
          co_await yield();
          --active;
          ++ran;
        });
      }
    });
    CHECK(ran == 100);
    CHECK(most <= limit);
    CHECK(active == 0);
  }
}

RINGO_TEST("EG-03: try_go refuses what exceeds the limit") {
  constexpr int limit = 4;
  std::atomic<int> ran{0};
  co_await task_group([&](TaskGroup& group) -> Task<> {
    group.set_limit(limit);
    Channel<int> release;
    for (int i = 0; i < limit; ++i) {
      CHECK(group.try_go([&, release]() -> Task<> {
        co_await release.recv();
        ++ran;
      }));
    }
    CHECK(!group.try_go([&] { ++ran; }));
    release.close();
    co_await test::eventually([&] { return group.try_go([&] { ++ran; }); });
  });
  CHECK(ran == limit + 1);
  // Without a limit it never refuses.
  co_await task_group([&](TaskGroup& group) -> Task<> {
    for (int i = 0; i < 50; ++i) CHECK(group.try_go([&] { ++ran; }));
    co_return;
  });
  CHECK(ran == limit + 51);
}

RINGO_TEST("EG-03: a limit below 1, and a limit changed while children are active") {
  co_await task_group([&](TaskGroup& group) -> Task<> {
    const char* too_low = "task_group: a limit below 1 would let nothing run";
    CHECK(panic_of([&] { group.set_limit(0); }) == too_low);
    CHECK(panic_of([&] { group.set_limit(-1); }) == too_low);
    CHECK(group.try_go([] {}));  // still without a limit
    Channel<int> release;
    group.go([release]() -> Task<> { co_await release.recv(); });
    CHECK(panic_of([&] { group.set_limit(2); }) ==
          "task_group: the limit is changed while children are active");
    release.close();
    co_await test::eventually([&] { return panic_of([&] { group.set_limit(2); }).empty(); });
    Channel<int> again;
    for (int i = 0; i < 2; ++i) {
      CHECK(group.try_go([again]() -> Task<> { co_await again.recv(); }));
    }
    CHECK(!group.try_go([] {}));
    again.close();
  });
}

RINGO_TEST("EG-04: whatever a child throws comes out of the group, as it was (B)") {
  struct Odd {
    int value;
  };
  int caught = 0;
  try {
    co_await task_group([](TaskGroup& group) -> Task<> {
      group.go([]() -> Task<> {
        co_await yield();
        throw Odd{42};
      });
      co_return;
    });
  } catch (const Odd& odd) { caught = odd.value; }
  CHECK(caught == 42);
  auto panics = []() -> Task<> {
    co_await task_group([](TaskGroup& group) -> Task<> {
      group.go([] { panic("in a child"); });
      co_return;
    });
  };
  CHECK(co_await test::panic_of_task(panics) == "in a child");
}

RINGO_TEST("EG-05: a failure ends the waits of the siblings, and they have unwound (B)") {
  std::atomic<int> unwound{0};
  struct Unwind {
    std::atomic<int>& count;
    ~Unwind() { ++count; }
  };
  auto body = [&]() -> Task<> {
    co_await task_group([&](TaskGroup& group) -> Task<> {
      for (int i = 0; i < 10; ++i) {
        group.go([&]() -> Task<> {
          Unwind unwind{unwound};
          co_await sleep_for(24h);
        });
      }
      group.go([]() -> Task<> {
        co_await sleep_for(1ms);
        throw std::runtime_error("enough");
      });
      co_await Channel<int>::nil().recv();  // the body is a sibling too
    });
  };
  CHECK(co_await failure_of(body) == "enough");
  CHECK(unwound == 10);
}

RINGO_TEST("EG-01: example: three lookups at once, results in order") {
  auto lookup = [](std::string query, std::string kind) -> Task<std::string> {
    co_await sleep_for(1ms);
    co_return kind + " result for \"" + query + "\"";
  };
  const std::vector<std::string> kinds = {"web", "image", "video"};
  std::vector<std::string> results(kinds.size());
  co_await task_group([&](TaskGroup& group) -> Task<> {
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      group.go([&, i]() -> Task<> { results[i] = co_await lookup("golang", kinds[i]); });
    }
    co_return;
  });
  CHECK(results[0] == "web result for \"golang\"");
  CHECK(results[1] == "image result for \"golang\"");
  CHECK(results[2] == "video result for \"golang\"");
}
