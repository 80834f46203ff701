// What an exception that nobody catches leaves behind: message, goroutine, the way it took, and
// where the goroutine came from.
#include <initializer_list>
#include <stdexcept>
#include <string>

#include <ringo/channel.hpp>
#include <ringo/panic.hpp>
#include <ringo/task_group.hpp>

#include "matrix.hpp"
#include "runtime/chain.hpp"
#include "runtime/report_text.hpp"

using namespace ringo;
using namespace ringo::test;
using ringo::detail::plain_name;

namespace {

struct Thrown {};

constexpr int innermost_line = __LINE__ + 3;
template <class E>
Task<> innermost(Channel<int> ch, E error) {
  co_await ch.recv();
  throw error;
}

constexpr int middle_line = __LINE__ + 3;
template <class E>
Task<> middle(Channel<int> ch, E error) {
  co_await innermost(ch, error);
}

constexpr int outermost_line = __LINE__ + 3;
template <class E>
Task<> outermost(Channel<int> ch, E error) {
  co_await middle(ch, error);
}

constexpr int spawn_line = __LINE__ + 4;
template <class E>
Task<> start(E error) {
  Channel<int> ch(1);
  go(outermost<E>, ch, error);
  co_await ch.send(1);
  co_await Channel<int>().recv();
}

constexpr int plain_line = __LINE__ + 2;
Task<> start_plain() {
  go([] { throw std::runtime_error("plain"); });
  co_await Channel<int>().recv();
}

/// Fails at first, is caught, and another one leaves from further out.
constexpr int second_line = __LINE__ + 4;
Task<> replaces_error(Channel<int> ch) {
  try { co_await innermost(ch, std::runtime_error("first")); } catch (const std::exception&) {}
  ch.try_send(1);
  co_await ch.recv();
  throw std::runtime_error("second");
}

Task<> start_replacing() {
  Channel<int> ch(1);
  ch.try_send(1);
  go(replaces_error, ch);
  co_await Channel<int>().recv();
}

Task<> deep(int depth) {
  if (depth == 0) throw std::runtime_error("deep");
  co_await deep(depth - 1);
}

Task<> start_deep() {
  go(deep, 100);
  co_await Channel<int>().recv();
}

constexpr int joined_line = __LINE__ + 3;
Task<> joins(Channel<int> ch) {
  auto child = go(outermost<std::runtime_error>, ch, std::runtime_error("from a child"));
  co_await child;
}

Task<> start_joining() {
  Channel<int> ch(1);
  ch.try_send(1);
  go(joins, ch);
  co_await Channel<int>().recv();
}

constexpr int group_line = __LINE__ + 6;
Task<> groups(Channel<int> ch) {
  auto body = [&](TaskGroup& group) -> Task<> {
    group.go(outermost<std::runtime_error>, ch, std::runtime_error("from a member"));
    co_await Channel<int>().recv();
  };
  co_await task_group(body);
}

Task<> start_group() {
  Channel<int> ch(1);
  ch.try_send(1);
  go(groups, ch);
  co_await Channel<int>().recv();
}

/// Each joins the next one; the last throws.
constexpr int relay_line = __LINE__ + 4;
Task<> relays(int depth) {
  if (depth == 0) throw std::runtime_error("far away");
  auto child = go(relays, depth - 1);
  co_await child;
}

/// One came from a child and was caught; what leaves is its own.
Task<> joins_then_fails(Channel<int> ch) {
  try {
    co_await joins(ch);
  } catch (const std::exception&) {}
  throw std::runtime_error("its own");
}

template <class F>
void expect_panic(F&& body, std::initializer_list<std::string> parts) {
  for_each_setting([&](const Setting& setting) {
    Ended ended = in_child([&] { run_setting(setting, body); });
    CHECK_EQ(ended.code, 2);
    expect_in_order(ended.errors, parts);
  });
}

std::string at(int line) { return at_line("panic_test.cpp", line); }

}  // namespace

TEST_CASE("GO-07: a panic shows the await chain as it was when it was thrown") {
  expect_panic([] { return start(std::runtime_error("out of luck")); },
               {"panic: out of luck\n\ngoroutine ", " [running]:\n", "innermost", "(...)\n",
                at(innermost_line), "middle", "(...)\n", at(middle_line), "outermost", "(...)\n",
                at(outermost_line), "created by ", "start", " in goroutine 1\n", at(spawn_line)});
}

TEST_CASE("GO-07: a thrown thing that is no exception class shows its type and its chain") {
  expect_panic([] { return start(Thrown{}); },
               {"panic: exception of type ", "Thrown\n\ngoroutine ", at(innermost_line),
                at(outermost_line), at(spawn_line)});
}

TEST_CASE("GO-07: a plain function has no frames, but the place where it was started") {
  expect_panic(start_plain, {"panic: plain\n\ngoroutine ", " [running]:\ncreated by ",
                             "start_plain in goroutine 1\n", at(plain_line)});
}

TEST_CASE("an exception that was caught is not in the chain of the next one") {
  for_each_setting([&](const Setting& setting) {
    Ended ended = in_child([&] { run_setting(setting, start_replacing); });
    CHECK_EQ(ended.code, 2);
    expect_in_order(ended.errors, {"panic: second\n\n", at(second_line), "created by "});
    CHECK_EQ(ended.errors.find(at(innermost_line)), std::string::npos);
  });
}

