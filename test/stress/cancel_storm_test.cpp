// Clients and servers exchange numbered bytes over TCP while their reads, writes, accepts,
// connects, channel operations and selects are cancelled or timed out at random moments. Every byte
// that was said to be written is read once and in order, and none that was not; every connection
// that was accepted is served to its end or closed; no descriptor, frame, goroutine or value is
// left.
//
//   RINGO_CANCEL_STORM=1000000     cancellations and timeouts, for each driver and number of workers
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include <ringo/cancellation.hpp>
#include <ringo/detail/frame_allocator.hpp>
#include <ringo/task_group.hpp>

#include "conformance/support.hpp"
#include "net/net_fixture.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

constexpr long default_hits = 3000;

long hits_wanted() {
  const char* text = std::getenv("RINGO_CANCEL_STORM");
  return text != nullptr && *text != '\0' ? std::strtol(text, nullptr, 10) : default_hits;
}

/// xorshift; each goroutine has its own.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL | 1) {}
  unsigned below(unsigned bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<unsigned>((state_ >> 20) % bound);
  }

 private:
  std::uint64_t state_;
};

/// What all have in common; the channel leads to those who cancel.
struct Storm {
  std::atomic<long> hits{0};   // operations that were cut off
  std::atomic<long> tries{0};  // operations
  long wanted = 0;
  std::atomic<long> accepted{0};
  std::atomic<long> closed{0};
  std::atomic<long> connected{0};
  std::atomic<std::uint64_t> bytes{0};
  Channel<std::shared_ptr<CancelFunc>> victims{64};

  bool over() const { return hits >= wanted; }
};

bool cut_off(const Error& error) {
  return error == std::errc::operation_canceled || error == std::errc::timed_out;
}

/// Cancels what it is sent after a moment.
Task<> canceller(Storm& storm, unsigned seed) {
  Dice dice(seed);
  while (auto victim = co_await storm.victims.recv()) {
    for (unsigned i = dice.below(6); i > 0; --i) co_await yield();
    if (dice.below(4) == 0) co_await sleep_for(std::chrono::microseconds(dice.below(80)));
    (**victim)();
  }
}

/// Runs work (a Task of a Result) such that it may be cut off: by a goroutine that cancels, by a
/// Context's deadline, or by with_timeout. A Canceled that reaches this place is an error too.
template <class T>
Task<Result<T>> risky(Storm& storm, Dice& dice, Task<Result<T>> work) {
  ++storm.tries;
  Result<T> result = Errc::canceled;
  const auto moment = std::chrono::microseconds(dice.below(60));
  switch (dice.below(4)) {
    case 0: {
      auto [ctx, cancel] = with_cancel(background());
      auto shared = std::make_shared<CancelFunc>(std::move(cancel));
      co_await storm.victims.send(shared);
      try {
        result = co_await with_context(ctx, std::move(work));
      } catch (const Canceled&) {}
      break;
    }
    case 1: {
      auto [ctx, cancel] = with_timeout(background(), moment);
      try {
        result = co_await with_context(ctx, std::move(work));
      } catch (const Canceled&) {}
      break;
    }
    case 2:
      result = co_await with_timeout(moment, std::move(work));
      break;
    default:
      result = co_await std::move(work);
  }
  if (!result && cut_off(result.error())) ++storm.hits;
  co_return result;
}

Task<Result<std::size_t>> read_some(net::TcpStream& conn, char* buffer, std::size_t size,
                                    unsigned way) {
  if (way == 0) co_return co_await conn.read(buffer, size);
  // In a select, against a channel that never has anything and a timer.
  auto happened = co_await select_any{conn.read(buffer, size), Channel<int>::nil().recv(),
                                      after(std::chrono::microseconds(way * 7))};
  if (happened.index() == 0) co_return happened.get<0>();
  co_return Errc::timeout;
}

Task<Result<std::size_t>> write_some(net::TcpStream& conn, const char* data, std::size_t size,
                                     std::size_t& written) {
  co_return co_await conn.write(std::string_view(data, size), &written);
}

