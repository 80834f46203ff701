// A chat room: everybody who connects gives a name, and each line goes to all the others.
//
//   chat --port 7002        then, in other terminals: nc 127.0.0.1 7002
//
// The room is one goroutine (chat_room.hpp); each client has two (chat_client.hpp), one that reads
// and one that writes what is in its outbox.
//
// SIGINT (Ctrl-C) or SIGTERM: takes no new members, says goodbye to the others, waits for them and
// ends.
#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <ringo/ringo.hpp>
#include <utility>

#include "chat_client.hpp"
#include "chat_room.hpp"
#include "flags.hpp"

using namespace samples;

namespace {

Task<int> app(const samples::Flags& flags) {
  auto listener = net::TcpListener::listen(flags.address());
  if (!listener) {
    fmt::print(stderr, "chat: {}\n", listener.error().message());
    co_return 1;
  }
  Channel<int> stop(1);
  signals::notify(stop, {SIGINT, SIGTERM});
  fmt::print("listening on {}\n", listener->local_address().to_string());
  std::fflush(stdout);

  Channel<int> closing;  // never sent to: closed when everybody shall go home
  Channel<RoomEvent> events;
  Summary summary;
  auto the_room = go(room, events, std::ref(summary));
  WaitGroup clients;
  for (bool open = true; open;) {
    co_await select_any{
        on(listener->accept(),
           [&](Result<net::TcpStream> conn) {
             if (conn) {
               clients.go(client, std::move(*conn), events, closing, std::ref(clients));
             } else {
               fmt::print(stderr, "chat: {}\n", conn.error().message());
             }
           }),
        on(stop.recv(), [&] { open = false; }),
    };
  }

  signals::stop(stop);  // a second Ctrl-C ends the program at once
  (void)listener->close();
  closing.close();
  co_await clients.wait();
  events.close();
  co_await the_room;
  fmt::print("{} members, {} lines, {} too slow\n", summary.members, summary.lines,
             summary.too_slow);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  samples::Flags flags("chat", "A chat room for nc and telnet.", 7002);
  flags.parse(argc, argv);
  return run(flags.options, app, std::cref(flags));
}
