// Shapes of code that compilers are known to get wrong in an expression with co_await: GCC 12
// destroys an aggregate or closure temporary with a non-trivial member twice there. These are the
// shapes that are promised to work with every compiler; each element and closure is counted.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "../conformance/support.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using test::Counted;

namespace {

struct Aggregate {
  int id;
  std::string text;
  Counted counted;
};

struct WithConstructor {
  WithConstructor(Counted::Balance& balance, std::string t)
      : text(std::move(t)), counted(balance, 1) {}
  std::string text;
  Counted counted;
};

const std::string long_text = "long enough to live on the heap, and then some";

Task<std::size_t> by_value(std::string text, Counted counted) {
  co_await yield();
  co_return text.size() + static_cast<std::size_t>(counted.value());
}

}  // namespace

RINGO_TEST("shapes: temporaries of types with constructors") {
  Counted::Balance balance;
  {
    Channel<WithConstructor> ch(4);
    co_await ch.send(WithConstructor(balance, long_text));
    co_await ch.send({balance, long_text});
    co_await ch.emplace(balance, long_text);
    co_await select_any{on(ch.send(WithConstructor(balance, long_text)), [] {})};
    CHECK(balance.holding == 4);
    for (int i = 0; i < 4; ++i) {
      auto value = co_await ch.recv();
      REQUIRE(value);
      CHECK(value->text == long_text);
    }
    CHECK(balance.alive == 0);
  }
}

RINGO_TEST("shapes: aggregates that are named first, or made in place") {
  Counted::Balance balance;
  {
    Channel<Aggregate> ch(4);
    Aggregate named{1, long_text, Counted(balance, 7)};
    co_await ch.send(std::move(named));
    Aggregate copied{2, long_text, Counted(balance, 8)};
    co_await ch.send(copied);
    CHECK(copied.text == long_text);
    Aggregate third{3, long_text, Counted(balance, 9)};
    co_await select_any{on(ch.send(std::move(third)), [] {}), otherwise([] {})};
    for (int i = 1; i <= 3; ++i) {
      auto value = co_await ch.recv();
      REQUIRE(value);
      CHECK(value->id == i);
      CHECK(value->text == long_text);
      CHECK(value->counted.value() == 6 + i);
    }
  }
  CHECK(balance.alive == 0);
}

RINGO_TEST("shapes: strings, vectors and pointers as temporaries") {
  Channel<std::string> strings(2);
  Channel<std::vector<std::string>> vectors(2);
  Channel<std::unique_ptr<int>> pointers(2);
  co_await strings.send(long_text + "!");
  co_await strings.send(std::string(100, 'x'));
  co_await vectors.send(std::vector<std::string>(3, long_text));
  co_await pointers.send(std::make_unique<int>(5));
  CHECK((co_await strings.recv()).value() == long_text + "!");
  CHECK((co_await strings.recv()).value() == std::string(100, 'x'));
  CHECK((co_await vectors.recv()).value().at(0) == long_text);
  CHECK(*(co_await pointers.recv()).value() == 5);
}

RINGO_TEST("shapes: handlers that capture by reference") {
  Counted::Balance balance;
  {
    Channel<Counted> ch(3);
    for (int i = 0; i < 3; ++i) co_await ch.emplace(balance, i);
    std::vector<Counted> got;
    std::string log;
    for (int i = 0; i < 3; ++i) {
      co_await select_any{on(ch.recv(),
                             [&](std::optional<Counted> value) {
                               got.push_back(std::move(*value));
                               log += long_text;
                             }),
                          on(after(1h), [&] { log = "timeout"; }),
                          otherwise([&] { log = "none"; })};
    }
    CHECK(log.size() == 3 * long_text.size());
    CHECK(balance.holding == 3);
    CHECK(got[2].value() == 2);
  }
  CHECK(balance.alive == 0);
}

RINGO_TEST("shapes: go owns closures and arguments") {
  Counted::Balance balance;
  {
    std::vector<JoinHandle<std::size_t>> handles;
    Counted counted(balance, 3);
    for (int i = 0; i < 10; ++i) {
      // A closure that is a temporary of a full expression without co_await.
      handles.push_back(go([counted, text = long_text]() -> Task<std::size_t> {
        co_await yield();
        co_return text.size() + static_cast<std::size_t>(counted.value());
      }));
      handles.push_back(go(by_value, long_text, counted));
      handles.push_back(go(by_value, std::string(long_text), Counted(balance, 3)));
      handles.push_back(go(
          [counted](const std::string& text) -> Task<std::size_t> {
            co_await yield();
            co_return text.size() + static_cast<std::size_t>(counted.value());
          },
          long_text));
      handles.push_back(go(by_value(long_text, counted)));
    }
    for (auto& handle : handles) CHECK(co_await handle == long_text.size() + 3);
  }
  CHECK(balance.alive == 0);
}

RINGO_TEST("shapes: awaiting tasks with temporaries as arguments") {
  Counted::Balance balance;
  CHECK(co_await by_value(long_text, Counted(balance, 1)) == long_text.size() + 1);
  CHECK(co_await by_value(long_text + "?", Counted(balance, 1)) == long_text.size() + 2);
  CHECK(co_await go(by_value, long_text, Counted(balance, 2)) == long_text.size() + 2);
  CHECK(balance.alive == 0);
}

RINGO_TEST("shapes: several awaits in one expression") {
  Channel<std::string> a(1);
  Channel<std::string> b(1);
  co_await a.send(long_text);
  co_await b.send(long_text);
  std::string both = (co_await a.recv()).value() + (co_await b.recv()).value();
  CHECK(both == long_text + long_text);
  co_await a.send("x");
  co_await b.send("y");
  CHECK(*co_await a.recv() + *co_await b.recv() == "xy");
}

RINGO_TEST("shapes: results and exceptions of a goroutine by temporaries") {
  Counted::Balance balance;
  auto make = [&](int value) -> Task<Counted> {
    co_await yield();
    co_return Counted(balance, value);
  };
  CHECK((co_await make(4)).value() == 4);
  CHECK((co_await go(make, 5)).value() == 5);
  auto handle = go(make, 6);
  int value = 0;
  co_await select_any{on(handle, [&](Counted result) { value = result.value(); }),
                      on(after(1h), [] {})};
  CHECK(value == 6);
  handle.detach();
  co_await test::eventually([&] { return balance.alive == 0; });
}
