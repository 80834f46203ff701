// An echo server that hangs up on whoever is silent for too long (idle_echo.hpp).
//
//   timeouts --port 7001 --idle 5000     then, in another terminal: nc 127.0.0.1 7001
//
// SIGINT (Ctrl-C) or SIGTERM: takes no new connections, says goodbye to the others, waits for them
// and ends.
#include <fmt/core.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <ringo/ringo.hpp>
#include <utility>

#include "flags.hpp"
#include "idle_echo.hpp"

using namespace samples;

namespace {

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
  Served summary;
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
