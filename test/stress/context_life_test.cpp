// Contexts that live longer or shorter than runtimes, and outside of them: made, cancelled and
// dropped by plain threads before, while and after one runs, used by several one after another, and
// left armed, pending and attached when one ends.
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <ringo/cancellation.hpp>
#include <ringo/context.hpp>
#include <ringo/select.hpp>
#include <ringo/task_group.hpp>
#include <ringo/time.hpp>

#include "conformance/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::Counted;
using test::Setting;

namespace {

const ContextKey<Counted> counted_key{"counted"};

/// Leaves a goroutine that waits, a function that is pending and a deadline that is armed on each
/// of two layers, for the end of a run.
Task<> leave_everything(Context parent, std::shared_ptr<std::atomic<int>> ran) {
  auto [ctx, cancel] = with_timeout(parent, 24h);
  auto [child, cancel_child] = with_timeout(ctx, 12h);
  cancel.detach();
  cancel_child.detach();
  auto owner = [ran] { ++*ran; };
  auto function = after_func(child, owner);
  auto detached = after_func(ctx, owner);
  ctx.go([]() -> Task<> { co_await sleep_for(24h); });
  child.go([child = child]() -> Task<> { co_await child.done(); });
  child.go([child = child]() -> Task<> {
    co_await select_any{on(child.done(), [] {}), on(Channel<int>::nil().recv(), [] {})};
  });
  child.go([]() -> Task<> {
    auto wait = []() -> Task<> { co_await sleep_for(24h); };
    (void)co_await with_timeout(23h, wait());
  });
  co_await test::yields(5);
}

}  // namespace

