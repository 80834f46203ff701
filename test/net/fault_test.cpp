// Kernel calls that fail or fall short: the streams carry on, or say why not.
#include <atomic>
#include <cerrno>
#include <mutex>

#include "net_fixture.hpp"

namespace ringo::test {
namespace {

using ringo::detail::sys::Call;

/// Makes calls fail or fall short at random. Hits are counted, so that a test knows it tested.
class Mishaps final : public ringo::detail::sys::Faults {
 public:
  std::atomic<bool> short_counts{false};
  std::atomic<bool> interruptions{false};
  // EAGAIN, and short reads where there is more: only with polls.
  std::atomic<bool> false_alarms{false};
  std::atomic<bool> full_queues{false};
  std::atomic<int> accept_error{0};
  std::atomic<int> hits{0};

  int before(Call call, int, std::size_t& length) override {
    switch (call) {
      case Call::recv:
      case Call::send:
        if (interruptions && roll(5)) return hit(EINTR);
        if (false_alarms && roll(5)) return hit(EAGAIN);
        // With edge-triggered events a short count of recv(2) says that the socket is empty, which
        // is so in the kernel; made up, it would be a lie.
        if (call == Call::recv && !false_alarms) return 0;
        if (short_counts && length > 1 && roll(2)) {
          length = 1 + below(static_cast<std::uint32_t>(std::min<std::size_t>(length, 5000)));
          ++hits;
        }
        return 0;
      case Call::accept4:
        if (interruptions && roll(3)) return hit(roll(2) ? EINTR : ECONNABORTED);
        if (accept_error != 0 && roll(2)) return hit(accept_error);
        return 0;
      case Call::uring_enter:
        return interruptions && roll(4) ? hit(EINTR) : 0;
      case Call::uring_entry:
        return full_queues && roll(3) ? hit(EBUSY) : 0;
      default:
        return 0;
    }
  }

 private:
  int hit(int error) {
    ++hits;
    return error;
  }
  std::uint32_t below(std::uint32_t bound) {
    std::lock_guard guard(mutex_);
    return dice_.below(bound);
  }
  bool roll(std::uint32_t one_in) { return below(one_in) == 0; }

  std::mutex mutex_;
  Dice dice_{41};
};

/// 300 KB each way, in pieces of all sizes, while somebody selects and somebody waits plainly.
Task<> exchange() {
  Pair pair = co_await connected();
  constexpr std::uint64_t total = 300'000;
  const auto send_all = [](net::TcpStream& stream, std::uint64_t seed) -> Task<> {
    Dice dice(seed);
    for (std::uint64_t at = 0; at < total;) {
      const std::uint64_t most = dice.below(4) == 0 ? 30'000 : 300;
      const std::size_t size =
          std::min<std::uint64_t>(1 + dice.below(static_cast<std::uint32_t>(most)), total - at);
      const std::vector<std::uint8_t> bytes = pattern(at, size);
      const Result<std::size_t> n = co_await stream.write(bytes);
      REQUIRE_MESSAGE(n, n.error().message());
      at += size;
    }
  };
  const auto receive_all = [](net::TcpStream& stream, bool in_select) -> Task<> {
    std::vector<std::uint8_t> buffer(20'000);
    Channel<int> never;
    std::uint64_t at = 0;
    while (at < total) {
      Result<std::size_t> n(std::size_t{0});
      if (in_select) {
        co_await select_any{on(stream.read(buffer), [&](Result<std::size_t> m) { n = m; }),
                            on(never.recv(), [] {})};
      } else {
        n = co_await stream.read(buffer);
      }
      REQUIRE_MESSAGE(n, n.error().message());
      REQUIRE_EQ(first_wrong(buffer.data(), *n, at), *n);
      at += *n;
    }
  };
  auto one = go(send_all, std::ref(pair.a), 1u);
  auto two = go(send_all, std::ref(pair.b), 2u);
  auto three = go(receive_all, std::ref(pair.a), true);
  co_await receive_all(pair.b, false);
  co_await one;
  co_await two;
  co_await three;
}

/// Runs body(hook), a function giving Task<>, under every combination. The hook outlives the
/// runtime, whose workers may be inside it when the body takes it out.
template <class Hook, class Body>
void run_with(Body body) {
  for_each_setting([&](const Setting& setting) {
    Hook hook;
    run_setting(setting, [&]() -> Task<> { co_await body(hook); });
  });
}

}  // namespace

TEST_CASE("short reads and writes") {
  run_with<Mishaps>([](Mishaps& mishaps) -> Task<> {
    mishaps.short_counts = true;
    mishaps.false_alarms = driver_name() == "uring";
    WithFaults faults(mishaps);
    co_await exchange();
    if (driver_name() == "epoll") CHECK_GT(mishaps.hits, 0);
  });
}

TEST_CASE("interrupted calls") {
  run_with<Mishaps>([](Mishaps& mishaps) -> Task<> {
    mishaps.interruptions = true;
    WithFaults faults(mishaps);
    co_await exchange();
    CHECK_GT(mishaps.hits, 0);
  });
}

TEST_CASE("false alarms, and submission queues that are full") {
  run_with<Mishaps>([](Mishaps& mishaps) -> Task<> {
    mishaps.false_alarms = driver_name() == "uring";
    mishaps.full_queues = true;
    mishaps.short_counts = true;
    WithFaults faults(mishaps);
    co_await exchange();
    CHECK_GT(mishaps.hits, 0);
  });
}

TEST_CASE("accept: errors of the system reach the accepter, and no connection is lost") {
  run_with<Mishaps>([](Mishaps& mishaps) -> Task<> {
    WithFaults faults(mishaps);
    for (int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
      net::TcpListener listener = listen_anywhere();
      mishaps.accept_error = error;
      mishaps.hits = 0;
      int errors = 0;
      for (int i = 0; i < 5; ++i) {
        const Result<net::TcpStream> client =
            co_await net::TcpStream::connect(listener.local_address());
        REQUIRE(client);
        for (;;) {
          const Result<net::TcpStream> conn = co_await listener.accept();
          if (conn) break;
          REQUIRE_EQ(conn.error().code().value(), error);
          ++errors;
        }
      }
      CHECK_EQ(errors, mishaps.hits);
    }
  });
}

namespace {

/// One kind of call fails.
class Refusal final : public ringo::detail::sys::Faults {
 public:
  std::atomic<int> call{-1};
  int before(Call which, int, std::size_t&) override {
    return static_cast<int>(which) == call ? ENOBUFS : 0;
  }
};

}  // namespace

TEST_CASE("a socket that cannot be made") {
  run_with<Refusal>([](Refusal& refusal) -> Task<> {
    WithFaults faults(refusal);
    const std::size_t before = open_descriptors();
    for (Call call : {Call::socket, Call::setsockopt, Call::bind, Call::listen}) {
      refusal.call = static_cast<int>(call);
      const Result<net::TcpListener> listener = net::TcpListener::listen("127.0.0.1:0");
      CHECK_EQ(listener.error().message(), "listen tcp 127.0.0.1:0: No buffer space available");
    }
    for (Call call : {Call::socket, Call::connect}) {
      refusal.call = static_cast<int>(call);
      const Result<net::TcpStream> stream = co_await net::TcpStream::connect("127.0.0.1:9");
      CHECK_EQ(stream.error().message(), "dial tcp 127.0.0.1:9: No buffer space available");
    }
    refusal.call = -1;
    co_await eventually([&] { return open_descriptors() == before; });
  });
}

}  // namespace ringo::test
