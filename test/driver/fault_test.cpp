// What the kernel may answer on a bad day, made to happen: the drivers go on, and lose nothing.
#include <sys/mman.h>

#include <algorithm>
#include <mutex>

#include "base/log.hpp"
#include "harness.hpp"

using namespace driver_test;
using sys::Call;

namespace {

// Fails calls of one kind again and again, by a seeded dice, and cuts short what they may do.
class Dice : public sys::Faults {
 public:
  Dice(std::vector<std::pair<Call, int>> errors, unsigned one_in) : one_in_(one_in) {
    errors_ = std::move(errors);
  }
  int before(Call call, int, std::size_t& length) override {
    for (const auto& [kind, error] : errors_) {
      if (kind != call || roll() % one_in_ != 0) continue;
      ++failed;
      return error;
    }
    if (cut_short && length > 1 &&
        (call == Call::recv || call == Call::send || call == Call::uring_enter)) {
      length = 1 + roll() % length;
      ++cut;
    }
    return 0;
  }

  bool cut_short = false;
  int failed = 0;
  int cut = 0;

 private:
  unsigned roll() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<unsigned>(state_ >> 33);
  }
  std::vector<std::pair<Call, int>> errors_;
  unsigned one_in_;
  std::uint64_t state_ = 42;
};

