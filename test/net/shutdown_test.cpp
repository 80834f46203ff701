// The end of a runtime with goroutines in every kind of I/O: nothing hangs, nothing is leaked.
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <ringo/detail/frame_allocator.hpp>

#include "net_fixture.hpp"

namespace ringo::test {
namespace {

/// What the goroutines below own, so that main may return before them.
class Blocked {
 public:
  Blocked(Pair quiet, Pair full, net::TcpListener open)
      : idle(std::move(quiet)), stuffed(std::move(full)), listener(std::move(open)) {}
  Pair idle;
  Pair stuffed;
  net::TcpListener listener;
  std::string block = std::string(30'000'000, 'b');
};

/// Starts a goroutine for each way to wait on a socket; `ended` counts those that went on.
Task<std::shared_ptr<Blocked>> block_everywhere(std::atomic<int>& ended, std::atomic<int>& odd) {
  Pair idle = co_await connected();
  Pair stuffed = co_await connected();
  auto shared = std::make_shared<Blocked>(std::move(idle), std::move(stuffed), listen_anywhere());
  const auto check = [&ended, &odd](const Error& error) {
    if (error != std::errc::operation_canceled) ++odd;
    ++ended;
  };
  go([shared, check]() -> Task<> {
    char byte;
    check((co_await shared->idle.a.read(&byte, 1)).error());
  });
  go([shared, check]() -> Task<> { check((co_await shared->idle.b.recv()).error()); });
  go([shared, check]() -> Task<> {
    check((co_await shared->stuffed.a.write(shared->block)).error());
  });
  co_await eventually([&] {
    char byte;
    return ::recv(shared->stuffed.b.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
  });
  go([shared, check]() -> Task<> {
    // A few bytes may still find room when the one before has left.
    const Result<std::size_t> n = co_await shared->stuffed.a.write("behind");
    check(n ? Error(std::errc::operation_canceled) : n.error());
  });
  go([shared, check]() -> Task<> {
    check((co_await with_timeout(1h, shared->stuffed.b.write(shared->block))).error());
  });
  go([shared, check]() -> Task<> { check((co_await shared->listener.accept()).error()); });
  go([shared, &ended, &odd]() -> Task<> {
    char byte;
    try {
      co_await select_any{on(shared->idle.a.read(&byte, 1), [] {}),
                          on(shared->listener.accept(), [] {}), on(sleep_for(1h), [] {})};
      ++odd;
    } catch (const Canceled&) { ++ended; }
  });
  go([shared]() -> Task<> {
    CHECK(shared->idle.a.set_deadline(std::chrono::steady_clock::now() + 1h));
    char byte;
    (void)co_await shared->idle.a.read(&byte, 1);
  });
  co_return shared;
}
constexpr int checked_goroutines = 7;

}  // namespace

TEST_CASE("the runtime ends while goroutines wait in every kind of I/O") {
  for_each_setting([](const Setting& setting) {
    const std::size_t before = open_descriptors();
    for (int round = 0; round < 5; ++round) {
      std::atomic<int> ended{0};
      std::atomic<int> odd{0};
      run_setting(setting, [&]() -> Task<> {
        co_await block_everywhere(ended, odd);
        if (round > 0) co_await sleep_for(std::chrono::milliseconds(round * 2));
      });
      CHECK_EQ(ended, 0);
      CHECK_EQ(open_descriptors(), before);
    }
  });
}

TEST_CASE("drain: those who wait in I/O are cancelled, unwind, and their sockets are closed") {
  for_each_setting([](const Setting& setting) {
    const std::size_t before = open_descriptors();
    Options options;
    options.drain = 20s;
    for (int round = 0; round < 3; ++round) {
      std::atomic<int> ended{0};
      std::atomic<int> odd{0};
      std::weak_ptr<Blocked> alive;
      const auto start = std::chrono::steady_clock::now();
      run_setting(
          setting,
          [&]() -> Task<> {
            alive = co_await block_everywhere(ended, odd);
            co_await sleep_for(std::chrono::milliseconds(round * 5));
          },
          options);
      CHECK_LT(std::chrono::steady_clock::now() - start, 10s);
      CHECK_EQ(ended, checked_goroutines);
      CHECK_EQ(odd, 0);
      CHECK(alive.expired());
      CHECK_EQ(open_descriptors(), before);
    }
  });
}

TEST_CASE("sockets outlive their runtime as closed ones") {
  for_each_setting([](const Setting& setting) {
    const std::size_t before = open_descriptors();
    net::TcpStream stream;
    net::TcpListener listener;
    net::Buffer buffer;
    run_setting(setting, [&]() -> Task<> {
      Pair pair = co_await connected();
      REQUIRE(co_await pair.b.write("left over"));
      Result<net::Buffer> received = co_await pair.a.recv();
      REQUIRE(received);
      buffer = std::move(*received);
      stream = std::move(pair.a);
      listener = listen_anywhere();
    });
    CHECK_EQ(open_descriptors(), before);
    CHECK_EQ(stream.native_handle(), -1);
    CHECK(stream.close().error() == Errc::closed);
    CHECK(listener.close().error() == Errc::closed);
    CHECK_EQ(buffer.view(), "left over");
    run_setting(setting, [&]() -> Task<> {
      char byte;
      CHECK((co_await stream.read(&byte, 1)).error() == Errc::closed);
      CHECK((co_await stream.write("x")).error() == Errc::closed);
      CHECK((co_await listener.accept()).error() == Errc::closed);
    });
  });
}

TEST_CASE("main leaves while bytes are on their way") {
  for_each_setting([](const Setting& setting) {
    for (int round = 0; round < 20; ++round) {
      run_setting(setting, [&]() -> Task<> {
        Pair pair = co_await connected();
        auto shared = std::make_shared<Pair>(std::move(pair));
        go([shared]() -> Task<> {
          char buffer[100];
          while (co_await shared->b.read(buffer)) {}
        });
        go([shared]() -> Task<> {
          while (co_await shared->a.write("on their way")) co_await yield();
        });
        for (int i = 0; i < round; ++i) co_await yield();
      });
    }
  });
}

TEST_CASE("a thread lets go of sockets while their runtime ends") {
  for_each_setting([](const Setting& setting) {
    const std::size_t before = open_descriptors();
    std::uint64_t frames = 0;
    for (int round = 0; round < 30; ++round) {
      std::vector<net::TcpStream> streams;
      std::atomic<bool> go_ahead{false};
      std::thread thread([&] {
        while (!go_ahead) std::this_thread::yield();
        while (!streams.empty()) streams.pop_back();
      });
      run_setting(setting, [&]() -> Task<> {
        // Each worker is the home of some of them: it was the first to wait there.
        for (unsigned i = 0; i < 3 * num_workers(); ++i) {
          auto pair = go_on(static_cast<int>(i % num_workers()), []() -> Task<Pair> {
            Pair made = co_await connected();
            char byte = 0;
            REQUIRE(co_await made.b.write("x"));
            REQUIRE((co_await with_timeout(10s, made.a.read(&byte, 1))));
            CHECK((co_await with_timeout(1us, made.a.read(&byte, 1))).error() == Errc::timeout);
            co_return made;
          });
          Pair made = co_await pair;
          streams.push_back(std::move(made.a));
          streams.push_back(std::move(made.b));
        }
        go_ahead = true;
        for (int i = 0; i < round % 10; ++i) co_await yield();
      });
      thread.join();
      CHECK_EQ(open_descriptors(), before);
      // The first round may leave what is kept for ever.
      const std::uint64_t live = ringo::detail::frame_stats().live;
      if (round > 0) CHECK_EQ(live, frames);
      frames = live;
    }
  });
}

}  // namespace ringo::test
