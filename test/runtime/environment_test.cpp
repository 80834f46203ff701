// The world of a runtime replaced: its clock, its random numbers, the order of ready goroutines and
// its driver. A program in such a world takes no real time, and runs again exactly as it ran.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <ringo/cancellation.hpp>
#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/mutex.hpp>
#include <ringo/readiness.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>
#include <ringo/wait_group.hpp>

#include "matrix.hpp"
#include "runtime/environment.hpp"
#include "runtime/runtime.hpp"

using namespace ringo;
using namespace std::chrono_literals;
using ringo::detail::Direction;
using ringo::detail::Driver;
using ringo::detail::IoSource;
using ringo::detail::ReceivedBuffer;

namespace {

constexpr std::int64_t hour = 3'600'000'000'000;

/// A world whose time goes on only while everybody waits.
class World : public detail::Environment {
 public:
  explicit World(std::uint64_t seed) : seed_(seed), dice_(seed * 2 + 1) {}

  std::int64_t now() override {
    ++clock_reads;
    return time;
  }
  std::uint64_t seed(unsigned worker) override { return seed_ * 1000 + worker; }
  std::size_t pick_ready(std::size_t count) override {
    CHECK_GT(count, 1u);
    ++picks;
    return roll() % count;
  }
  std::unique_ptr<Driver> make_driver(unsigned worker) override;

  std::uint64_t roll() {
    dice_ = dice_ * 6364136223846793005u + 1442695040888963407u;
    return dice_ >> 33;
  }

  std::int64_t time = 5 * hour;
  int clock_reads = 0;
  int picks = 0;
  int answers = 0;
  int drivers = 0;  // that live
  int polls = 0;
  int submits = 0;
  bool ready_at_once = false;  // every descriptor

 private:
  const std::uint64_t seed_;
  std::uint64_t dice_;
};

/// A kernel in which every descriptor becomes ready some microseconds after somebody wants it.
class SimulatedDriver final : public Driver {
 public:
  explicit SimulatedDriver(World& world) : world_(world) { ++world_.drivers; }
  ~SimulatedDriver() override {
    stop_all();
    deliver();
    --world_.drivers;
  }

  const char* name() const noexcept override { return "simulated"; }

  int poll(std::int64_t timeout) override {
    ++stats_.enters;
    ++world_.polls;
    if (next() > world_.time && !woken_) {
      std::int64_t until = next();
      if (timeout >= 0) until = std::min(until, world_.time + timeout);
      if (until == INT64_MAX) {
        FAIL_CHECK("nothing will ever happen, and the worker sleeps without limit");
        std::abort();
      }
      world_.time = std::max(world_.time, until);
    }
    woken_ = false;
    return deliver();
  }

  void submit() noexcept override { ++world_.submits; }
  bool may_have_work() noexcept override { return next() <= world_.time; }
  void wake() noexcept override { woken_ = true; }

  void want(IoSource& source, Direction direction) override {
    source.driver = this;
    source.retain();
    ++source.in_flight;
    const auto delay = 1'000 + static_cast<std::int64_t>(world_.roll() % 50'000);
    waits_.push_back({world_.time + (world_.ready_at_once ? 0 : delay), 0, &source, direction});
  }
  void used_up(IoSource&, Direction) noexcept override {}
  bool has_receive() const noexcept override { return false; }
  void receive(IoSource&) override {}
  void stop_receive(IoSource&) override {}
  void give_back(ReceivedBuffer) noexcept override {}
  void stop(IoSource& source) override {
    for (Wait& wait : waits_) {
      if (wait.source == &source) wait = {world_.time, ECANCELED, &source, wait.direction};
    }
  }
  std::size_t in_flight() const noexcept override { return waits_.size(); }

 private:
  struct Wait {
    std::int64_t when;
    int error;
    IoSource* source;
    Direction direction;
  };

  std::int64_t next() const {
    std::int64_t earliest = INT64_MAX;
    for (const Wait& wait : waits_) earliest = std::min(earliest, wait.when);
    return earliest;
  }
  void stop_all() {
    for (Wait& wait : waits_) wait.when = world_.time, wait.error = ECANCELED;
  }
  int deliver() {
    int count = 0;
    for (std::size_t i = 0; i < waits_.size();) {
      if (waits_[i].when > world_.time) {
        ++i;
        continue;
      }
      const Wait wait = waits_[i];
      waits_.erase(waits_.begin() + static_cast<std::ptrdiff_t>(i));
      --wait.source->in_flight;
      wait.source->on_ready(wait.direction, wait.error);
      wait.source->release();
      ++world_.answers;
      ++count;
    }
    return count;
  }

  World& world_;
  std::vector<Wait> waits_;
  bool woken_ = false;
};

std::unique_ptr<Driver> World::make_driver(unsigned worker) {
  REQUIRE_EQ(worker, 0u);
  return std::make_unique<SimulatedDriver>(*this);
}

/// Runs app(arguments...) in that world.
template <class F, class... Args>
void run_in(World& world, F app, Args&&... args) {
  detail::Runtime runtime(Options{}, &world);
  runtime.run(app(std::forward<Args>(args)...));
  CHECK_EQ(world.drivers, 0);
}

