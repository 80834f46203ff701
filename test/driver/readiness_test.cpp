// want(): one answer for each, when the descriptor is ready or has failed.
#include "harness.hpp"

using namespace driver_test;

namespace {

TEST_CASE("nothing is ready on a quiet socket, and the answer comes with the first byte") {
  on_each_driver([](Driver& driver) {
    Pair pair = tcp_pair();
    Source source(pair.a);
    driver.want(source, Direction::in);
    CHECK(source.driver == &driver);
    CHECK(driver.in_flight() == 1);
    run_idle(driver);
    CHECK(source.calls[0] == 0);
    feed(pair.b, "x");
    run_until(driver, [&] { return source.calls[0] == 1; });
    CHECK(source.error[0] == 0);
    CHECK(driver.in_flight() == 0);
    CHECK(drain_socket(pair.a) == "x");
    driver.stop(source);
  });
}

TEST_CASE("no callback is made from inside want()") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    feed(pair.b, "x");
    Source source(pair.a);
    driver.want(source, Direction::in);
    driver.want(source, Direction::out);
    CHECK(source.calls[0] + source.calls[1] == 0);
    run_until(driver, [&] { return source.calls[0] == 1 && source.calls[1] == 1; });
    driver.stop(source);
  });
}

TEST_CASE("a second want() before the answer changes nothing") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    Source source(pair.a);
    for (int i = 0; i < 3; ++i) driver.want(source, Direction::in);
    CHECK(driver.in_flight() == 1);
    CHECK(source.refs == 1);
    feed(pair.b, "x");
    run_until(driver, [&] { return source.calls[0] == 1; });
    run_idle(driver);
    CHECK(source.calls[0] == 1);
    driver.stop(source);
  });
}

TEST_CASE("what is not used up is answered again at once") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    Source source(pair.a);
    feed(pair.b, "x");
    for (int round = 1; round <= 3; ++round) {
      driver.want(source, Direction::in);
      run_until(driver, [&] { return source.calls[0] == round; });
    }
    driver.stop(source);
  });
}

TEST_CASE("what is used up is answered only when something new comes") {
  on_each_driver([](Driver& driver) {
    Pair pair = tcp_pair();
    Source source(pair.a);
    for (int round = 1; round <= 3; ++round) {
      driver.want(source, Direction::in);
      run_idle(driver);
      CHECK(source.calls[0] == round - 1);
      feed(pair.b, "x");
      run_until(driver, [&] { return source.calls[0] == round; });
      CHECK(drain_socket(pair.a) == "x");
      driver.used_up(source, Direction::in);
    }
    driver.stop(source);
  });
}

TEST_CASE("both directions are independent") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    Source source(pair.a);
    const std::string filling = pattern(64 * 1024);
    while (feed(pair.a, filling) == filling.size()) {}
    driver.want(source, Direction::in);
    driver.want(source, Direction::out);
    run_idle(driver);
    // Under epoll the state at registration may be reported once: a full buffer is not in it.
    CHECK(source.calls[0] == 0);
    CHECK(source.calls[1] == 0);
    feed(pair.b, "x");
    run_until(driver, [&] { return source.calls[0] == 1; });
    CHECK(source.calls[1] == 0);
    drain_socket(pair.b);
    run_until(driver, [&] { return source.calls[1] == 1; });
    CHECK(source.calls[0] == 1);
    driver.stop(source);
  });
}

TEST_CASE("want() from inside on_ready()") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    Source source(pair.a);
    source.when_ready = [&](Direction direction, int) {
      if (source.calls[0] < 100) driver.want(source, direction);
    };
    feed(pair.b, "x");
    driver.want(source, Direction::in);
    run_until(driver, [&] { return source.calls[0] == 100; });
    driver.stop(source);
  });
}