TEST_CASE("a chain of very many frames is cut off at its outer end") {
  expect_panic(start_deep, {"panic: deep\n", "deep(...)\n", "...additional frames elided...\n",
                            "created by "});
}

TEST_CASE("an exception that was joined shows the joiner's chain, and where it came from") {
  expect_panic(start_joining,
               {"panic: from a child\n\ngoroutine ", "joins(...)\n", at(joined_line),
                "created by ", "start_joining in goroutine 1\n", "\nfrom goroutine ",
                at(innermost_line), at(middle_line), at(outermost_line), "created by ",
                "joins in goroutine ", at(joined_line - 1)});
}

TEST_CASE("the first failure of a group shows where it came from") {
  expect_panic(start_group,
               {"panic: from a member\n\ngoroutine ", "groups(...)\n", at(group_line),
                "created by ", "start_group in goroutine 1\n", "\nfrom goroutine ",
                at(innermost_line), at(middle_line), at(outermost_line), "created by ",
                at(group_line - 3)});
}

TEST_CASE("an exception that many pass on shows who threw it, and the last of the others") {
  for_each_setting([&](const Setting& setting) {
    Ended ended = in_child([&] { run(options_of(setting), relays, 30); });
    CHECK_EQ(ended.code, 2);
    CHECK_EQ(count_of("\nfrom goroutine ", ended.errors), 8);
    expect_in_order(ended.errors, {"panic: far away\n\ngoroutine 1 [running]:\n",
                                   at(relay_line), "\n...additional goroutines elided...\n",
                                   "\nfrom goroutine ", at(relay_line), "created by ",
                                   "relays in goroutine ", at(relay_line - 1)});
    // The last one threw, and awaited nothing.
    expect_in_order(ended.errors.substr(ended.errors.rfind("\nfrom goroutine ")),
                    {"relays(...)\n", "created by ", at(relay_line - 1)});
    CHECK_EQ(count_of(at(relay_line), ended.errors), 8);
  });
}

TEST_CASE("an exception that came from elsewhere and was caught is not the origin of the next") {
  for_each_setting([&](const Setting& setting) {
    Ended ended = in_child([&] {
      run(options_of(setting), []() -> Task<> {
        Channel<int> ch(1);
        ch.try_send(1);
        co_await joins_then_fails(ch);
      });
    });
    expect_in_order(ended.errors, {"panic: its own\n\ngoroutine 1 [running]:\n"});
    CHECK_EQ(count_of("from goroutine", ended.errors), 0);
  });
}

TEST_CASE("an exception out of main shows main's chain and no creator") {
  for_each_setting([&](const Setting& setting) {
    Ended ended = in_child([&] {
      run(options_of(setting), []() -> Task<> {
        Channel<int> ch(1);
        ch.try_send(1);
        co_await outermost(ch, std::runtime_error("main fails"));
      });
    });
    CHECK_EQ(ended.code, 2);
    expect_in_order(ended.errors, {"panic: main fails\n\ngoroutine 1 [running]:\n",
                                   at(innermost_line), at(middle_line), at(outermost_line)});
    CHECK_EQ(ended.errors.find("created by"), std::string::npos);
    CHECK_EQ(ended.errors.find("ringo/run.hpp"), std::string::npos);
  });
}

TEST_CASE("fatal errors show the chain down to the frame that runs") {
  for_each_setting([&](const Setting& setting) {
    Ended ended = in_child([&] {
      run_setting(setting, []() -> Task<> {
        co_await [](int) -> Task<> {
          ringo::detail::fatal("test of fatal");
          co_return;
        }(1);
      });
    });
    CHECK_EQ(ended.code, 2);
    expect_in_order(ended.errors, {"fatal error: test of fatal\n\ngoroutine 1 [running]:\n",
                                   "(...)\n", "panic_test.cpp:", "(...)\n", "panic_test.cpp:"});
  });
}

TEST_CASE("names of functions are printed as people write them") {
  CHECK_EQ(plain_name("int main()"), "main");
  CHECK_EQ(plain_name("ringo::Task<> app::f(int, int)"), "app::f");
  CHECK_EQ(plain_name("void app::f(f(int, int)::_ZN3app1fEii.Frame*)"), "app::f");
  CHECK_EQ(plain_name("auto app::f(int, int)::(anonymous class)::operator()(int) const"),
           "app::f(int, int)::(anonymous class)");
  CHECK_EQ(plain_name("void main()::<lambda()>::operator()(main()::<lambda()>::_ZZ4mainENKUlvE_clEv"
                      ".Frame*)"),
           "main()::<lambda()>");
  CHECK_EQ(plain_name("ringo::Task<T> app::tmpl(U) [with U = std::vector<int, a<b> >]"),
           "app::tmpl");
  CHECK_EQ(plain_name("Task<> {anonymous}::f(std::pair<int, long int>)"), "{anonymous}::f");
  CHECK_EQ(plain_name("void (anonymous namespace)::S::g() const"), "(anonymous namespace)::S::g");
  CHECK_EQ(plain_name(""), "");
  CHECK_EQ(plain_name(")"), ")");
  CHECK_EQ(plain_name("f"), "f");
}
