// Ending what is in flight: by stop(), by the thousand, and by destroying the driver.
#include "harness.hpp"

#include <sys/stat.h>

using namespace driver_test;

namespace {

TEST_CASE("stop() answers each want once, with ECANCELED, from poll()") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    while (feed(pair.a, pattern(65536)) == 65536) {}
    for (const bool polled_before : {false, true}) {
      CAPTURE(polled_before);
      Source source(pair.a);
      driver.want(source, Direction::in);
      driver.want(source, Direction::out);
      if (polled_before) run_idle(driver);
      driver.stop(source);
      driver.stop(source);
      CHECK(source.calls[0] + source.calls[1] == 0);
      CHECK(source.in_flight == 2);
      run_until(driver, [&] { return source.in_flight == 0; });
      CHECK(source.calls[0] == 1);
      CHECK(source.calls[1] == 1);
      CHECK(source.error[0] == ECANCELED);
      CHECK(source.error[1] == ECANCELED);
      run_idle(driver);
      CHECK(source.calls[0] + source.calls[1] == 2);
    }
  });
}

TEST_CASE("stop() of a source that nobody waits on needs no poll") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    {
      Source never(pair.a);
      driver.stop(never);
      CHECK(never.in_flight == 0);
    }
    Source idle(pair.a);
    feed(pair.b, "x");
    driver.want(idle, Direction::in);
    run_until(driver, [&] { return idle.calls[0] == 1; });
    driver.stop(idle);
    CHECK(idle.in_flight == 0);
    CHECK(idle.refs == 0);
  });
}

TEST_CASE("what is asked for after stop() is refused with ECANCELED") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    feed(pair.b, "x");
    Source source(pair.a);
    driver.want(source, Direction::in);
    run_until(driver, [&] { return source.calls[0] == 1; });
    driver.stop(source);
    driver.want(source, Direction::in);
    if (driver.has_receive()) driver.receive(source);
    CHECK(source.calls[0] == 1);
    run_until(driver, [&] { return source.in_flight == 0; });
    CHECK(source.calls[0] == 2);
    CHECK(source.error[0] == ECANCELED);
    if (driver.has_receive()) CHECK(source.end_error == ECANCELED);
    CHECK(drain_socket(pair.a) == "x");
  });
}

TEST_CASE("a stop that comes too late: what happened is reported as happened") {
  on_each_driver([](Driver& driver) {
    Pair pair = unix_pair();
    Pair other = unix_pair();
    Source first(other.a), second(pair.a);
    // Both are ready when poll() looks. The first's callback stops the second, whose event or
    // completion is there already.
    first.when_ready = [&](Direction, int) { driver.stop(second); };
    driver.want(first, Direction::in);
    driver.want(second, Direction::in);
    run_idle(driver);
    feed(other.b, "x");
    feed(pair.b, "x");
    run_until(driver, [&] { return first.calls[0] == 1 && second.calls[0] == 1; });
    CHECK((second.error[0] == 0 || second.error[0] == ECANCELED));
    run_idle(driver);
    CHECK(second.calls[0] == 1);
    driver.stop(first);
  });
}

