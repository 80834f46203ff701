// Go's context package (CX): the tests of src/context, told anew; this file: cancelling, deadlines
// and the tree. Where Go's goroutines look at ctx.Done(), so do these; that a goroutine's own
// Context ends its waits is tested in test/sync/cancellation_test.cpp.
#include <ringo/context.hpp>

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include <ringo/time.hpp>
#include <ringo/wait_group.hpp>

#include "conformance/context_support.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

const ContextKey<Counted> counted_key{"counted"};

}  // namespace

RINGO_TEST("CX-01: background() and todo() are never done, and hold nothing") {
  for (const Context& root : {background(), todo()}) {
    co_await check_not_done(root);
    CHECK(!root.deadline());
    CHECK(root.value(name_key) == nullptr);
    bool done = false;
    co_await select_any{on(root.done(), [&] { done = true; }), on(after(2ms), [] {})};
    CHECK(!done);
  }
  CHECK(to_string(background()) == "context.Background");
  CHECK(to_string(todo()) == "context.TODO");
  CHECK(background() == background());
  CHECK(!(background() == todo()));
  CHECK(this_context() == background());
}

RINGO_TEST("CX-02: cancel() reaches the Context and all made from it before it returns") {
  auto [ctx, cancel] = with_cancel(background());
  CHECK(to_string(ctx) == "context.Background.WithCancel");
  Context value = with_value(ctx, name_key, "v");
  auto [child, cancel_child] = with_cancel(value);
  auto [timed, cancel_timed] = with_timeout(child, 24h);
  co_await check_not_done(ctx);
  co_await check_not_done(timed);
  cancel();
  // No yield in between: it has happened.
  for (const Context& each : {ctx, value, child, timed}) {
    CHECK(each.err() == Errc::canceled);
    CHECK(each.cause() == Errc::canceled);
  }
  cancel();  // and once more
  cancel_child();
  for (const Context& each : {ctx, value, child, timed}) {
    co_await check_done(each, Errc::canceled);
  }
  co_await yield();
  co_await check_done(timed, Errc::canceled);
}

RINGO_TEST("CX-02: from any goroutine and any thread, and it does not wait for the work to end") {
  for (int way = 0; way < 2; ++way) {
    auto [ctx, cancel] = with_cancel(background());
    auto [child, cancel_child] = with_cancel(ctx);
    Channel<int> release;
    std::vector<JoinHandle<>> workers;
    std::atomic<int> woken{0};
    for (int i = 0; i < 5; ++i) {
      workers.push_back(go([&]() -> Task<> {
        co_await child.done();
        ++woken;
        co_await release.recv();
      }));
    }
    co_await yields(3);
    if (way == 0) {
      auto canceller = go([&]() -> Task<> {
        cancel();
        CHECK(child.err() == Errc::canceled);
        co_return;
      });
      co_await canceller;
    } else {
      std::atomic<bool> over{false};
      std::thread thread([&] {
        cancel();
        CHECK(child.err() == Errc::canceled);
        over = true;
      });
      co_await eventually([&] { return over.load(); });
      thread.join();
    }
    co_await eventually([&] { return woken == 5; });
    release.close();
    co_await join_all(workers);
  }
}

RINGO_TEST("CX-03: err() changes once, and when it says done, done() is ready") {
  for (int round = 0; round < 200; ++round) {
    auto [ctx, cancel] = with_cancel(background());
    auto canceller = go([&]() -> Task<> {
      cancel();
      co_return;
    });
    while (!ctx.err()) co_await yield();
    CHECK(co_await done_now(ctx));
    CHECK(ctx.err() == Errc::canceled);
    CHECK(ctx.err().message() == "context canceled");
    co_await canceller;
  }
  auto [late, cancel_late] = with_timeout(background(), 1us);
  while (!late.err()) co_await yield();
  CHECK(co_await done_now(late));
  cancel_late();
  CHECK(late.err() == Errc::deadline_exceeded);
  CHECK(late.err().message() == "context deadline exceeded");
}

