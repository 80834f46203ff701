#include <ringo/protect.hpp>

#include <memory>
#include <stdexcept>
#include <string>

#include <ringo/cancellation.hpp>

#include "sync/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace {

Task<std::unique_ptr<int>> give(int n) {
  co_await yield();
  if (n < 0) throw std::out_of_range("negative");
  if (n == 0) panic("zero");
  co_return std::make_unique<int>(n);
}
Task<> odd() {
  co_await yield();
  throw 42;
}

}  // namespace

RINGO_TEST("protect: a value, or the exception itself") {
  auto good = co_await protect(give(3));
  REQUIRE(good);
  CHECK(**good == 3);
  CHECK(good.error() == nullptr);
  CHECK(good.message() == "");
  std::unique_ptr<int> taken = std::move(good).value();
  CHECK(*taken == 3);

  auto bad = co_await protect(give(-1));
  CHECK(!bad);
  CHECK(bad.message() == "negative");
  CHECK(bad.holds<std::out_of_range>());
  CHECK(bad.holds<std::logic_error>());
  CHECK(!bad.holds<Panic>());
  CHECK_THROWS_AS(bad.value(), std::out_of_range);

  auto panicked = co_await protect(give(0));
  CHECK(panicked.holds<Panic>());
  CHECK(panicked.message().starts_with("zero"));

  auto strange = co_await protect(odd());
  CHECK(strange.holds<int>());
  int thrown = 0;
  try {
    strange.value();
  } catch (int n) { thrown = n; }
  CHECK(thrown == 42);

  auto nothing = co_await protect([]() -> Task<> { co_return; }());
  CHECK(nothing);
  nothing.value();
  CHECK(test::panic_of([] { Outcome<int> none{std::exception_ptr()}; }) ==
        "an Outcome without a value needs an exception");
}

RINGO_TEST("protect: a cancellation and goexit pass through") {
  std::atomic<bool> went_on{false};
  auto [ctx, cancel] = with_cancel(background());
  auto waits = ctx.go([&]() -> Task<> {
    auto sleep = []() -> Task<> { co_await sleep_for(24h); };
    (void)co_await protect(sleep());
    went_on = true;
  });
  co_await test::yields(3);
  cancel();
  bool canceled = false;
  try {
    co_await waits;
  } catch (const JoinCanceled&) { canceled = true; }
  CHECK(canceled);
  auto exits = go([&]() -> Task<> {
    auto leave = []() -> Task<> {
      goexit();
      co_return;
    };
    (void)co_await protect(leave());
    went_on = true;
  });
  std::string text;
  try {
    co_await exits;
  } catch (const Panic& panic) { text = panic.what(); }
  CHECK(text == "joined goroutine called goexit");
  CHECK(!went_on);
}
