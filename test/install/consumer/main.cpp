// A program outside of ringo's tree: two goroutines, a channel, a select with a
// timeout. Its argument is the version that the build system announced.
#include <ringo/ringo.hpp>

#include <chrono>
#include <cstdio>
#include <cstring>

using namespace ringo;
using namespace std::chrono_literals;

Task<> count(Channel<int> numbers) {
  for (int i = 1; i <= 3; ++i) co_await numbers.send(i);
  numbers.close();
}

Task<int> app() {
  Channel<int> numbers;
  go(count, numbers);
  int sum = 0;
  while (auto number = co_await numbers.recv()) sum += *number;

  bool timed_out = false;
  Channel<int> silent;
  co_await select_any{
      on(silent.recv(), [&](auto) { sum = -1; }),
      on(after(10ms), [&] { timed_out = true; }),
  };
  co_return timed_out ? sum : -1;
}

int main(int argc, char** argv) {
  if (argc != 2 || std::strcmp(argv[1], RINGO_VERSION) != 0 ||
      std::strcmp(argv[1], version()) != 0) {
    std::fprintf(stderr, "expected version %s, headers %s, library %s\n",
                 argc == 2 ? argv[1] : "(no argument)", RINGO_VERSION, version());
    return 1;
  }
  const int sum = run(app);
  std::printf("ringo %s: the sum is %d\n", version(), sum);
  return sum == 6 ? 0 : 1;
}