RINGO_TEST("CX-04: a child that ends leaves its parent alone, and is kept by nobody") {
  Counted::Balance balance;
  auto [parent, cancel_parent] = with_cancel(background());
  for (int way = 0; way < 4; ++way) {
    auto [child, cancel] = with_cancel(parent);
    auto [timed, cancel_timed] = with_timeout(parent, 24h);
    Context of_child = with_value(child, counted_key, Counted(balance, way));
    Context of_timed = with_value(timed, counted_key, Counted(balance, way));
    CHECK(balance.holding == 2);
    if (way & 1) {
      cancel();
      co_await check_done(child, Errc::canceled);
    }
    if (way & 2) {
      cancel_timed();
      co_await check_done(timed, Errc::canceled);
    }
    co_await check_not_done(parent);
  }
  CHECK(balance.alive == 0);
  // A stopped function is kept by nobody either; one that is pending is kept.
  {
    auto [child, cancel] = with_cancel(parent);
    auto owner = [held = Counted(balance, 1)] {};
    auto function = after_func(child, std::move(owner));
    CHECK(balance.holding == 1);
    CHECK(function.stop());
  }
  CHECK(balance.alive == 0);
  cancel_parent();
}

RINGO_TEST("CX-05: a child of a parent that is done is done when it is made") {
  auto [parent, cancel_parent] = with_cancel_cause(background());
  cancel_parent(because("early"));
  auto [child, cancel] = with_cancel(parent);
  auto [timed, cancel_timed] = with_timeout(parent, 24h);
  auto [late, cancel_late] = with_timeout(parent, -1s);
  Context value = with_value(child, name_key, "v");
  for (const Context& each : {child, timed, late, value}) {
    CHECK(each.err() == Errc::canceled);
    CHECK(each.cause() == std::errc::owner_dead);
    CHECK(each.cause().detail() == "early");
    co_await check_done(each, Errc::canceled);
  }
  // Made while the parent is cancelled on another worker.
  for (int round = 0; round < 200; ++round) {
    auto [ctx, cancel_ctx] = with_cancel(background());
    auto canceller = go([&]() -> Task<> {
      cancel_ctx();
      co_return;
    });
    std::vector<Cancelable<CancelFunc>> children;
    while (!ctx.err()) {
      children.push_back(with_cancel(ctx));
      co_await yield();
    }
    children.push_back(with_cancel(ctx));
    co_await canceller;
    int alive = 0;
    for (auto& each : children) alive += !each.ctx.err();
    CHECK(alive == 0);
  }
}

RINGO_TEST("CX-06: parent and child cancelled at once, from two sides") {
  for (int round = 0; round < 300; ++round) {
    auto [parent, cancel_parent] = with_cancel(background());
    auto [child, cancel_child] = with_cancel(parent);
    auto first = go([&]() -> Task<> {
      cancel_parent();
      CHECK(child.err());
      co_return;
    });
    auto second = go([&]() -> Task<> {
      cancel_child();
      CHECK(child.err());
      co_return;
    });
    co_await parent.done();
    co_await child.done();
    co_await first;
    co_await second;
  }
}

RINGO_TEST("CX-06: a tree of a hundred nodes is cancelled from all of them at once") {
  for (int round = 0; round < 20; ++round) {
    std::vector<Cancelable<CancelFunc>> nodes;
    nodes.push_back(with_cancel(background()));
    for (std::size_t i = 0; nodes.size() < 100; ++i) {
      for (int k = 0; k < 4 && nodes.size() < 100; ++k) nodes.push_back(with_cancel(nodes[i].ctx));
    }
    std::shuffle(nodes.begin(), nodes.end(), std::minstd_rand(static_cast<unsigned>(round)));
    WaitGroup wg;
    for (auto& node : nodes) {
      wg.go([&node]() -> Task<> {
        node.cancel();
        CHECK(node.ctx.err() == Errc::canceled);
        co_return;
      });
      wg.go([&node]() -> Task<> { co_await node.ctx.done(); });
    }
    co_await wg.wait();
    int alive = 0;
    for (auto& node : nodes) alive += !node.ctx.err();
    CHECK(alive == 0);
  }
}

