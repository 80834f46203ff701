// A WaitGroup must not be copied: the copy would count for itself, and Wait on the original would
// never return. In Go a marker inside the struct (noCopy) lets the vet tool find such copies; here
// the compiler refuses them:
//
//   void do_work(WaitGroup wg);
//   do_work(wg);            // error: use of deleted function 'WaitGroup(const WaitGroup&)'
//   go(do_work, wg);        // likewise: go() copies its arguments; std::ref(wg) is meant
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <functional>
#include <type_traits>

using namespace ringo;

static_assert(!std::is_copy_constructible_v<WaitGroup> && !std::is_copy_assignable_v<WaitGroup>);
static_assert(!std::is_move_constructible_v<WaitGroup> && !std::is_move_assignable_v<WaitGroup>);

void do_work(WaitGroup& wg) {
  fmt::print("work\n");
  wg.done();
}

Task<> app() {
  WaitGroup wg;
  wg.add(1);
  go(do_work, std::ref(wg));
  co_await wg.wait();
  fmt::print("done\n");
}

int main() { return ringo::run(app); }
