#include <ringo/blocking.hpp>

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <ringo/channel.hpp>
#include <ringo/panic.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "base/log.hpp"
#include "matrix.hpp"
#include "runtime/external.hpp"
#include "runtime/worker.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace ringo::detail {
bool cancel_wait(Goroutine* g) noexcept;
}

static_assert(!ringo::detail::IsOperation<Blocking<int>>, "not a case of select");
static_assert(!std::is_copy_constructible_v<Blocking<int>>);

namespace {

/// Plain threads pass it when it is open.
class Gate {
 public:
  void open() {
    std::lock_guard guard(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

/// A value for the rest of a scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

int twice(int x) { return 2 * x; }

struct Tracked {
  explicit Tracked(std::atomic<int>& alive) : alive_(&alive) { ++*alive_; }
  Tracked(const Tracked& other) : alive_(other.alive_) { ++*alive_; }
  ~Tracked() { --*alive_; }
  std::atomic<int>* alive_;
};

}  // namespace

RINGO_TEST("blocking: results, arguments, references, move-only values") {
  CHECK_EQ(co_await blocking(&twice, 21), 42);
  CHECK_EQ(co_await blocking([] { return std::string("text"); }), "text");

  auto owned = std::make_unique<int>(5);
  std::unique_ptr<int> same = co_await blocking(
      [](std::unique_ptr<int> p) {
        ++*p;
        return p;
      },
      std::move(owned));
  CHECK_EQ(*same, 6);

  int counter = 0;
  co_await blocking([](int& n) { n = 7; }, std::ref(counter));
  CHECK_EQ(counter, 7);
  int& self = co_await blocking([](int& n) -> int& { return n; }, std::ref(counter));
  CHECK_EQ(&self, &counter);

  // On another thread than all workers.
  CHECK(!co_await blocking([] { return ringo::detail::on_worker_thread(); }));
  CHECK(
      co_await blocking([](std::thread::id caller) { return caller != std::this_thread::get_id(); },
                        std::this_thread::get_id()));
}

RINGO_TEST("blocking: exceptions come out of the await") {
  CHECK_THROWS_WITH_AS(co_await blocking([]() -> int { throw std::runtime_error("no such row"); }),
                       "no such row", std::runtime_error);
  // The thread is as good as before.
  CHECK_EQ(co_await blocking(&twice, 1), 2);
}

RINGO_TEST("blocking: nothing is called before the await, and it is awaited once") {
  std::atomic<int> calls{0};
  {
    auto dropped = blocking([&] { ++calls; });
  }
  auto call = blocking([&] { ++calls; });
  CHECK_EQ(calls, 0);
  co_await call;
  CHECK_EQ(calls, 1);
  CHECK_THROWS_AS(co_await call, Panic);
  CHECK_EQ(calls, 1);
}

RINGO_TEST("blocking: function and arguments are gone when the await ends") {
  std::atomic<int> alive{0};
  {
    Tracked argument(alive);
    auto function = [tracked = Tracked(alive)](const Tracked&) { return tracked.alive_->load(); };
    int during = co_await blocking(std::move(function), argument);
    CHECK_GE(during, 3);
    CHECK_EQ(alive, 2);  // the named ones here
    CHECK_THROWS(co_await blocking([](const Tracked&) { throw 1; }, argument));
    CHECK_EQ(alive, 2);
  }
  CHECK_EQ(alive, 0);
}

RINGO_TEST("blocking: a thousand calls, each with its own answer") {
  Channel<int> answers(1000);
  for (int i = 0; i < 1000; ++i) {
    go([](int n, Channel<int> out) -> Task<> { co_await out.send(co_await blocking(&twice, n)); },
       i, answers);
  }
  std::set<int> seen;
  for (int i = 0; i < 1000; ++i) seen.insert((co_await answers.recv()).value());
  CHECK_EQ(seen.size(), 1000u);
  CHECK_EQ(*seen.begin(), 0);
  CHECK_EQ(*seen.rbegin(), 1998);
}

RINGO_TEST("SC-09: goroutines go on while calls block") {
  Gate gate;
  std::atomic<int> inside{0};
  std::vector<JoinHandle<void>> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(go([&]() -> Task<> {
      co_await blocking([&] {
        ++inside;
        gate.pass();
      });
    }));
  }
  co_await test::eventually([&] { return inside == 8; });
  Channel<int> ping;
  Channel<int> pong;
  go([=]() -> Task<> {
    while (auto v = co_await ping.recv()) co_await pong.send(*v + 1);
    pong.close();
  });
  for (int i = 0; i < 1000; ++i) {
    co_await ping.send(i);
    REQUIRE_EQ((co_await pong.recv()).value(), i + 1);
  }
  ping.close();
  co_await sleep_for(1ms);
  for (auto& call : calls) CHECK(!call.done());
  gate.open();
  for (auto& call : calls) co_await call;
}

RINGO_TEST("SC-09: the end of a call wakes a worker that sleeps") {
  for (int i = 0; i < 20; ++i) {
    const detail::Worker& worker = *detail::Worker::current();
    co_await blocking([&worker] {
      while (!worker.asleep()) std::this_thread::yield();
    });
  }
}

TEST_CASE("blocking: more calls than threads wait in line") {
  Variable limit("RINGO_BLOCKING_THREADS", "2");
  test::run_matrix([]() -> Task<> {
    Gate gate;
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    std::vector<JoinHandle<void>> busy;
    for (int i = 0; i < 2; ++i) {
      busy.push_back(go([&]() -> Task<> {
        co_await blocking([&] {
          ++inside;
          gate.pass();
          --inside;
        });
      }));
    }
    co_await test::eventually([&] { return inside == 2; });
    std::mutex mutex;
    std::vector<int> order;
    std::vector<JoinHandle<void>> waiting;
    co_await test::on_one_worker([&]() -> Task<> {
      for (int i = 0; i < 50; ++i) {
        waiting.push_back(go_on(0, [&, i]() -> Task<> {
          co_await blocking([&, i] {
            int now = ++inside;
            if (now > most) most = now;
            {
              std::lock_guard guard(mutex);
              order.push_back(i);
            }
            --inside;
          });
        }));
      }
      co_await test::yields();
    });
    {
      std::lock_guard guard(mutex);
      CHECK(order.empty());
    }
    gate.open();
    for (auto& call : busy) co_await call;
    for (auto& call : waiting) co_await call;
    REQUIRE_EQ(order.size(), 50u);
    CHECK_LE(most, 2);
  });
}

TEST_CASE("blocking: one thread serves in order") {
  Variable limit("RINGO_BLOCKING_THREADS", "1");
  test::run_matrix([]() -> Task<> {
    std::vector<int> order;  // by the one thread, until all are joined
    std::vector<JoinHandle<void>> calls;
    co_await test::on_one_worker([&]() -> Task<> {
      for (int i = 0; i < 100; ++i) {
        calls.push_back(
            go_on(0, [&, i]() -> Task<> { co_await blocking([&, i] { order.push_back(i); }); }));
      }
      co_await test::yields();
    });
    for (auto& call : calls) co_await call;
    REQUIRE_EQ(order.size(), 100u);
    for (std::size_t i = 0; i < 100; ++i) CHECK_EQ(order[i], static_cast<int>(i));
  });
}

RINGO_TEST("blocking: a thread of the pool uses channels and handles as plain threads do") {
  Channel<int> in;
  Channel<int> out;
  auto relay = go([=]() -> Task<> {
    co_await blocking(
        [](Channel<int> from, Channel<int> to) {
          while (auto v = from.recv_blocking()) to.send_blocking(*v * 3);
          to.close();
        },
        in, out);
  });
  for (int i = 0; i < 100; ++i) {
    co_await in.send(i);
    REQUIRE_EQ((co_await out.recv()).value(), 3 * i);
  }
  in.close();
  CHECK(!co_await out.recv());
  co_await relay;

  auto child = go([]() -> Task<int> {
    co_await sleep_for(1ms);
    co_return 9;
  });
  CHECK_EQ(co_await blocking([&] { return child.join_blocking(); }), 9);
}

RINGO_TEST("blocking: through a goroutine it takes part in a select") {
  Gate gate;
  auto call = go([&]() -> Task<int> {
    co_return co_await blocking([&] {
      gate.pass();
      return 1;
    });
  });
  auto early = co_await select_any{call, after(2ms)};
  CHECK_EQ(early.index(), 1u);
  gate.open();
  auto late = co_await select_any{call, after(10s)};
  REQUIRE_EQ(late.index(), 0u);
  CHECK_EQ(late.get<0>(), 1);
}

// --- cancellation -------------------------------------------------------------------------------

namespace {

/// Whether it is in a wait that can be cancelled.
bool waits(const ringo::detail::Goroutine* g) {
  using namespace ringo::detail;
  return (g->claim.load() & (claim_open | claim_claimed)) == claim_open;
}

/// A goroutine that can be cancelled from outside: it says its record, then runs `body`.
template <class F>
Task<bool> cancellable(std::atomic<ringo::detail::Goroutine*>& self, F body) {
  ringo::detail::Goroutine* g = ringo::detail::current_goroutine();
  g->guarded = true;
  self = g;
  try {
    co_await body();
  } catch (const Canceled&) { co_return true; }
  co_return false;
}

}  // namespace

TEST_CASE("blocking: cancelled in line, the function is not called") {
  Variable limit("RINGO_BLOCKING_THREADS", "1");
  test::run_matrix([]() -> Task<> {
    Gate gate;
    std::atomic<bool> inside{false};
    auto busy = go([&]() -> Task<> {
      co_await blocking([&] {
        inside = true;
        gate.pass();
      });
    });
    co_await test::eventually([&] { return inside.load(); });
    std::atomic<int> called{0};
    std::atomic<int> alive{0};
    std::atomic<ringo::detail::Goroutine*> g{nullptr};
    auto body = [&]() -> Task<> {
      auto count = [&called, tracked = Tracked(alive)] { ++called; };
      co_await blocking(std::move(count));
    };
    auto waiting = go([&]() -> Task<bool> { co_return co_await cancellable(g, body); });
    co_await test::eventually([&] { return g != nullptr && waits(g); });
    CHECK(ringo::detail::cancel_wait(g));
    CHECK(co_await waiting);
    CHECK_EQ(alive, 0);
    gate.open();
    co_await busy;
    CHECK_EQ(co_await blocking(&twice, 4), 8);  // behind it in line
    CHECK_EQ(called, 0);
  });
}

RINGO_TEST("blocking: cancelled while it runs, the wait goes on to the end") {
  Gate gate;
  std::atomic<bool> inside{false};
  std::atomic<int> result{0};
  bool next_wait_reached = false;
  std::atomic<ringo::detail::Goroutine*> g{nullptr};
  auto body = [&]() -> Task<> {
    result = co_await blocking([&] {
      inside = true;
      gate.pass();
      return 77;
    });
    next_wait_reached = true;
    co_await sleep_for(1h);
  };
  auto waiting = go([&]() -> Task<bool> { co_return co_await cancellable(g, body); });
  co_await test::eventually([&] { return inside && waits(g); });
  CHECK(ringo::detail::cancel_wait(g));
  co_await sleep_for(2ms);
  CHECK(!waiting.done());
  CHECK_EQ(result, 0);
  gate.open();
  CHECK(co_await waiting);
  CHECK_EQ(result, 77);
  CHECK(next_wait_reached);
}

RINGO_TEST("blocking: cancelled at any moment, it ends with the value or was never called") {
  int canceled = 0;
  for (int round = 0; round < 500; ++round) {
    std::atomic<int> called{0};
    std::atomic<ringo::detail::Goroutine*> g{nullptr};
    int value = 0;
    auto body = [&]() -> Task<> { value = co_await blocking([&] { return ++called; }); };
    auto waiting = go([&]() -> Task<bool> { co_return co_await cancellable(g, body); });
    while (g == nullptr) co_await yield();
    for (int i = 0; i < round % 7; ++i) co_await yield();
    ringo::detail::cancel_wait(g);
    bool left = co_await waiting;
    CHECK_EQ(called, left ? 0 : 1);
    CHECK_EQ(value, called);
    canceled += left ? 1 : 0;
  }
  CHECK_LT(canceled, 501);
}

TEST_CASE("blocking: a drain waits for calls that run and drops those in line") {
  Variable limit("RINGO_BLOCKING_THREADS", "1");
  test::for_each_setting([](const test::Setting& setting) {
    static std::atomic<int> finished;
    static std::atomic<int> unwound;
    static Gate* gate;
    finished = unwound = 0;
    Gate own;
    gate = &own;
    struct Count {
      ~Count() { ++unwound; }
    };
    Options base;
    base.drain = 10s;
    test::run_setting(
        setting,
        []() -> Task<> {
          static std::atomic<int> inside;
          inside = 0;
          for (int i = 0; i < 3; ++i) {
            go([]() -> Task<> {
              Count count;
              co_await blocking([] {
                ++inside;
                gate->pass();
                ++finished;
              });
            });
          }
          co_await test::eventually([] { return inside == 1; });
          std::thread([] {
            while (unwound < 2) std::this_thread::yield();
            gate->open();
          }).detach();
        },
        base);
    CHECK_EQ(unwound, 3);
    CHECK_EQ(finished, 1);
  });
}

// --- the end of the runtime ---------------------------------------------------------------------

TEST_CASE("blocking: run() waits for calls that run, and drops those in line") {
  Variable limit("RINGO_BLOCKING_THREADS", "2");
  test::for_each_setting([](const test::Setting& setting) {
    // Shared with abandoned goroutines, hence not on this stack.
    struct Shared {
      std::atomic<int> inside{0};
      std::atomic<int> finished{0};
      std::atomic<int> resumed{0};
    };
    auto shared = std::make_shared<Shared>();
    test::run_setting(setting, [&shared]() -> Task<> {
      for (int i = 0; i < 5; ++i) {
        go(
            [](std::shared_ptr<Shared> s) -> Task<> {
              auto work = [s] {
                ++s->inside;
                // Released by the runtime's end, when the line has been given up.
                CHECK_THROWS_AS((void)Channel<int>().recv_blocking(), Panic);
                std::this_thread::sleep_for(10ms);  // stands for work
                ++s->finished;
              };
              co_await blocking(std::move(work));
              ++s->resumed;
            },
            shared);
      }
      co_await test::eventually([&] { return shared->inside == 2; });
    });
    CHECK_EQ(shared->inside, 2);
    CHECK_EQ(shared->finished, 2);
    CHECK_EQ(shared->resumed, 0);
  });
}

TEST_CASE("blocking: a call that waits for the runtime does not keep it from ending") {
  test::for_each_setting([](const test::Setting& setting) {
    static std::atomic<int> ended;
    ended = 0;
    auto begin = std::chrono::steady_clock::now();
    test::run_setting(setting, []() -> Task<> {
      static std::atomic<int> inside;
      inside = 0;
      Channel<int> ch;
      for (int i = 0; i < 2; ++i) {
        go(
            [](Channel<int> ch, bool send) -> Task<> {
              co_await blocking(
                  [](Channel<int> ch, bool send) {
                    ++inside;
                    try {
                      if (send) {
                        Channel<int>().send_blocking(1);
                      } else {
                        (void)ch.recv_blocking();
                      }
                    } catch (const Panic&) { ++ended; }
                  },
                  ch, send);
            },
            ch, i == 0);
      }
      co_await test::eventually([] { return inside == 2; });
    });
    CHECK_EQ(ended, 2);
    CHECK_LT(std::chrono::steady_clock::now() - begin, 4s);
  });
}

TEST_CASE("blocking: a call that does not come back is left behind with a line in the log" *
          doctest::test_suite("long")) {
  static std::string line;
  static Gate* gate = new Gate;  // outlives the case, as the thread does
  static std::atomic<bool> inside;
  static std::atomic<bool> left;
  test::Setting setting{DriverKind::epoll, "epoll", 1};
  line.clear();
  inside = left = false;
  auto before = ringo::detail::set_log_hook(
      [](ringo::detail::LogLevel, std::string_view text) { line = text; });
  test::run_setting(setting, []() -> Task<> {
    go([]() -> Task<> {
      co_await blocking([] {
        inside = true;
        gate->pass();
        left = true;
      });
    });
    co_await test::eventually([] { return inside.load(); });
  });
  ringo::detail::set_log_hook(before);
  CHECK_EQ(line,
           "blocking: 1 call is still running though the runtime has ended; left behind with what "
           "they hold");
  CHECK(!left);
  gate->open();
  while (!left) std::this_thread::yield();
}

TEST_CASE("blocking: RINGO_BLOCKING_THREADS that is no number of threads is refused") {
  for (const char* text : {"0", "many", "-1", "4 ", "1000000"}) {
    Variable limit("RINGO_BLOCKING_THREADS", text);
    test::expect_exit(2, "ringo: RINGO_BLOCKING_THREADS=", [] { ringo::run([] {}); });
  }
}

TEST_CASE("blocking: the threads are gone after run()") {
  ringo::run([]() -> Task<> { co_await blocking([] {}); });
  auto threads = [] {
    int count = 0;
    if (FILE* status = std::fopen("/proc/self/status", "r")) {
      char text[256];
      while (std::fgets(text, sizeof text, status) != nullptr) {
        std::sscanf(text, "Threads: %d", &count);
      }
      std::fclose(status);
    }
    return count;
  };
  int before = threads();
  CHECK_GT(before, 0);
  ringo::run([]() -> Task<> {
    std::vector<JoinHandle<void>> calls;
    for (int i = 0; i < 20; ++i) {
      calls.push_back(go([]() -> Task<> { co_await blocking([] { std::this_thread::yield(); }); }));
    }
    for (auto& call : calls) co_await call;
  });
  CHECK_EQ(threads(), before);
}
