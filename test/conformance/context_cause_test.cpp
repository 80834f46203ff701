// Go's context package (CX): causes, values, layers.
#include <ringo/context.hpp>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include <ringo/time.hpp>

#include "conformance/context_support.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

const ContextKey<std::string> other_name_key{"name"};  // of the same type and name

}  // namespace

RINGO_TEST("CX-10: cause() is that of the first cancellation on the path") {
  const Error parent_cause = because("parent");
  const Error child_cause = because("child");
  const Error slow = because("too slow");
  const Error none;
  using Cause = Cancelable<CancelCauseFunc>;
  using Plain = Cancelable<CancelFunc>;
  auto expect = [&](const char* name, const Context& ctx, const Error& err, const Error& cause) {
    // A deadline in the past ended it when it was made.
    CHECK_MESSAGE(ctx.err() == err.code(), name);
    CHECK_MESSAGE(ctx.cause() == cause.code(), name);
    CHECK_MESSAGE(ctx.cause().detail() == cause.detail(), name);
  };
  const Error canceled(Errc::canceled);
  const Error exceeded(Errc::deadline_exceeded);

  expect("background", background(), none, none);
  expect("todo", todo(), none, none);
  {
    Plain a = with_cancel(background());
    expect("not cancelled", a.ctx, none, none);
    a.cancel();
    expect("with_cancel", a.ctx, canceled, canceled);
  }
  {
    Cause a = with_cancel_cause(background());
    a.cancel(parent_cause);
    expect("with_cancel_cause", a.ctx, canceled, parent_cause);
    a.cancel(child_cause);
    expect("the first one counts", a.ctx, canceled, parent_cause);
  }
  {
    Cause a = with_cancel_cause(background());
    a.cancel(none);
    expect("with_cancel_cause, nothing given", a.ctx, canceled, canceled);
  }
  {
    Cause a = with_cancel_cause(background());
    a.cancel();
    expect("with_cancel_cause, called plainly", a.ctx, canceled, canceled);
  }
  {
    Cause a = with_cancel_cause(background());
    Cause b = with_cancel_cause(a.ctx);
    a.cancel(parent_cause);
    b.cancel(child_cause);
    expect("parent before child", b.ctx, canceled, parent_cause);
    expect("parent before child: the parent", a.ctx, canceled, parent_cause);
  }
  {
    Cause a = with_cancel_cause(background());
    Cause b = with_cancel_cause(a.ctx);
    b.cancel(child_cause);
    a.cancel(parent_cause);
    expect("child before parent", b.ctx, canceled, child_cause);
    expect("child before parent: the parent", a.ctx, canceled, parent_cause);
  }
  {
    Cause a = with_cancel_cause(background());
    Plain b = with_cancel(a.ctx);
    a.cancel(parent_cause);
    b.cancel();
    expect("cause parent before plain child", b.ctx, canceled, parent_cause);
  }
  {
    Cause a = with_cancel_cause(background());
    Plain b = with_cancel(a.ctx);
    b.cancel();
    a.cancel(parent_cause);
    expect("plain child before cause parent", b.ctx, canceled, canceled);
  }
  {
    Plain a = with_cancel(background());
    Cause b = with_cancel_cause(a.ctx);
    a.cancel();
    b.cancel(child_cause);
    expect("plain parent before cause child", b.ctx, canceled, canceled);
  }
  {
    Plain a = with_cancel(background());
    Cause b = with_cancel_cause(a.ctx);
    b.cancel(child_cause);
    a.cancel();
    expect("cause child before plain parent", b.ctx, canceled, child_cause);
  }
  {
    Cause a = with_cancel_cause(background());
    Context v = with_value(with_value(a.ctx, number_key, 1), number_key, 2);
    a.cancel(parent_cause);
    expect("through values", v, canceled, parent_cause);
  }
  {
    Plain a = with_timeout(background(), 0s);
    expect("with_timeout", a.ctx, exceeded, exceeded);
    a.cancel();
    expect("with_timeout, then cancelled", a.ctx, exceeded, exceeded);
  }
  {
    Plain a = with_timeout(background(), 24h);
    a.cancel();
    expect("with_timeout, cancelled", a.ctx, canceled, canceled);
  }
  {
    Plain a = with_timeout_cause(background(), 0s, slow);
    a.cancel();
    expect("with_timeout_cause", a.ctx, exceeded, slow);
  }
  {
    Plain a = with_timeout_cause(background(), 24h, slow);
    a.cancel();
    expect("with_timeout_cause, cancelled", a.ctx, canceled, canceled);
  }
  {
    Plain a = with_timeout_cause(background(), 0s, slow);
    Plain b = with_timeout_cause(a.ctx, 24h, child_cause);
    expect("with_timeout_cause, the parent's first", b.ctx, exceeded, slow);
  }
  {
    Plain a = with_timeout_cause(background(), 24h, slow);
    Plain b = with_timeout_cause(a.ctx, 0s, child_cause);
    expect("with_timeout_cause, the child's first", b.ctx, exceeded, child_cause);
    expect("with_timeout_cause, the child's first: the parent", a.ctx, none, none);
  }
  {
    Plain a = with_timeout_cause(background(), 24h, slow);
    Plain b = with_timeout_cause(a.ctx, 24h, child_cause);
    a.cancel();
    expect("with_timeout_cause, stacked, cancelled", b.ctx, canceled, canceled);
  }
  {
    Plain a = with_deadline_cause(background(), std::chrono::steady_clock::now(), slow);
    expect("with_deadline_cause", a.ctx, exceeded, slow);
  }
  {
    Cause a = with_cancel_cause(background());
    Plain b = with_deadline_cause(a.ctx, std::chrono::steady_clock::now() + 24h, slow);
    a.cancel(parent_cause);
    expect("with_deadline_cause, parent with cause", b.ctx, canceled, parent_cause);
  }
  {
    Plain a = with_timeout_cause(background(), 2ms, slow);
    Cause b = with_cancel_cause(a.ctx);
    co_await b.ctx.done();
    expect("the parent's deadline, by its timer", b.ctx, exceeded, slow);
    b.cancel(child_cause);
    expect("the parent's deadline, then the child", b.ctx, exceeded, slow);
  }
  {
    Cause a = with_cancel_cause(background());
    a.cancel(parent_cause);
    expect("without_cancel", without_cancel(a.ctx), none, none);
    Cause b = with_cancel_cause(without_cancel(a.ctx));
    expect("below without_cancel", b.ctx, none, none);
    b.cancel(child_cause);
    expect("below without_cancel, cancelled", b.ctx, canceled, child_cause);
  }
  {
    Plain a = with_timeout(background(), 0s);
    Context b = without_cancel(a.ctx);
    expect("without_cancel of a timeout", b, none, none);
    CHECK(!b.deadline());
  }
}

