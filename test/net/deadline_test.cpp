// Deadlines and timeouts: IO-01 to IO-05 and IO-09.
#include <atomic>
#include <cstring>

#include "net_fixture.hpp"

namespace ringo::test {
namespace {

TimePoint in(std::chrono::nanoseconds d) {
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(d);
}

/// Fills the connection until a write has to wait for the peer.
Task<> fill(net::TcpStream& stream) {
  const std::string block(1'000'000, 'f');
  while (co_await with_timeout(20ms, stream.write(block))) {}
}

}  // namespace

RINGO_TEST("IO-01: a deadline ends a read that waits and those to come, until another is set") {
  Pair pair = co_await connected();
  char byte;
  CHECK(pair.a.set_read_deadline(in(10ms)));
  const TimePoint start = std::chrono::steady_clock::now();
  CHECK((co_await pair.a.read(&byte, 1)).error() == std::errc::timed_out);
  CHECK_GE(std::chrono::steady_clock::now() - start, 10ms);
  CHECK((co_await pair.a.read(&byte, 1)).error() == std::errc::timed_out);
  CHECK((co_await pair.a.recv()).error().timeout());
  CHECK(pair.a.set_read_deadline(std::nullopt));
  CHECK(co_await pair.b.write("x"));
  CHECK_EQ((co_await pair.a.read(&byte, 1)).value(), 1);
}

RINGO_TEST("IO-01: a deadline set by another goroutine meets the one that waits") {
  Pair pair = co_await connected();
  auto reader = go([&]() -> Task<> {
    char byte;
    CHECK((co_await pair.a.read(&byte, 1)).error().timeout());
    CHECK((co_await pair.a.recv()).error().timeout());
  });
  co_await sleep_for(5ms);
  CHECK(pair.a.set_deadline(in(0ms)));
  co_await reader;
}

RINGO_TEST("IO-01: a deadline moved away while a read waits does not end it") {
  Pair pair = co_await connected();
  CHECK(pair.a.set_read_deadline(in(15ms)));
  std::atomic<bool> got{false};
  auto reader = go([&]() -> Task<> {
    char byte;
    CHECK_EQ((co_await pair.a.read(&byte, 1)).value(), 1);
    got = true;
  });
  co_await sleep_for(5ms);
  CHECK(pair.a.set_read_deadline(in(1h)));
  co_await sleep_for(25ms);
  CHECK_FALSE(got);
  // And nearer again.
  CHECK(pair.a.set_read_deadline(in(30min)));
  CHECK(co_await pair.b.write("x"));
  co_await reader;
  CHECK(pair.a.set_read_deadline(in(5ms)));
  char byte;
  CHECK((co_await pair.a.read(&byte, 1)).error().timeout());
}

RINGO_TEST("IO-02: a deadline in the past fails reads although there is data, and loses none") {
  Pair pair = co_await connected();
  REQUIRE(co_await pair.b.write("hello"));
  char buffer[10];
  REQUIRE_EQ((co_await pair.a.read(buffer, 1)).value(), 1);
  CHECK(pair.a.set_deadline(in(-5s)));
  for (int i = 0; i < 3; ++i) {
    CHECK((co_await pair.a.read(buffer)).error().timeout());
    std::size_t written = 99;
    CHECK((co_await pair.a.write("out", &written)).error().timeout());
    CHECK_EQ(written, 0);
  }
  CHECK(pair.a.set_deadline(std::nullopt));
  CHECK_EQ((co_await pair.a.read(buffer)).value(), 4);
  CHECK_EQ(std::string(buffer, 4), "ello");
  CHECK(co_await pair.a.write("out"));
  CHECK_EQ((co_await pair.b.read(buffer)).value(), 3);
}

RINGO_TEST(
    "IO-03, IO-04: the directions have deadlines of their own; a write may be sent in part") {
  Pair pair = co_await connected();
  co_await fill(pair.a);
  CHECK(pair.a.set_write_deadline(in(10ms)));
  auto reader = go([&]() -> Task<> {
    char byte;
    CHECK_EQ((co_await pair.a.read(&byte, 1)).value(), 1);
  });
  const std::string more(1'000'000, 'm');
  std::size_t written = 99;
  const Result<std::size_t> n = co_await pair.a.write(more, &written);
  CHECK(n.error() == std::errc::timed_out);
  CHECK(n.error().timeout());
  CHECK_LT(written, more.size());
  CHECK(co_await pair.b.write("x"));
  co_await reader;
  CHECK(pair.a.set_read_deadline(in(5ms)));
  CHECK(pair.a.set_write_deadline(std::nullopt));
  char byte;
  CHECK((co_await pair.a.read(&byte, 1)).error().timeout());
}

RINGO_TEST("a deadline ends all writes that wait") {
  Pair pair = co_await connected();
  co_await fill(pair.a);
  const std::string block(100'000, 'b');
  WaitGroup writers;
  writers.add(5);
  for (int i = 0; i < 5; ++i) {
    go([&]() -> Task<> {
      CHECK((co_await pair.a.write(block)).error().timeout());
      writers.done();
    });
  }
  co_await sleep_for(5ms);
  CHECK(pair.a.set_write_deadline(in(5ms)));
  co_await writers.wait();
}

RINGO_TEST("IO-05: after a timeout the kernel does not look at the caller's memory any more") {
  Pair pair = co_await connected();
  shrink_buffers(pair.a);
  // What is sent is counted by `written`; beyond it the bytes are overwritten at once, and none of
  // those may arrive.
  std::uint64_t accepted = 0;
  std::uint64_t read = 0;
  std::vector<std::uint8_t> buffer(300'000);
  std::vector<std::uint8_t> input(50'000);
  for (int round = 0; round < 60; ++round) {
    for (std::size_t i = 0; i < buffer.size(); ++i) buffer[i] = pattern(accepted + i);
    std::size_t written = 0;
    const Result<std::size_t> n = co_await with_timeout(std::chrono::microseconds(round * 20),
                                                        pair.a.write(buffer, &written));
    CHECK_EQ(n.has_value(), written == buffer.size());
    std::memset(buffer.data(), 0xff, buffer.size());
    accepted += written;
    // Sometimes the peer reads all there is, sometimes a little.
    while (read < accepted) {
      const Result<std::size_t> m = co_await with_timeout(50ms, pair.b.read(input));
      REQUIRE(m);
      REQUIRE_EQ(first_wrong(input.data(), *m, read), *m);
      read += *m;
      if (round % 3 == 0) break;
    }
  }
  CHECK_GT(accepted, 0);
}

RINGO_TEST("with_timeout on read, recv, write, accept and connect") {
  Pair pair = co_await connected();
  char byte;
  CHECK((co_await with_timeout(3ms, pair.a.read(&byte, 1))).error().timeout());
  CHECK((co_await with_timeout(3ms, pair.a.recv())).error().timeout());
  net::TcpListener listener = listen_anywhere();
  CHECK((co_await with_timeout(3ms, listener.accept())).error().timeout());
  CHECK_EQ((co_await with_timeout(10s, pair.a.write("x"))).value(), 1);
  CHECK_EQ((co_await with_timeout(10s, pair.b.read(&byte, 1))).value(), 1);
  CHECK(co_await with_timeout(10s, net::TcpStream::connect(listener.local_address())));
  CHECK(co_await with_timeout(10s, listener.accept()));
  const std::string target = "localhost:" + std::to_string(listener.local_address().port());
  CHECK(co_await with_timeout(10s, net::TcpStream::connect(target)));

  // A backlog that is full answers nobody: the connect hangs until its time is up.
  net::ListenOptions narrow;
  narrow.backlog = 0;
  Result<net::TcpListener> full = net::TcpListener::listen("127.0.0.1:0", narrow);
  REQUIRE(full);
  std::vector<net::TcpStream> first;
  bool timed_out = false;
  for (int i = 0; i < 10 && !timed_out; ++i) {
    Result<net::TcpStream> one =
        co_await with_timeout(30ms, net::TcpStream::connect(full->local_address()));
    if (one) {
      first.push_back(std::move(*one));
    } else {
      CHECK(one.error() == std::errc::timed_out);
      timed_out = true;
    }
  }
  CHECK(timed_out);
}

RINGO_TEST("a deadline on accept") {
  net::TcpListener listener = listen_anywhere();
  CHECK(listener.set_deadline(in(5ms)));
  CHECK((co_await listener.accept()).error().timeout());
  Result<net::TcpStream> client = co_await net::TcpStream::connect(listener.local_address());
  REQUIRE(client);
  CHECK((co_await listener.accept()).error().timeout());
  CHECK(listener.set_deadline(std::nullopt));
  CHECK(co_await listener.accept());
}

RINGO_TEST("IO-09: storms of deadlines") {
  constexpr int connections = 10;
  std::vector<Pair> pairs;
  for (int i = 0; i < connections; ++i) pairs.push_back(co_await connected());
  WaitGroup users;
  std::atomic<bool> over{false};
  for (Pair& pair : pairs) {
    users.add(2);
    go([&]() -> Task<> {
      char buffer[100];
      while (!over) {
        const Result<std::size_t> n = co_await pair.a.read(buffer);
        if (!n && n.error() == Errc::closed) break;
        if (!n) CHECK(n.error().timeout());
        co_await yield();
      }
      users.done();
    });
    go([&]() -> Task<> {
      while (!over) {
        const Result<std::size_t> n = co_await pair.b.write("some bytes");
        if (!n && n.error() == Errc::closed) break;
        if (!n) CHECK(n.error().timeout());
        co_await yield();
      }
      users.done();
    });
  }
  WaitGroup setters;
  setters.add(8);
  for (unsigned s = 0; s < 8; ++s) {
    go([&, s]() -> Task<> {
      Dice dice(s + 1);
      for (int i = 0; i < 100; ++i) {
        for (Pair& pair : pairs) {
          const auto when = in(std::chrono::microseconds(static_cast<int>(dice.below(40)) - 10));
          CHECK(pair.a.set_deadline(when));
          CHECK(pair.b.set_write_deadline(when));
        }
        co_await yield();
      }
      setters.done();
    });
  }
  co_await setters.wait();
  over = true;
  for (Pair& pair : pairs) {
    CHECK(pair.a.set_deadline(std::nullopt));
    CHECK(pair.b.set_deadline(std::nullopt));
    CHECK(pair.a.close());
    CHECK(pair.b.close());
  }
  co_await users.wait();
}

RINGO_TEST("IO-09: deadlines of 2 us race with the bytes, and none is lost") {
  Pair pair = co_await connected();
  constexpr std::uint64_t total = 50'000;
  auto writer = go([&]() -> Task<> {
    for (std::uint64_t at = 0; at < total; at += 10) {
      REQUIRE(co_await pair.b.write(pattern(at, 10)));
      if (at % 50 == 0) co_await yield();
    }
  });
  std::uint64_t at = 0;
  std::uint8_t buffer[64];
  // A build that needs more than 2 us to get from here to the read would never read: each miss gives
  // it a little more.
  auto limit = 2us;
  while (at < total) {
    CHECK(pair.a.set_read_deadline(in(limit)));
    const Result<std::size_t> n = co_await pair.a.read(buffer, sizeof buffer);
    if (!n) {
      REQUIRE(n.error().timeout());
      limit += 1us;
      continue;
    }
    limit = 2us;
    REQUIRE_EQ(first_wrong(buffer, *n, at), *n);
    at += *n;
  }
  co_await writer;
}

}  // namespace ringo::test
