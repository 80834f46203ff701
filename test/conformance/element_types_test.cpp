// Programs over channels with elements of three kinds: int, one that can only be moved, and one
// that keeps accounts. Whatever way the values take, none is lost, doubled or destroyed twice.
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "support.hpp"

using namespace ringo;
using namespace ringo::test;

namespace {

/// Makes the elements of one run, and knows when all of them have gone.
template <class T>
class Elements {
 public:
  T make(int number) { return Element<T>::make(balance_, number); }
  static int number(const std::optional<T>& value) {
    return value ? Element<T>::number(*value) : -1;
  }
  void check_gone() const {
    CHECK_EQ(balance_.alive.load(), 0);
    CHECK_EQ(balance_.holding.load(), 0);
  }

 private:
  Counted::Balance balance_;
};

/// Runs a program with elements of each type, under every combination. The elements live in
/// channels and frames. Draining ends the goroutines that still wait, where main's return would
/// leave their frames as they are; so all elements are gone when a run is over.
template <template <class> class Program>
void with_each_type() {
  const auto with = [](auto program) {
    using P = decltype(program);
    for_each_setting([](const Setting& setting) {
      typename P::Values values;
      Options options;
      options.drain = std::chrono::seconds(10);
      run_setting(
          setting, [&]() -> Task<> { co_await P::run(values); }, options);
      values.check_gone();
    });
  };
  with(Program<int>{});
  with(Program<MoveOnly>{});
  with(Program<Counted>{});
}

// --- sieve1 -------------------------------------------------------------------------------------

template <class T>
struct Sieve {
  using Values = Elements<T>;

  static Task<> count(Values& values, Sender<T> out) {
    for (int i = 2;; ++i) co_await out.send(values.make(i));
  }
  static Task<> filter(Receiver<T> in, Sender<T> out, int prime) {
    while (auto candidate = co_await in.recv()) {
      if (Values::number(candidate) % prime != 0) co_await out.send(std::move(*candidate));
    }
  }
  static Task<> run(Values& values) {
    Channel<T> ch;
    go(count, std::ref(values), ch);
    for (int expected : {2, 3, 5, 7, 11, 13, 17, 19, 23, 29}) {
      auto got = co_await ch.recv();
      const int prime = Values::number(got);
      CHECK_EQ(prime, expected);
      Channel<T> next;
      go(filter, ch, next, prime);
      ch = next;
    }
  }
};

// --- fifo ---------------------------------------------------------------------------------------

template <class T>
struct Fifo {
  using Values = Elements<T>;

  static Task<> receive_in_turn(Channel<T> ch, Channel<> before, Channel<> after, int expected) {
    co_await before.recv();
    auto got = co_await ch.recv();
    CHECK_EQ(Values::number(got), expected);
    after.close();
  }
  static Task<> run(Values& values) {
    constexpr int n = 10;
    Channel<T> buffered(n);
    for (int i = 0; i < n; ++i) co_await buffered.send(values.make(i));
    for (int i = 0; i < n / 2; ++i) {
      auto got = co_await buffered.recv();
      CHECK_EQ(Values::number(got), i);
    }
    // The other half goes with the channel.

    Channel<T> ch;
    Channel<> before;
    before.close();
    for (int i = 0; i < n; ++i) {
      Channel<> after;
      go(receive_in_turn, ch, before, after, i);
      before = after;
    }
    for (int i = 0; i < n; ++i) co_await ch.send(values.make(i));
    co_await before.recv();
  }
};

// --- TestMultiConsumer --------------------------------------------------------------------------

template <class T>
struct MultiConsumer {
  using Values = Elements<T>;

  static Task<> work(Channel<T> queue, Channel<T> results) {
    while (auto value = co_await queue.recv()) {
      if (Values::number(value) % 7 == 0) co_await yield();
      co_await results.send(std::move(*value));
    }
  }
  static Task<> produce(Values& values, Channel<T> queue, int items) {
    for (int i = 0; i < items; ++i) co_await queue.send(values.make(i));
    queue.close();
  }
  static Task<> close_after(std::vector<JoinHandle<void>> workers, Channel<T> results) {
    co_await join_all(workers);
    results.close();
  }
  static Task<> run(Values& values) {
    constexpr int items = 2000;
    Channel<T> queue(23);
    Channel<T> results(23);
    std::vector<JoinHandle<void>> workers;
    for (int i = 0; i < 23; ++i) workers.push_back(go(work, queue, results));
    go(produce, std::ref(values), queue, items);
    go(close_after, std::move(workers), results);
    std::vector<int> seen(items);
    while (auto value = co_await results.recv()) {
      ++seen.at(static_cast<std::size_t>(Values::number(value)));
    }
    int wrong = 0;
    for (int times : seen) wrong += times != 1;
    CHECK_EQ(wrong, 0);
  }
};

// --- TestSelectFairness -------------------------------------------------------------------------

template <class T>
struct Fairness {
  using Values = Elements<T>;

