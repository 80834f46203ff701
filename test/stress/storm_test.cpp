// Storms: many goroutines on all workers doing random channel operations, with accounts kept of
// every value. Whatever is sent is received once, nothing else is, and no element is lost or
// destroyed twice.
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "../conformance/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::Counted;
using test::Element;
using test::MoveOnly;

namespace {

/// Random choices of a storm; each goroutine has its own.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
  unsigned below(unsigned bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<unsigned>((state_ >> 32) * bound >> 32);
  }

 private:
  std::uint64_t state_;
};

/// What one run of a storm shares. Each value has a number, and is ticked off when it arrives.
struct Ledger {
  explicit Ledger(int total) : received(static_cast<std::size_t>(total)) {}
  std::vector<std::atomic<int>> received;
  Counted::Balance balance;
  std::atomic<int> next{0};

  int take_number() {
    int number = next++;
    return number < static_cast<int>(received.size()) ? number : -1;
  }
  void arrived(int number) { ++received.at(static_cast<std::size_t>(number)); }
  int wrong() const {
    int count = 0;
    for (const auto& one : received) count += one.load() != 1;
    return count;
  }
};

template <class T>
using Channels = std::vector<Channel<T>>;

template <class T>
void note(Ledger& ledger, std::optional<T>& value) {
  if (value) ledger.arrived(Element<T>::number(*value));
}

/// Sends numbers, each in one of several ways, until there are none left.
template <class T>
Task<> sender(Ledger& ledger, Channels<T>& channels, std::uint64_t seed) {
  Dice dice(seed);
  auto some = [&]() -> Channel<T>& {
    return channels[dice.below(static_cast<unsigned>(channels.size()))];
  };
  for (int number; (number = ledger.take_number()) >= 0;) {
    T value = Element<T>::make(ledger.balance, number);
    switch (dice.below(5)) {
      case 0:
        co_await some().send(std::move(value));
        break;
      case 1: {
        while (!some().try_send(std::move(value))) co_await yield();
        break;
      }
      case 2: {
        // One value offered on one channel, against a timeout that does not come.
        co_await select_any{on(some().send(std::move(value)), [] {}),
                            on(after(1h), [] { FAIL("an hour has passed"); })};
        break;
      }
      case 3: {
        // Sends, or meanwhile receives what others send.
        auto& out = some();
        auto operation = out.send(std::move(value));
        bool sent = false;
        auto& in = some();
        std::optional<T> got;
        co_await select_any{on(std::move(operation), [&] { sent = true; }),
                            on(in.recv(), [&](std::optional<T> v) { got = std::move(v); })};
        note(ledger, got);
        // The operation was moved into the select, which lost it: the value is made anew.
        if (!sent) co_await out.send(Element<T>::make(ledger.balance, number));
        break;
      }
      default: {
        int two = ledger.take_number();
        if (two < 0) {
          co_await some().send(std::move(value));
          break;
        }
        // Two values on two channels, or twice on the same one: one of them goes out.
        auto& a = some();
        auto& b = some();
        bool first = false;
        co_await select_any{
            on(a.send(std::move(value)), [&] { first = true; }),
            on(b.send(Element<T>::make(ledger.balance, two)), [] {}),
        };
        co_await some().send(Element<T>::make(ledger.balance, first ? two : number));
      }
    }
  }
}

/// Receives until told that all is over. It never waits for good without listening to all
/// channels, so that senders always find somebody.
template <class T>
Task<> receiver(Ledger& ledger, Channels<T>& channels, Channel<char> over, std::uint64_t seed) {
  Dice dice(seed);
  auto some = [&]() -> Channel<T>& {
    return channels[dice.below(static_cast<unsigned>(channels.size()))];
  };
  for (bool done = false; !done;) {
    std::optional<T> got;
    auto take = [&](std::optional<T> value) { got = std::move(value); };
    switch (dice.below(4)) {
      case 0:
        co_await select_any{on(channels[0].recv(), take), on(channels[1].recv(), take),
                            on(channels[2].recv(), take), on(channels[3].recv(), take),
                            on(over.recv(), [&] { done = true; })};
        break;
      case 1:
        co_await select_any{on(some().recv(), take), on(some().recv(), take),
                            on(sleep_for(50us), [] {}), on(over.recv(), [&] { done = true; })};
        break;
      case 2:
        co_await select_any{on(some().recv(), take), on(after(20us), [] {}),
                            on(over.recv(), [&] { done = true; })};
        break;
      default:
        got = some().try_recv();
        if (!got) co_await yield();
    }
    note(ledger, got);
  }
}

template <class T>
Task<> storm(int total) {
  Ledger ledger(total);
  {
    Channels<T> channels;
    for (int capacity : {0, 0, 1, 3}) channels.emplace_back(capacity);
    Channel<char> over;
    std::vector<JoinHandle<void>> senders;
    std::vector<JoinHandle<void>> receivers;
    for (std::uint64_t i = 0; i < 6; ++i) {
      senders.push_back(go(sender<T>, std::ref(ledger), std::ref(channels), i + 1));
      receivers.push_back(go(receiver<T>, std::ref(ledger), std::ref(channels), over, i + 100));
    }
    co_await test::join_all(senders);
    for (Channel<T>& channel : channels) {
      co_await test::eventually([&] { return channel.len() == 0; });
    }
    over.close();
    co_await test::join_all(receivers);
    for (Channel<T>& channel : channels) CHECK(channel.len() == 0);
  }
  CHECK(ledger.wrong() == 0);
  CHECK(ledger.balance.alive == 0);
  CHECK(ledger.balance.holding == 0);
}

}  // namespace

RINGO_TEST("storm: ints arrive once each (SE-07, SE-13)") { co_await storm<int>(20000); }
RINGO_TEST("storm: elements that can only be moved arrive once each") {
  co_await storm<MoveOnly>(20000);
}
RINGO_TEST("storm: moves, copies and destructions balance") { co_await storm<Counted>(20000); }

RINGO_TEST("storm: waiters in several queues at once do not corrupt them (SE-13, SE-14)") {
  // All selects wait on all channels; one value after the other goes to a random one, so that each
  // wake-up takes nodes out of the middle of the other queues.
  constexpr int waiters = 12;
  constexpr int values = 4000;
  std::vector<Channel<int>> channels(4);
  std::atomic<long> sum{0};
  Channel<char> over;
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < waiters; ++i) {
    handles.push_back(go([&, over]() -> Task<> {
      for (bool done = false; !done;) {
        auto add = [&](std::optional<int> value) { sum += value.value_or(0); };
        co_await select_any{on(channels[0].recv(), add), on(channels[1].recv(), add),
                            on(channels[2].recv(), add), on(channels[3].recv(), add),
                            on(over.recv(), [&] { done = true; })};
      }
    }));
  }
  Dice dice(5);
  long expected = 0;
  for (int i = 1; i <= values; ++i) {
    co_await channels[dice.below(4)].send(i);
    expected += i;
  }
  over.close();
  co_await test::join_all(handles);
  CHECK(sum == expected);
}
