// receive(): bytes in order, the end after the last of them, and nothing lost by stopping. Only the
// io_uring driver has it.
#include <algorithm>

#include "harness.hpp"

using namespace driver_test;

namespace {

// Sends `text` in pieces of odd sizes while polling, until all of it has arrived.
void stream(Driver& driver, const Fd& from, Source& to, const std::string& text) {
  const std::size_t before = to.received.size();
  std::size_t sent = 0;
  unsigned turn = 0;
  const auto deadline = Clock::now() + 10s;
  while (to.received.size() - before < text.size()) {
    REQUIRE(Clock::now() < deadline);
    const std::size_t piece = std::min<std::size_t>(text.size() - sent, 1 + turn * 997 % 20'011);
    sent += feed(from, std::string_view(text).substr(sent, piece));
    ++turn;
    driver.poll(sent == text.size() ? 10 * ms : 0);
  }
}

TEST_CASE("a megabyte in odd pieces arrives complete and in order") {
  const auto driver = make_uring();
  if (!driver) return;
  for (const bool tcp : {false, true}) {
    CAPTURE(tcp);
    Pair pair = tcp ? tcp_pair() : unix_pair();
    Source source(pair.a);
    driver->receive(source);
    const std::string text = pattern(1'200'007);
    stream(*driver, pair.b, source, text);
    CHECK(source.received == text);
    CHECK(source.ends == 0);
    REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
    run_until(*driver, [&] { return source.ends == 1; });
    CHECK(source.end_error == 0);
    driver->stop(source);
  }
  CHECK(driver->in_flight() == 0);
}

TEST_CASE("no callback is made from inside receive()") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = unix_pair();
  feed(pair.b, "there already");
  Source source(pair.a);
  driver->receive(source);
  CHECK(source.arrivals == 0);
  run_until(*driver, [&] { return source.received == "there already"; });
  driver->stop(source);
  run_until(*driver, [&] { return source.ends == 1; });
  CHECK(source.end_error == ECANCELED);
}

TEST_CASE("the end of the stream comes after its last bytes, or alone") {
  const auto driver = make_uring();
  if (!driver) return;
  for (const bool data_before : {false, true}) {
    for (const bool armed_before : {false, true}) {
      CAPTURE(data_before);
      CAPTURE(armed_before);
      Pair pair = tcp_pair();
      Source source(pair.a);
      if (armed_before) {
        driver->receive(source);
        run_idle(*driver);
      }
      if (data_before) feed(pair.b, "the last words");
      REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
      if (!armed_before) driver->receive(source);
      run_until(*driver, [&] { return source.ends == 1; });
      CHECK(source.received == (data_before ? "the last words" : ""));
      CHECK(source.end_error == 0);
      CHECK(source.refs == 0);
      // Half closed: the other direction works on.
      CHECK(feed(pair.a, "answer") == 6);
      driver->want(source, Direction::out);
      run_until(*driver, [&] { return source.calls[1] == 1; });
      // And the end is there again for whoever asks again.
      driver->receive(source);
      run_until(*driver, [&] { return source.ends == 2; });
      CHECK(source.end_error == 0);
      driver->stop(source);
    }
  }
}

TEST_CASE("a reset ends a receive with its errno") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = tcp_pair();
  Source source(pair.a);
  driver->receive(source);
  feed(pair.b, "before");
  run_until(*driver, [&] { return source.received == "before"; });
  const linger abort_on_close{1, 0};
  ::setsockopt(pair.b.get(), SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof abort_on_close);
  pair.b.close();
  run_until(*driver, [&] { return source.ends == 1; });
  CHECK(source.end_error == ECONNRESET);
  driver->stop(source);
}

TEST_CASE("a receive on what is no socket ends with its errno") {
  const auto driver = make_uring();
  if (!driver) return;
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  const Fd in(fds[0]), out(fds[1]);
  Source source(in);
  driver->receive(source);
  run_until(*driver, [&] { return source.ends == 1; });
  CHECK(source.end_error == ENOTSOCK);
  driver->stop(source);
}

