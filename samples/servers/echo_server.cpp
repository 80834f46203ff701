// An echo server: sends back whatever it gets, until SIGINT or SIGTERM.
//
// One goroutine a connection, written as if reads and writes blocked. The buffer is large because a
// read into a large one lets big messages come straight from the kernel; an idle connection could
// do without it by waiting with recv() instead.
#include <signal.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/net.hpp>
#include <ringo/run.hpp>
#include <ringo/select.hpp>
#include <ringo/signals.hpp>
#include <ringo/wait_group.hpp>

using namespace ringo;

namespace {

struct Settings {
  std::string host = "127.0.0.1";
  unsigned port = 7777;
  Options options;
};

[[noreturn]] void usage(const char* program, std::string_view problem) {
  std::fprintf(stderr, "%s: %.*s\n", program, static_cast<int>(problem.size()), problem.data());
  std::fprintf(stderr,
               "usage: %s [--host ADDRESS] [--port N] [--driver auto|uring|epoll] [--workers N]\n"
               "  --host     to listen on (127.0.0.1)\n"
               "  --port     0 picks a free one (7777)\n"
               "  --driver   how to talk to the kernel (auto)\n"
               "  --workers  event loops (as many as there are cores)\n",
               program);
  std::exit(2);
}

Settings parse(int argc, char** argv) {
  Settings settings;
  const auto number = [&](std::string_view flag, std::string_view text, unsigned most) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value > most) {
      usage(argv[0], std::string(flag) + " takes a number up to " + std::to_string(most));
    }
    return value;
  };
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag != "--host" && flag != "--port" && flag != "--driver" && flag != "--workers") {
      usage(argv[0], "unknown argument " + std::string(flag));
    }
    if (i + 1 == argc) usage(argv[0], std::string(flag) + " needs a value");
    const std::string_view value = argv[i + 1];
    if (flag == "--host") {
      settings.host = value;
    } else if (flag == "--port") {
      settings.port = number(flag, value, 65535);
    } else if (flag == "--workers") {
      settings.options.workers = number(flag, value, 256);
    } else if (const auto driver = parse_driver(value)) {
      settings.options.driver = *driver;
    } else {
      usage(argv[0], "--driver is auto, uring or epoll");
    }
  }
  return settings;
}

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

Task<int> serve(const Settings& settings) {
  const std::string host = settings.host.find(':') == std::string::npos
                               ? settings.host
                               : "[" + settings.host + "]";
  const std::string where = host + ":" + std::to_string(settings.port);
  Result<net::TcpListener> listener = net::TcpListener::listen(where);
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
  const Settings settings = parse(argc, argv);
  return run(settings.options, serve, settings);
}