/// Descriptors that never become ready by themselves.
class Quiet {
 public:
  Quiet() { REQUIRE_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds_), 0); }
  ~Quiet() {
    ::close(fds_[0]);
    ::close(fds_[1]);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
  int fd() const { return fds_[0]; }

 private:
  int fds_[2];
};

// ---- the parts --------------------------------------------------------------------------------

TEST_CASE("environment: the clock is the world's") {
  World world(1);
  const std::int64_t begun = world.time;
  std::vector<std::int64_t> woken;
  TimePoint due{};
  const auto real = std::chrono::steady_clock::now();
  run_in(world, [&]() -> Task<> {
    REQUIRE_EQ(std::string(driver_name()), "simulated");
    REQUIRE_EQ(num_workers(), 1u);
    std::vector<JoinHandle<>> all;
    for (int hours : {3, 1, 2}) {
      all.push_back(go([&, hours]() -> Task<> {
        co_await sleep_for(std::chrono::hours(hours));
        woken.push_back(world.time - begun);
      }));
    }
    for (auto& one : all) co_await one;
    due = co_await after(1h);
    Ticker ticker(10min);
    for (int i = 0; i < 3; ++i) co_await ticker;
    woken.push_back(world.time - begun);
  });
  // To the nanosecond, in no time.
  CHECK(woken == std::vector<std::int64_t>{hour, 2 * hour, 3 * hour, 4 * hour + hour / 2});
  CHECK(due.time_since_epoch().count() == begun + 4 * hour);
  CHECK(std::chrono::steady_clock::now() - real < 5s);
}

TEST_CASE(
    "with_timeout: the limit begins with the co_await, and needs no clock until there is a wait") {
  World world(3);
  run_in(world, [&]() -> Task<> {
    Channel<int> channel(1);
    auto early = with_timeout(1h, channel.recv());
    co_await sleep_for(2h);
    std::int64_t before = world.time;
    CHECK((co_await early).error() == Errc::timeout);
    CHECK(world.time - before == hour);

    const auto receive = [&]() -> Task<> { (void)co_await channel.recv(); };
    auto early_task = with_timeout(1h, receive());
    co_await sleep_for(2h);
    before = world.time;
    CHECK((co_await std::move(early_task)).error() == Errc::timeout);
    CHECK(world.time - before == hour);

    CHECK(channel.try_send(1));
    before = world.clock_reads;
    CHECK((co_await with_timeout(1h, channel.recv())).value() == 1);
    CHECK(world.clock_reads == before);
  });
}

TEST_CASE("environment: the order of ready goroutines is the world's") {
  class Ordered final : public World {
   public:
    explicit Ordered(bool last) : World(1), last_(last) {}
    std::size_t pick_ready(std::size_t count) override { return last_ ? count - 1 : 0; }

   private:
    const bool last_;
  };
  for (const bool last : {false, true}) {
    Ordered world(last);
    std::vector<int> order;
    run_in(world, [&]() -> Task<> {
      WaitGroup all;
      for (int i = 0; i < 6; ++i) {
        all.go([&, i] { order.push_back(i); });
      }
      co_await all.wait();
    });
    std::vector<int> expected{0, 1, 2, 3, 4, 5};
    if (last) std::reverse(expected.begin(), expected.end());
    CHECK(order == expected);
  }
}

TEST_CASE("environment: the random numbers are the world's") {
  const auto choices = [](std::uint64_t seed) {
    World world(seed);
    std::vector<std::size_t> chosen;
    run_in(world, [&]() -> Task<> {
      Channel<int> a, b, c;
      a.close(), b.close(), c.close();
      for (int i = 0; i < 100; ++i) {
        auto result = co_await select_any{a.recv(), b.recv(), c.recv()};
        chosen.push_back(result.index());
      }
    });
    return chosen;
  };
  const auto first = choices(7);
  CHECK(first == choices(7));
  CHECK(first != choices(8));
  for (std::size_t i : {0u, 1u, 2u}) CHECK(std::count(first.begin(), first.end(), i) > 10);
}

