#include <ringo/readiness.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/select.hpp>
#include <ringo/time.hpp>

#include "matrix.hpp"
#include "runtime/worker.hpp"

using namespace ringo;
using namespace std::chrono_literals;

namespace ringo::detail {
bool cancel_wait(Goroutine* g) noexcept;
}

static_assert(ringo::detail::IsOperation<Readiness>);

namespace {

/// A pair of descriptors, closed with the scope.
struct Pair {
  std::array<int, 2> fds{-1, -1};
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  ~Pair() {
    close_end(0);
    close_end(1);
  }
  void close_end(std::size_t which) {
    if (fds[which] >= 0) ::close(fds[which]);
    fds[which] = -1;
  }
  void write(std::size_t end, std::string_view text) const {
    REQUIRE_EQ(::write(fds[end], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  std::string read(std::size_t end) const {
    char buffer[64];
    ssize_t n = ::read(fds[end], buffer, sizeof buffer);
    return n < 0 ? std::string("errno ") + std::to_string(errno)
                 : std::string(buffer, static_cast<std::size_t>(n));
  }

 protected:
  Pair() = default;
};

/// fds[0] reads what is written to fds[1].
struct Pipe : Pair {
  Pipe() { REQUIRE_EQ(::pipe2(fds.data(), O_CLOEXEC | O_NONBLOCK), 0); }
};

struct SocketPair : Pair {
  SocketPair() {
    REQUIRE_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()), 0);
  }
};

std::size_t fill(int fd) {
  std::size_t total = 0;
  char block[4096] = {};
  for (ssize_t n; (n = ::write(fd, block, sizeof block)) > 0;) total += static_cast<std::size_t>(n);
  REQUIRE_EQ(errno, EAGAIN);
  return total;
}

void empty(int fd) {
  char block[4096];
  while (::read(fd, block, sizeof block) > 0) {}
}

/// Waits on one worker until its driver has nothing in flight.
Task<> nothing_in_flight() {
  for (unsigned i = 0; i < num_workers(); ++i) {
    co_await go_on(static_cast<int>(i), [] {
      return test::eventually(
          [] { return ringo::detail::Worker::current()->driver().in_flight() == 0; });
    });
  }
}

}  // namespace

RINGO_TEST("readiness: a pipe becomes readable") {
  Pipe pipe;
  bool written = false;
  auto reader = go([&]() -> Task<std::string> {
    auto ready = co_await readable(pipe.fds[0]);
    CHECK(ready);
    CHECK(written);
    co_return pipe.read(0);
  });
  co_await sleep_for(2ms);
  CHECK(!reader.done());
  written = true;
  pipe.write(1, "hello");
  CHECK_EQ(co_await reader, "hello");

  // What is there already needs no wait.
  pipe.write(1, "again");
  CHECK(co_await readable(pipe.fds[0]));
  CHECK_EQ(pipe.read(0), "again");
}

RINGO_TEST("readiness: a full pipe becomes writable") {
  Pipe pipe;
  CHECK(co_await writable(pipe.fds[1]));
  fill(pipe.fds[1]);
  auto writer = go([&]() -> Task<> {
    CHECK(co_await writable(pipe.fds[1]));
    pipe.write(1, "x");
  });
  co_await sleep_for(2ms);
  CHECK(!writer.done());
  empty(pipe.fds[0]);
  co_await writer;
}

RINGO_TEST("readiness: the end of the stream is readable, a broken pipe writable") {
  Pipe one;
  auto reader = go([&]() -> Task<> {
    CHECK(co_await readable(one.fds[0]));
    CHECK_EQ(one.read(0), "");
  });
  co_await sleep_for(1ms);
  one.close_end(1);
  co_await reader;
  CHECK(co_await readable(one.fds[0]));

  Pipe two;
  fill(two.fds[1]);
  auto writer = go([&]() -> Task<> { CHECK(co_await writable(two.fds[1])); });
  co_await sleep_for(1ms);
  two.close_end(0);
  co_await writer;
  CHECK(co_await writable(two.fds[1]));

  SocketPair sockets;
  auto peer = go([&]() -> Task<> { CHECK(co_await readable(sockets.fds[0])); });
  co_await sleep_for(1ms);
  ::shutdown(sockets.fds[1], SHUT_WR);
  co_await peer;
}

RINGO_TEST("readiness: a bad descriptor is an error that names it") {
  auto negative = co_await readable(-1);
  REQUIRE(!negative);
  CHECK_EQ(negative.error().message(), "readable fd -1: Bad file descriptor");
  CHECK(negative.error() == std::errc::bad_file_descriptor);

  auto unused = co_await writable(987654321);
  REQUIRE(!unused);
  CHECK_EQ(unused.error().message(), "writable fd 987654321: Bad file descriptor");

  auto lowest = co_await readable(-2147483647 - 1);
  CHECK_EQ(lowest.error().message(), "readable fd -2147483648: Bad file descriptor");

  // In a select it is a case that is ready.
  auto chosen = co_await select_any{readable(-1), after(10s)};
  REQUIRE_EQ(chosen.index(), 0u);
  CHECK(!chosen.get<0>());
}

RINGO_TEST("readiness: a plain file and a directory are always ready") {
  int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  REQUIRE_GE(file, 0);
  CHECK(co_await readable(file));
  CHECK(co_await writable(file));
  ::close(file);
  int directory = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  REQUIRE_GE(directory, 0);
  CHECK(co_await readable(directory));
  ::close(directory);
}

RINGO_TEST("readiness: as a case of select; the loser takes nothing and leaves nothing behind") {
  Pipe pipe;
  Channel<int> ch(1);
  for (int i = 0; i < 1000; ++i) {
    if (i % 2 == 0) {
      ch.try_send(i);
    } else {
      pipe.write(1, "b");
    }
    std::string got;
    co_await select_any{
        on(readable(pipe.fds[0]),
           [&](Result<void> ready) {
             CHECK(ready);
             got = pipe.read(0);
           }),
        on(ch.recv(), [&](std::optional<int> v) { got = v == i ? "channel" : "wrong"; }),
    };
    REQUIRE_EQ(got, i % 2 == 0 ? "channel" : "b");
  }
  // Now such that both have to wait, on changing workers.
  for (int i = 0; i < 500; ++i) {
    auto waiting = go([&]() -> Task<std::size_t> {
      co_return (co_await select_any{readable(pipe.fds[0]), ch.recv()}).index();
    });
    for (int k = 0; k < i % 5; ++k) co_await yield();
    if (i % 2 == 0) {
      co_await ch.send(i);
      REQUIRE_EQ(co_await waiting, 1u);
    } else {
      pipe.write(1, "b");
      REQUIRE_EQ(co_await waiting, 0u);
      REQUIRE_EQ(pipe.read(0), "b");
    }
  }
  co_await nothing_in_flight();
}

RINGO_TEST("readiness: with_timeout") {
  Pipe pipe;
  auto early = co_await with_timeout(2ms, readable(pipe.fds[0]));
  REQUIRE(!early);
  CHECK(early.error().timeout());
  pipe.write(1, "x");
  CHECK(co_await with_timeout(10s, readable(pipe.fds[0])));
  co_await nothing_in_flight();
}

RINGO_TEST("readiness: many waiters on one descriptor, in both directions and from all workers") {
  SocketPair pair;
  fill(pair.fds[0]);
  std::vector<JoinHandle<void>> waiters;
  for (unsigned i = 0; i < 16; ++i) {
    bool write = i % 2 == 0;
    waiters.push_back(go_on(static_cast<int>(i % num_workers()), [&, write]() -> Task<> {
      if (write) {
        CHECK(co_await writable(pair.fds[0]));
      } else {
        CHECK(co_await readable(pair.fds[0]));
      }
    }));
  }
  co_await sleep_for(2ms);
  for (auto& waiter : waiters) CHECK(!waiter.done());
  pair.write(1, "to all readers");
  for (std::size_t i = 1; i < 16; i += 2) co_await waiters[i];
  for (std::size_t i = 0; i < 16; i += 2) CHECK(!waiters[i].done());
  empty(pair.fds[1]);
  for (std::size_t i = 0; i < 16; i += 2) co_await waiters[i];
  co_await nothing_in_flight();
}

RINGO_TEST("readiness: cancelled, at any moment") {
  Pipe pipe;
  for (int round = 0; round < 200; ++round) {
    std::atomic<ringo::detail::Goroutine*> g{nullptr};
    auto waiting = go([&]() -> Task<> {
      ringo::detail::current_goroutine()->guarded = true;
      g = ringo::detail::current_goroutine();
      auto ready = co_await readable(pipe.fds[0]);
      REQUIRE(!ready);
      CHECK(ready.error() == std::errc::operation_canceled);
      CHECK_EQ(ready.error().op(), std::string("readable"));
    });
    while (g == nullptr) co_await yield();
    for (int k = 0; k < round % 4; ++k) co_await yield();
    ringo::detail::cancel_wait(g);
    co_await waiting;
  }
  co_await nothing_in_flight();
}

RINGO_TEST("readiness: a descriptor closed under a waiter harms nobody") {
  Pipe pipe;
  int number = pipe.fds[0];
  auto waiting =
      go([&]() -> Task<Result<void>> { co_return co_await with_timeout(20ms, readable(number)); });
  co_await sleep_for(1ms);
  pipe.close_end(0);
  // The number is in use again, by a descriptor that is readable: not what was waited for.
  int other = ::eventfd(1, EFD_CLOEXEC);
  REQUIRE_EQ(other, number);
  auto ready = co_await waiting;
  CHECK(!ready);
  CHECK(ready.error().timeout());
  CHECK(co_await readable(other));
  ::close(other);
  CHECK_FALSE(co_await readable(number));
  co_await nothing_in_flight();
}

TEST_CASE("readiness: the runtime ends while goroutines wait") {
  test::for_each_setting([](const test::Setting& setting) {
    Pipe pipe;
    fill(pipe.fds[1]);
    test::run_setting(setting, [&]() -> Task<> {
      int in = pipe.fds[0];
      int out = pipe.fds[1];
      empty(in);
      fill(out);
      empty(in);
      for (unsigned i = 0; i < 8; ++i) {
        go_on(
            static_cast<int>(i % num_workers()),
            [](int fd) -> Task<> { static_cast<void>(co_await readable(fd)); }, in);
        go(
            [](int fd) -> Task<> {
              static_cast<void>(co_await select_any{readable(fd), after(1h)});
            },
            in);
      }
      co_await sleep_for(1ms);
    });
    // The descriptors are the caller's still.
    CHECK_GE(::fcntl(pipe.fds[0], F_GETFD), 0);
  });
}

TEST_CASE("readiness: the runtime is drained while goroutines wait") {
  test::for_each_setting([](const test::Setting& setting) {
    Pipe pipe;
    static std::atomic<int> canceled;
    canceled = 0;
    Options base;
    base.drain = 10s;
    test::run_setting(
        setting,
        [&]() -> Task<> {
          for (int i = 0; i < 8; ++i) {
            go(
                [](int fd) -> Task<> {
                  auto ready = co_await readable(fd);
                  if (!ready && ready.error() == std::errc::operation_canceled) ++canceled;
                },
                pipe.fds[0]);
          }
          co_await sleep_for(1ms);
        },
        base);
    CHECK_EQ(canceled, 8);
  });
}