/// Writes the stream from `at` on; what is said to be written is.
Task<bool> write_stream(Storm& storm, Dice& dice, net::TcpStream& conn, std::uint64_t& at,
                        std::uint64_t end) {
  std::vector<char> block(40'000);
  while (at < end) {
    std::size_t size = dice.below(8) == 0 ? block.size() : 1 + dice.below(600);
    if (size > end - at) size = static_cast<std::size_t>(end - at);
    for (std::size_t i = 0; i < size; ++i) block[i] = static_cast<char>(pattern(at + i));
    std::size_t written = 0;
    auto n = co_await risky(storm, dice, write_some(conn, block.data(), size, written));
    if (n) written = *n;
    CHECK(written <= size);
    at += written;
    if (!n && !cut_off(n.error())) co_return false;
  }
  co_return true;
}

/// Reads the stream to its end or to `end`.
Task<bool> read_stream(Storm& storm, Dice& dice, net::TcpStream& conn, std::uint64_t& at,
                       std::uint64_t end) {
  std::vector<char> block(20'000);
  long wrong = 0;
  while (at < end) {
    std::size_t size = 1 + dice.below(static_cast<unsigned>(block.size()));
    auto n = co_await risky(storm, dice, read_some(conn, block.data(), size, dice.below(5)));
    if (!n) {
      if (cut_off(n.error())) continue;
      break;
    }
    for (std::size_t i = 0; i < *n; ++i) wrong += block[i] != static_cast<char>(pattern(at + i));
    at += *n;
    storm.bytes += *n;
  }
  CHECK(wrong == 0);
  co_return at == end;
}

/// One accepted connection: sends back a stream of the same length as it hears, both at once.
Task<> serve(Storm& storm, net::TcpStream conn, std::uint64_t length, unsigned seed) {
  std::uint64_t got = 0;
  std::uint64_t sent = 0;
  co_await task_group([&](TaskGroup& group) -> Task<> {
    group.go([&]() -> Task<> {
      Dice dice(seed);
      (void)co_await read_stream(storm, dice, conn, got, length);
    });
    group.go([&]() -> Task<> {
      Dice dice(seed + 1);
      (void)co_await write_stream(storm, dice, conn, sent, length);
    });
    co_return;
  });
  (void)conn.close();
  ++storm.closed;
}

Task<Result<net::TcpStream>> dial(net::Address address) {
  co_return co_await net::TcpStream::connect(address);
}
Task<Result<net::TcpStream>> take_one(net::TcpListener& listener) {
  co_return co_await listener.accept();
}

/// Connects, exchanges a stream both ways, closes; until the storm is over.
Task<> client(Storm& storm, net::Address address, std::uint64_t length, unsigned seed) {
  Dice dice(seed);
  while (!storm.over()) {
    auto made = co_await risky(storm, dice, dial(address));
    if (!made) {
      CHECK_MESSAGE(cut_off(made.error()), made.error().message());
      continue;
    }
    ++storm.connected;
    net::TcpStream conn = std::move(*made);
    std::uint64_t got = 0;
    std::uint64_t sent = 0;
    co_await task_group([&](TaskGroup& group) -> Task<> {
      group.go([&]() -> Task<> {
        Dice own(seed + 100);
        CHECK(co_await read_stream(storm, own, conn, got, length));
      });
      group.go([&]() -> Task<> {
        Dice own(seed + 200);
        CHECK(co_await write_stream(storm, own, conn, sent, length));
      });
      co_return;
    });
    CHECK(got == length);
    CHECK(sent == length);
    (void)conn.close();
  }
}

/// Numbered values over channels, sent and received under the same weather.
Task<> channel_pair(Storm& storm, Counted::Balance& balance, unsigned seed) {
  Channel<Counted> ch(seed % 3);
  long sent = 0;
  auto sender = go([&]() -> Task<> {
    Dice dice(seed);
    while (!storm.over()) {
      auto send = [&]() -> Task<Result<int>> {
        if (sent % 2 == 0) {
          co_await ch.emplace(balance, static_cast<int>(sent));
          co_return 1;
        }
        auto happened =
            co_await select_any{ch.emplace(balance, static_cast<int>(sent)), after(30us)};
        if (happened.index() == 1) co_return Errc::timeout;
        co_return 1;
      };
      if (co_await risky(storm, dice, send())) ++sent;
      // The storm is to be about sockets as well.
      co_await yield();
    }
    ch.close();
  });
  Dice dice(seed + 1);
  long received = 0;
  for (bool open = true; open;) {
    std::optional<Counted> got;
    bool answered = false;
    auto receive = [&]() -> Task<Result<int>> {
      got = co_await ch.recv();
      answered = true;
      co_return 1;
    };
    (void)co_await risky(storm, dice, receive());
    if (!answered) continue;
    if (got) {
      CHECK(got->value() == static_cast<int>(received));
      ++received;
    } else {
      open = false;
    }
  }
  co_await sender;
  CHECK(received == sent);
}

Task<> storm_of(long wanted, std::uint64_t length) {
  Storm storm;
  storm.wanted = wanted;
  Counted::Balance balance;
  net::TcpListener listener = listen_anywhere();
  std::vector<JoinHandle<>> cancellers;
  for (unsigned i = 0; i < 2; ++i) cancellers.push_back(go(canceller, std::ref(storm), 900 + i));
  WaitGroup served;
  std::atomic<bool> closing{false};
  auto acceptor = go([&]() -> Task<> {
    Dice dice(5);
    for (unsigned n = 0; !closing; ++n) {
      auto conn = co_await risky(storm, dice, take_one(listener));
      if (!conn) continue;
      ++storm.accepted;
      served.go(serve, std::ref(storm), std::move(*conn), length, 10'000 + 10 * n);
    }
  });
  co_await task_group([&](TaskGroup& group) -> Task<> {
    for (unsigned i = 0; i < 3; ++i) {
      group.go(client, std::ref(storm), listener.local_address(), length, 1000 * (i + 1));
    }
    for (unsigned i = 0; i < 2; ++i) {
      group.go(channel_pair, std::ref(storm), std::ref(balance), 70 + i);
    }
    co_return;
  });
  closing = true;
  (void)listener.close();
  co_await acceptor;
  co_await served.wait();
  storm.victims.close();
  for (auto& each : cancellers) co_await each;
  CHECK(storm.closed == storm.accepted);
  CHECK(storm.accepted >= storm.connected);  // cut off after the handshake: heard of by one side
  CHECK(storm.connected > 0);
  CHECK(storm.bytes > 0);
  CHECK(storm.hits >= wanted);
  CHECK(storm.hits < storm.tries);
  CHECK(balance.alive == 0);
  co_await eventually([] { return num_goroutines() == 1; });
}

}  // namespace

TEST_CASE("cancel storm: no byte, value, connection or descriptor is lost" *
          doctest::test_suite("long")) {
  for_each_setting([](const Setting& setting) {
    const std::size_t descriptors = open_descriptors();
    run_setting(setting, []() -> Task<> { co_await storm_of(hits_wanted(), 60'000); });
    CHECK(open_descriptors() == descriptors);
    const std::uint64_t frames = detail::frame_stats().live;
    run_setting(setting, []() -> Task<> { co_await storm_of(hits_wanted() / 10 + 1, 20'000); });
    CHECK(detail::frame_stats().live == frames);
  });
}