TEST_CASE("stopping delivers what has come and leaves the rest in the socket") {
  const auto driver = make_uring();
  if (!driver) return;
  const std::string text = pattern(300'000);
  for (int after = 0; after < 12; ++after) {
    CAPTURE(after);
    Pair pair = tcp_pair();
    Source source(pair.a);
    driver->receive(source);
    std::size_t sent = 0;
    // Stopped from inside the callback, in the middle of a burst, or from outside.
    source.when_received = [&] {
      if (source.arrivals == after) driver->stop_receive(source);
    };
    for (int turn = 0; turn < 8; ++turn) {
      sent += feed(pair.b, std::string_view(text).substr(sent, 20'000));
      driver->poll(0);
    }
    driver->stop_receive(source);
    run_until(*driver, [&] { return source.ends == 1; });
    CHECK((source.end_error == ECANCELED || source.end_error == 0));
    CHECK_FALSE(source.receiving);
    CHECK_FALSE(source.stopping);
    feed(pair.b, "tail");
    run_idle(*driver);
    CHECK(source.ends == 1);
    CHECK(source.received + drain_socket(pair.a) == text.substr(0, sent) + "tail");
    driver->stop(source);
  }
}

TEST_CASE("stop_receive() and receive() again, in every order, lose nothing") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = tcp_pair();
  Source source(pair.a);
  const std::string text = pattern(400'000);
  std::size_t sent = 0;
  std::uint64_t random = 12345;
  driver->receive(source);
  const auto deadline = Clock::now() + 20s;
  while (source.received.size() < text.size()) {
    REQUIRE(Clock::now() < deadline);
    random = random * 6364136223846793005u + 1442695040888963407u;
    const unsigned dice = static_cast<unsigned>(random >> 60);
    if (dice < 5) sent += feed(pair.b, std::string_view(text).substr(sent, random >> 52 & 0xfff));
    if (dice >= 3 && dice < 9) driver->stop_receive(source);
    if (dice >= 7) driver->receive(source);
    if (dice == 8) driver->stop_receive(source);
    if ((dice & 1) != 0) driver->poll(0);
  }
  CHECK(source.received == text);
  driver->stop(source);
  run_until(*driver, [&] { return driver->in_flight() == 0; });
  CHECK(drain_socket(pair.a).empty());
}

TEST_CASE("receive() takes a stop back: no last call comes for it") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = tcp_pair();
  Source source(pair.a);
  driver->receive(source);
  run_idle(*driver);
  for (int round = 0; round < 10; ++round) {
    driver->stop_receive(source);
    CHECK(source.stopping);
    if (round % 2 == 1) driver->poll(0);
    if (!source.receiving) {
      // The last call was made by that poll(): then there is nothing to take back.
      CHECK(source.end_error == ECANCELED);
    }
    const int ends = source.ends;
    driver->receive(source);
    CHECK(source.receiving);
    CHECK_FALSE(source.stopping);
    CHECK(driver->in_flight() == 1);
    feed(pair.b, "x");
    const auto size = static_cast<std::size_t>(round) + 1;
    run_until(*driver, [&] { return source.received.size() == size; });
    CHECK(source.ends == ends);
  }
  driver->stop(source);
  run_until(*driver, [&] { return driver->in_flight() == 0; });
}

TEST_CASE("a want and a receive of one source do not disturb each other") {
  const auto driver = make_uring();
  if (!driver) return;
  Pair pair = tcp_pair();
  Source source(pair.a);
  driver->receive(source);
  driver->want(source, Direction::out);
  run_until(*driver, [&] { return source.calls[1] == 1; });
  while (feed(pair.a, pattern(65536)) == 65536) {}
  driver->want(source, Direction::out);
  stream(*driver, pair.b, source, pattern(100'000));
  CHECK(source.calls[1] == 1);
  drain_socket(pair.b);
  run_until(*driver, [&] {
    drain_socket(pair.b);
    return source.calls[1] == 2;
  });
  CHECK(source.receiving);
  driver->stop(source);
  run_until(*driver, [&] { return source.ends == 1; });
}

// ---- buffers ----------------------------------------------------------------------------------

TEST_CASE("an owner who keeps all buffers does not starve the others") {
  const auto driver =
      make_uring({.sq_entries = 64, .cq_entries = 256, .buffers = 16, .buffer_size = 4096});
  if (!driver) return;
  Pair slow_pair = tcp_pair();
  Source slow(slow_pair.a);
  slow.hold = true;
  // As a socket does it: nobody reads, so it stops at its limit. But the kernel may have filled
  // more by then.
  slow.when_received = [&] {
    if (slow.arrivals >= 4) driver->stop_receive(slow);
  };
  driver->receive(slow);
  feed(slow_pair.b, pattern(200'000));
  run_until(*driver, [&] { return slow.ends == 1; });
  REQUIRE(slow.held.size() == 16);

  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<Source>> sources;
  for (int i = 0; i < 40; ++i) {
    pairs.push_back(tcp_pair());
    sources.push_back(std::make_unique<Source>(pairs.back().a));
    driver->receive(*sources.back());
  }
  const std::string text = pattern(50'000, 7);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    CAPTURE(i);
    stream(*driver, pairs[i].b, *sources[i], text);
    CHECK(sources[i]->received == text);
  }
  CHECK(driver->stats().no_buffers >= 40);
  CHECK(driver->stats().direct >= 40);
  CHECK(slow.held.size() == 16);

  // When the buffers are back, they are used again.
  slow.give_back_all();
  const std::uint64_t direct = driver->stats().direct;
  for (std::size_t i = 0; i < pairs.size(); ++i) feed(pairs[i].b, "x");
  run_until(*driver, [&] {
    for (auto& source : sources) {
      if (source->received.size() != text.size() + 1) return false;
    }
    return true;
  });
  const std::uint64_t last_direct = driver->stats().direct;
  CHECK(last_direct - direct <= 40);  // those whose poll was armed still
  for (std::size_t i = 0; i < pairs.size(); ++i) feed(pairs[i].b, "y");
  run_until(*driver, [&] {
    for (auto& source : sources) {
      if (source->received.size() != text.size() + 2) return false;
    }
    return true;
  });
  CHECK(driver->stats().direct == last_direct);
  for (auto& source : sources) driver->stop(*source);
  driver->stop(slow);
  run_until(*driver, [&] { return driver->in_flight() == 0; });
}

TEST_CASE("receives without buffers do not ask for them again and again") {
  const auto driver =
      make_uring({.sq_entries = 64, .cq_entries = 256, .buffers = 16, .buffer_size = 4096});
  if (!driver) return;
  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<Source>> sources;
  for (int i = 0; i < 100; ++i) {
    pairs.push_back(tcp_pair());
    sources.push_back(std::make_unique<Source>(pairs.back().a));
    sources.back()->hold = true;
    driver->receive(*sources.back());
  }
  run_idle(*driver);
  for (Pair& pair : pairs) feed(pair.b, "x");
  const auto arrived = [&] {
    int count = 0;
    for (auto& source : sources) count += source->arrivals;
    return count;
  };
  const std::uint64_t rearms = driver->stats().rearms;
  // All 100 keep what they get: 16 in buffers, the others directly.
  run_until(*driver, [&] { return arrived() == 100; });
  CHECK(driver->stats().no_buffers <= 84 + 100);
  // And from now on nothing happens: nobody polls, nobody tries, the driver sleeps.
  run_idle(*driver);
  const DriverStats quiet = driver->stats();
  CHECK(quiet.rearms - rearms <= 3 * 100);
  CHECK(driver->poll(30 * ms) == 0);
  CHECK(driver->stats().enters == quiet.enters + 1);
  CHECK(driver->stats().rearms == quiet.rearms);
  for (auto& source : sources) {
    source->give_back_all();
    driver->stop(*source);
  }
  run_until(*driver, [&] { return driver->in_flight() == 0; });
}

TEST_CASE("a stop that found no place, and was overtaken by the end, is forgotten") {
  const auto driver = make_uring({.buffers = 1});
  if (!driver) return;
  Pair greedy_pair = tcp_pair(), pair = tcp_pair();
  Source greedy(greedy_pair.a), source(pair.a);
  greedy.hold = true;
  driver->receive(greedy);
  driver->receive(source);
  feed(greedy_pair.b, "x");
  run_until(*driver, [&] { return greedy.held.size() == 1; });
  {
    FailCall full(sys::Call::uring_entry, ENOSPC, 1'000'000);
    const WithFaults installed(full);
    driver->stop_receive(source);
    feed(pair.b, "y");  // finds no buffer, and so the kernel ends the receive by itself
    run_until(*driver, [&] { return source.ends == 1; });
    CHECK(source.end_error == ECANCELED);
  }
  greedy.give_back_all();
  driver->receive(source);
  run_until(*driver, [&] { return source.received == "y"; });
  // A second stop is a new one.
  driver->stop_receive(source);
  run_until(*driver, [&] { return source.ends == 2; });
  driver->stop(greedy);
  driver->stop(source);
  run_until(*driver, [&] { return driver->in_flight() == 0; });
}

TEST_CASE("when the buffers are back, as many go on as there are buffers") {
  const auto driver =
      make_uring({.sq_entries = 128, .cq_entries = 512, .buffers = 16, .buffer_size = 4096});
  if (!driver) return;
  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<Source>> sources;
  for (int i = 0; i < 100; ++i) {
    pairs.push_back(tcp_pair());
    feed(pairs.back().b, "x");
    sources.push_back(std::make_unique<Source>(pairs.back().a));
    sources.back()->hold = true;
    driver->receive(*sources.back());
  }
  // All of them find their bytes there: the first 16 take the buffers, the others none.
  driver->poll(0);
  REQUIRE(driver->stats().no_buffers == 84);
  const auto missing = [&] {
    int count = 0;
    for (auto& source : sources) {
      source->give_back_all();
      count += source->arrivals == 0 ? 1 : 0;
    }
    return count;
  };
  // The buffers come back at once each time, so nobody needs another way, and nobody runs into
  // ENOBUFS a second time.
  for (int turn = 0; missing() != 0; ++turn) {
    REQUIRE(turn < 10);
    driver->poll(0);
  }
  CHECK(driver->stats().no_buffers == 84);
  CHECK(driver->stats().direct == 0);
  for (auto& source : sources) driver->stop(*source);
  run_until(*driver, [&] { return driver->in_flight() == 0; });
}

TEST_CASE("a pool of one buffer serves a crowd") {
  const auto driver =
      make_uring({.sq_entries = 8, .cq_entries = 16, .buffers = 1, .buffer_size = 128});
  if (!driver) return;
  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<Source>> sources;
  for (int i = 0; i < 20; ++i) {
    pairs.push_back(unix_pair());
    sources.push_back(std::make_unique<Source>(pairs.back().a));
    driver->receive(*sources.back());
  }
  const std::string text = pattern(3'000);
  for (Pair& pair : pairs) REQUIRE(feed(pair.b, text) == text.size());
  run_until(*driver, [&] {
    for (auto& source : sources) {
      if (source->received.size() < text.size()) return false;
    }
    return true;
  });
  for (auto& source : sources) {
    CHECK(source->received == text);
    driver->stop(*source);
  }
  run_until(*driver, [&] { return driver->in_flight() == 0; });
}

TEST_CASE("a starved receive can be stopped, stopped for good, and taken up again") {
  const auto driver =
      make_uring({.sq_entries = 64, .cq_entries = 256, .buffers = 2, .buffer_size = 4096});
  if (!driver) return;
  Pair greedy_pair = tcp_pair();
  Source greedy(greedy_pair.a);
  greedy.hold = true;
  driver->receive(greedy);
  feed(greedy_pair.b, pattern(8'192));
  run_until(*driver, [&] { return greedy.held.size() == 2; });
  driver->stop(greedy);
  run_until(*driver, [&] { return greedy.ends == 1; });

  enum class How { stop_receive, stop, stop_and_receive };
  for (const How how : {How::stop_receive, How::stop, How::stop_and_receive}) {
    CAPTURE(static_cast<int>(how));
    Pair pair = tcp_pair();
    Source source(pair.a);
    driver->receive(source);
    feed(pair.b, "bytes");
    // Until it has met ENOBUFS, and before the next poll() leads it around that.
    const std::uint64_t before = driver->stats().no_buffers;
    run_until(*driver, [&] { return driver->stats().no_buffers != before; });
    CHECK(source.starved);
    if (how == How::stop) {
      driver->stop(source);
    } else {
      driver->stop_receive(source);
    }
    CHECK(source.ends == 0);
    if (how == How::stop_and_receive) {
      driver->receive(source);
      run_until(*driver, [&] { return source.received == "bytes"; });
      CHECK(source.ends == 0);
      driver->stop(source);
      run_until(*driver, [&] { return source.ends == 1; });
    } else {
      run_until(*driver, [&] { return source.ends == 1; });
      CHECK(source.end_error == ECANCELED);
      CHECK(drain_socket(pair.a) == "bytes");
      driver->stop(source);
    }
  }
  greedy.give_back_all();
}

// ---- overflow of the completion queue ---------------------------------------------------------

TEST_CASE("a completion queue that overflows costs nobody a byte") {
  // 60 connections get something at once, and the queue holds 8 completions.
  const auto driver =
      make_uring({.sq_entries = 4, .cq_entries = 8, .buffers = 256, .buffer_size = 256});
  if (!driver) return;
  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<Source>> sources;
  std::vector<std::string> texts;
  for (unsigned i = 0; i < 60; ++i) {
    pairs.push_back(unix_pair());
    sources.push_back(std::make_unique<Source>(pairs.back().a));
    driver->receive(*sources.back());
    texts.emplace_back();
  }
  run_idle(*driver);
  for (unsigned round = 0; round < 20; ++round) {
    for (unsigned i = 0; i < 60; ++i) {
      const std::string more = pattern(600, round * 60 + i);
      REQUIRE(feed(pairs[i].b, more) == more.size());
      texts[i] += more;
    }
    const auto complete = [&] {
      for (unsigned i = 0; i < 60; ++i) {
        if (sources[i]->received.size() < texts[i].size()) return false;
      }
      return true;
    };
    // As a worker does it that has other work, and never waits: what lies outside the queue is
    // work.
    const auto deadline = Clock::now() + 10s;
    while (!complete()) {
      REQUIRE(Clock::now() < deadline);
      CHECK(driver->may_have_work());
      driver->poll(0);
    }
  }
  CHECK(driver->stats().overflows > 0);
  CHECK(driver->stats().rearms > 0);
  for (unsigned i = 0; i < 60; ++i) {
    CHECK(sources[i]->received == texts[i]);
    CHECK(sources[i]->ends == 0);
    driver->stop(*sources[i]);
  }
  run_until(*driver, [&] { return driver->in_flight() == 0; });
}

}  // namespace
