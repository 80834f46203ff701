// Leaks around channels, from the bugs of well-known Go programs that Go's leak profile is tested
// with (GoKer, of "GoBench: A Benchmark Suite of Real-World Go Concurrency Bugs"): the other side
// of a channel has gone, or never came.
#include <ringo/time.hpp>

#include "goker.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

// --- whoever wanted the answer has gone ---------------------------------------------------------

namespace {

// grpc/660: a client that is told to stop no longer counts the calls that come to their end.
Task<> unary_call(Channel<int> done, int latency) { co_await done.send(latency); }

Task<> stop_client(Channel<> stop) { co_await stop.send(); }

Task<> grpc_660(Variant v) {
  Channel<int> done(v.fixed ? 5 : 0);
  Channel<> stop;
  for (int i = 0; i < 5; ++i) v.go(unary_call, done, i);
  for (int i = 0; i < 2; ++i) co_await done.recv();
  v.go(stop_client, stop);
  co_await stop.recv();
}

// kubernetes/5316: a request that takes too long has two ways to end, and nobody at either.
Task<> serve_request(Channel<> begin, Channel<int> result, Channel<int> failure, bool fails) {
  co_await begin.recv();
  if (fails) {
    co_await failure.send(500);
  } else {
    co_await result.send(200);
  }
}

Task<> kubernetes_5316(Variant v) {
  for (bool fails : {false, true}) {
    Channel<int> result(v.fixed ? 1 : 0);
    Channel<int> failure(v.fixed ? 1 : 0);
    Channel<> begin;
    v.go(serve_request, begin, result, failure, fails);
    auto ended = co_await select_any{result.recv(), failure.recv(), after(1us)};
    CHECK_EQ(ended.index(), 2);
    begin.close();
  }
}

// moby/33781: a health check is stopped while a probe is under way, whose result nobody takes.
Task<> probe(Context ctx, Channel<int> results) {
  co_await ctx.done();
  co_await results.send(1);
}

Task<> monitor_health(Variant v, Channel<> stop) {
  Channel<int> results(v.fixed ? 1 : 0);
  auto [ctx, cancel] = with_cancel(this_context());
  v.go(probe, ctx, results);
  auto ended = co_await select_any{results.recv(), stop.recv()};
  CHECK_EQ(ended.index(), 1);
}

Task<> moby_33781(Variant v) {
  Channel<> stop;
  v.go(monitor_health, v, stop);
  co_await stop.send();
}

// etcd/6857: a node that has stopped is asked how it is.
struct Node {
  Channel<Channel<int>> status;
  Channel<> stop;
  Channel<> done;
};

Task<> run_node(std::shared_ptr<Node> node) {
  for (;;) {
    auto asked = co_await select_any{node->status.recv(), node->stop.recv()};
    if (asked.index() == 1) break;
    co_await asked.get<0>()->send(7);
  }
  node->done.close();
}

Task<> ask_status(Variant v, std::shared_ptr<Node> node) {
  Channel<int> answer;
  if (v.fixed) {
    auto asked = co_await select_any{node->status.send(answer), node->done.recv()};
    if (asked.index() == 1) co_return;
  } else {
    co_await node->status.send(answer);
  }
  co_await answer.recv();
}

Task<> etcd_6857(Variant v) {
  auto node = std::make_shared<Node>();
  v.go(run_node, node);
  co_await ask_status(v, node);
  co_await node->stop.send();
  co_await node->done.recv();
  v.go(ask_status, v, node);
}

}  // namespace

TEST_CASE("DL-10: grpc/660: results after the stop") {
  check_program(&grpc_660, Leak::always,
                {"unary_call [chan send]", "unary_call [chan send]", "unary_call [chan send]"});
}
TEST_CASE("DL-10: kubernetes/5316: results after the timeout") {
  check_program(&kubernetes_5316, Leak::always,
                {"serve_request [chan send]", "serve_request [chan send]"});
}
TEST_CASE("DL-10: moby/33781: a probe that is cut short") {
  check_program(&moby_33781, Leak::always, {"probe [chan send]"});
}
TEST_CASE("DL-10: etcd/6857: a question to a node that has stopped") {
  check_program(&etcd_6857, Leak::always, {"ask_status [chan send]"});
}

// --- nobody gives the signal --------------------------------------------------------------------

namespace {

// grpc/862: dialling gives up, and does not close the connection that it has begun. Here somebody
// has to ask for that: a CancelFunc that goes out of scope cancels.
Task<> reset_address(Context connection) { co_await connection.done(); }

Task<bool> dial(Variant v, Context dialling) {
  auto [connection, close] = with_cancel(this_context());
  v.go(reset_address, connection);
  co_await dialling.done();
  if (!v.fixed) close.detach();
  co_return false;
}

Task<> grpc_862(Variant v) {
  auto [dialling, give_up] = with_cancel(this_context());
  give_up();
  const bool connected = co_await dial(v, dialling);
  CHECK_FALSE(connected);
}

// cockroach/24808: the compactor tells itself that there is work, in a channel that may be full.
Task<> cockroach_24808(Variant v) {
  Channel<> suggestions(1);
  co_await suggestions.send();
  if (v.fixed) {
    CHECK_FALSE(suggestions.try_send(Unit{}));
  } else {
    co_await suggestions.send();
  }
}

}  // namespace

TEST_CASE("DL-10: grpc/862: a connection that nobody closes") {
  check_program(&grpc_862, Leak::always, {"reset_address [context done]"});
}
TEST_CASE("DL-10: cockroach/24808: a full channel of one's own") {
  check_program(&cockroach_24808, Leak::always, {"cockroach_24808 [chan send]"});
}

// --- one side has been told to stop, the other has not ------------------------------------------

