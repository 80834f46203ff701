#include <doctest/doctest.h>
#include <ringo/result.hpp>

#include <netdb.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using ringo::BadResult;
using ringo::Errc;
using ringo::Error;
using ringo::Result;

namespace {

// Not default constructible, and counts what lives.
struct Counted {
  static inline int alive = 0;
  int value;
  explicit Counted(int v) : value(v) { ++alive; }
  Counted(const Counted& other) : value(other.value) { ++alive; }
  Counted(Counted&& other) noexcept : value(std::exchange(other.value, -1)) { ++alive; }
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive; }
};

// What a destructor and an assignment cost follows from T.
static_assert(std::is_trivially_destructible_v<Error>);
static_assert(std::is_trivially_copyable_v<Error>);
static_assert(std::is_trivially_copyable_v<Result<int>>);
static_assert(std::is_trivially_copyable_v<Result<void>>);
static_assert(std::is_trivially_destructible_v<Result<std::string_view>>);
static_assert(!std::is_trivially_destructible_v<Result<std::string>>);
static_assert(std::is_nothrow_move_constructible_v<Result<std::string>>);
static_assert(std::is_copy_constructible_v<Result<std::string>>);
static_assert(std::is_copy_assignable_v<Result<std::string>>);
static_assert(!std::is_copy_constructible_v<Result<std::unique_ptr<int>>>);
static_assert(!std::is_copy_assignable_v<Result<std::unique_ptr<int>>>);
static_assert(std::is_move_assignable_v<Result<std::unique_ptr<int>>>);
static_assert(!std::is_default_constructible_v<Result<Counted>>);

// Errors are no values, and a Result is tested, not converted.
static_assert(!std::is_convertible_v<Result<int>, bool>);
static_assert(!std::is_convertible_v<Error, bool>);
static_assert(!std::is_constructible_v<Result<int>, std::string>);

// void cannot be taken apart.
template <class T>
concept Bindable = requires {
  std::tuple_size<T>::value;
};
static_assert(Bindable<Result<int>>);
static_assert(!Bindable<Result<void>>);

struct Anything {
  template <class U>
  Anything(U&&) {}
};

Error before_main = Errc::eof;

Result<std::size_t> read_some(int outcome) {
  switch (outcome) {
    case 0:
      return 42;
    case 1:
      return Errc::eof;
    case 2:
      return std::errc::connection_reset;
    case 3:
      return std::error_code(EPIPE, std::generic_category());
    default:
      return Error::from_errno(EAGAIN, "read");
  }
}

}  // namespace

TEST_CASE("an error says what failed, on what, and why") {
  const Error error = Error::from_errno(EADDRINUSE, "listen tcp", "127.0.0.1:8080");
  CHECK(error);
  CHECK(error.code() == std::errc::address_in_use);
  CHECK(error.code().value() == EADDRINUSE);
  CHECK(std::string_view(error.op()) == "listen tcp");
  CHECK(error.detail() == "127.0.0.1:8080");
  CHECK(error.message() == "listen tcp 127.0.0.1:8080: Address already in use");
  CHECK(Error::from_errno(EPIPE, "write").message() == "write: Broken pipe");
  CHECK(Error(std::error_code(EPIPE, std::generic_category()), "", "pipe").message() ==
        "pipe: Broken pipe");
  CHECK(Error(std::errc::broken_pipe).message() == "Broken pipe");
  CHECK(Error(Errc::eof).message() == "end of file");
  CHECK(Error(Errc::closed, "accept", "[::1]:80").message() ==
        "accept [::1]:80: use of closed connection");
}

TEST_CASE("no error is empty") {
  const Error none;
  CHECK(!none);
  CHECK(none.code() == std::error_code());
  CHECK(none.detail().empty());
  CHECK(std::string_view(none.op()).empty());
  CHECK(none != Errc::eof);
  CHECK(!none.timeout());
}

