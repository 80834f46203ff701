// An echo server: sends back whatever it gets, until SIGINT or SIGTERM.
//
// One goroutine a connection, written as if reads and writes blocked. The buffer is large because a
// read into a large one lets big messages come straight from the kernel; an idle connection could
// do without it by waiting with recv() instead.
#include <csignal>
#include <cstdio>
#include <functional>
#include <mutex>
#include <ringo/ringo.hpp>
#include <set>
#include <utility>
#include <vector>

#include "flags.hpp"

using namespace ringo;

namespace {

/// The open connections, so that they can be closed from outside.
class Connections {
 public:
  void add(net::TcpStream& conn) {
    std::lock_guard guard(mutex_);
    open_.insert(&conn);
    ++served_;
  }
  void remove(net::TcpStream& conn) {
    std::lock_guard guard(mutex_);
    open_.erase(&conn);
  }
  /// Whoever reads or writes there gets an error, and ends.
  void close_all() {
    std::lock_guard guard(mutex_);
    for (net::TcpStream* conn : open_) (void)conn->close();
  }
  std::size_t served() const { return served_; }

 private:
  std::mutex mutex_;
  std::set<net::TcpStream*> open_;
  std::size_t served_ = 0;
};

Task<> echo(net::TcpStream conn, Connections& connections, WaitGroup& running) {
  connections.add(conn);
  std::vector<char> buffer(64 * 1024);
  for (;;) {
    const Result<std::size_t> n = co_await conn.read(buffer);
    if (!n || !co_await conn.write(buffer.data(), *n)) break;
  }
  connections.remove(conn);
  running.done();
}

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
             running.add(1);
             go(echo, std::move(*conn), std::ref(connections), std::ref(running));
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
