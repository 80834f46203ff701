// What a program meets where io_uring cannot be had, or where its settings are nonsense. Every case
// runs ringo::run in a child of its own, which is forked while this process has one thread.
#include "refusal.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include <ringo/go.hpp>
#include <ringo/net.hpp>
#include <ringo/panic.hpp>
#include <ringo/run.hpp>

#include "driver/sys.hpp"
#include "matrix.hpp"

using namespace ringo;
using ringo::test::become_nobody;
using ringo::test::Ended;
using ringo::test::filter_uring;
using ringo::test::in_child;
using ringo::test::rings_count_as_locked;
namespace sys = ringo::detail::sys;
using sys::Call;

namespace {

constexpr unsigned worker_counts[] = {1, 4};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

long lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

/// Refuses io_uring to the workers whose turn it is (bit i: the i-th thread that asks).
class RefuseUring final : public sys::Faults {
 public:
  RefuseUring(int error, unsigned threads) : error_(error), threads_(threads) {}
  int before(Call call, int, std::size_t&) override {
    if (call != Call::uring_setup) return 0;
    thread_local const unsigned turn = turns_.fetch_add(1);
    return (threads_ >> turn & 1) != 0 ? error_ : 0;
  }

 private:
  const int error_;
  const unsigned threads_;
  std::atomic<unsigned> turns_{0};
};

/// A byte there and back over TCP, so that the driver of the runtime has done what it is for.
Task<> echo_a_byte() {
  net::TcpListener listener = net::TcpListener::listen("127.0.0.1:0").value();
  auto server = go([&]() -> Task<> {
    net::TcpStream stream = (co_await listener.accept()).value();
    std::byte byte[1] = {};
    REQUIRE_EQ((co_await stream.read(byte)).value(), 1u);
    (co_await stream.write(byte)).value();
  });
  net::TcpStream stream = (co_await net::TcpStream::connect(listener.local_address())).value();
  std::byte byte[1] = {std::byte{42}};
  (co_await stream.write(byte)).value();
  byte[0] = std::byte{0};
  REQUIRE_EQ((co_await stream.read(byte)).value(), 1u);
  REQUIRE_EQ(byte[0], std::byte{42});
  co_await server;
}

/// A whole program that must run on epoll, with all its workers.
void program_on_epoll(unsigned workers, DriverKind driver = DriverKind::automatic, int times = 2) {
  for (int i = 0; i < times; ++i) {
    run({.workers = workers, .driver = driver}, [workers]() -> Task<> {
      REQUIRE_EQ(std::string(driver_name()), "epoll");
      REQUIRE_EQ(num_workers(), workers);
      // Every worker has a driver that works.
      std::vector<JoinHandle<>> handles;
      for (unsigned i = 0; i < workers; ++i) {
        handles.push_back(go_on(static_cast<int>(i), []() -> Task<> {
          REQUIRE_EQ(std::string(driver_name()), "epoll");
          co_await echo_a_byte();
        }));
      }
      for (auto& handle : handles) co_await handle;
    });
  }
}

/// The environment of a child.
void set(const char* name, const char* value) {
  if (value == nullptr) {
    ::unsetenv(name);
  } else {
    ::setenv(name, value, 1);
  }
}

// ---- automatic --------------------------------------------------------------------------------

/// Runs that program where `refuse` has been called; it falls back, and says so in one line.
template <class F>
void falls_back(const char* words, F&& refuse) {
  for (const unsigned workers : worker_counts) {
    CAPTURE(workers);
    for (const char* variable : {static_cast<const char*>(nullptr), "auto"}) {
      const Ended ended = in_child([&] {
        set("RINGO_DRIVER", variable);
        refuse();
        program_on_epoll(workers);
      });
      CAPTURE(ended.errors);
      CHECK_EQ(ended.code, 0);
      // Two runs of several workers: one line, whatever the number of those refused.
      CHECK_EQ(lines(ended.errors), 1);
      CHECK(contains(ended.errors, words));
      CHECK(contains(ended.errors, "using epoll"));
    }
  }
}

TEST_CASE("io_uring refused to all workers: the program runs on epoll, and one line says why") {
  struct Refusal {
    int error;
    const char* words;
  };
  for (const Refusal& refusal :
       {Refusal{EPERM, "seccomp profile of a container"}, Refusal{ENOSYS, "does not exist here"},
        Refusal{ENOMEM, "RLIMIT_MEMLOCK"}}) {
    falls_back(refusal.words, [&] { sys::set_faults(new RefuseUring(refusal.error, ~0u)); });
  }
}

TEST_CASE("io_uring refused to some workers only: all of them run on epoll") {
  if (!ringo::test::harness::uring_works()) return;
  for (const unsigned refused : {1u, 2u, 8u, 10u, 14u}) {  // 1: the first thread that asks
    CAPTURE(refused);
    const Ended ended = in_child([&] {
      set("RINGO_DRIVER", nullptr);
      sys::set_faults(new RefuseUring(ENOMEM, refused));
      program_on_epoll(4, DriverKind::automatic, 1);
    });
    CAPTURE(ended.errors);
    CHECK_EQ(ended.code, 0);
    CHECK(contains(ended.errors, "RLIMIT_MEMLOCK"));
    CHECK(contains(ended.errors, "using epoll"));
    CHECK_EQ(lines(ended.errors), 1);
  }
}

TEST_CASE("a seccomp filter refuses io_uring: the program runs on epoll") {
  for (const int error : {EPERM, ENOSYS}) {
    falls_back(error == EPERM ? "seccomp profile of a container" : "does not exist here",
               [&] { REQUIRE(filter_uring(SECCOMP_RET_ERRNO | static_cast<unsigned>(error))); });
  }
}

TEST_CASE("no memory may be locked: the program runs on epoll, and the limit is named") {
  if (!ringo::test::harness::uring_works() || !rings_count_as_locked()) return;
  falls_back("RLIMIT_MEMLOCK is 0 KiB", [] { REQUIRE(become_nobody(RLIMIT_MEMLOCK, 0)); });
}

// ---- by name ----------------------------------------------------------------------------------

TEST_CASE("io_uring demanded and refused: exit status 2, the cause, and what to do") {
  for (const unsigned workers : worker_counts) {
    for (const bool by_variable : {true, false}) {
      CAPTURE(workers);
      CAPTURE(by_variable);
      const Ended ended = in_child([&] {
        set("RINGO_DRIVER", by_variable ? "uring" : nullptr);
        REQUIRE(filter_uring(SECCOMP_RET_ERRNO | static_cast<unsigned>(EPERM)));
        run({.workers = workers, .driver = by_variable ? DriverKind::automatic : DriverKind::uring},
            [] { std::fprintf(stderr, "main ran\n"); });
      });
      CAPTURE(ended.errors);
      CHECK_EQ(ended.code, 2);
      CHECK(contains(ended.errors, "ringo: io_uring is forbidden"));
      CHECK(contains(ended.errors, by_variable
                                       ? "RINGO_DRIVER=auto or RINGO_DRIVER=epoll runs on epoll"
                                       : "(Options::driver): automatic or epoll runs on epoll"));
      CHECK_FALSE(contains(ended.errors, "main ran"));
      CHECK_EQ(lines(ended.errors), 1);
    }
  }
}

TEST_CASE("io_uring demanded and refused to one worker of four: exit status 2") {
  if (!ringo::test::harness::uring_works()) return;
  for (const unsigned refused : {1u, 4u}) {
    const Ended ended = in_child([&] {
      sys::set_faults(new RefuseUring(ENOMEM, refused));
      run({.workers = 4, .driver = DriverKind::uring}, [] { std::fprintf(stderr, "main ran\n"); });
    });
    CAPTURE(ended.errors);
    CHECK_EQ(ended.code, 2);
    CHECK(contains(ended.errors, "RLIMIT_MEMLOCK"));
    CHECK_FALSE(contains(ended.errors, "main ran"));
  }
}

TEST_CASE("epoll demanded where a seccomp filter kills for io_uring: no such call is made") {
  for (const unsigned workers : worker_counts) {
    for (const bool by_variable : {true, false}) {
      const Ended ended = in_child([&] {
        set("RINGO_DRIVER", by_variable ? "epoll" : nullptr);
        REQUIRE(filter_uring(SECCOMP_RET_KILL_PROCESS));
        program_on_epoll(workers, by_variable ? DriverKind::automatic : DriverKind::epoll);
      });
      CHECK_EQ(ended.code, 0);
      CHECK_EQ(ended.errors, "");
    }
  }
}

TEST_CASE("the filter kills indeed: automatic makes the call that it kills for") {
  const Ended ended = in_child([&] {
    set("RINGO_DRIVER", nullptr);
    REQUIRE(filter_uring(SECCOMP_RET_KILL_PROCESS));
    program_on_epoll(1);
  });
  CHECK_EQ(ended.code, 128 + SIGSYS);
}

TEST_CASE("no epoll either: exit status 2") {
  class NoEpoll final : public sys::Faults {
    int before(Call call, int, std::size_t&) override {
      return call == Call::epoll_create || call == Call::uring_setup ? EMFILE : 0;
    }
  };
  for (const unsigned workers : worker_counts) {
    const Ended ended = in_child([&] {
      set("RINGO_DRIVER", nullptr);
      sys::set_faults(new NoEpoll);
      run({.workers = workers}, [] { std::fprintf(stderr, "main ran\n"); });
    });
    CAPTURE(ended.errors);
    CHECK_EQ(ended.code, 2);
    CHECK(contains(ended.errors, "RLIMIT_NOFILE"));
    CHECK_FALSE(contains(ended.errors, "main ran"));
  }
}

// ---- settings ---------------------------------------------------------------------------------

TEST_CASE("the names of the drivers") {
  CHECK(parse_driver("auto") == DriverKind::automatic);
  CHECK(parse_driver("uring") == DriverKind::uring);
  CHECK(parse_driver("epoll") == DriverKind::epoll);
  for (const char* wrong : {"", "URING", "io_uring", "epoll ", "kqueue"}) {
    CHECK_FALSE(parse_driver(wrong).has_value());
  }
}

TEST_CASE("variables that hold nonsense: exit status 2, and the variable is named") {
  struct Wrong {
    const char* name;
    const char* value;
    const char* words;
  };
  const Wrong list[] = {
      {"RINGO_DRIVER", "io_uring", "RINGO_DRIVER=io_uring: not one of auto, uring, epoll"},
      {"RINGO_DRIVER", "EPOLL", "RINGO_DRIVER=EPOLL: "},
      {"RINGO_DRIVER", " epoll", "RINGO_DRIVER= epoll: "},
      {"RINGO_WORKERS", "0", "RINGO_WORKERS=0: not a number from 1 to 256"},
      {"RINGO_WORKERS", "257", "RINGO_WORKERS=257: "},
      {"RINGO_WORKERS", "-1", "RINGO_WORKERS=-1: "},
      {"RINGO_WORKERS", "two", "RINGO_WORKERS=two: "},
      {"RINGO_WORKERS", "2x", "RINGO_WORKERS=2x: "},
      {"RINGO_WORKERS", " 2", "RINGO_WORKERS= 2: "},
      {"RINGO_WORKERS", "99999999999999999999", "RINGO_WORKERS=99999999999999999999: "},
      {"RINGO_BLOCKING_THREADS", "none", "RINGO_BLOCKING_THREADS=none: "},
  };
  for (const Wrong& wrong : list) {
    CAPTURE(std::string(wrong.words));
    const Ended ended = in_child([&] {
      set(wrong.name, wrong.value);
      run([] { std::fprintf(stderr, "main ran\n"); });
    });
    CAPTURE(ended.errors);
    CHECK_EQ(ended.code, 2);
    CHECK(contains(ended.errors, wrong.words));
    CHECK_FALSE(contains(ended.errors, "main ran"));
  }
}

TEST_CASE("variables fill in what Options leaves open, and no more") {
  const Ended ended = in_child([] {
    set("RINGO_DRIVER", "epoll");
    set("RINGO_WORKERS", "3");
    run([] {
      REQUIRE_EQ(std::string(driver_name()), "epoll");
      REQUIRE_EQ(num_workers(), 3u);
    });
    set("RINGO_WORKERS", "nonsense that nobody reads");
    run({.workers = 2}, [] { REQUIRE_EQ(num_workers(), 2u); });
    set("RINGO_DRIVER", "nor this");
    run({.workers = 1, .driver = DriverKind::epoll}, [] {});
    // Empty is as good as unset.
    set("RINGO_DRIVER", "");
    set("RINGO_WORKERS", "");
    run([] { REQUIRE_GE(num_workers(), 1u); });
  });
  CAPTURE(ended.errors);
  CHECK_EQ(ended.code, 0);
}

TEST_CASE("options that cannot be: Panic, and the next run works") {
  const auto nothing = [] {};
  CHECK_THROWS_WITH_AS(run({.workers = 257}, nothing), "Options::workers: at most 256", Panic);
  CHECK_THROWS_AS(run({.workers = 1, .drain = std::chrono::nanoseconds(-1)}, nothing), Panic);
  CHECK_EQ(run({.workers = 1, .driver = DriverKind::epoll}, [] { return 7; }), 7);
}

TEST_CASE("a worker's thread cannot be had: exit status 2, and the limit is named") {
  const Ended ended = in_child([] {
    REQUIRE(become_nobody(RLIMIT_NPROC, 1));
    run({.workers = 4, .driver = DriverKind::epoll}, [] { std::fprintf(stderr, "main ran\n"); });
  });
  CAPTURE(ended.errors);
  CHECK_EQ(ended.code, 2);
  CHECK(contains(ended.errors, "cannot start the thread of worker 2 of 4"));
  CHECK(contains(ended.errors, "RLIMIT_NPROC"));
  CHECK_FALSE(contains(ended.errors, "main ran"));
}

}  // namespace
