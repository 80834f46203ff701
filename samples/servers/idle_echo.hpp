// An echo that hangs up on whoever is silent for too long: each connection waits for bytes, for its
// time to run out, and for the end of the server, in one select.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <chrono>
#include <ringo/ringo.hpp>

namespace samples {

using namespace ringo;

/// How long a client may take to accept what it is sent.
constexpr auto send_limit = std::chrono::seconds(5);

struct Served {
  std::atomic<unsigned> served{0};
  std::atomic<unsigned> timed_out{0};
};

/// Serves one connection, until it is silent for `idle`, `closing` is closed, or it ends.
inline Task<> serve(net::TcpStream conn, std::chrono::milliseconds idle, Channel<int> closing,
                    Served& summary) {
  Defer count{[&] { ++summary.served; }};
  char buffer[4096];
  for (;;) {
    auto happened = co_await select_any{conn.read(buffer), after(idle), closing.recv()};
    if (happened.index() == 1) {
      ++summary.timed_out;
      auto goodbye = fmt::format("silent for {} ms, goodbye\n", idle.count());
      (void)co_await with_timeout(send_limit, conn.write(goodbye));
      break;
    }
    if (happened.index() == 2) {
      (void)co_await with_timeout(send_limit, conn.write("the server ends, goodbye\n"));
      break;
    }
    Result<std::size_t> n = happened.get<0>();
    if (!n) break;  // the end of the stream, or an error
    if (!co_await with_timeout(send_limit, conn.write(buffer, *n))) break;
  }
}

}  // namespace samples
