// send(): all bytes or a count of those that went, and never a touch of the memory after on_sent().
// Only the io_uring driver has it.
#include <algorithm>

#include "harness.hpp"

using namespace driver_test;

namespace {

// Reads the other end dry while polling, until the send is over and everything has come through.
std::string read_until_sent(Driver& driver, Source& source, const Fd& other, int sends) {
  std::string result;
  const auto deadline = Clock::now() + 10s;
  while (source.sends < sends) {
    REQUIRE(Clock::now() < deadline);
    driver.poll(ms);
    result += drain_socket(other);
  }
  result += drain_socket(other);
  return result;
}

TEST_CASE("the epoll driver has no send()") {
  DriverFailure failure;
  CHECK_FALSE(make_epoll_driver(failure)->has_send());
}

TEST_CASE("a send goes out with the next poll(), and no callback comes before that") {
  const auto driver = make_uring();
  if (!driver) return;
  CHECK(driver->has_send());
  Pair pair = tcp_pair();
  Source source(pair.a);
  const std::string text = "a few bytes";
  driver->send(source, bytes(text), text.size());
  CHECK(source.sending);
  CHECK(source.sends == 0);
  CHECK(driver->in_flight() == 1);
  CHECK(drain_socket(pair.b).empty());
  CHECK(driver->poll(0) == 1);
  CHECK(source.sends == 1);
  CHECK(source.send_result == static_cast<std::int64_t>(text.size()));
  CHECK(drain_socket(pair.b) == text);
  CHECK(source.refs == 0);
  driver->stop(source);
}

TEST_CASE("what does not fit into the socket is sent when there is room, with one answer") {
  const auto driver = make_uring();
  if (!driver) return;
  for (const bool tcp : {false, true}) {
    CAPTURE(tcp);
    Pair pair = tcp ? tcp_pair() : unix_pair();
    Source source(pair.a);
    const std::string text = pattern(9'000'000);
    driver->send(source, bytes(text), text.size());
    run_idle(*driver);
    CHECK(source.sends == 0);
    CHECK(read_until_sent(*driver, source, pair.b, 1) == text);
    CHECK(source.send_result == static_cast<std::int64_t>(text.size()));
    driver->stop(source);
  }
}

TEST_CASE("sends follow each other in order, also from inside on_sent()") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = unix_pair();
  Source source(pair.a);
  std::string expected, piece;
  const auto next = [&] {
    piece = pattern(1 + static_cast<std::size_t>(source.sends) * 131 % 5'000,
                    static_cast<unsigned>(source.sends));
    expected += piece;
    driver->send(source, bytes(piece), piece.size());
  };
  source.when_sent = [&] {
    if (source.sends < 200) next();
  };
  next();
  CHECK(read_until_sent(*driver, source, pair.b, 200) == expected);
  driver->stop(source);
}

TEST_CASE("a send that is stopped says how much went, and that much has gone") {
  const auto driver = make_uring();
  if (!driver) return;
  for (const bool for_good : {false, true}) {
    for (const bool before_submission : {false, true}) {
      CAPTURE(for_good);
      CAPTURE(before_submission);
      Pair pair = tcp_pair();
      Source source(pair.a);
      auto text = std::make_unique<std::string>(pattern(9'000'000));
      driver->send(source, bytes(*text), text->size());
      if (!before_submission) {
        run_idle(*driver);
        CHECK(source.sends == 0);
      }
      if (for_good) {
        driver->stop(source);
      } else {
        driver->stop_send(source);
        driver->stop_send(source);
      }
      CHECK(source.sends == 0);
      run_until(*driver, [&] { return source.sends == 1; });
      // From here on the memory is the caller's.
      const std::string copy = *text;
      std::fill(text->begin(), text->end(), '?');
      text.reset();
      const auto went = static_cast<std::size_t>(std::max<std::int64_t>(source.send_result, 0));
      if (went == 0) CHECK(source.send_result == -ECANCELED);
      CHECK(went < copy.size());
      REQUIRE(::shutdown(pair.a.get(), SHUT_WR) == 0);
      std::string got;
      for (char chunk[65536];;) {
        const ssize_t n = ::recv(pair.b.get(), chunk, sizeof chunk, 0);
        REQUIRE(n >= 0);
        if (n == 0) break;
        got.append(chunk, static_cast<std::size_t>(n));
      }
      CHECK(got == copy.substr(0, went));
      if (!for_good) driver->stop(source);
      CHECK(driver->in_flight() == 0);
    }
  }
}

