// A channel as a parameter. Go says `ch chan string` here; `chan<- string`, which only sends, is
// Sender<std::string>, and a Channel turns into one by itself, never back.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <string>

using namespace ringo;

Task<> send_message(Sender<std::string> ch) { co_await ch.send("Hello from Goroutine!"); }

Task<> app() {
  Channel<std::string> ch;
  go(send_message, ch);
  auto msg = co_await ch.recv();
  fmt::print("{}\n", *msg);
}

int main() { return ringo::run(app); }