TEST_CASE("the end of the stream and a reset are readiness") {
  on_each_driver([](Driver& driver) {
    Pair ended = tcp_pair();
    Source reader(ended.a);
    driver.want(reader, Direction::in);
    run_idle(driver);
    REQUIRE(::shutdown(ended.b.get(), SHUT_WR) == 0);
    run_until(driver, [&] { return reader.calls[0] == 1; });
    CHECK(reader.error[0] == 0);
    char byte;
    CHECK(::recv(ended.a.get(), &byte, 1, MSG_DONTWAIT) == 0);
    driver.stop(reader);

    Pair reset = tcp_pair();
    Source victim(reset.a);
    driver.want(victim, Direction::in);
    run_idle(driver);
    const linger abort_on_close{1, 0};
    ::setsockopt(reset.b.get(), SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof abort_on_close);
    reset.b.close();
    run_until(driver, [&] { return victim.calls[0] == 1; });
    CHECK(::recv(reset.a.get(), &byte, 1, MSG_DONTWAIT) == -1);
    CHECK(errno == ECONNRESET);
    driver.stop(victim);
  });
}

TEST_CASE("the end that follows a short read is not missed") {
  on_each_driver([](Driver& driver) {
    Pair pair = tcp_pair();
    Source source(pair.a);
    driver.want(source, Direction::in);
    run_idle(driver);
    feed(pair.b, "last");
    REQUIRE(::shutdown(pair.b.get(), SHUT_WR) == 0);
    run_until(driver, [&] { return source.calls[0] == 1; });
    char buffer[16];
    CHECK(::recv(pair.a.get(), buffer, sizeof buffer, MSG_DONTWAIT) == 4);
    // A short count. The edge of the end may have come with that of the bytes: `hangup` says so.
    if (!source.hangup) driver.used_up(source, Direction::in);
    driver.want(source, Direction::in);
    run_until(driver, [&] { return source.calls[0] == 2; });
    CHECK(::recv(pair.a.get(), buffer, sizeof buffer, MSG_DONTWAIT) == 0);
    driver.stop(source);
  });
}

TEST_CASE("a descriptor that is not one is answered with EBADF") {
  on_each_driver([](Driver& driver) {
    for (const bool one_shot : {false, true}) {
      Source source;
      source.fd = 987'654;
      source.one_shot = one_shot;
      driver.want(source, Direction::in);
      driver.want(source, Direction::out);
      run_until(driver, [&] { return source.calls[0] == 1 && source.calls[1] == 1; });
      CHECK(source.error[0] == EBADF);
      CHECK(source.error[1] == EBADF);
      driver.stop(source);
    }
  });
}

TEST_CASE("ten thousand wants at once, far more than a submission queue holds, are all answered") {
  enum class Ready { before, after, both_directions };
  for (const Ready when : {Ready::before, Ready::after, Ready::both_directions}) {
    CAPTURE(static_cast<int>(when));
    on_each_driver([when](Driver& driver) {
      // What is many here is the operations, not the sockets: 200 sources share a descriptor, which
      // only those can that are not registered for good.
      std::vector<Pair> pairs;
      for (int i = 0; i < 50; ++i) pairs.push_back(unix_pair());
      std::vector<std::unique_ptr<Source>> sources;
      for (std::size_t i = 0; i < 10'000; ++i) {
        sources.push_back(std::make_unique<Source>(pairs[i % pairs.size()].a));
        sources.back()->one_shot = true;
      }
      const auto make_ready = [&] {
        for (Pair& pair : pairs) feed(pair.b, "x");
      };
      if (when == Ready::before) make_ready();
      for (auto& source : sources) {
        if (when == Ready::both_directions) driver.want(*source, Direction::out);
        driver.want(*source, Direction::in);
      }
      if (when != Ready::before) make_ready();
      run_until(driver, [&] { return driver.in_flight() == 0; });
      for (auto& source : sources) {
        CHECK(source->calls[0] == 1);
        CHECK(source->error[0] == 0);
        CHECK(source->calls[1] == (when == Ready::both_directions ? 1 : 0));
        driver.stop(*source);
      }
    });
  }
}

}  // namespace