TEST_CASE("five thousand operations stopped at once all end") {
  on_each_driver([](Driver& driver) {
    std::vector<Pair> pairs;
    for (int i = 0; i < 50; ++i) pairs.push_back(unix_pair());
    std::vector<std::unique_ptr<Source>> sources;
    for (std::size_t i = 0; i < 5'000; ++i) {
      sources.push_back(std::make_unique<Source>(pairs[i % pairs.size()].a));
      sources.back()->one_shot = true;
      driver.want(*sources.back(), Direction::in);
    }
    run_idle(driver);
    CHECK(driver.in_flight() == 5'000);
    for (auto& source : sources) driver.stop(*source);
    run_until(driver, [&] { return driver.in_flight() == 0; });
    for (auto& source : sources) {
      CHECK(source->calls[0] == 1);
      CHECK(source->error[0] == ECANCELED);
    }
  });
}

TEST_CASE("five thousand receives stopped at once all end") {
  const auto driver = make_uring();
  if (!driver) return;
  // Several receives on one socket are nonsense but for what they cost; none gets a byte.
  std::vector<Pair> pairs;
  for (int i = 0; i < 50; ++i) pairs.push_back(unix_pair());
  std::vector<std::unique_ptr<Source>> sources;
  for (std::size_t i = 0; i < 5'000; ++i) {
    sources.push_back(std::make_unique<Source>(pairs[i % pairs.size()].a));
    driver->receive(*sources.back());
  }
  run_idle(*driver);
  for (auto& source : sources) driver->stop(*source);
  run_until(*driver, [&] { return driver->in_flight() == 0; });
  for (auto& source : sources) {
    CHECK(source->ends == 1);
    CHECK(source->end_error == ECANCELED);
  }
}

TEST_CASE("operations stopped before the kernel has seen them end too") {
  // A queue so small that most of them wait in the driver, arms as well as cancels.
  const auto driver = make_uring({.sq_entries = 2, .cq_entries = 4, .buffers = 4});
  if (!driver) return;
  Pair pair = unix_pair();
  std::vector<std::unique_ptr<Source>> sources;
  for (int round = 0; round < 3; ++round) {
    sources.clear();
    for (int i = 0; i < 300; ++i) {
      sources.push_back(std::make_unique<Source>(pair.a));
      Source& source = *sources.back();
      driver->want(source, Direction::in);
      driver->receive(source);
      if (round == 0 || (round == 1 && i % 3 == 0)) driver->stop(source);
    }
    if (round == 2) driver->poll(0);
    for (auto& source : sources) driver->stop(*source);
    run_until(*driver, [&] { return driver->in_flight() == 0; });
    for (auto& source : sources) {
      CHECK(source->calls[0] == 1);
      CHECK(source->ends == 1);
    }
  }
}

// An owner as the sockets are: it lives on the heap and dies with its last reference.
class SelfOwned final : public IoSource {
 public:
  SelfOwned(const Fd& descriptor, int& alive) : alive_(alive) {
    fd = descriptor.get();
    ++alive_;
  }
  void on_ready(Direction, int) override { CHECK(refs_ > 0); }
  void on_received(ReceivedBuffer buffer, int, bool) override {
    CHECK(refs_ > 0);
    if (buffer.data != nullptr) driver->give_back(buffer);
  }
  void retain() noexcept override { ++refs_; }
  void release() noexcept override {
    if (--refs_ == 0) delete this;
  }

 private:
  ~SelfOwned() { --alive_; }
  int refs_ = 1;
  int& alive_;
};

TEST_CASE("a source may die with the release() that follows its last callback") {
  on_each_driver([](Driver& driver) {
    int alive = 0;
    for (int round = 0; round < 200; ++round) {
      Pair pair = unix_pair();
      auto* const source = new SelfOwned(pair.a, alive);
      driver.want(*source, Direction::in);
      driver.want(*source, Direction::out);
      if (driver.has_receive()) driver.receive(*source);
      if (round % 2 == 0) feed(pair.b, "x");
      if (round % 3 == 0) driver.poll(0);
      driver.stop(*source);
      const bool outstanding = source->in_flight != 0;
      source->release();
      CHECK(alive == (outstanding ? 1 : 0));
      run_until(driver, [&] { return driver.in_flight() == 0; });
      CHECK(alive == 0);
    }
  });
}

TEST_CASE("a callback may free a source that has an event in the same batch") {
  on_each_driver([](Driver& driver) {
    for (int round = 0; round < 50; ++round) {
      Pair first_pair = unix_pair(), second_pair = unix_pair();
      Source first(first_pair.a);
      auto second = std::make_unique<Source>(second_pair.a);
      // Known to the driver, with nothing in flight.
      driver.want(*second, Direction::out);
      run_until(driver, [&] { return second->calls[1] == 1; });
      first.when_ready = [&](Direction, int) {
        driver.stop(*second);
        if (second->in_flight == 0) second.reset();
      };
      driver.want(first, Direction::in);
      feed(second_pair.b, "x");
      feed(first_pair.b, "x");
      run_until(driver, [&] { return first.calls[0] == 1; });
      CHECK(second == nullptr);
      driver.stop(first);
    }
  });
}

TEST_CASE("a descriptor number that is used again gets none of its predecessor's events") {
  on_each_driver([](Driver& driver) {
    for (int round = 0; round < 100; ++round) {
      Pair old = unix_pair();
      const int number = old.a.get();
      auto source = std::make_unique<Source>(old.a);
      driver.want(*source, Direction::in);
      if (driver.has_receive()) driver.receive(*source);
      driver.poll(0);
      driver.stop(*source);
      // The rule: closed only when nothing is in flight.
      run_until(driver, [&] { return source->in_flight == 0; });
      source.reset();
      old.a.close();
      Pair young = unix_pair();
      REQUIRE(young.a.get() == number);
      Source successor(young.a);
      driver.want(successor, Direction::in);
      old.b.close();
      run_idle(driver);
      CHECK(successor.calls[0] == 0);
      feed(young.b, "x");
      run_until(driver, [&] { return successor.calls[0] == 1; });
      driver.stop(successor);
      run_until(driver, [&] { return driver.in_flight() == 0; });
    }
  });
}

// ---- destroying the driver --------------------------------------------------------------------

TEST_CASE("a driver destroyed with operations in flight ends them with ECANCELED") {
  const auto check = [](std::unique_ptr<Driver> driver) {
    const bool receives = driver->has_receive();
    std::vector<Pair> pairs;
    std::vector<std::unique_ptr<Source>> sources;
    for (int i = 0; i < 300; ++i) {
      pairs.push_back(unix_pair());
      sources.push_back(std::make_unique<Source>(pairs.back().a));
      Source& source = *sources.back();
      source.one_shot = i % 3 == 0;
      driver->want(source, Direction::in);
      if (receives) driver->receive(source);
      // Requests made while it is destroyed are dropped, and do not hold it up.
      source.when_ready = [&source](Direction direction, int) {
        source.driver->want(source, direction);
      };
      if (i == 150) driver->poll(0);
    }
    const auto before = Clock::now();
    driver.reset();
    CHECK(Clock::now() - before < 900ms);
    for (auto& source : sources) {
      CHECK(source->calls[0] == 1);
      CHECK(source->error[0] == ECANCELED);
      CHECK(source->refs == 0);
      CHECK(source->ends == (receives ? 1 : 0));
      if (receives) CHECK(source->end_error == ECANCELED);
    }
  };
  DriverFailure failure;
  check(make_epoll_driver(failure));
  if (auto driver = make_uring()) check(std::move(driver));
  // With requests that wait in the driver for a place in its queue, and receives without buffers.
  if (auto driver = make_uring({.sq_entries = 2, .cq_entries = 4, .buffers = 1})) {
    check(std::move(driver));
  }
}

TEST_CASE("a driver destroyed when a source waits in one direction and was answered in the other") {
  const auto check = [](std::unique_ptr<Driver> driver) {
    Pair pair = unix_pair();
    Source source(pair.a);
    driver->want(source, Direction::in);
    driver->want(source, Direction::out);
    run_until(*driver, [&] { return source.calls[1] == 1; });
    driver.reset();
    CHECK(source.calls[0] == 1);
    CHECK(source.error[0] == ECANCELED);
    CHECK(source.calls[1] == 1);
  };
  DriverFailure failure;
  check(make_epoll_driver(failure));
  if (auto driver = make_uring()) check(std::move(driver));
}

TEST_CASE("buffers still out when the driver goes stay readable") {
  auto driver = make_uring();
  if (!driver) return;
  Pair pair = unix_pair();
  Source source(pair.a);
  source.hold = true;
  driver->receive(source);
  feed(pair.b, "still here");
  run_until(*driver, [&] { return source.held.size() == 1; });
  driver->stop(source);
  run_until(*driver, [&] { return source.ends == 1; });
  driver.reset();
  CHECK(std::memcmp(source.held[0].data, "still here", 10) == 0);
}

TEST_CASE("a driver leaves no descriptor behind") {
  const auto lowest_free = [] {
    Fd probe(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    return probe.get();
  };
  DriverFailure failure;
  const int before = lowest_free();
  for (int i = 0; i < 20; ++i) make_epoll_driver(failure);
  CHECK(lowest_free() == before);
  for (int i = 0; i < 20; ++i) make_uring();
  CHECK(lowest_free() == before);
}

}  // namespace