// Many connections, each sending a lot, while somebody waits to write on each and receives are
// stopped and taken up: whatever `faults` does, all of it arrives.
void traffic(Driver& driver, sys::Faults& faults) {
  constexpr std::size_t connections = 12;
  const std::size_t others = driver.in_flight();
  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<Source>> sources;
  std::vector<std::string> texts;
  std::vector<std::size_t> sent(connections);
  for (unsigned i = 0; i < connections; ++i) {
    pairs.push_back(tcp_pair());
    sources.push_back(std::make_unique<Source>(pairs.back().a));
    texts.push_back(pattern(60'000 + i, i));
  }
  const WithFaults installed(faults);
  for (auto& source : sources) {
    Source& s = *source;
    if (driver.has_receive()) {
      driver.receive(s);
    } else {
      // The way of a socket where there is no receive().
      s.when_ready = [&](Direction direction, int error) {
        if (direction == Direction::out || error != 0) return;
        char chunk[1000];
        for (;;) {
          const ssize_t n = sys::recv(s.fd, chunk, sizeof chunk, MSG_DONTWAIT);
          if (n < 0 && errno == EINTR) continue;
          if (n <= 0) break;
          s.received.append(chunk, static_cast<std::size_t>(n));
        }
        if (errno == EAGAIN) driver.used_up(s, Direction::in);
        driver.want(s, Direction::in);
      };
      driver.want(s, Direction::in);
    }
  }
  unsigned turn = 0;
  const auto deadline = Clock::now() + 20s;
  const auto complete = [&] {
    for (std::size_t i = 0; i < connections; ++i) {
      if (sources[i]->received.size() < texts[i].size()) return false;
    }
    return true;
  };
  while (!complete()) {
    REQUIRE(Clock::now() < deadline);
    const std::size_t i = turn++ % connections;
    sent[i] += feed(pairs[i].b, std::string_view(texts[i]).substr(sent[i], 1 + turn * 37 % 4'000));
    driver.want(*sources[i], Direction::out);
    if (driver.has_receive() && turn % 5 == 0) driver.stop_receive(*sources[(i + 3) % connections]);
    if (driver.has_receive()) driver.receive(*sources[i]);
    driver.poll(turn % 8 == 0 ? ms / 2 : 0);
  }
  for (std::size_t i = 0; i < connections; ++i) {
    CHECK(sources[i]->received == texts[i]);
    sources[i]->when_ready = nullptr;
    driver.stop(*sources[i]);
  }
  run_until(driver, [&] { return driver.in_flight() == others; });
}

TEST_CASE("io_uring_enter() fails now and then, for every reason it may") {
  for (const int error : {EINTR, EAGAIN, EBUSY, ETIME}) {
    CAPTURE(error);
    const auto driver = make_uring();
    if (!driver) return;
    Dice dice({{Call::uring_enter, error}}, 3);
    traffic(*driver, dice);
    CHECK(dice.failed > 10);
  }
}

TEST_CASE("io_uring_enter() takes fewer entries than it was given") {
  const auto driver = make_uring();
  if (!driver) return;
  Dice dice({{Call::uring_enter, EAGAIN}}, 5);
  dice.cut_short = true;
  traffic(*driver, dice);
  CHECK(dice.cut > 10);
}

TEST_CASE("the submission queue is full most of the time") {
  for (const unsigned one_in : {2u, 1u}) {
    const auto driver = make_uring();
    if (!driver) return;
    Dice dice({{Call::uring_entry, ENOSPC}}, one_in);
    if (one_in == 1) {
      // Always: nothing can begin, nothing is lost, nobody waits for ever, stopping works.
      const WithFaults installed(dice);
      Pair pair = unix_pair();
      feed(pair.b, "x");
      Source stopped(pair.a), patient(pair.a);
      driver->want(stopped, Direction::in);
      driver->want(patient, Direction::in);
      driver->receive(stopped);
      for (int i = 0; i < 10; ++i) driver->poll(1'000 * ms);
      CHECK(stopped.calls[0] == 0);
      driver->stop(stopped);
      driver->poll(1'000 * ms);
      CHECK(stopped.calls[0] == 1);
      CHECK(stopped.error[0] == ECANCELED);
      CHECK(stopped.end_error == ECANCELED);
      CHECK(patient.in_flight == 1);
      sys::set_faults(nullptr);
      run_until(*driver, [&] { return patient.calls[0] == 1; });
      CHECK(patient.error[0] == 0);
      driver->stop(patient);
    } else {
      traffic(*driver, dice);
    }
    CHECK(dice.failed > 10);
  }
}

TEST_CASE("rings as small as they get") {
  for (const unsigned sq : {1u, 2u, 4u}) {
    CAPTURE(sq);
    const auto driver =
        make_uring({.sq_entries = sq, .cq_entries = 2 * sq, .buffers = 2, .buffer_size = 100});
    if (!driver) return;
    Dice none({}, 1);
    traffic(*driver, none);
    CHECK(driver->stats().no_buffers > 0);
  }
}

TEST_CASE("operations that end with EINTR, EAGAIN or an unasked ECANCELED are begun again") {
  for (const int error : {EINTR, EAGAIN, ECANCELED}) {
    CAPTURE(error);
    const auto driver = make_uring();
    if (!driver) return;
    Pair pair = unix_pair();
    feed(pair.b, "x");
    Source source(pair.a);
    for (const Operation operation : {Operation::in, Operation::out}) {
      Completions faults(operation, 0, -error, 3);
      const WithFaults installed(faults);
      const auto direction = static_cast<Direction>(operation);
      const auto index = static_cast<unsigned>(operation);
      driver->want(source, direction);
      run_until(*driver, [&] { return source.calls[index] == 1; });
      CHECK(faults.changed == 3);
      CHECK(source.error[index] == 0);
    }
    CHECK(driver->stats().rearms == 6);
    driver->stop(source);
  }
}

TEST_CASE("the same, when it was asked to end: then it ends") {
  for (const int error : {EINTR, EAGAIN, ENOBUFS}) {
    CAPTURE(error);
    const auto driver = make_uring();
    if (!driver) return;
    Pair pair = unix_pair();
    Source source(pair.a);
    driver->receive(source);
    driver->want(source, Direction::in);
    run_idle(*driver);
    Completions faults(Operation::receive, -ECANCELED, -error, 1);
    const WithFaults installed(faults);
    driver->stop(source);
    run_until(*driver, [&] { return driver->in_flight() == 0; });
    CHECK(faults.changed == 1);
    CHECK(source.ends == 1);
    CHECK(source.end_error == ECANCELED);
  }
}

TEST_CASE("a receive that ends with EINTR, EAGAIN or ENOBUFS goes on") {
  for (const int error : {EINTR, EAGAIN, ENOBUFS, ECANCELED}) {
    CAPTURE(error);
    const auto driver = make_uring();
    if (!driver) return;
    Pair pair = unix_pair();
    Source source(pair.a);
    driver->receive(source);
    run_idle(*driver);
    // The kernel's part is ended by a cancel whose wish is taken back at once.
    Completions faults(Operation::receive, -ECANCELED, -error, 1);
    const WithFaults installed(faults);
    driver->stop_receive(source);
    driver->receive(source);
    feed(pair.b, "all the same");
    run_until(*driver, [&] { return source.received == "all the same"; });
    run_until(*driver, [&] { return faults.changed == 1; });
    feed(pair.b, " and on");
    run_until(*driver, [&] { return source.received == "all the same and on"; });
    CHECK(source.ends == 0);
    // Where a receive cannot wait, a poll can.
    CHECK(driver->stats().direct == (error == EAGAIN ? 1 : 0));
    driver->stop(source);
    run_until(*driver, [&] { return source.ends == 1; });
  }
}

TEST_CASE("the way around the buffers meets EAGAIN, EINTR and short reads") {
  const auto driver = make_uring({.buffers = 1});
  if (!driver) return;
  Pair greedy_pair = tcp_pair();
  Source greedy(greedy_pair.a);
  greedy.hold = true;
  driver->receive(greedy);
  feed(greedy_pair.b, "x");
  run_until(*driver, [&] { return greedy.held.size() == 1; });

  Dice dice({{Call::recv, EAGAIN}, {Call::recv, EINTR}}, 4);
  dice.cut_short = true;
  traffic(*driver, dice);
  CHECK(dice.failed > 10);
  CHECK(dice.cut > 10);
  CHECK(driver->stats().direct > 100);

  Pair pair = tcp_pair();
  Source source(pair.a);
  driver->receive(source);
  feed(pair.b, "x");
  FailCall reset(Call::recv, ECONNRESET);
  const WithFaults installed(reset);
  run_until(*driver, [&] { return source.ends == 1; });
  CHECK(source.end_error == ECONNRESET);
  greedy.give_back_all();
  driver->stop(source);
  driver->stop(greedy);
  run_until(*driver, [&] { return driver->in_flight() == 0; });
}

TEST_CASE("epoll_wait() is interrupted now and then") {
  DriverFailure failure;
  const auto driver = make_epoll_driver(failure);
  Dice dice({{Call::epoll_wait, EINTR}, {Call::recv, EINTR}}, 3);
  dice.cut_short = true;
  traffic(*driver, dice);
  CHECK(dice.failed > 10);
  CHECK(dice.cut > 10);
}

TEST_CASE("epoll cannot take a descriptor") {
  DriverFailure failure;
  const auto driver = make_epoll_driver(failure);
  for (const bool one_shot : {false, true}) {
    for (const int error : {ENOSPC, ENOMEM}) {
      Pair pair = unix_pair();
      feed(pair.b, "x");
      Source source(pair.a);
      source.one_shot = one_shot;
      {
        FailCall fault(Call::epoll_ctl, error);
        const WithFaults installed(fault);
        driver->want(source, Direction::in);
        run_until(*driver, [&] { return source.calls[0] == 1; });
        CHECK(source.error[0] == error);
      }
      // The next one may succeed.
      driver->want(source, Direction::in);
      run_until(*driver, [&] { return source.calls[0] == 2; });
      CHECK(source.error[0] == 0);
      driver->stop(source);
    }
  }
}

TEST_CASE("re-arming a shared descriptor fails: whoever waits is told") {
  DriverFailure failure;
  const auto driver = make_epoll_driver(failure);
  Pair pair = unix_pair();
  while (feed(pair.a, pattern(65536)) == 65536) {}
  Source reader(pair.a), writer(pair.a);
  reader.one_shot = writer.one_shot = true;
  driver->want(reader, Direction::in);
  driver->want(writer, Direction::out);
  feed(pair.b, "x");
  FailCall fault(Call::epoll_ctl, ENOMEM);
  const WithFaults installed(fault);
  run_until(*driver, [&] { return driver->in_flight() == 0; });
  CHECK(reader.error[0] == 0);
  CHECK(writer.error[1] == ENOMEM);
  driver->stop(reader);
  driver->stop(writer);
}

// ---- a ring that does not let go --------------------------------------------------------------

std::string logged;

TEST_CASE("operations that never end are given up after a second, not freed") {
  auto driver = make_uring();
  if (!driver) return;
  Pair pair = unix_pair();
  // On the heap and kept for ever: the kernel may still name it.
  auto* const source = new Source(pair.a);
  static Source* kept;
  kept = source;
  driver->want(*source, Direction::in);
  driver->receive(*source);
  run_idle(*driver);
  logged.clear();
  const LogHook before =
      set_log_hook([](LogLevel, std::string_view text) { logged += std::string(text) + "\n"; });
  {
    Dice dead({{Call::uring_enter, EBUSY}}, 1);
    const WithFaults installed(dead);
    const auto start = Clock::now();
    driver.reset();
    const auto took = Clock::now() - start;
    CHECK(took >= 1s);
    CHECK(took < 3s);
  }
  set_log_hook(before);
  CHECK(logged.find("2 operations did not end") != std::string::npos);
  CHECK(kept->calls[0] == 0);
  CHECK(kept->ends == 0);
  CHECK(kept->refs == 2);
}

}  // namespace