TEST_CASE("context: made, asked, cancelled and dropped where no runtime is") {
  auto [ctx, cancel] = with_cancel(background());
  auto [child, cancel_child] = with_timeout(ctx, 24h);
  Counted::Balance balance;
  {
    Context value = with_value(child, counted_key, Counted(balance, 1));
    CHECK(value.value(counted_key)->value() == 1);
    CHECK(!value.err());
    CHECK(value.deadline().has_value());
  }
  CHECK(balance.alive == 0);
  auto [late, cancel_late] = with_timeout(ctx, 1ms);
  auto limit = std::chrono::steady_clock::now() + 10s;
  while (!late.err() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  CHECK(late.err() == Errc::deadline_exceeded);
  CHECK(!ctx.err());
  std::thread thread([&, &cancel = cancel] { cancel(); });
  thread.join();
  CHECK(child.err() == Errc::canceled);
  cancel();
  cancel_child();
  CHECK(test::panic_of([&] { (void)after_func(child, [] {}); }) ==
        "after_func: called outside a goroutine");
  CHECK(test::panic_of([&] { child.go([] {}); }) == "Context::go: called outside a goroutine");
}

TEST_CASE("context: one tree before, in and after several runs") {
  test::for_each_setting([](const Setting& setting) {
    auto [tree, cancel] = with_cancel(background());
    auto [timed, cancel_timed] = with_timeout(tree, 24h);
    auto [soon, cancel_soon] = with_timeout(tree, 4ms);
    auto ran = std::make_shared<std::atomic<int>>(0);
    for (int run = 0; run < 3; ++run) {
      test::run_setting(setting, [&]() -> Task<> {
        // A deadline that was set outside is armed here.
        if (run == 0) co_await soon.done();
        CHECK(soon.err() == Errc::deadline_exceeded);
        CHECK(!timed.err());
        co_await leave_everything(timed, ran);
        auto waiter = timed.go([]() -> Task<> { co_await sleep_for(1ms); });
        co_await waiter;
      });
      auto [between, cancel_between] = with_cancel(timed);
      CHECK(!between.err());
    }
    CHECK(*ran == 0);
    cancel();
    CHECK(timed.err() == Errc::canceled);
    CHECK(*ran == 0);  // there is no runtime that could run them
  });
}

TEST_CASE("context: cancelled inside, asked outside; cancelled outside, heard inside") {
  test::for_each_setting([](const Setting& setting) {
    auto [first, cancel_first] = with_cancel_cause(background());
    auto [second, cancel_second] = with_cancel(background());
    std::atomic<bool> waiting{false};
    std::thread outside([&, &cancel_second = cancel_second, &first = first] {
      while (!first.err()) std::this_thread::yield();
      CHECK(first.cause().detail() == "inside");
      while (!waiting) std::this_thread::yield();
      cancel_second();
    });
    test::run_setting(setting, [&, &cancel_first = cancel_first, &second = second]() -> Task<> {
      cancel_first(Error(Errc::canceled, "test", "inside"));
      auto waiter = second.go([&]() -> Task<> {
        waiting = true;
        co_await sleep_for(24h);
      });
      bool canceled = false;
      try {
        co_await waiter;
      } catch (const JoinCanceled&) { canceled = true; }
      CHECK(canceled);
      CHECK(second.err() == Errc::canceled);
    });
    outside.join();
  });
}

TEST_CASE("context: a deadline of a detached one ends with its run, values and all") {
  Counted::Balance balance;
  test::for_each_setting([&](const Setting& setting) {
    test::run_setting(setting, [&]() -> Task<> {
      Context value = with_value(background(), counted_key, Counted(balance, 1));
      for (int i = 0; i < 10; ++i) with_timeout(value, 24h).cancel.detach();
      co_return;
    });
    CHECK(balance.alive == 0);
  });
}

TEST_CASE("context: a run that ends with everything armed, and another that takes the tree over") {
  test::for_each_setting([](const Setting& setting) {
    for (int round = 0; round < 5; ++round) {
      auto ran = std::make_shared<std::atomic<int>>(0);
      auto [tree, cancel] = with_cancel(background());
      test::run_setting(setting, [&]() -> Task<> { co_await leave_everything(tree, ran); });
      if (round % 2 == 0) {
        // By a goroutine of the next runtime ...
        test::run_setting(setting, [&]() -> Task<> {
          auto [child, cancel_child] = with_cancel(tree);
          CHECK(!child.err());
          cancel();
          CHECK(child.err());
          co_return;
        });
      } else {
        cancel();  // ... or by this thread
      }
      CHECK(tree.err() == Errc::canceled);
      CHECK(*ran == 0);
    }
  });
}

TEST_CASE("context: plain threads cancel and drop Contexts while their runtime ends") {
  test::for_each_setting([](const Setting& setting) {
    for (int round = 0; round < 25; ++round) {
      auto [tree, cancel] = with_cancel(background());
      std::atomic<int> step{0};
      std::thread canceller([&, &cancel = cancel] {
        while (step < 1) std::this_thread::yield();
        for (int i = 0; i < round * 40; ++i) detail::cpu_relax();
        cancel();
      });
      std::thread maker([&, &tree = tree] {
        while (step < 1) std::this_thread::yield();
        for (int i = 0; i < 200; ++i) {
          auto [ctx, cancel_ctx] = with_timeout(tree, 24h);
          auto [child, cancel_child] = with_timeout(ctx, 23h);
          cancel_child.detach();
          if (i % 2 == 0) cancel_ctx();
        }
      });
      auto ran = std::make_shared<std::atomic<int>>(0);
      test::run_setting(setting, [&, &tree = tree]() -> Task<> {
        co_await leave_everything(tree, ran);
        step = 1;
        co_await test::yields(round);
      });
      canceller.join();
      maker.join();
      CHECK(tree.err() == Errc::canceled);
    }
  });
}

TEST_CASE("timer: one that was waited for in a run that ended goes on in the next") {
  test::for_each_setting([](const Setting& setting) {
    std::optional<Timer> timer;
    test::run_setting(setting, [&]() -> Task<> {
      timer.emplace(3ms);
      go([&]() -> Task<> { co_await *timer; });
      co_await test::yields(3);
    });
    test::run_setting(setting, [&]() -> Task<> {
      co_await *timer;
      CHECK(!timer->stop());
    });
  });
}

TEST_CASE("context: one tree belongs to one runtime at a time") {
  test::for_each_setting([](const Setting& setting) {
    auto [tree, cancel] = with_cancel(background());
    const char* foreign = "Context is in use by another runtime: it belongs to one ringo::run";
    test::run_setting(setting, [&, &tree = tree, &cancel = cancel]() -> Task<> {
      auto [mine, cancel_mine] = with_cancel(tree);
      std::vector<std::string> texts;
      std::thread other([&, &mine = mine] {
        Options options;
        options.workers = setting.workers;
        options.driver = DriverKind::epoll;
        ringo::run(options, [&]() -> Task<> {
          auto nothing = []() -> Task<> { co_return; };
          texts.push_back(test::panic_of([&] { (void)with_cancel(mine); }));
          texts.push_back(test::panic_of([&] { (void)with_timeout(mine, 1s); }));
          texts.push_back(test::panic_of([&] { mine.go([] {}); }));
          texts.push_back(test::panic_of([&] { (void)after_func(mine, [] {}); }));
          texts.push_back(test::panic_of([&] { cancel(); }));
          texts.push_back(co_await test::panic_of_task([&]() -> Task<> { co_await mine.done(); }));
          texts.push_back(co_await test::panic_of_task(
              [&]() -> Task<> { co_await with_context(mine, nothing()); }));
          texts.push_back(co_await test::panic_of_task([&]() -> Task<> {
            co_await select_any{on(mine.done(), [] {}), on(after(24h), [] {})};
          }));
          CHECK(!mine.err());
        });
      });
      other.join();
      CHECK(texts.size() == 8);
      for (const std::string& text : texts) CHECK(text == foreign);
      CHECK(!tree.err());
      cancel();
      CHECK(mine.err() == Errc::canceled);
      co_return;
    });
  });
}

TEST_CASE("context: a thousand runs that leave everything behind" * doctest::test_suite("long")) {
  test::for_each_setting([](const Setting& setting) {
    auto ran = std::make_shared<std::atomic<int>>(0);
    auto [tree, cancel] = with_cancel(background());
    for (int run = 0; run < 170; ++run) {
      Options options;
      if (run % 3 == 0) options.drain = 20s;
      test::run_setting(
          setting,
          [&]() -> Task<> {
            // Named: GCC 12 destroys what a conditional expression gives twice in an awaited one.
            Context parent = background();
            if (run % 2 == 0) parent = tree;
            co_await leave_everything(parent, ran);
            if (run % 5 == 0) {
              co_await task_group([&](TaskGroup& group) -> Task<> {
                auto child = group.context();
                group.go([child]() -> Task<> { co_await child.done(); });
                co_await yield();
                group.cancel();
              });
            }
          },
          options);
    }
    CHECK(*ran == 0);
  });
}
