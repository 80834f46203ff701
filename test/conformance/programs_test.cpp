// Programs of Go's test/chan and neighbours, as far as they are no rows of their own: sieve1, fifo,
// goroutines, nonblock, select3, ken/chan1, 235, chancap.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ringo/time.hpp>

#include "support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::blocks;
using test::on_one_worker;
using test::panic_of_task;

// --- sieve1: a chain of filters, each for one prime ---------------------------------------------

namespace {

Task<> counter(Sender<int> out) {
  for (int i = 2;; ++i) co_await out.send(i);
}

Task<> filter(Receiver<int> in, Sender<int> out, int prime) {
  while (auto candidate = co_await in.recv()) {
    if (*candidate % prime != 0) co_await out.send(*candidate);
  }
}

Task<> sieve(Sender<int> primes) {
  Channel<int> ch;
  go(counter, ch);
  for (;;) {
    int prime = (co_await ch.recv()).value();
    co_await primes.send(prime);
    Channel<int> next;
    go(filter, ch, next, prime);
    ch = next;
  }
}

}  // namespace

RINGO_TEST("sieve1: the first 25 primes") {
  Channel<int> primes;
  go(sieve, primes);
  for (int expected : {2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                       43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97}) {
    auto prime = co_await primes.recv();
    CHECK(prime == expected);
  }
}

// --- fifo: order with and without a buffer ------------------------------------------------------

RINGO_TEST("fifo: a buffered channel, and a chain of goroutines that wait for each other") {
  constexpr int n = 10;
  Channel<int> buffered(n);
  for (int i = 0; i < n; ++i) co_await buffered.send(i);
  for (int i = 0; i < n; ++i) {
    auto value = co_await buffered.recv();
    CHECK(value == i);
  }

  // Each link receives when it has been told that the link before it did.
  Channel<int> ch;
  Channel<int> in;
  Channel<int> first = in;
  std::vector<JoinHandle<void>> links;
  for (int i = 0; i < n; ++i) {
    Channel<int> out;
    links.push_back(go([ch, in, out, i]() -> Task<> {
      co_await in.recv();
      auto value = co_await ch.recv();
      CHECK(value == i);
      co_await out.send(1);
    }));
    in = out;
  }
  co_await first.send(0);
  for (int i = 0; i < n; ++i) co_await ch.send(i);
  co_await in.recv();
  co_await test::join_all(links);
}

// --- goroutines: a daisy chain, left <- <-right -------------------------------------------------

namespace {

Task<> daisy_chain(int length) {
  Channel<int> leftmost;
  Channel<int> left = leftmost;
  for (int i = 0; i < length; ++i) {
    Channel<int> right;
    go([left, right]() -> Task<> {
      int value = (co_await right.recv()).value();
      co_await left.send(value + 1);
    });
    left = right;
  }
  go([left]() -> Task<> { co_await left.send(0); });
  auto value = co_await leftmost.recv();
  CHECK(value == length);
}

}  // namespace