  static Task<> run(Values& values) {
    constexpr int trials = 2000;
    Channel<T> ones(trials);
    Channel<T> twos(trials);
    Channel<T> silent;
    for (int i = 0; i < trials; ++i) {
      co_await ones.send(values.make(1));
      co_await twos.send(values.make(2));
    }
    int of_ones = 0;
    for (int i = 0; i < trials; ++i) {
      std::optional<T> got;
      auto take = [&](std::optional<T> value) { got = std::move(value); };
      co_await select_any{on(silent.recv(), take), on(ones.recv(), take), on(twos.recv(), take)};
      const int number = Values::number(got);
      CHECK_UNARY(number == 1 || number == 2);
      of_ones += number == 1;
    }
    CHECK_LT(std::abs(of_ones - trials / 2), 10 * std::sqrt(trials * 0.25));
    // A select that may send on either of two channels gives its values to one of them.
    Channel<T> left(trials);
    Channel<T> right(trials);
    for (int i = 0; i < trials; ++i) {
      T a = values.make(i);
      T b = values.make(i);
      co_await select_any{left.send(std::move(a)), right.send(std::move(b))};
    }
    CHECK_EQ(left.len() + right.len(), trials);
    CHECK_LT(std::abs(static_cast<int>(left.len()) - trials / 2), 10 * std::sqrt(trials * 0.25));
  }
};

// --- closedchan ---------------------------------------------------------------------------------

template <class T>
struct Closed {
  using Values = Elements<T>;

  static Task<> run(Values& values) {
    for (int capacity : {1, 3}) {
      Channel<T> ch(capacity);
      for (int i = 0; i < capacity; ++i) co_await ch.send(values.make(i));
      ch.close();
      // A send that panics gives its value up, in each form.
      CHECK_NE(co_await panic_of_task([&]() -> Task<> { co_await ch.send(values.make(9)); }), "");
      CHECK_NE(co_await panic_of_task([&]() -> Task<> {
                 T nine = values.make(9);
                 co_await select_any{ch.send(std::move(nine)), otherwise()};
               }),
               "");
      CHECK_NE(panic_of([&] { ch.try_send(values.make(9)); }), "");
      for (int i = 0; i < capacity; ++i) {
        std::optional<T> got;
        if (i % 2 == 0) {
          got = co_await ch.recv();
        } else {
          got = ch.try_recv();
        }
        CHECK_EQ(Values::number(got), i);
      }
      auto after_end = co_await ch.recv();
      CHECK_FALSE(after_end);
    }
  }
};

// --- senders and receivers that wait when the channel is closed, or for ever --------------------

template <class T>
struct Waiting {
  using Values = Elements<T>;

  static Task<> send_and_panic(Values& values, Channel<T> ch, int number) {
    CHECK_NE(co_await panic_of_task([&]() -> Task<> { co_await ch.send(values.make(number)); }),
             "");
  }
  static Task<> send_for_ever(Values& values, Channel<T> ch) { co_await ch.send(values.make(1)); }
  static Task<> run(Values& values) {
    Channel<T> ch(1);
    co_await ch.send(values.make(0));
    std::vector<JoinHandle<void>> senders;
    for (int i = 0; i < 3; ++i) senders.push_back(go(send_and_panic, std::ref(values), ch, i));
    co_await yields(3);
    ch.close();
    co_await join_all(senders);
    auto got = co_await ch.recv();
    CHECK_EQ(Values::number(got), 0);
    // The end of the run finds these.
    go(send_for_ever, std::ref(values), Channel<T>());
    go(send_for_ever, std::ref(values), Channel<T>::nil());
    co_await yields(3);
  }
};

}  // namespace

TEST_CASE("elements: sieve1") { with_each_type<Sieve>(); }
TEST_CASE("elements: fifo") { with_each_type<Fifo>(); }
TEST_CASE("elements: TestMultiConsumer") { with_each_type<MultiConsumer>(); }
TEST_CASE("elements: TestSelectFairness") { with_each_type<Fairness>(); }
TEST_CASE("elements: closedchan") { with_each_type<Closed>(); }
TEST_CASE("elements: senders at the close and at the end of the run") { with_each_type<Waiting>(); }