RINGO_TEST("CX-10: whoever sees err() sees the cause") {
  for (int round = 0; round < 200; ++round) {
    auto [ctx, cancel] = with_cancel_cause(background());
    auto [child, cancel_child] = with_cancel(ctx);
    auto canceller = go([&]() -> Task<> {
      cancel(because("race"));
      co_return;
    });
    while (!child.err()) co_await yield();
    CHECK(child.cause().detail() == "race");
    CHECK(ctx.cause().detail() == "race");
    co_await canceller;
  }
}

RINGO_TEST("CX-11: without_cancel keeps the values and nothing else") {
  auto [parent, cancel] = with_timeout(background(), 24h);
  Context ctx = without_cancel(with_value(parent, name_key, "v"));
  CHECK(to_string(ctx).ends_with(".WithValue(name).WithoutCancel"));
  cancel();
  co_await check_not_done(ctx);
  CHECK(!ctx.deadline());
  CHECK(*ctx.value(name_key) == "v");
  auto [below, cancel_below] = with_cancel(ctx);
  co_await check_not_done(below);
  cancel_below();
  co_await check_done(below, Errc::canceled);
  co_await check_not_done(ctx);
}

RINGO_TEST("CX-13: values: the innermost of a key; keys are objects with a type (A)") {
  Context a = with_value(background(), name_key, "outer");
  Context b = with_value(a, other_name_key, "other");
  auto [c, cancel] = with_cancel(b);
  Context d = with_value(with_value(c, name_key, "inner"), number_key, 7);
  CHECK(*a.value(name_key) == "outer");
  CHECK(a.value(other_name_key) == nullptr);
  CHECK(*b.value(name_key) == "outer");
  CHECK(*b.value(other_name_key) == "other");
  CHECK(*d.value(name_key) == "inner");
  CHECK(*d.value(other_name_key) == "other");
  CHECK(*d.value(number_key) == 7);
  CHECK(c.value(number_key) == nullptr);
  cancel();
  CHECK(*d.value(name_key) == "inner");
  // What is hidden stays hidden, whatever hides it: Go's nil value is an empty one here.
  const ContextKey<std::unique_ptr<int>> pointer_key{"pointer"};
  Context e = with_value(background(), pointer_key, std::make_unique<int>(1));
  Context f = with_value(e, pointer_key, nullptr);
  CHECK(**e.value(pointer_key) == 1);
  REQUIRE(f.value(pointer_key) != nullptr);
  CHECK(*f.value(pointer_key) == nullptr);
  co_return;
}