RINGO_TEST("CH-38: ten thousand goroutines in a chain (goroutines)") {
  co_await daisy_chain(10'000);
}
RINGO_TEST("CH-38: a hundred thousand goroutines in a chain" * doctest::test_suite("long")) {
  co_await daisy_chain(100'000);
}
RINGO_TEST("GO-13: a million goroutines in a chain" * doctest::test_suite("huge")) {
  co_await daisy_chain(1'000'000);
}

// --- nonblock: operations that do not wait, against partners that do ----------------------------

namespace {

template <class T>
Task<T> receive_one(Channel<T> ch) {
  std::optional<T> got = co_await ch.recv();
  co_return std::move(got).value();
}

template <class T>
Task<> nonblock(T value, int capacity) {
  Channel<T> ch(capacity);
  auto select_recv = [&]() -> Task<std::optional<T>> {
    auto take = [](std::optional<T> got) { return got; };
    co_return co_await select_any{on(ch.recv(), take),
                                  otherwise([] { return std::optional<T>(); })};
  };
  auto select_send = [&]() -> Task<bool> {
    co_return co_await select_any{on(ch.send(value), [] { return true; }),
                                  otherwise([] { return false; })};
  };
  CHECK(!ch.try_recv());
  CHECK(!co_await select_recv());

  // Against a partner that waits; it may take a while until it does.
  auto sender = go([ch, value]() -> Task<> { co_await ch.send(value); });
  std::optional<T> got;
  while (!got) {
    got = co_await select_recv();
    if (!got) co_await yield();
  }
  CHECK(*got == value);
  co_await sender;

  auto receiver = go(receive_one<T>, ch);
  while (!co_await select_send()) co_await sleep_for(10us);
  CHECK(co_await receiver == value);

  auto second = go(receive_one<T>, ch);
  while (!ch.try_send(value)) co_await yield();
  CHECK(co_await second == value);

  CHECK(co_await select_send() == (capacity > 0));
  CHECK(!co_await select_send());
  CHECK(ch.try_recv().has_value() == (capacity > 0));
}

}  // namespace

RINGO_TEST("nonblock: of several types, with and without a buffer") {
  const std::string text = "a string that is too long to be stored in place";
  for (int capacity : {0, 1}) {
    co_await nonblock<std::int32_t>(123, capacity);
    co_await nonblock<std::int64_t>(std::int64_t{1} << 40, capacity);
    co_await nonblock<bool>(true, capacity);
    co_await nonblock<std::string>(text, capacity);
  }
}

// --- select3: what waits and what does not ------------------------------------------------------

RINGO_TEST("select3: the table of what waits") {
  co_await on_one_worker([]() -> Task<> {
    using Ch = Channel<int>;
    auto nil = [] { return Ch::nil(); };
    auto closed = [] {
      Ch ch;
      ch.close();
      return ch;
    };
    auto room = [] { return Ch(10); };
    auto full = [] {
      Ch ch(1);
      ch.try_send(1);
      return ch;
    };
    auto none = [] { return Ch(); };
    struct Row {
      const char* name;
      std::function<Ch()> make;
      bool send_waits;
      bool recv_waits;
      bool send_panics;
    };
    const std::vector<Row> rows = {
        {"nil", nil, true, true, false},         {"closed", closed, false, false, true},
        {"empty", room, false, true, false},     {"full", full, true, false, false},
        {"unbuffered", none, true, true, false},
    };
    for (const Row& row : rows) {
      for (int form = 0; form < 3; ++form) {
        bool panicked = false;
        auto send = [ch = row.make(), form, &panicked]() -> Task<> {
          auto text = co_await panic_of_task([&]() -> Task<> {
            switch (form) {
              case 0:
                co_await ch.send(7);
                break;
              case 1:
                co_await select_any{on(ch.send(7), [] {})};
                break;
              default:
                co_await select_any{on(ch.send(7), [] {}), on(Ch::nil().recv(), [] {})};
            }
          });
          panicked = !text.empty();
        };
        CHECK_MESSAGE(co_await blocks(send) == row.send_waits, row.name, " send ", form);
        CHECK(panicked == row.send_panics);
        auto recv = [ch = row.make(), form]() -> Task<> {
          switch (form) {
            case 0:
              co_await ch.recv();
              break;
            case 1:
              co_await select_any{on(ch.recv(), [] {})};
              break;
            default:
              co_await select_any{on(Ch::nil().send(1), [] {}), on(ch.recv(), [] {})};
          }
        };
        CHECK_MESSAGE(co_await blocks(recv) == row.recv_waits, row.name, " recv ", form);
      }
      // With a default nothing waits.
      auto polls = [ch = row.make()]() -> Task<> {
        co_await select_any{on(ch.recv(), [] {}), otherwise([] {})};
      };
      CHECK(!co_await blocks(polls));
    }
  });
}

// --- ken/chan1: receivers through selects of one case -------------------------------------------

RINGO_TEST("ken/chan1: ten receivers, a sequence in which each number comes once") {
  constexpr int count = 1000;
  constexpr int receivers = 10;
  Channel<int> ch(2);
  std::array<std::atomic<int>, count> marks{};
  std::vector<JoinHandle<void>> handles;
  for (int r = 0; r < receivers; ++r) {
    handles.push_back(go([&]() -> Task<> {
      for (int i = 0; i < count / receivers; ++i) {
        co_await select_any{on(ch.recv(), [&](std::optional<int> value) {
          ++marks.at(static_cast<std::size_t>(value.value()));
        })};
      }
    }));
  }
  for (int i = 0; i < count; ++i) {
    co_await yield();
    co_await select_any{on(ch.send(i), [] {})};
  }
  co_await test::join_all(handles);
  int wrong = 0;
  for (auto& mark : marks) wrong += mark != 1;
  CHECK(wrong == 0);
}

// --- 235: Hamming numbers by three goroutines ---------------------------------------------------

RINGO_TEST("235: the first Hamming numbers") {
  constexpr std::array<std::int64_t, 3> factors{2, 3, 5};
  std::array<Channel<std::int64_t>, 3> in{Channel<std::int64_t>(500), Channel<std::int64_t>(500),
                                          Channel<std::int64_t>(500)};
  std::array<Channel<std::int64_t>, 3> out{Channel<std::int64_t>(100), Channel<std::int64_t>(100),
                                           Channel<std::int64_t>(100)};
  for (std::size_t i = 0; i < 3; ++i) {
    go(
        [](std::int64_t factor, Channel<std::int64_t> from, Channel<std::int64_t> to) -> Task<> {
          while (auto value = co_await from.recv()) co_await to.send(*value * factor);
        },
        factors[i], in[i], out[i]);
  }
  std::int64_t x = 1;
  std::array<std::int64_t, 3> heads{};
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 0; i < 3; ++i) {
    co_await in[i].send(x);
    heads[i] = (co_await out[i].recv()).value();
  }
  for (int n = 0; n < 100; ++n) {
    numbers.push_back(x);
    x = std::min({heads[0], heads[1], heads[2]});
    for (std::size_t i = 0; i < 3; ++i) co_await in[i].send(x);
    for (std::size_t i = 0; i < 3; ++i) {
      if (heads[i] == x) heads[i] = (co_await out[i].recv()).value();
    }
  }
  std::vector<std::int64_t> first(numbers.begin(), numbers.begin() + 12);
  const std::vector<std::int64_t> expected{1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16};
  CHECK(first == expected);
  CHECK(numbers.back() == 1536);
}
