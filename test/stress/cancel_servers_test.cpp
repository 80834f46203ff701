// The handlers of the sample servers, cancelled at each of their suspensions.
#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include <ringo/ringo.hpp>

#include "../../samples/servers/chat_client.hpp"
#include "../../samples/servers/echo.hpp"
#include "../../samples/servers/idle_echo.hpp"
#include "cancel_everywhere.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

namespace {

/// Three questions, whose answers are kept; ends with the connection.
Task<> asks(net::TcpStream& conn, std::string& answers) {
  for (int i = 0; i < 3; ++i) {
    co_await yields(2);
    if (!co_await conn.write("ping;")) break;
    char buffer[16];
    auto n = co_await conn.read(buffer);
    if (!n) break;
    answers.append(buffer, *n);
  }
  (void)conn.close();
}

/// Says all that there is to say, then listens until the end.
Task<> chats(net::TcpStream& conn, std::string& heard) {
  (void)co_await conn.write("not a name\nbob\nhello\n/quit\n");
  for (;;) {
    char buffer[256];
    auto n = co_await conn.read(buffer);
    if (!n) break;
    heard.append(buffer, *n);
  }
  (void)conn.close();
}

}  // namespace

TEST_CASE("cancel everywhere: the echo server's handler") {
  cancel_everywhere(
      [](Attempt& attempt) -> Task<> {
        Pair pair = co_await connected();
        samples::Connections connections;
        std::string answers;
        auto asking = go(asks, std::ref(pair.a), std::ref(answers));
        auto handler = [&]() -> Task<> {
          return samples::echo(std::move(pair.b), connections);
        };
        co_await attempt.run(handler);
        CHECK(connections.open() == 0);
        CHECK(connections.served() == 1);
        co_await asking;
        CHECK(std::string("ping;ping;ping;").starts_with(answers));
        if (!attempt.canceled()) CHECK(answers.size() == 15);
      },
      2);
}

TEST_CASE("cancel everywhere: the handler of the server with timeouts") {
  cancel_everywhere(
      [](Attempt& attempt) -> Task<> {
        Pair pair = co_await connected();
        Channel<int> closing;
        samples::Served summary;
        std::string answers;
        auto asking = go(asks, std::ref(pair.a), std::ref(answers));
        auto handler = [&]() -> Task<> {
          return samples::serve(std::move(pair.b), 10s, closing, summary);
        };
        co_await attempt.run(handler);
        CHECK(summary.served == 1);
        CHECK(summary.timed_out == 0);
        co_await asking;
        CHECK(std::string("ping;ping;ping;").starts_with(answers));
        if (!attempt.canceled()) CHECK(answers.size() == 15);
      },
      2);
}

TEST_CASE("cancel everywhere: the chat's client leaves the room whatever happens") {
  cancel_everywhere(
      [](Attempt& attempt) -> Task<> {
        Pair pair = co_await connected();
        Channel<samples::RoomEvent> events;
        Channel<int> closing;
        samples::Summary summary;
        auto room = go(samples::room, events, std::ref(summary));
        std::string heard;
        auto chatting = go(chats, std::ref(pair.a), std::ref(heard));
        WaitGroup clients;
        clients.add(1);
        auto handler = [&]() -> Task<> {
          Defer done{[&] { clients.done(); }};
          co_await samples::client(std::move(pair.b), events, closing, clients);
        };
        co_await attempt.run(handler);
        co_await clients.wait();
        events.close();
        co_await room;
        CHECK(summary.present == 0);
        co_await chatting;
        if (!attempt.canceled()) {
          CHECK(summary.members == 1);
          CHECK(summary.lines == 1);
          CHECK(heard.find("a name has 1 to") != std::string::npos);
          CHECK(heard.find("* welcome, bob; here: nobody else") != std::string::npos);
        }
      },
      3);
}
