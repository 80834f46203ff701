// The classic mistakes with channels, and what they lead to. A panic is an exception here.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;

Task<> app() {
  Channel<int> closed(1);
  closed.close();
  try {
    co_await closed.send(1);
  } catch (const Panic& panic) { fmt::print("panic: {}\n", panic.what()); }
  try {
    closed.close();
  } catch (const Panic& panic) { fmt::print("panic: {}\n", panic.what()); }

  auto nil = Channel<int>::nil();
  auto from_nil = co_await with_timeout(50ms, nil.recv());
  fmt::print("receive from the nil channel: {}\n", from_nil ? "a value" : "waits for ever");

  Channel<int> forgotten;  // nobody closes it, so a range over it does not end
  go([&]() -> Task<> { co_await forgotten.send(1); });
  int received = 0;
  while (auto next = co_await with_timeout(50ms, forgotten.recv())) ++received;
  fmt::print("range over a channel nobody closes: {} received, then it hangs\n", received);
}

int main() { return ringo::run(app); }
