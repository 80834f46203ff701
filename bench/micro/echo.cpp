// A small message over a TCP connection and back, both ends in this process.
#include <cstddef>
#include <utility>

#include <ringo/go.hpp>
#include <ringo/net.hpp>

#include "bench.hpp"

using namespace ringo;

namespace micro {
namespace {

constexpr std::size_t message = 64;

Task<> serve(net::TcpStream conn) {
  char buffer[4096];
  for (;;) {
    const Result<std::size_t> n = co_await conn.read(buffer);
    if (!n || !co_await conn.write(buffer, *n)) break;
  }
}

/// The number of whole echoes.
Task<std::int64_t> converse(net::TcpStream conn, std::int64_t count) {
  char sent[message] = {};
  char received[message] = {};
  for (std::int64_t i = 0; i < count; ++i) {
    sent[0] = static_cast<char>(i);
    if (!co_await conn.write(sent, message)) co_return i;
    for (std::size_t have = 0; have < message;) {
      const Result<std::size_t> n = co_await conn.read(received + have, message - have);
      if (!n) co_return i;
      have += *n;
    }
    if (received[0] != sent[0]) co_return i;
  }
  co_return count;
}

}  // namespace

Task<Measured> echo() {
  const std::int64_t count = 100'000 / divisor;
  Result<net::TcpListener> listener = net::TcpListener::listen("127.0.0.1:0");
  if (!listener) co_return Measured{count, false};
  Result<net::TcpStream> near = co_await net::TcpStream::connect(listener->local_address());
  Result<net::TcpStream> far = co_await listener->accept();
  if (!near || !far) co_return Measured{count, false};
  go(serve, std::move(*far));
  const std::int64_t echoes = co_await converse(std::move(*near), count);
  co_return Measured{count, echoes == count};
}

}  // namespace micro
