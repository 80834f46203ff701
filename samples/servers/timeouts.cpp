// An echo server that hangs up on whoever is silent for too long: each connection waits for bytes,
// for its time to run out, and for the end of the server, in one select.
//
//   timeouts --port 7001 --idle 5000     then, in another terminal: nc 127.0.0.1 7001
//
// SIGINT (Ctrl-C) or SIGTERM: takes no new connections, says goodbye to the others, waits for them
// and ends.
#include <fmt/core.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <ringo/ringo.hpp>
#include <utility>

#include "flags.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

/// How long a client may take to accept what it is sent.
constexpr auto write_limit = 5s;

struct Summary {
  std::atomic<unsigned> served{0};
  std::atomic<unsigned> timed_out{0};
};

Task<> serve(net::TcpStream conn, std::chrono::milliseconds idle, Channel<int> closing,
             Summary& summary) {
  char buffer[4096];
  for (;;) {
    auto happened = co_await select_any{conn.read(buffer), after(idle), closing.recv()};
    if (happened.index() == 1) {
      ++summary.timed_out;
      auto goodbye = fmt::format("silent for {} ms, goodbye\n", idle.count());
      (void)co_await with_timeout(write_limit, conn.write(goodbye));
      break;
    }
    if (happened.index() == 2) {
      (void)co_await with_timeout(write_limit, conn.write("the server ends, goodbye\n"));
      break;
    }
    Result<std::size_t> n = happened.get<0>();
    if (!n) break;  // the end of the stream, or an error
    if (!co_await with_timeout(write_limit, conn.write(buffer, *n))) break;
  }
  ++summary.served;
}

Task<int> app(const samples::Flags& flags, std::chrono::milliseconds idle) {
  auto listener = net::TcpListener::listen(flags.address());
  if (!listener) {
    fmt::print(stderr, "timeouts: {}\n", listener.error().message());
    co_return 1;
  }
  Channel<int> stop(1);
  signals::notify(stop, {SIGINT, SIGTERM});
  fmt::print("listening on {}\n", listener->local_address().to_string());
  std::fflush(stdout);

  Channel<int> closing;  // never sent to: closed when everybody shall go home
  WaitGroup clients;
  Summary summary;
  for (bool open = true; open;) {
    co_await select_any{
        on(listener->accept(),
           [&](Result<net::TcpStream> conn) {
             if (conn) {
               clients.go(serve, std::move(*conn), idle, closing, std::ref(summary));
             } else {
               fmt::print(stderr, "timeouts: {}\n", conn.error().message());
             }
           }),
        on(stop.recv(), [&] { open = false; }),
    };
  }

  signals::stop(stop);  // a second Ctrl-C ends the program at once
  (void)listener->close();
  closing.close();
  co_await clients.wait();
  fmt::print("served {} connections, {} timed out\n", summary.served.load(),
             summary.timed_out.load());
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  unsigned idle_ms = 10'000;
  samples::Flags flags("timeouts", "An echo server that hangs up on silent clients.", 7001);
  flags.number("idle", "milliseconds of silence after which it hangs up", idle_ms, 1, 86'400'000);
  flags.parse(argc, argv);
  return run(flags.options, app, std::cref(flags), std::chrono::milliseconds(idle_ms));
}