RINGO_TEST("CX-13: an empty Context is refused everywhere") {
  const Context empty;
  const char* nil_parent = "cannot create context from nil parent";
  CHECK(empty.empty());
  CHECK(panic_of([&] { (void)with_cancel(empty); }) == nil_parent);
  CHECK(panic_of([&] { (void)with_cancel_cause(empty); }) == nil_parent);
  CHECK(panic_of([&] { (void)with_timeout(empty, 1s); }) == nil_parent);
  CHECK(panic_of([&] { (void)with_timeout_cause(empty, 1s, Error()); }) == nil_parent);
  CHECK(panic_of([&] { (void)with_deadline(empty, TimePoint::max()); }) == nil_parent);
  CHECK(panic_of([&] { (void)with_deadline_cause(empty, TimePoint(), Error()); }) == nil_parent);
  CHECK(panic_of([&] { (void)with_value(empty, number_key, 1); }) == nil_parent);
  CHECK(panic_of([&] { (void)without_cancel(empty); }) == nil_parent);
  CHECK(panic_of([&] { (void)after_func(empty, [] {}); }) == nil_parent);
  const char* used = "use of an empty Context";
  CHECK(panic_of([&] { (void)empty.done(); }) == used);
  CHECK(panic_of([&] { (void)empty.err(); }) == used);
  CHECK(panic_of([&] { (void)empty.cause(); }) == used);
  CHECK(panic_of([&] { (void)empty.deadline(); }) == used);
  CHECK(panic_of([&] { (void)empty.value(number_key); }) == used);
  CHECK(panic_of([&] { empty.go([] {}); }) == used);
  CHECK(to_string(empty) == "");
  CHECK(!(empty == background()));
  CHECK(empty == Context());
  Context moved = background();
  Context taken = std::move(moved);
  CHECK(panic_of([&] { (void)moved.err(); }) == used);
  CHECK(!taken.err());
  // A CancelFunc without a Context does nothing.
  CancelFunc nobody;
  nobody();
  CancelCauseFunc nobody_either;
  nobody_either(because("nothing"));
  // A done() that was moved from.
  ContextDone done = background().done();
  ContextDone other = std::move(done);
  ContextDone copy = done;
  auto await_it = [&]() -> Task<> { co_await std::move(copy); };
  CHECK(co_await panic_of_task(await_it) == "use of a done() that was moved from");
}

RINGO_TEST("CX-14: deep random layers keep their values and end together") {
  static const ContextKey<int> keys[4] = {ContextKey<int>("a"), ContextKey<int>("b"),
                                          ContextKey<int>("c"), ContextKey<int>("d")};
  for (unsigned seed = 0; seed < 20; ++seed) {
    const bool by_timeout = seed % 2 != 0;
    std::minstd_rand random(seed);
    std::vector<Cancelable<CancelFunc>> kept;
    int expected[4] = {-1, -1, -1, -1};
    kept.push_back(by_timeout ? with_timeout(background(), 10ms) : with_cancel(background()));
    Context ctx = kept.front().ctx;
    for (int layer = 0; layer < 60; ++layer) {
      switch (random() % 3) {
        case 0: {
          std::size_t key = random() % 4;
          ctx = with_value(ctx, keys[key], layer);
          expected[key] = layer;
          break;
        }
        case 1:
          kept.push_back(with_cancel(ctx));
          ctx = kept.back().ctx;
          break;
        default:
          kept.push_back(with_timeout(ctx, 24h));
          ctx = kept.back().ctx;
      }
    }
    auto check_values = [&] {
      for (std::size_t key = 0; key < 4; ++key) {
        const int* value = ctx.value(keys[key]);
        CHECK((value == nullptr ? -1 : *value) == expected[key]);
      }
    };
    check_values();
    if (by_timeout) {
      co_await check_ends_by_deadline(ctx);
    } else {
      CHECK(!ctx.err());
      kept.front().cancel();
      co_await check_done(ctx, Errc::canceled);
    }
    check_values();
    CHECK(to_string(ctx).starts_with("context.Background.With"));
  }
}

RINGO_TEST("CX-14: a chain of a hundred thousand layers") {
  constexpr int depth = 100'000;
  std::vector<Cancelable<CancelFunc>> chain;
  auto [top, cancel] = with_cancel(background());
  {
    Context ctx = top;
    for (int i = 0; i < depth; ++i) {
      auto next = with_cancel(ctx);
      next.cancel.detach();
      ctx = with_value(next.ctx, number_key, i);
    }
    CHECK(*ctx.value(number_key) == depth - 1);
    CHECK(ctx.value(name_key) == nullptr);
    CHECK(to_string(ctx).size() > depth);
    auto waiter = go([&]() -> Task<> { co_await ctx.done(); });
    co_await yield();
    cancel();
    co_await check_done(ctx, Errc::canceled);
    co_await waiter;
  }
  // And one that goes without having been cancelled.
  auto [root, cancel_root] = with_cancel(background());
  Context ctx = root;
  for (int i = 0; i < depth; ++i) {
    auto next = with_timeout(ctx, 24h);
    next.cancel.detach();
    ctx = next.ctx;
  }
  ctx = Context();
  co_await check_not_done(root);
}

RINGO_TEST("CX-18: to_string tells the layers") {
  Context ctx = with_value(background(), name_key, "v");
  CHECK(to_string(ctx) == "context.Background.WithValue(name)");
  auto [timed, cancel] = with_timeout(ctx, 1h);
  const std::string text = to_string(timed);
  CHECK(text.starts_with("context.Background.WithValue(name).WithDeadline([3"));
  CHECK(text.ends_with("s])"));
  // Its parent's deadline is earlier: it has none of its own.
  auto [child, cancel_child] = with_timeout(timed, 2h);
  CHECK(to_string(child).ends_with("s]).WithCancel"));
  CHECK(to_string(without_cancel(todo())) == "context.TODO.WithoutCancel");
  co_return;
}
