// An echo server: sends back whatever it gets (echo.hpp), until SIGINT or SIGTERM.
#include <csignal>
#include <cstdio>
#include <functional>
#include <ringo/ringo.hpp>
#include <utility>

#include "echo.hpp"
#include "flags.hpp"

using namespace samples;

namespace {

Task<int> serve(const samples::Flags& flags) {
  Result<net::TcpListener> listener = net::TcpListener::listen(flags.address());
  if (!listener) {
    std::fprintf(stderr, "echo_server: %s\n", listener.error().message().c_str());
    co_return 1;
  }
  Channel<int> interrupts(1);
  signals::notify(interrupts, {SIGINT, SIGTERM});
  std::printf("listening on %s\n", listener->local_address().to_string().c_str());
  std::fflush(stdout);

  Connections connections;
  WaitGroup running;
  for (bool open = true; open;) {
    co_await select_any{
        on(listener->accept(),
           [&](Result<net::TcpStream> conn) {
             if (!conn) {
               std::fprintf(stderr, "echo_server: %s\n", conn.error().message().c_str());
               return;
             }
             running.go(echo, std::move(*conn), std::ref(connections));
           }),
        on(interrupts.recv(), [&] { open = false; }),
    };
  }
  (void)listener->close();
  connections.close_all();
  co_await running.wait();
  std::printf("served %zu connections\n", connections.served());
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  samples::Flags flags("echo_server", "Sends back whatever it gets.", 7777);
  flags.parse(argc, argv);
  return run(flags.options, serve, std::cref(flags));
}