TEST_CASE("errors compare with the enumerations and with codes") {
  const Error eof = Errc::eof;
  CHECK(eof == Errc::eof);
  CHECK(Errc::eof == eof);
  CHECK(eof != Errc::closed);
  CHECK(eof != std::errc::operation_not_permitted);  // the same number in another category
  const Error refused = Error::from_errno(ECONNREFUSED, "dial tcp", "localhost:1");
  CHECK(refused == std::errc::connection_refused);
  CHECK(refused != std::errc::connection_reset);
  CHECK(refused == std::make_error_code(std::errc::connection_refused));
  CHECK(refused != Errc::closed);
  CHECK(Error::from_errno(ETIMEDOUT, "read").timeout());
  CHECK(Error(std::errc::timed_out).timeout());
  CHECK(!refused.timeout());
  CHECK(std::string_view(ringo::ringo_category().name()) == "ringo");
  CHECK(before_main == Errc::eof);
}

TEST_CASE("a long detail is cut and says so") {
  const std::string fits(39, 'x');
  CHECK(Error(Errc::closed, "open", fits).detail() == fits);
  const std::string cut = std::string(36, 'y') + "...";
  CHECK(Error(Errc::closed, "open", std::string(40, 'y')).detail() == cut);
  CHECK(Error(Errc::closed, "open", std::string(4'000, 'y')).detail() == cut);
  // A character of several bytes is kept whole or not at all: U+20AC takes three.
  const std::string euros =
      "aa\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC"
      "\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC"
      "\xE2\x82\xAC";
  CHECK(Error(Errc::closed, "open", euros).detail() == euros.substr(0, 2 + 11 * 3) + "...");
}

TEST_CASE("names that do not resolve have a category of their own") {
  const Error error = Error::from_lookup(EAI_NONAME, "lookup", "no.such.host");
  CHECK(error);
  CHECK(&error.code().category() == &ringo::lookup_category());
  CHECK(std::string_view(ringo::lookup_category().name()) == "lookup");
  CHECK(error.code().value() == EAI_NONAME);
  CHECK(error.message() == std::string("lookup no.such.host: ") + ::gai_strerror(EAI_NONAME));
  CHECK(error != Errc::eof);
  errno = EMFILE;
  CHECK(Error::from_lookup(EAI_SYSTEM, "lookup", "host") == std::errc::too_many_files_open);
}

TEST_CASE("a result holds a value or an error") {
  auto ok = read_some(0);
  CHECK(ok);
  CHECK(ok.has_value());
  CHECK(*ok == 42);
  CHECK(ok.value() == 42);
  CHECK(ok.take() == 42);
  CHECK(ok.value_or(7u) == 42);
  CHECK(!ok.error());

  CHECK(!read_some(1));
  CHECK(read_some(1).error() == Errc::eof);
  CHECK(read_some(1).value_or(7) == 7);
  CHECK(read_some(2).error() == std::errc::connection_reset);
  CHECK(read_some(3).error() == std::errc::broken_pipe);
  CHECK(read_some(4).error().message() == "read: Resource temporarily unavailable");
}

TEST_CASE("value() of an error throws it") {
  const Error error = Error::from_errno(ECONNREFUSED, "dial tcp", "localhost:1");
  Result<int> result = error;
  auto caught = [&](auto access) {
    try {
      access();
    } catch (const BadResult& bad) {
      CHECK(std::string_view(bad.what()) == error.message());
      CHECK(bad.code() == std::errc::connection_refused);
      CHECK(bad.error() == std::errc::connection_refused);
      CHECK(bad.error().detail() == "localhost:1");
      return true;
    }
    return false;
  };
  CHECK(caught([&] { result.value() = 1; }));
  CHECK(caught([&] { static_cast<void>(std::as_const(result).value()); }));
  CHECK(caught([&] { static_cast<void>(std::move(result).value()); }));
  CHECK(caught([&] { static_cast<void>(result.take()); }));
  CHECK(caught([&] { Result<void>(error).value(); }));
  CHECK_THROWS_WITH_AS(Result<int>(Errc::eof).take(), "end of file", std::system_error);
  CHECK_NOTHROW(Result<void>().value());
}

TEST_CASE("a result of void") {
  Result<void> ok;
  CHECK(ok);
  CHECK(!ok.error());
  ok = Errc::closed;
  CHECK(!ok);
  CHECK(ok.error() == Errc::closed);
  ok = Result<void>();
  CHECK(ok);
  CHECK(Result<void>(Error()).has_value());
  CHECK(!Result<void>(std::errc::io_error));
}

TEST_CASE("values that can only be moved") {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  CHECK(**result == 5);
  Result<std::unique_ptr<int>> moved = std::move(result);
  CHECK(*result == nullptr);
  std::unique_ptr<int> taken = moved.take();
  CHECK(*taken == 5);
  moved = std::make_unique<int>(6);
  CHECK(**moved == 6);
  CHECK(*std::move(moved).value() == 6);
  moved = Errc::eof;
  CHECK(moved.error() == Errc::eof);
  CHECK(*std::move(moved).value_or(std::make_unique<int>(8)) == 8);
}

TEST_CASE("a value is constructed and destroyed once, whatever a result goes through") {
  REQUIRE(Counted::alive == 0);
  {
    Result<Counted> a = Counted(1);
    CHECK(Counted::alive == 1);
    Result<Counted> b = a;
    CHECK(Counted::alive == 2);
    CHECK(b->value == 1);
    Result<Counted> c = std::move(a);
    CHECK(Counted::alive == 3);
    CHECK(a->value == -1);
    CHECK(c->value == 1);
    Result<Counted> failed = Errc::eof;
    CHECK(Counted::alive == 3);
    b = failed;
    CHECK(Counted::alive == 2);
    CHECK(b.error() == Errc::eof);
    failed = c;
    CHECK(Counted::alive == 3);
    CHECK(failed->value == 1);
    failed = Counted(9);
    CHECK(Counted::alive == 3);
    CHECK((*failed).value == 9);
    b = std::errc::io_error;
    CHECK(b.error() == std::errc::io_error);
    Result<Counted>& self = failed;
    failed = self;
    CHECK(failed->value == 9);
    CHECK(Counted::alive == 3);
  }
  CHECK(Counted::alive == 0);
}

TEST_CASE("what converts to the value makes a result") {
  auto name = [](bool ok) -> Result<std::string> {
    if (!ok) return Errc::closed;
    return "a literal";
  };
  CHECK(*name(true) == "a literal");
  CHECK(name(true)->size() == 9);
  CHECK(name(false).value_or("otherwise") == "otherwise");
  Error error = Errc::eof;  // an lvalue that is not const is an error, too
  CHECK(Result<std::string>(error).error() == Errc::eof);
  Result<std::string> first = "x";
  Result<std::string> second(first);
  CHECK(*second == "x");
  Result<std::vector<int>> list = std::vector<int>{1, 2, 3};
  CHECK(list->size() == 3);
}

TEST_CASE("an error is one even if the value could be made from anything") {
  Error error = Errc::closed;
  CHECK(Result<Anything>(error).error() == Errc::closed);
  CHECK(Result<Anything>(std::as_const(error)).error() == Errc::closed);
  auto code = std::make_error_code(std::errc::io_error);
  CHECK(Result<Anything>(code).error() == std::errc::io_error);
  auto eof = Errc::eof;
  CHECK(Result<Anything>(eof).error() == Errc::eof);
  Result<Anything> failed = Errc::eof;
  CHECK(!Result<Anything>(failed));
  CHECK(Result<Anything>(1));
}

TEST_CASE("a result of a trivial type can be taken apart") {
  auto [n, error] = read_some(0);
  CHECK(n == 42);
  CHECK(!error);
  auto [none, eof] = read_some(1);
  CHECK(none == 0);
  CHECK(eof == Errc::eof);
  static_assert(std::is_same_v<decltype(n), std::size_t>);
  static_assert(std::is_same_v<decltype(error), Error>);
}

TEST_CASE("assignment between successes and failures of a trivial type") {
  Result<int> result = 1;
  result = Errc::eof;
  CHECK(result.error() == Errc::eof);
  Result<int> copy = result;
  CHECK(copy.error() == Errc::eof);
  result = 2;
  CHECK(*result == 2);
  copy = result;
  CHECK(*copy == 2);
}