TEST_CASE("environment: the driver is the world's") {
  World world(3);
  Quiet quiet;
  std::int64_t waited = 0;
  bool ready = false;
  bool timed_out = false;
  run_in(world, [&]() -> Task<> {
    const std::int64_t before = world.time;
    ready = static_cast<bool>(co_await readable(quiet.fd()));
    waited = world.time - before;
    timed_out = (co_await with_timeout(500ns, readable(quiet.fd()))).error() == Errc::timeout;
    // Somebody whom the end of the runtime finds waiting.
    go([&]() -> Task<> { (void)co_await writable(quiet.fd()); });
    co_await yield();
  });
  CHECK(ready);
  CHECK(timed_out);
  CHECK(waited >= 1'000);
  CHECK(waited < 51'000);
  CHECK(world.answers >= 2);
}

TEST_CASE("the driver is looked at often, but not before what it brought has run") {
  constexpr int resumptions = 15'000;
  const auto run_with = [&](World& world, int readers, int others) {
    world.ready_at_once = true;
    Quiet quiet;
    const int each = resumptions / (readers + others);
    run_in(world, [&]() -> Task<> {
      WaitGroup all;
      for (int i = 0; i < readers; ++i) {
        all.go([&]() -> Task<> {
          for (int k = 0; k < each; ++k) (void)co_await readable(quiet.fd());
        });
      }
      for (int i = 0; i < others; ++i) all.go([&] { return test::yields(each); });
      co_await all.wait();
    });
  };
  World crowded(1);
  run_with(crowded, 300, 0);
  CHECK_LT(crowded.polls, resumptions / 150);  // each brought some 240
  CHECK_GT(crowded.submits, resumptions / 100);  // every 61, in between
  World calm(1);
  run_with(calm, 5, 5);
  CHECK_GT(calm.polls, resumptions / 100);  // every 61
}

TEST_CASE("environment: a world without a driver is an error") {
  class Bare final : public World {
   public:
    Bare() : World(1) {}
    std::unique_ptr<Driver> make_driver(unsigned) override { return nullptr; }
  };
  ringo::test::expect_exit(2, "the environment makes no driver", [] {
    Bare world;
    run_in(world, []() -> Task<> { co_return; });
  });
}

// ---- all of it --------------------------------------------------------------------------------

/// What happened, and when.
class Story {
 public:
  explicit Story(World& world) : world_(world) {}
  void add(int who, const std::string& what) {
    text += std::to_string(world_.time) + " " + std::to_string(who) + " " + what + "\n";
  }
  std::string text;

 private:
  World& world_;
};

/// Goroutines that meet in every way there is, with chances everywhere.
Task<> busy_program(World& world, Story& story, int fd) {
  Channel<int> rendezvous;
  Channel<int> buffered(3);
  Mutex mutex;
  WaitGroup all;
  for (int who = 0; who < 8; ++who) {
    all.go([&, who]() -> Task<> {
      for (int i = 0; i < 40; ++i) {
        switch (world.roll() % 7) {
          case 0: {
            co_await select_any{
                on(rendezvous.send(who), [&] { story.add(who, "sent"); }),
                on(rendezvous.recv(),
                   [&](auto value) {
                     story.add(who, "received " + std::to_string(value.value_or(-1)));
                   }),
                on(sleep_for(20us), [&] { story.add(who, "timeout"); }),
            };
            break;
          }
          case 6: {
            co_await select_any{
                on(buffered.send(who), [&] { story.add(who, "put"); }),
                on(buffered.recv(),
                   [&](auto value) {
                     story.add(who, "got " + std::to_string(value.value_or(-1)));
                   }),
                on(rendezvous.recv(),
                   [&](auto value) {
                     story.add(who, "received " + std::to_string(value.value_or(-1)));
                   }),
            };
            break;
          }
          case 1: {
            auto guard = co_await mutex.lock();
            co_await sleep_for(std::chrono::nanoseconds(world.roll() % 5'000));
            story.add(who, "had the lock");
            break;
          }
          case 2: {
            const bool ready = static_cast<bool>(co_await with_timeout(20us, readable(fd)));
            story.add(who, ready ? "readable" : "not readable");
            break;
          }
          case 3: {
            auto child = go([&story, who]() -> Task<int> {
              co_await yield();
              story.add(who, "child");
              co_return who;
            });
            story.add(who, "joined " + std::to_string(co_await child));
            break;
          }
          case 4: {
            after_func(std::chrono::nanoseconds(world.roll() % 9'000),
                       [&story, who] { story.add(who, "after_func"); });
            co_await yield();
            break;
          }
          default:
            co_await sleep_for(std::chrono::nanoseconds(world.roll() % 3'000));
            story.add(who, "slept");
        }
      }
    });
  }
  co_await all.wait();
  co_await sleep_for(1ms);  // every after_func has run
  story.add(-1, "end");
}

std::string story_of(std::uint64_t seed) {
  World world(seed);
  Story story(world);
  Quiet quiet;
  run_in(world, busy_program, world, story, quiet.fd());
  CHECK(world.picks > 0);
  CHECK(world.answers > 0);
  return story.text;
}

TEST_CASE("environment: a run replays exactly, and another seed is another run") {
  std::string previous;
  std::string all;
  std::vector<std::unique_ptr<char[]>> ballast;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::string first = story_of(seed);
    CHECK(std::count(first.begin(), first.end(), '\n') > 200);
    CHECK(first.ends_with(" -1 end\n"));
    // Nothing may depend on addresses: the same with the heap moved about.
    for (std::size_t i = 0; i < 50 * seed; ++i) ballast.emplace_back(new char[16 + 40 * (i % 13)]);
    CHECK(first == story_of(seed));
    CHECK(first != previous);
    previous = first;
    all += first;
  }
  // Each kind of event took place.
  for (const char* kind : {" sent", " received", " put", " got", " timeout", " had the lock",
                           " readable", " not readable", " joined", " child", " after_func"}) {
    CAPTURE(std::string(kind));
    CHECK(all.find(kind) != std::string::npos);
  }
}

}  // namespace
