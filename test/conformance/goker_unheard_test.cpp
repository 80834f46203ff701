// More leaks around channels, from the bugs of well-known Go programs (GoKer, see
// goker_channel_test.cpp): a value that nobody takes, an end that nobody announces.
#include "goker.hpp"

using namespace ringo;
using namespace ringo::test;

// --- a value that nobody takes ------------------------------------------------------------------

namespace {

// moby/4395: a function's error comes over a channel, and the caller does not care.
Task<> report_error(Channel<int> errors) { co_await errors.send(7); }

Task<> moby_4395(Variant v) {
  Channel<int> errors(v.fixed ? 1 : 0);
  v.go(report_error, errors);
  co_return;
}

// istio/17860: a proxy ends after its agent has.
Task<> run_proxy(Channel<int> status) { co_await status.send(0); }

Task<> istio_17860(Variant v) {
  Channel<int> status(v.fixed ? 1 : 0);
  auto [ctx, cancel] = with_cancel(this_context());
  cancel();
  auto got = co_await select_first{ctx.done(), status.recv()};
  CHECK_EQ(got.index(), 0);
  v.go(run_proxy, status);
}

// kubernetes/38669: a watcher is given more events at its start than it has room for, and whoever
// wanted them has gone.
Task<> process_events(Channel<int> events, Channel<int> result, int initial) {
  for (int i = 0; i < initial; ++i) co_await result.send(i);
  while (auto event = co_await events.recv()) co_await result.send(*event);
  result.close();
}

Task<> kubernetes_38669(Variant v) {
  constexpr int initial = 3;
  Channel<int> events;
  Channel<int> result(v.fixed ? initial : initial - 1);
  v.go(process_events, events, result, initial);
  events.close();
  co_return;
}

// cockroach/35073: a consumer that has enough says so, and does not empty the channel for the
// producer that is in the middle of a row.
Task<> push_rows(Channel<int> rows, Channel<> begun) {
  for (int i = 0; i < 3; ++i) {
    co_await rows.send(i);
    if (i == 0) begun.close();
  }
  rows.close();
}

Task<> cockroach_35073(Variant v) {
  Channel<int> rows(1);
  Channel<> begun;
  v.go(push_rows, rows, begun);
  co_await begun.recv();
  if (!v.fixed) co_return;
  int count = 0;
  while (auto row = co_await rows.recv()) CHECK_EQ(*row, count++);
  CHECK_EQ(count, 3);
}

// moby/21233: a download reports how far it is to somebody who watches only until it is told that
// there is enough.
Task<> report_progress(Channel<int> progress, Context watched, bool mended) {
  for (int i = 0; i < 10; ++i) {
    if (mended) {
      auto sent = co_await select_any{progress.send(i), watched.done()};
      if (sent.index() == 1) co_return;
    } else {
      co_await progress.send(i);
    }
  }
  progress.close();
}

Task<> moby_21233(Variant v) {
  Channel<int> progress;
  auto [watched, release] = with_cancel(this_context());
  v.go(report_progress, progress, watched, v.fixed);
  for (int i = 0; i < 4; ++i) {
    auto got = co_await progress.recv();
    CHECK(got == i);
  }
}

}  // namespace

TEST_CASE("DL-10: moby/4395: an error that nobody asks for") {
  check_program(&moby_4395, Leak::always, {"report_error [chan send]"});
}
TEST_CASE("DL-10: istio/17860: a status after the end of the agent") {
  check_program(&istio_17860, Leak::always, {"run_proxy [chan send]"});
}
TEST_CASE("DL-10: kubernetes/38669: more events than room") {
  check_program(&kubernetes_38669, Leak::always, {"process_events [chan send]"});
}
TEST_CASE("DL-10: cockroach/35073: rows for a consumer that has enough") {
  check_program(&cockroach_35073, Leak::always, {"push_rows [chan send]"});
}
TEST_CASE("DL-10: moby/21233: progress that nobody watches any more") {
  check_program(&moby_21233, Leak::always, {"report_progress [chan send]"});
}

// --- an end that nobody announces ---------------------------------------------------------------

namespace {

// cockroach/13197: a transaction waits for its Context, which nobody cancels when it is dropped. A
// CancelFunc that goes out of scope cancels, so the mistake has to be asked for.
Task<> await_done(Context ctx) { co_await ctx.done(); }

Task<> cockroach_13197(Variant v) {
  auto [ctx, cancel] = with_cancel(this_context());
  v.go(await_done, ctx);
  if (!v.fixed) cancel.detach();
  co_return;
}

// cockroach/13755: the same of the rows of a query, which close() would end.
struct Rows {
  Context ctx;
  CancelFunc cancel;
  void close() { cancel(); }
};

Task<> cockroach_13755(Variant v) {
  auto [ctx, cancel] = with_cancel(this_context());
  auto rows = std::make_shared<Rows>(ctx, std::move(cancel));
  v.go(await_done, rows->ctx);
  if (v.fixed) {
    rows->close();
  } else {
    rows->cancel.detach();
  }
  co_return;
}

// cockroach/25456: a check waits for its result or the end of the store, and the store ends only
// after it.
Task<> check_consistency(Channel<> result, Channel<> quiesce) {
  co_await select_any{result.recv(), quiesce.recv()};
}

Task<> cockroach_25456(Variant v) {
  Channel<> result;
  Channel<> quiesce;
  if (v.fixed) quiesce.close();
  co_await check_consistency(result, quiesce);
  if (!v.fixed) quiesce.close();
}

// grpc/1424: dialling waits for the first addresses, and the balancer is closed without any.
Task<> watch_balancer(Variant v, Channel<int> addresses, Channel<> first) {
  bool told = false;
  while (auto address = co_await addresses.recv()) {
    CHECK_GE(*address, 0);
    if (!told) first.close();
    told = true;
  }
  if (v.fixed && !told) first.close();
}

Task<> grpc_1424(Variant v) {
  Channel<int> addresses;
  Channel<> first;
  v.go(watch_balancer, v, addresses, first);
  addresses.close();
  co_await first.recv();
}

// kubernetes/70277: whoever polls is told to go on or stop by the channel that its caller has; the
// condition holds at once, and nobody closes that channel.
Task<> poller(Channel<> ticks, Channel<> done) {
  for (;;) {
    auto ticked = co_await select_any{ticks.send(), done.recv()};
    if (ticked.index() == 1) co_return;
  }
}

Task<> kubernetes_70277(Variant v) {
  Channel<> ticks;
  Channel<> done;
  v.go(poller, ticks, done);
  const bool holds = true;
  do { co_await ticks.recv(); } while (!holds);
  if (v.fixed) done.close();
}

}  // namespace

TEST_CASE("DL-10: cockroach/13197: a transaction that is dropped") {
  check_program(&cockroach_13197, Leak::always, {"await_done [context done]"});
}
TEST_CASE("DL-10: cockroach/13755: rows that nobody closes") {
  check_program(&cockroach_13755, Leak::always, {"await_done [context done]"});
}
TEST_CASE("DL-10: cockroach/25456: a store that ends after what waits for its end") {
  check_program(&cockroach_25456, Leak::always, {"cockroach_25456 [select]"});
}
TEST_CASE("DL-10: grpc/1424: waiting for the first of no addresses") {
  check_program(&grpc_1424, Leak::always, {"grpc_1424 [chan receive]"});
}
TEST_CASE("DL-10: kubernetes/70277: a poller that outlives its caller") {
  check_program(&kubernetes_70277, Leak::always, {"poller [select]"});
}