RINGO_TEST("CX-07: deadlines: the earlier of its own and its parent's, at once if over") {
  auto begin = std::chrono::steady_clock::now();
  {
    auto [ctx, cancel] = with_deadline(background(), begin + 5ms);
    CHECK(ctx.deadline() == begin + 5ms);
    co_await check_ends_by_deadline(ctx);
    CHECK(std::chrono::steady_clock::now() >= begin + 5ms);
  }
  {
    auto [ctx, cancel] = with_timeout(background(), 5ms);
    auto [child, cancel_child] = with_timeout(ctx, 24h);
    auto [grandchild, cancel_grandchild] = with_cancel(child);
    CHECK(child.deadline() == ctx.deadline());
    CHECK(grandchild.deadline() == ctx.deadline());
    co_await check_ends_by_deadline(grandchild);
    CHECK(ctx.err() == Errc::deadline_exceeded);
  }
  {
    auto [ctx, cancel] = with_timeout(background(), 24h);
    auto [child, cancel_child] = with_timeout(ctx, 3ms);
    CHECK(*child.deadline() < *ctx.deadline());
    co_await check_ends_by_deadline(with_value(child, number_key, 1));
    co_await check_not_done(ctx);
  }
  for (auto d : {std::chrono::nanoseconds(0), std::chrono::nanoseconds(-1),
                 std::chrono::nanoseconds::min()}) {
    auto [ctx, cancel] = with_timeout(background(), d);
    co_await check_done(ctx, Errc::deadline_exceeded);
    CHECK(ctx.deadline().has_value());
  }
  {
    auto [ctx, cancel] = with_timeout(background(), -std::chrono::hours(1000000));
    co_await check_done(ctx, Errc::deadline_exceeded);
    auto [past, cancel_past] = with_deadline(background(), TimePoint::min());
    co_await check_done(past, Errc::deadline_exceeded);
    auto [never, cancel_never] = with_timeout(background(), std::chrono::nanoseconds::max());
    co_await check_not_done(never);
    CHECK(!never.deadline());
  }
}

RINGO_TEST("CX-08: cancelled before its deadline; a forgotten cancel leaks nothing") {
  auto [ctx, cancel] = with_timeout(background(), 5ms);
  auto [child, cancel_child] = with_cancel(ctx);
  cancel();
  co_await check_done(child, Errc::canceled);
  co_await sleep_for(8ms);
  co_await check_done(ctx, Errc::canceled);
  CHECK(ctx.cause() == Errc::canceled);

  Context kept;
  {
    auto [scoped, forgotten] = with_timeout(background(), 24h);
    kept = scoped;
    co_await check_not_done(kept);
  }
  co_await check_done(kept, Errc::canceled);  // C2: the CancelFunc went out of scope
  {
    auto [scoped, detached] = with_timeout(background(), 2ms);
    kept = scoped;
    detached.detach();
    detached();
  }
  co_await check_ends_by_deadline(kept);
}

RINGO_TEST("CX-09: deadline_exceeded is a timeout, canceled is not") {
  auto [late, cancel_late] = with_timeout(background(), -1s);
  CHECK(late.err().timeout());
  CHECK(late.err() == std::errc::timed_out);
  CHECK(!(late.err() == std::errc::operation_canceled));
  auto [ctx, cancel] = with_cancel(background());
  cancel();
  CHECK(!ctx.err().timeout());
  CHECK(ctx.err() == std::errc::operation_canceled);
  co_return;
}

RINGO_TEST("CX-16: children end in no promised order, all of them before cancel() returns") {
  auto [ctx, cancel] = with_cancel(background());
  std::vector<Cancelable<CancelFunc>> children;
  for (int i = 0; i < 100; ++i) children.push_back(with_cancel(ctx));
  std::atomic<int> seen{0};
  std::atomic<bool> over{false};
  auto watcher = go([&]() -> Task<> {
    while (!over) {
      // If one child is done, the parent was before.
      for (auto& child : children) {
        if (child.ctx.err()) CHECK(ctx.err());
      }
      co_await yield();
      ++seen;
    }
  });
  co_await eventually([&] { return seen > 2; });
  cancel();
  int alive = 0;
  for (auto& child : children) alive += !child.ctx.err();
  CHECK(alive == 0);
  over = true;
  co_await watcher;
}