TEST_CASE("a stop that found no place, and was overtaken by the last byte, is forgotten") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = unix_pair();
  Source source(pair.a);
  const std::string text = pattern(2'000'000);
  driver->send(source, bytes(text), text.size());
  run_idle(*driver);
  {
    FailCall full(sys::Call::uring_entry, ENOSPC, 1'000'000);
    const WithFaults installed(full);
    driver->stop_send(source);
    CHECK(read_until_sent(*driver, source, pair.b, 1) == text);
    CHECK(source.send_result == static_cast<std::int64_t>(text.size()));
  }
  driver->send(source, bytes(text), text.size());
  run_idle(*driver);
  CHECK(source.sends == 1);
  driver->stop_send(source);
  run_until(*driver, [&] { return source.sends == 2; });
  CHECK(source.send_result < static_cast<std::int64_t>(text.size()));
  driver->stop(source);
}

TEST_CASE("a send that ends with EINTR or an unasked ECANCELED is begun again") {
  for (const int error : {EINTR, ECANCELED}) {
    const auto driver = make_uring();
    if (!driver) return;
    Pair pair = unix_pair();
    Source source(pair.a);
    // The byte was sent all the same, so it comes once more than it was meant to.
    Completions faults(Operation::send, 0, -error, 2);
    const WithFaults installed(faults);
    driver->send(source, bytes("x"), 1);
    run_until(*driver, [&] { return source.sends == 1; });
    CHECK(faults.changed == 2);
    CHECK(source.send_result == 1);
    CHECK(drain_socket(pair.b) == "xxx");
    driver->stop(source);
  }
}

TEST_CASE("a send after stop() is refused") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = unix_pair();
  Source source(pair.a);
  driver->stop(source);
  driver->send(source, bytes("x"), 1);
  CHECK(source.sends == 0);
  run_until(*driver, [&] { return source.sends == 1; });
  CHECK(source.send_result == -ECANCELED);
  CHECK(drain_socket(pair.b).empty());
}

TEST_CASE("a connection that breaks ends a send") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = tcp_pair();
  Source source(pair.a);
  const std::string text = pattern(9'000'000);
  driver->send(source, bytes(text), text.size());
  run_idle(*driver);
  CHECK(source.sends == 0);
  const linger abort_on_close{1, 0};
  ::setsockopt(pair.b.get(), SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof abort_on_close);
  pair.b.close();
  run_until(*driver, [&] { return source.sends == 1; });
  CHECK(source.send_result < static_cast<std::int64_t>(text.size()));
  // And the next one has nothing to lose. No SIGPIPE comes, which would end this program.
  for (int next = 2; source.send_result > 0 || next == 2; ++next) {
    REQUIRE(next < 5);
    driver->send(source, bytes(text), text.size());
    run_until(*driver, [&] { return source.sends == next; });
  }
  CHECK((source.send_result == -EPIPE || source.send_result == -ECONNRESET));
  driver->stop(source);
}

TEST_CASE("a thousand sends at once, more than the queue holds") {
  const auto driver = make_uring({.sq_entries = 16, .cq_entries = 64});
  if (!driver) return;
  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<Source>> sources;
  const std::string text = pattern(100);
  for (int i = 0; i < 500; ++i) {
    pairs.push_back(unix_pair());
    sources.push_back(std::make_unique<Source>(pairs.back().a));
    sources.push_back(std::make_unique<Source>(pairs.back().b));
  }
  for (auto& source : sources) driver->send(*source, bytes(text), text.size());
  run_until(*driver, [&] { return driver->in_flight() == 0; });
  for (auto& source : sources) {
    CHECK(source->send_result == 100);
    driver->stop(*source);
  }
  for (Pair& pair : pairs) CHECK(drain_socket(pair.a) + drain_socket(pair.b) == text + text);
}

TEST_CASE("reading, writing and waiting on one source at once") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = tcp_pair();
  Source here(pair.a), there(pair.b);
  driver->receive(here);
  driver->receive(there);
  const std::string text = pattern(3'000'000), other = pattern(2'000'000, 2);
  driver->send(here, bytes(text), text.size());
  driver->send(there, bytes(other), other.size());
  driver->want(here, Direction::in);
  driver->want(here, Direction::out);
  run_until(*driver, [&] {
    return there.received.size() == text.size() && here.received.size() == other.size() &&
           here.sends == 1 && there.sends == 1;
  });
  CHECK(there.received == text);
  CHECK(here.received == other);
  driver->stop(here);
  driver->stop(there);
  run_until(*driver, [&] { return driver->in_flight() == 0; });
}

TEST_CASE("a driver destroyed with sends in flight is done with their memory") {
  auto driver = make_uring({.sq_entries = 4, .cq_entries = 8, .buffers = 4});
  if (!driver) return;
  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<Source>> sources;
  const std::string text = pattern(9'000'000);
  for (int i = 0; i < 20; ++i) {
    pairs.push_back(tcp_pair());
    sources.push_back(std::make_unique<Source>(pairs.back().a));
    driver->send(*sources.back(), bytes(text), text.size());
  }
  driver->poll(0);
  driver.reset();
  for (auto& source : sources) {
    CHECK(source->sends == 1);
    CHECK(source->send_result < static_cast<std::int64_t>(text.size()));
  }
}

}  // namespace
