// Connections in ordinary life, and the errors they meet.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "net_fixture.hpp"

namespace ringo::test {
namespace {

static_assert(ringo::detail::IsOperation<net::ReadOp>);
static_assert(ringo::detail::IsOperation<net::RecvOp>);
static_assert(ringo::detail::IsOperation<net::AcceptOp>);
static_assert(!ringo::detail::IsOperation<net::WriteOp>, "a write cannot be a case of select");
static_assert(!ringo::detail::IsOperation<net::ConnectOp>, "nor can a connect");

Task<Result<std::size_t>> read_text(net::TcpStream& stream, std::string& text) {
  char buffer[256];
  Result<std::size_t> n = co_await stream.read(buffer);
  if (n) text.append(buffer, *n);
  co_return n;
}

}  // namespace

RINGO_TEST("a connection carries bytes both ways") {
  Pair pair = co_await connected();
  CHECK_EQ(pair.a.peer_address(), pair.b.local_address());
  CHECK_EQ(pair.b.peer_address(), pair.a.local_address());
  CHECK_EQ((co_await pair.a.write("hello")).value(), 5);
  std::string text;
  CHECK_EQ((co_await read_text(pair.b, text)).value(), 5);
  CHECK_EQ(text, "hello");
  CHECK_EQ((co_await pair.b.write("world!")).value(), 6);
  CHECK_EQ((co_await read_text(pair.a, text)).value(), 6);
  CHECK_EQ(text, "helloworld!");
}

RINGO_TEST("a write that has a name is awaited once") {
  Pair pair = co_await connected();
  std::size_t written = 0;
  net::WriteOp write = pair.a.write("hello", &written);
  CHECK_EQ((co_await write).value(), 5);
  CHECK_EQ(written, 5);
  CHECK((co_await write).error() == Errc::closed);
  CHECK_EQ((co_await pair.a.write("!")).value(), 1);
  std::string text;
  while (text.size() < 6) REQUIRE(co_await read_text(pair.b, text));
  CHECK_EQ(text, "hello!");
}

RINGO_TEST("IO-08: a read may be short, a write is whole, the end is an error of its own") {
  Pair pair = co_await connected();
  const std::vector<std::uint8_t> sent = pattern(0, 3'000'000);
  auto writer = go([&]() -> Task<> {
    std::size_t written = 0;
    const Result<std::size_t> n = co_await pair.a.write(sent.data(), sent.size(), &written);
    CHECK_EQ(n.value(), sent.size());
    CHECK_EQ(written, sent.size());
    CHECK(pair.a.shutdown_write());
  });
  std::vector<std::uint8_t> buffer(70'000);
  std::uint64_t at = 0;
  for (;;) {
    const Result<std::size_t> n = co_await pair.b.read(buffer);
    if (!n) {
      CHECK(n.error() == Errc::eof);
      break;
    }
    REQUIRE_GT(*n, 0);
    REQUIRE_EQ(first_wrong(buffer.data(), *n, at), *n);
    at += *n;
  }
  CHECK_EQ(at, sent.size());
  // The end stays the end.
  CHECK((co_await pair.b.read(buffer)).error() == Errc::eof);
  co_await writer;
}

RINGO_TEST("IO-08: half close: the other direction goes on") {
  Pair pair = co_await connected();
  CHECK(pair.a.shutdown_write());
  char byte;
  CHECK((co_await pair.b.read(&byte, 1)).error() == Errc::eof);
  CHECK_EQ((co_await pair.b.write("still")).value(), 5);
  std::string text;
  CHECK((co_await read_text(pair.a, text)));
  CHECK_EQ(text, "still");
  CHECK((co_await pair.a.write("no")).error() == std::errc::broken_pipe);
}

RINGO_TEST("empty reads and writes") {
  Pair pair = co_await connected();
  CHECK_EQ((co_await pair.a.write("")).value(), 0);
  CHECK_EQ((co_await pair.b.read(std::span<char>())).value(), 0);
  CHECK(pair.a.close());
  CHECK((co_await pair.a.write("")).error() == Errc::closed);
  CHECK((co_await pair.a.read(std::span<char>())).error() == Errc::closed);
}

RINGO_TEST("read_exact fills the span, or says that the stream ended") {
  Pair pair = co_await connected();
  auto writer = go([&]() -> Task<> {
    for (const char* part : {"ab", "cde", "f"}) {
      CHECK(co_await pair.a.write(part));
      co_await sleep_for(1ms);
    }
    CHECK(pair.a.close());
  });
  char four[4];
  CHECK_EQ((co_await pair.b.read_exact(four)).value(), 4);
  CHECK_EQ(std::string(four, 4), "abcd");
  const Result<std::size_t> rest = co_await pair.b.read_exact(four);
  CHECK(rest.error() == std::errc::connection_reset);
  CHECK((co_await pair.b.read_exact(four)).error() == Errc::eof);
  co_await writer;
}

RINGO_TEST("100000 small messages both ways, byte for byte") {
  Pair pair = co_await connected();
  constexpr int messages = 100'000;
  constexpr std::size_t size = 37;
  const auto send_all = [](net::TcpStream& stream) -> Task<> {
    for (int i = 0; i < messages; ++i) {
      std::uint8_t message[size];
      for (std::size_t k = 0; k < size; ++k)
        message[k] = pattern(size * static_cast<unsigned>(i) + k);
      const Result<std::size_t> n = co_await stream.write(message, size);
      REQUIRE(n);
    }
  };
  const auto receive_all = [](net::TcpStream& stream) -> Task<> {
    std::uint8_t buffer[1500];
    std::uint64_t at = 0;
    while (at < messages * size) {
      const Result<std::size_t> n = co_await stream.read(buffer, sizeof buffer);
      REQUIRE(n);
      REQUIRE_EQ(first_wrong(buffer, *n, at), *n);
      at += *n;
    }
  };
  auto one = go(send_all, std::ref(pair.a));
  auto two = go(send_all, std::ref(pair.b));
  auto three = go(receive_all, std::ref(pair.a));
  co_await receive_all(pair.b);
  co_await one;
  co_await two;
  co_await three;
}

RINGO_TEST("IO-07: writes of several goroutines are whole, reads are each served") {
  Pair pair = co_await connected();
  constexpr int writers = 8;
  constexpr int each = 30;
  constexpr std::size_t size = 20'000;
  WaitGroup writing;
  writing.add(writers);
  for (int w = 0; w < writers; ++w) {
    go([&, w]() -> Task<> {
      std::vector<char> message(size, static_cast<char>('a' + w));
      for (int i = 0; i < each; ++i) {
        const Result<std::size_t> n = co_await pair.a.write(message.data(), message.size());
        CHECK_EQ(n.value(), size);
        if (i % 7 == w % 7) co_await yield();
      }
      writing.done();
    });
  }
  int counts[writers] = {};
  std::vector<char> message(size);
  for (int i = 0; i < writers * each; ++i) {
    REQUIRE((co_await pair.b.read_exact(message)));
    const char first = message[0];
    REQUIRE_GE(first, 'a');
    REQUIRE_LT(first, 'a' + writers);
    REQUIRE_EQ(std::count(message.begin(), message.end(), first), static_cast<long>(size));
    ++counts[first - 'a'];
  }
  for (int count : counts) CHECK_EQ(count, each);
  co_await writing.wait();

  // Readers in the order in which they came, each with bytes of its own.
  std::atomic<int> sum{0};
  WaitGroup reading;
  reading.add(4);
  for (int r = 0; r < 4; ++r) {
    go([&]() -> Task<> {
      for (;;) {
        char byte;
        const Result<std::size_t> n = co_await pair.b.read(&byte, 1);
        if (!n) break;
        sum += byte;
      }
      reading.done();
    });
  }
  int expected = 0;
  for (int i = 0; i < 2000; ++i) {
    const char byte = static_cast<char>(i % 100);
    expected += byte;
    REQUIRE(co_await pair.a.write(&byte, 1));
  }
  CHECK(pair.a.shutdown_write());
  co_await reading.wait();
  CHECK_EQ(sum, expected);
}

RINGO_TEST("nobody reading: backpressure reaches the peer, others are not starved") {
  Pair slow = co_await connected();
  std::atomic<std::uint64_t> sent{0};
  auto writer = go([&]() -> Task<> {
    for (std::uint64_t at = 0;; at += 10'000) {
      if (!co_await slow.a.write(pattern(at, 10'000))) break;
      sent += 10'000;
    }
  });
  // Begins to read, so that a receive is armed, and then does not go on.
  std::uint8_t first[100];
  REQUIRE_EQ((co_await slow.b.read(first, 100)).value(), 100);
  std::uint64_t before = 0;
  do {
    before = sent;
    co_await sleep_for(30ms);
  } while (sent != before);
  // What the kernel's buffers took; none of it is ours beyond a few.
  CHECK_LT(before, 16'000'000);

  // Meanwhile others exchange more than all receive buffers together.
  Pair busy = co_await connected();
  auto echo = go([&]() -> Task<> {
    char buffer[5000];
    for (;;) {
      const Result<std::size_t> n = co_await busy.b.read(buffer);
      if (!n || !co_await busy.b.write(buffer, *n)) break;
    }
  });
  std::string message(5000, 'x');
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(co_await busy.a.write(message));
    REQUIRE((co_await busy.a.read_exact(message)));
  }
  CHECK(busy.a.close());
  co_await echo;

  std::vector<std::uint8_t> buffer(3000);
  std::uint64_t at = 100;
  while (at < before) {
    const Result<std::size_t> n = co_await slow.b.read(buffer);
    REQUIRE(n);
    REQUIRE_EQ(first_wrong(buffer.data(), *n, at), *n);
    at += *n;
  }
  CHECK(slow.b.close());
  co_await writer;
}

RINGO_TEST("many slow readers do not stop the others") {
  constexpr int slow_ones = 200;
  std::vector<Pair> slow;
  for (int i = 0; i < slow_ones; ++i) {
    slow.push_back(co_await connected());
    REQUIRE(co_await slow.back().a.write(pattern(0, 60'000)));
    std::uint8_t byte;
    REQUIRE(co_await slow.back().b.read(&byte, 1));
  }
  Pair busy = co_await connected();
  std::string message(3000, 'm');
  for (int i = 0; i < 200; ++i) {
    REQUIRE(co_await busy.a.write(message));
    REQUIRE((co_await busy.b.read_exact(message)));
  }
  std::vector<std::uint8_t> rest(59'999);
  for (Pair& pair : slow) {
    REQUIRE((co_await pair.b.read_exact(std::as_writable_bytes(std::span(rest)))));
    REQUIRE_EQ(first_wrong(rest.data(), rest.size(), 1), rest.size());
  }
}

RINGO_TEST("IO-06: close ends reads, writes and accepts that wait, and is an error twice") {
  Pair pair = co_await connected();
  net::TcpListener listener = listen_anywhere();
  const std::string endless(20'000'000, 'x');
  auto reader = go([&]() -> Task<> {
    char byte;
    CHECK((co_await pair.a.read(&byte, 1)).error() == Errc::closed);
  });
  auto receiver = go([&]() -> Task<> { CHECK((co_await pair.a.recv()).error() == Errc::closed); });
  auto writer = go([&]() -> Task<> {
    std::size_t written = 0;
    CHECK((co_await pair.a.write(endless, &written)).error() == Errc::closed);
    CHECK_GT(written, 0);
    CHECK_LT(written, endless.size());
  });
  co_await eventually([&] {
    char byte;
    return ::recv(pair.b.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
  });
  auto next_writer =
      go([&]() -> Task<> { CHECK((co_await pair.a.write("next")).error() == Errc::closed); });
  auto accepter =
      go([&]() -> Task<> { CHECK((co_await listener.accept()).error() == Errc::closed); });
  co_await sleep_for(20ms);
  CHECK(pair.a.close());
  CHECK(listener.close());
  co_await reader;
  co_await receiver;
  co_await writer;
  co_await next_writer;
  co_await accepter;
  CHECK(pair.a.close().error() == Errc::closed);
  CHECK(listener.close().error() == Errc::closed);
  CHECK(pair.a.set_deadline({}).error() == Errc::closed);
  CHECK(pair.a.shutdown_write().error() == Errc::closed);
  CHECK((co_await pair.a.write("x")).error() == Errc::closed);
  CHECK((co_await listener.accept()).error() == Errc::closed);
  CHECK_EQ(pair.a.native_handle(), -1);
  char byte;
  const Result<std::size_t> late = co_await pair.a.read(&byte, 1);
  CHECK(late.error() == Errc::closed);
  CHECK_EQ(late.error().message(),
           "read " + pair.a.peer_address().to_string() + ": use of closed connection");
}

RINGO_TEST("a default-constructed stream and listener are closed ones") {
  net::TcpStream stream;
  net::TcpListener listener;
  char byte;
  CHECK((co_await stream.read(&byte, 1)).error() == Errc::closed);
  CHECK((co_await stream.recv()).error() == Errc::closed);
  CHECK((co_await stream.write("x")).error() == Errc::closed);
  CHECK((co_await listener.accept()).error() == Errc::closed);
  CHECK(stream.close().error() == Errc::closed);
  CHECK_FALSE(stream.valid());
}

RINGO_TEST("no connection and no descriptor is lost or leaked") {
  const std::size_t before = open_descriptors();
  {
    net::TcpListener listener = listen_anywhere();
    for (int i = 0; i < 300; ++i) {
      Result<net::TcpStream> a = co_await net::TcpStream::connect(listener.local_address());
      Result<net::TcpStream> b = co_await listener.accept();
      REQUIRE(a);
      REQUIRE(b);
      REQUIRE(co_await a->write("x"));
      char byte;
      REQUIRE(co_await b->read(&byte, 1));
      if (i % 3 == 0) CHECK(a->close());
      if (i % 6 == 0) CHECK((co_await b->read(&byte, 1)).error() == Errc::eof);
    }
  }
  co_await eventually([&] { return open_descriptors() == before; });
}

RINGO_TEST("errors name the operation, the address and the cause") {
  net::TcpListener busy = listen_anywhere();
  const std::string where = busy.local_address().to_string();
  CHECK_EQ(net::TcpListener::listen(where).error().message(),
           "listen tcp " + where + ": Address already in use");
  CHECK_EQ(net::TcpListener::listen("nonsense").error().message(),
           "listen tcp nonsense: Invalid argument");
  CHECK_EQ(net::TcpListener::listen("192.0.2.1:0").error().message(),
           "listen tcp 192.0.2.1:0: Cannot assign requested address");
  const net::Address refused = busy.local_address();
  CHECK(busy.close());
  // The port is free again as soon as the descriptor is closed, which may be a turn later.
  Result<net::TcpListener> again = net::TcpListener::listen(where);
  co_await eventually([&] {
    if (!again) again = net::TcpListener::listen(where);
    return again.has_value();
  });
  CHECK(again->close());
  again = net::TcpListener();
  co_await sleep_for(1ms);
  CHECK_EQ((co_await net::TcpStream::connect(refused)).error().message(),
           "dial tcp " + where + ": Connection refused");
  CHECK_EQ((co_await net::TcpStream::connect(where)).error().message(),
           "dial tcp " + where + ": Connection refused");
  CHECK_EQ((co_await net::TcpStream::connect("no port")).error().message(),
           "lookup no port: Invalid argument");
  const Result<net::TcpStream> lost = co_await net::TcpStream::connect("no-such-host.invalid:80");
  CHECK_EQ(lost.error().message().substr(0, 31), "lookup no-such-host.invalid:80:");
  const Result<std::vector<net::Address>> local = co_await net::resolve("localhost:80");
  REQUIRE(local);
  CHECK((*local)[0].is_loopback());
}

RINGO_TEST("a peer that resets in the middle of a write") {
  Pair pair = co_await connected();
  auto writer = go([&]() -> Task<> {
    const std::string endless(30'000'000, 'x');
    std::size_t written = 0;
    const Result<std::size_t> n = co_await pair.a.write(endless, &written);
    REQUIRE_FALSE(n);
    const bool expected =
        n.error() == std::errc::connection_reset || n.error() == std::errc::broken_pipe;
    CHECK_MESSAGE(expected, n.error().message());
    CHECK_GT(written, 0);
    CHECK_LT(written, endless.size());
  });
  char byte;
  REQUIRE(co_await pair.b.read(&byte, 1));
  co_await sleep_for(5ms);
  const linger at_once{1, 0};
  REQUIRE_EQ(::setsockopt(pair.b.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once),
             0);
  CHECK(pair.b.close());
  co_await writer;
  // A reader hears of the reset, again and again.
  CHECK_FALSE(co_await pair.a.read(&byte, 1));
  CHECK_FALSE(co_await pair.a.read(&byte, 1));
}

RINGO_TEST("without descriptors an accept says so, does not spin, and works again afterwards") {
  net::TcpListener listener = listen_anywhere();
  Result<net::TcpStream> client = co_await net::TcpStream::connect(listener.local_address());
  REQUIRE(client);
  rlimit limit{};
  REQUIRE_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  std::vector<int> hogs;
  rlimit small = limit;
  small.rlim_cur = 64;
  REQUIRE_EQ(::setrlimit(RLIMIT_NOFILE, &small), 0);
  for (int fd; (fd = ::dup(0)) >= 0;) hogs.push_back(fd);
  int errors = 0;
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < 100ms) {
    const Result<net::TcpStream> conn = co_await listener.accept();
    REQUIRE_FALSE(conn);
    CHECK(conn.error() == std::errc::too_many_files_open);
    CHECK_NE(conn.error().message().find("accept 127.0.0.1:"), std::string::npos);
    ++errors;
  }
  CHECK_LE(errors, 20);
  CHECK((co_await net::TcpStream::connect(listener.local_address())).error() ==
        std::errc::too_many_files_open);
  for (int fd : hogs) ::close(fd);
  REQUIRE_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const Result<net::TcpStream> conn = co_await listener.accept();
  CHECK(conn);
  Pair more = co_await connected();
  CHECK(co_await more.a.write("x"));
}

RINGO_TEST("options") {
  Pair pair = co_await connected();
  const auto get = [&](int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    REQUIRE_EQ(::getsockopt(pair.b.native_handle(), level, name, &value, &size), 0);
    return value;
  };
  CHECK_EQ(get(IPPROTO_TCP, TCP_NODELAY), 1);
  CHECK(pair.b.set_no_delay(false));
  CHECK_EQ(get(IPPROTO_TCP, TCP_NODELAY), 0);
  CHECK_EQ(get(SOL_SOCKET, SO_KEEPALIVE), 0);
  CHECK(pair.b.set_keep_alive(30s));
  CHECK_EQ(get(SOL_SOCKET, SO_KEEPALIVE), 1);
  CHECK_EQ(get(IPPROTO_TCP, TCP_KEEPIDLE), 30);
  CHECK(pair.b.set_keep_alive(std::nullopt));
  CHECK_EQ(get(SOL_SOCKET, SO_KEEPALIVE), 0);
  CHECK_NE(::fcntl(pair.a.native_handle(), F_GETFD) & FD_CLOEXEC, 0);
  CHECK_NE(::fcntl(pair.b.native_handle(), F_GETFD) & FD_CLOEXEC, 0);

  net::ListenOptions shared;
  shared.reuse_port = true;
  Result<net::TcpListener> one = net::TcpListener::listen("127.0.0.1:0", shared);
  REQUIRE(one);
  CHECK(net::TcpListener::listen(one->local_address(), shared));
  CHECK_FALSE(net::TcpListener::listen(one->local_address()));
  Result<net::TcpListener> any = net::TcpListener::listen(":0");
  REQUIRE(any);
  CHECK(co_await net::TcpStream::connect(net::Address::loopback(any->local_address().port())));
  co_return;
}

}  // namespace ringo::test
