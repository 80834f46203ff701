// A buffer of two: a third send would wait until somebody receives. try_send says so at once.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

using namespace ringo;

Task<> app() {
  Channel<int> ch(2);

  co_await ch.send(1);
  co_await ch.send(2);
  fmt::print("{} of {} in use, a third one fits: {}\n", ch.len(), ch.cap(), ch.try_send(3));

  auto first = co_await ch.recv();
  fmt::print("{}\n", *first);
  auto second = co_await ch.recv();
  fmt::print("{}\n", *second);
}

int main() { return ringo::run(app); }
