// Reads and accepts as cases of select, and cancelled at random moments: nothing is lost.
#include <atomic>

#include "net_fixture.hpp"

namespace ringo::detail {
bool cancel_wait(Goroutine* g) noexcept;  // of lib/runtime/claim.cpp
}

namespace ringo::test {
namespace {

/// Cancels the wait a goroutine is in, or the next one.
class Canceler {
 public:
  /// To be called by the goroutine that is to be cancelled.
  void adopt() {
    g_ = ringo::detail::current_goroutine();
    g_->guarded = true;
    ready_ = true;
  }
  bool ready() const { return ready_; }
  void cancel() { ringo::detail::cancel_wait(g_); }
  /// By the goroutine: goes on as if nothing had been.
  void forgive() { g_->cancel_requested = false; }

 private:
  ringo::detail::Goroutine* g_ = nullptr;
  std::atomic<bool> ready_{false};
};

}  // namespace

RINGO_TEST("a read against a channel and a timer, 10000 times: no byte is lost or doubled") {
  Pair pair = co_await connected();
  Channel<int> ticks(1);
  std::atomic<bool> over{false};
  constexpr std::uint64_t total = 60'000;
  auto writer = go([&]() -> Task<> {
    Dice dice(3);
    for (std::uint64_t at = 0; at < total;) {
      const std::size_t size = std::min<std::uint64_t>(1 + dice.below(20), total - at);
      REQUIRE(co_await pair.a.write(pattern(at, size)));
      at += size;
      if (dice.below(3) == 0) co_await yield();
    }
  });
  auto ticker = go([&]() -> Task<> {
    while (!over) {
      ticks.try_send(1);
      co_await yield();
    }
  });
  Dice dice(5);
  std::uint64_t at = 0;
  int rounds = 0;
  while (at < total || rounds < 10'000) {
    ++rounds;
    std::uint8_t buffer[16];
    const std::size_t size = 1 + dice.below(sizeof buffer);
    bool got = false;
    const auto take = [&](Result<std::size_t> n) {
      REQUIRE(n);
      REQUIRE_EQ(first_wrong(buffer, *n, at), *n);
      at += *n;
      got = true;
    };
    switch (dice.below(3)) {
      case 0:
        co_await select_any{on(pair.b.read(buffer, size), take), on(ticks.recv(), [] {})};
        break;
      case 1:
        co_await select_any{on(pair.b.read(buffer, size), take),
                            on(sleep_for(std::chrono::microseconds(dice.below(30))), [] {})};
        break;
      default:
        co_await select_any{on(pair.b.read(buffer, size), take), otherwise([] {})};
        break;
    }
    if (!got) {
      // The buffer of a loser belongs to the caller again.
      for (std::uint8_t& byte : buffer) byte = 0xee;
    }
  }
  CHECK_EQ(at, total);
  over = true;
  co_await writer;
  co_await ticker;
}

RINGO_TEST("reads of two streams in one select") {
  Pair one = co_await connected();
  Pair two = co_await connected();
  const auto writer = [](net::TcpStream& stream) -> Task<> {
    for (std::uint64_t at = 0; at < 30'000; at += 3) {
      REQUIRE(co_await stream.write(pattern(at, 3)));
    }
    CHECK(stream.shutdown_write());
  };
  auto first = go(writer, std::ref(one.a));
  auto second = go(writer, std::ref(two.a));
  std::uint64_t at[2] = {};
  bool open[2] = {true, true};
  while (open[0] || open[1]) {
    std::uint8_t buffers[2][50];
    const auto take = [&](int which, const Result<std::size_t>& n) {
      if (!n) {
        REQUIRE(n.error() == Errc::eof);
        open[which] = false;
        return;
      }
      REQUIRE_EQ(first_wrong(buffers[which], *n, at[which]), *n);
      at[which] += *n;
    };
    if (open[0] && open[1]) {
      co_await select_any{
          on(one.b.read(buffers[0], 50), [&](Result<std::size_t> n) { take(0, n); }),
          on(two.b.read(buffers[1], 50), [&](Result<std::size_t> n) { take(1, n); }),
      };
    } else if (open[0]) {
      take(0, co_await one.b.read(buffers[0], 50));
    } else {
      take(1, co_await two.b.read(buffers[1], 50));
    }
  }
  CHECK_EQ(at[0], 30'000);
  CHECK_EQ(at[1], 30'000);
  co_await first;
  co_await second;
}

RINGO_TEST("recv in a losing select keeps its bytes in the stream") {
  Pair pair = co_await connected();
  Channel<int> never;
  for (int i = 0; i < 300; ++i) {
    bool received = false;
    auto writer = go([&]() -> Task<> {
      co_await sleep_for(std::chrono::microseconds(i % 40));
      REQUIRE(co_await pair.a.write("0123456789"));
    });
    std::string text;
    while (text.size() < 10) {
      co_await select_any{
          on(pair.b.recv(),
             [&](Result<net::Buffer> buffer) {
               REQUIRE(buffer);
               text += buffer->view();
               received = true;
             }),
          on(sleep_for(std::chrono::microseconds(i % 17)), [] {}),
      };
    }
    CHECK_EQ(text, "0123456789");
    CHECK(received);
    co_await writer;
  }
}

RINGO_TEST("a select with a default finds bytes and connections though nobody ever waits") {
  net::TcpListener listener = listen_anywhere();
  Result<net::TcpStream> a = co_await net::TcpStream::connect(listener.local_address());
  REQUIRE(a);
  net::TcpStream b;
  while (!b.valid()) {
    co_await select_any{on(listener.accept(),
                           [&](Result<net::TcpStream> conn) {
                             REQUIRE(conn);
                             b = std::move(*conn);
                           }),
                        otherwise([] {})};
    co_await yield();
  }
  for (int round = 0; round < 50; ++round) {
    // Small, and large enough to change the way of receiving.
    const std::size_t size = round % 2 == 0 ? 10 : 100'000;
    auto writer = go([&]() -> Task<> { CHECK(co_await a->write(pattern(0, size))); });
    std::vector<std::uint8_t> buffer(20'000);
    for (std::uint64_t at = 0; at < size;) {
      co_await select_first{on(b.read(buffer),
                               [&](Result<std::size_t> n) {
                                 REQUIRE(n);
                                 REQUIRE_EQ(first_wrong(buffer.data(), *n, at), *n);
                                 at += *n;
                               }),
                            otherwise([] {})};
      co_await yield();
    }
    co_await writer;
  }
}

RINGO_TEST("SE-13: accept in a losing select loses no connection") {
  net::TcpListener listener = listen_anywhere();
  constexpr int total = 300;
  auto clients = go([&]() -> Task<> {
    for (int i = 0; i < total; ++i) {
      Result<net::TcpStream> conn = co_await net::TcpStream::connect(listener.local_address());
      REQUIRE_MESSAGE(conn, conn.error().message());
      REQUIRE(co_await conn->write(&i, sizeof i));
      int back = -1;
      REQUIRE(co_await conn->read_exact(std::as_writable_bytes(std::span(&back, 1))));
      CHECK_EQ(back, i);
    }
  });
  int accepted = 0;
  Dice dice(11);
  while (accepted < total) {
    co_await select_any{
        on(listener.accept(),
           [&](Result<net::TcpStream> conn) {
             REQUIRE(conn);
             ++accepted;
             go([conn = std::move(*conn)]() mutable -> Task<> {
               int number = 0;
               REQUIRE(co_await conn.read_exact(std::as_writable_bytes(std::span(&number, 1))));
               REQUIRE(co_await conn.write(&number, sizeof number));
             });
           }),
        on(sleep_for(std::chrono::microseconds(dice.below(60))), [] {}),
    };
  }
  co_await clients;
}

RINGO_TEST("several accepters get a connection each") {
  net::TcpListener listener = listen_anywhere();
  std::atomic<int> accepted{0};
  WaitGroup accepters;
  accepters.add(4);
  for (int i = 0; i < 4; ++i) {
    go([&]() -> Task<> {
      while (co_await listener.accept()) ++accepted;
      accepters.done();
    });
  }
  for (int i = 0; i < 100; ++i) {
    REQUIRE(co_await net::TcpStream::connect(listener.local_address()));
  }
  co_await eventually([&] { return accepted == 100; });
  CHECK(listener.close());
  co_await accepters.wait();
  CHECK_EQ(accepted, 100);
}

RINGO_TEST("reads cancelled at random moments: each byte is read once, in order") {
  Pair pair = co_await connected();
  Canceler canceler;
  constexpr std::uint64_t total = 40'000;
  std::atomic<bool> done{false};
  std::atomic<int> canceled{0};
  auto reader = go([&]() -> Task<> {
    canceler.adopt();
    std::uint64_t at = 0;
    std::uint8_t buffer[32];
    while (at < total) {
      Result<std::size_t> n = co_await pair.b.read(buffer, sizeof buffer);
      if (!n) {
        REQUIRE(n.error() == std::errc::operation_canceled);
        ++canceled;
        canceler.forgive();
        continue;
      }
      REQUIRE_EQ(first_wrong(buffer, *n, at), *n);
      at += *n;
    }
    done = true;
  });
  auto writer = go([&]() -> Task<> {
    for (std::uint64_t at = 0; at < total; at += 10) {
      REQUIRE(co_await pair.a.write(pattern(at, 10)));
      if (at % 30 == 0) co_await yield();
    }
  });
  co_await eventually([&] { return canceler.ready(); });
  while (!done) {
    canceler.cancel();
    co_await yield();
  }
  CHECK_GT(canceled, 0);
  co_await writer;
  co_await reader;
}

RINGO_TEST("writes cancelled at random moments: what was said to be sent is what arrives") {
  Pair pair = co_await connected();
  shrink_buffers(pair.a);
  Canceler canceler;
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<int> canceled{0};
  auto writer = go([&]() -> Task<> {
    canceler.adopt();
    std::uint64_t at = 0;
    std::vector<std::uint8_t> buffer(60'000);
    for (int i = 0; i < 300; ++i) {
      for (std::size_t k = 0; k < buffer.size(); ++k) buffer[k] = pattern(at + k);
      std::size_t written = 0;
      const Result<std::size_t> n = co_await pair.a.write(buffer, &written);
      if (!n) {
        REQUIRE_MESSAGE(n.error() == std::errc::operation_canceled, n.error().message());
        ++canceled;
        canceler.forgive();
      } else {
        CHECK_EQ(written, buffer.size());
      }
      for (std::uint8_t& byte : buffer) byte = 0xee;
      at += written;
    }
    accepted = at;
    done = true;
    CHECK(pair.a.shutdown_write());
  });
  auto reader = go([&]() -> Task<> {
    std::uint64_t at = 0;
    std::vector<std::uint8_t> buffer(20'000);
    for (;;) {
      const Result<std::size_t> n = co_await pair.b.read(buffer);
      if (!n) break;
      REQUIRE_EQ(first_wrong(buffer.data(), *n, at), *n);
      at += *n;
    }
    CHECK_EQ(at, accepted);
  });
  co_await eventually([&] { return canceler.ready(); });
  Dice dice(17);
  while (!done) {
    canceler.cancel();
    for (std::uint32_t i = dice.below(4); i > 0; --i) co_await yield();
  }
  CHECK_GT(canceled, 0);
  co_await writer;
  co_await reader;
}

RINGO_TEST("accepts and connects cancelled at random moments lose nothing and leak nothing") {
  const std::size_t before = open_descriptors();
  {
    net::TcpListener listener = listen_anywhere();
    Canceler accept_canceler;
    Canceler connect_canceler;
    std::atomic<int> accepted{0};
    std::atomic<int> connected_ones{0};
    std::atomic<bool> done{false};
    auto accepter = go([&]() -> Task<> {
      accept_canceler.adopt();
      for (;;) {
        const Result<net::TcpStream> conn = co_await listener.accept();
        if (conn) {
          ++accepted;
        } else if (conn.error() == std::errc::operation_canceled) {
          accept_canceler.forgive();
        } else {
          CHECK(conn.error() == Errc::closed);
          break;
        }
      }
    });
    auto connecter = go([&]() -> Task<> {
      connect_canceler.adopt();
      for (int i = 0; i < 300; ++i) {
        const Result<net::TcpStream> conn =
            co_await net::TcpStream::connect(listener.local_address());
        if (conn) {
          ++connected_ones;
        } else {
          REQUIRE_MESSAGE(conn.error() == std::errc::operation_canceled, conn.error().message());
          connect_canceler.forgive();
        }
      }
      done = true;
    });
    co_await eventually([&] { return accept_canceler.ready() && connect_canceler.ready(); });
    Dice dice(23);
    while (!done) {
      accept_canceler.cancel();
      if (dice.below(3) == 0) connect_canceler.cancel();
      for (std::uint32_t i = dice.below(3); i > 0; --i) co_await yield();
    }
    co_await connecter;
    // Some that were cancelled had been made in the kernel all the same.
    co_await eventually([&] { return accepted >= connected_ones; });
    CHECK(listener.close());
    co_await accepter;
  }
  co_await eventually([&] { return open_descriptors() == before; });
}

RINGO_TEST("closing at random moments") {
  Dice dice(29);
  for (int round = 0; round < 150; ++round) {
    Pair pair = co_await connected();
    WaitGroup users;
    users.add(3);
    go([&]() -> Task<> {
      char buffer[3000];
      while (co_await pair.a.read(buffer)) {}
      users.done();
    });
    go([&]() -> Task<> {
      const std::string block(10'000, 'c');
      while (co_await pair.b.write(block)) {}
      users.done();
    });
    go([&]() -> Task<> {
      while (co_await pair.a.recv()) {}
      users.done();
    });
    for (std::uint32_t i = dice.below(20); i > 0; --i) co_await yield();
    CHECK(pair.a.close());
    if (dice.below(2) == 0) co_await yield();
    CHECK(pair.b.close());
    co_await users.wait();
  }
}

}  // namespace ringo::test
