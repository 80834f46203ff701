// An echo server as one writes it with Asio and C++20: a coroutine for each connection. Measured
// beside ringo's.
#include "../../net/options.hpp"

#include <asio.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

awaitable<void> echo(tcp::socket socket, std::size_t size) {
  try {
    socket.set_option(tcp::no_delay(true));
    const auto buffer = std::make_unique_for_overwrite<char[]>(size);
    for (;;) {
      const std::size_t n =
          co_await socket.async_read_some(asio::buffer(buffer.get(), size), use_awaitable);
      co_await asio::async_write(socket, asio::buffer(buffer.get(), n), use_awaitable);
    }
  } catch (const std::system_error&) {
    // The end of the stream, or a broken connection, which has nobody to be told.
  }
}

awaitable<void> serve(tcp::acceptor acceptor, std::size_t size) {
  for (;;) {
    try {
      tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
      asio::co_spawn(acceptor.get_executor(), echo(std::move(socket), size), asio::detached);
      continue;
    } catch (const std::system_error& error) {
      std::fprintf(stderr, "asio-echo: %s\n", error.what());
    }
    // Out of descriptors, say: whoever is in the backlog stays there for a moment.
    asio::steady_timer pause(acceptor.get_executor(), std::chrono::milliseconds(10));
    co_await pause.async_wait(use_awaitable);
  }
}

void run(long port, long threads, long buffer) {
  asio::io_context context(static_cast<int>(threads));
  // Before the line below, whose reader may send the signal at once.
  asio::signal_set interrupts(context, SIGINT, SIGTERM);
  interrupts.async_wait([&](std::error_code, int) { context.stop(); });
  tcp::acceptor acceptor(context,
                         {asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)});
  std::printf("listening on 127.0.0.1:%u\n",
              static_cast<unsigned>(acceptor.local_endpoint().port()));
  std::fflush(stdout);
  asio::co_spawn(context, serve(std::move(acceptor), static_cast<std::size_t>(buffer)),
                 asio::detached);
  std::vector<std::jthread> others;
  for (long i = 1; i < threads; ++i) others.emplace_back([&] { context.run(); });
  context.run();
}

}  // namespace

int main(int argc, char** argv) {
  long port = 0;
  long threads = 1;
  long buffer = 64 << 10;
  bench::Options options("A TCP echo server on Asio, a C++20 coroutine for each connection.");
  options.number("--port", port, 0, 65535, "listen there; 0: a free one, which is printed");
  options.number("--threads", threads, 1, 256, "that run the io_context");
  options.number("--buffer", buffer, 1, 16 << 20, "bytes to receive at a time");
  options.parse(argc, argv);
  try {
    run(port, threads, buffer);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "asio-echo: %s\n", error.what());
    return 1;
  }
  return 0;
}