namespace {

// cockroach/10790: who waits for what comes first waits on when the sender has been cancelled.
Task<> wait_for_first(Variant v, Context ctx, Channel<> first) {
  if (v.fixed) {
    co_await select_any{first.recv(), ctx.done()};
  } else {
    co_await first.recv();
  }
}

Task<> cockroach_10790(Variant v) {
  auto [ctx, cancel] = with_cancel(this_context());
  std::vector<Channel<>> first(3);
  for (Channel<>& ch : first) v.go(wait_for_first, v, ctx, ch);
  co_await first[0].send();
}

// cockroach/18101: a restore that is cancelled takes no more of what is made ready for it.
Task<> split_and_scatter(Variant v, Context ctx, Channel<int> ready) {
  for (int i = 0; i < 3; ++i) {
    if (v.fixed) {
      auto sent = co_await select_any{ready.send(i), ctx.done()};
      if (sent.index() == 1) co_return;
    } else {
      co_await ready.send(i);
    }
  }
}

Task<> cockroach_18101(Variant v) {
  auto [ctx, cancel] = with_cancel(this_context());
  Channel<int> ready;
  v.go(split_and_scatter, v, ctx, ready);
  co_await ready.recv();
}

// kubernetes/25331: a watch that ends by an error has nobody left to report the error to.
struct Watch {
  Channel<int> errors{1};
  Channel<int> results;
};

Task<> run_watch(Variant v, std::shared_ptr<Watch> watch, Context ctx) {
  const int error = (co_await watch->errors.recv()).value();
  if (v.fixed) {
    co_await select_any{watch->results.send(error), ctx.done()};
  } else {
    co_await watch->results.send(error);
  }
}

Task<> kubernetes_25331(Variant v) {
  auto watch = std::make_shared<Watch>();
  auto [ctx, stop] = with_cancel(this_context());
  v.go(run_watch, v, watch, ctx);
  co_await watch->errors.send(5);
  stop();
}

// grpc/1275: closing a stream does not reach the one who reads from it.
Task<> read_stream(Channel<int> received, Channel<> done) {
  co_await received.recv();
  done.close();
}

Task<> grpc_1275(Variant v) {
  Channel<int> received;
  Channel<> done;
  v.go(read_stream, received, done);
  if (v.fixed) received.close();
  co_await done.recv();
}

}  // namespace

TEST_CASE("DL-10: cockroach/10790: waiting for one who was cancelled") {
  check_program(&cockroach_10790, Leak::always,
                {"wait_for_first [chan receive]", "wait_for_first [chan receive]"});
}
TEST_CASE("DL-10: cockroach/18101: sending to one who was cancelled") {
  check_program(&cockroach_18101, Leak::always, {"split_and_scatter [chan send]"});
}
TEST_CASE("DL-10: kubernetes/25331: an error after the end") {
  check_program(&kubernetes_25331, Leak::always, {"run_watch [chan send]"});
}
TEST_CASE("DL-10: grpc/1275: a stream whose reader does not hear of its end") {
  check_program(&grpc_1275, Leak::always,
                {"grpc_1275 [chan receive]", "read_stream [chan receive]"});
}

// --- two that wait for each other ---------------------------------------------------------------

namespace {

// cockroach/2448: the loop reports an event to one who wants to call back into the loop.
struct Raft {
  Channel<int> events;
  Channel<int> callbacks;
  Channel<> stop;
};

Task<> run_raft(Variant v, std::shared_ptr<Raft> raft) {
  Channel<int> callbacks = v.fixed ? raft->callbacks : Channel<int>::nil();
  for (int event = 0; event < 2;) {
    auto sent = co_await select_any{raft->events.send(event), raft->stop.recv(), callbacks.recv()};
    if (sent.index() == 1) co_return;
    if (sent.index() == 0) ++event;
  }
  co_await raft->callbacks.recv();
}

Task<> process_events(std::shared_ptr<Raft> raft) {
  for (int i = 0; i < 2; ++i) {
    auto event = co_await select_any{raft->events.recv(), raft->stop.recv()};
    if (event.index() == 1) co_return;
    co_await select_any{raft->callbacks.send(i), raft->stop.recv()};
  }
}

Task<> cockroach_2448(Variant v) {
  auto raft = std::make_shared<Raft>();
  v.go(run_raft, v, raft);
  v.go(process_events, raft);
  co_return;
}

// syncthing/5795: the loop that handles a message closes the connection, and for that waits for
// the end of the loop.
struct Peer {
  Channel<int> inbox;
  Channel<> closed;
  Channel<> stopped;
};

Task<> close_peer(std::shared_ptr<Peer> peer) {
  peer->closed.close();
  co_await peer->stopped.recv();
}

Task<> dispatch(Variant v, std::shared_ptr<Peer> peer) {
  Defer end{[&] { peer->stopped.close(); }};
  for (;;) {
    auto got = co_await select_any{peer->inbox.recv(), peer->closed.recv()};
    if (got.index() == 1) co_return;
    if (v.fixed) {
      v.go(close_peer, peer);
    } else {
      co_await close_peer(peer);
    }
  }
}

Task<> syncthing_5795(Variant v) {
  auto peer = std::make_shared<Peer>();
  v.go(dispatch, v, peer);
  co_await peer->inbox.send(1);
  co_await peer->stopped.recv();
}

}  // namespace

TEST_CASE("DL-10: cockroach/2448: an event and a callback meet") {
  check_program(&cockroach_2448, Leak::always, {"process_events [select]", "run_raft [select]"});
}
TEST_CASE("DL-10: syncthing/5795: a loop that waits for its own end") {
  check_program(&syncthing_5795, Leak::always,
                {"dispatch [chan receive]", "syncthing_5795 [chan receive]"});
}
