// The least that a program with ringo can be: what it weighs and how soon its first goroutine runs
// is for hello_test.py to judge.
//
//   hello [NANOSECONDS]    when it was started, by the clock that steady_clock reads
//
// Prints the nanoseconds from then (from the beginning of main() without it), and from the
// beginning of main(), to the first statement of a goroutine that main's goroutine has started.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <ringo/go.hpp>
#include <ringo/run.hpp>

using namespace ringo;

namespace {

long long now() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Task<long long> first() { co_return now(); }

Task<long long> app() { co_return co_await go(first); }

}  // namespace

int main(int argc, char** argv) {
  const long long begun = now();
  const long long started = argc > 1 ? std::atoll(argv[1]) : begun;
  const long long ran = run(app);
  std::printf("hello %lld %lld\n", ran - started, ran - begun);
  return 0;
}
