// Channels: what compiles (CH-32, CH-33) and what must not; perm.go and sendstmt.go.
#include <concepts>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>

#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;

namespace {

template <class C, class T>
concept can_send = requires(C ch, T value) {
  ch.send(std::move(value));
};
template <class C, class T>
concept can_try_send = requires(C ch, T value) {
  ch.try_send(std::move(value));
};
template <class C>
concept can_receive = requires(C ch) {
  ch.recv();
}
|| requires(C ch) { ch.try_recv(); }
|| requires(C ch) { ch.recv_blocking(); };
template <class C>
concept can_close = requires(C ch) {
  ch.close();
};

using Both = Channel<int>;
using Out = Sender<int>;
using In = Receiver<int>;

// CH-32: the directions.
static_assert(can_send<Both, int> && can_receive<Both> && can_close<Both>);
static_assert(can_send<Out, int> && !can_receive<Out> && can_close<Out>);
static_assert(!can_send<In, int> && !can_try_send<In, int> && can_receive<In> && !can_close<In>);

static_assert(std::is_convertible_v<Both, Out>);
static_assert(std::is_convertible_v<Both, In>);
static_assert(!std::is_constructible_v<Both, Out>);
static_assert(!std::is_constructible_v<Both, In>);
static_assert(!std::is_constructible_v<Out, In>);
static_assert(!std::is_constructible_v<In, Out>);
static_assert(!std::is_constructible_v<Channel<int>, Channel<long>>);
static_assert(!std::is_constructible_v<Sender<long>, Channel<int>>);
static_assert(!std::is_convertible_v<int, Channel<int>>);

static_assert(!can_send<Channel<int>, std::string>);
static_assert(!can_send<Channel<std::unique_ptr<int>>, int*>);

// Handles are values; operations own what they need and cannot be awaited twice by accident.
static_assert(std::regular<Both> && std::is_nothrow_move_constructible_v<Both>);
static_assert(std::copyable<Out> && std::copyable<In>);
static_assert(std::move_constructible<decltype(std::declval<Both>().recv())>);
static_assert(!std::is_copy_constructible_v<
              decltype(std::declval<Channel<std::unique_ptr<int>>>().send(nullptr))>);

// Tasks and handles move only; timers too.
static_assert(!std::copyable<Task<int>> && std::movable<Task<int>>);
static_assert(!std::copyable<JoinHandle<int>> && std::movable<JoinHandle<int>>);
static_assert(!std::copyable<Timer> && std::movable<Timer>);

// A case of a select is an operation; not a task, a lock guard or a plain value.
template <class T>
constexpr bool is_case = detail::IsOperation<T>;
static_assert(is_case<decltype(std::declval<Both>().send(1))>);
static_assert(is_case<decltype(std::declval<Both>().recv())>);
static_assert(is_case<decltype(after(std::chrono::seconds(1)))>);
static_assert(is_case<Sleep> && is_case<Timer> && is_case<Ticker> && is_case<JoinHandle<void>>);
static_assert(!is_case<Task<>> && !is_case<std::unique_lock<std::mutex>> && !is_case<int>);

Task<> produce(Sender<int> out) {
  for (int i = 0; i < 3; ++i) co_await out.send(i);
  out.close();
}
Task<int> consume(Receiver<int> in) {
  int sum = 0;
  while (auto value = co_await in.recv()) sum += *value;
  co_return sum;
}

}  // namespace

RINGO_TEST("CH-32: a channel is given away for one direction") {
  Channel<int> ch;
  go(produce, ch);
  CHECK(co_await consume(ch) == 3);
  Sender<int> out = ch;
  CHECK(!test::panic_of([&] { out.close(); }).empty());  // it is closed
  CHECK(out == ch);
}

RINGO_TEST("CH-33: channels are sent over channels (sendstmt)") {
  Channel<Channel<int>> channels(1);
  Channel<int> answer(1);
  co_await channels.send(answer);
  co_await (co_await channels.recv()).value().send(2);
  CHECK(co_await answer.recv() == 2);
  // And over channels of channels of channels.
  Channel<Channel<Channel<int>>> deep(1);
  co_await deep.send(channels);
  auto middle = co_await deep.recv();
  REQUIRE(middle);
  co_await middle->send(answer);
  CHECK((co_await channels.recv()).value() == answer);
  // The channel itself, as a value of it: a cycle of handles is legal as long as it is emptied.
  auto server = go([channels]() -> Task<> {
    while (auto reply = co_await channels.recv()) co_await reply->send(1);
  });
  for (int i = 0; i < 10; ++i) {
    Channel<int> reply;
    co_await channels.send(reply);
    CHECK(co_await reply.recv() == 1);
  }
  channels.close();
  co_await server;
}
