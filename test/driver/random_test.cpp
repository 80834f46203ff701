// Everything at once, by a seeded dice, on drivers of every size and with a kernel that fails now
// and then: sources begin, stop, resume, keep buffers, and die in the middle. What must hold is
// checked from outside: every byte that was taken arrives, once, in order and at the right end; and
// every operation ends exactly once.
#include "harness.hpp"

using namespace driver_test;
using sys::Call;

namespace {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}
  unsigned below(unsigned limit) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<unsigned>((state_ >> 33) % limit);
  }

 private:
  std::uint64_t state_;
};

// Byte number `at` of what an end sends.
char byte_at(unsigned stream, std::uint64_t at) {
  return static_cast<char>((at * 2654435761u + stream * 40503u) >> 7);
}

// One end of a connection, as a socket is one: it dies with its last reference.
class End final : public IoSource {
 public:
  End(Fd descriptor, unsigned stream, int& alive)
      : descriptor_(std::move(descriptor)), stream_(stream), alive_(alive) {
    fd = descriptor_.get();
    ++alive_;
  }

  void act(Driver& on, Random& random) {
    switch (random.below(on.has_receive() ? 10 : 6)) {
      case 0:
      case 1:
        ask(on, Direction::in);
        break;
      case 2:
        ask(on, Direction::out);
        break;
      case 3:
        write_now(random);
        break;
      case 4:
        read_now(on);
        break;
      case 5:
        break;
      case 6:
        if (!receiving) ++receives_;
        on.receive(*this);
        break;
      case 7:
        if (random.below(3) == 0) on.stop_receive(*this);
        break;
      case 8:
        send_some(on, random);
        break;
      case 9:
        if (random.below(2) == 0) on.stop_send(*this);
        keep_ = random.below(4) == 0;
        if (!keep_) give_back();
        break;
    }
  }

  // No more of anything; then reads what is left, when the other end is done too.
  void close(Driver& on) { on.stop(*this); }
  void give_back() {
    for (const ReceivedBuffer& buffer : kept_) driver->give_back(buffer);
    kept_.clear();
  }
  void take_rest() { take(drain_socket(descriptor_)); }

  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return received_; }
  void expect(const End& peer) { peer_stream_ = peer.stream_; }

  void check_ended() {
    CHECK(in_flight == 0);
    CHECK(next == nullptr);
    CHECK(asked_ == answered_);
    CHECK(receives_ == receive_ends_);
    CHECK(sends_ == send_ends_);
  }

  void on_ready(Direction, int error) override {
    CHECK((error == 0 || (error == ECANCELED && stopped)));
    ++answered_;
  }
  void on_received(ReceivedBuffer buffer, int error, bool more) override {
    if (buffer.data != nullptr) {
      take({reinterpret_cast<const char*>(buffer.data), buffer.size});
      if (keep_ && kept_.size() < 3) {
        kept_.push_back(buffer);
      } else {
        driver->give_back(buffer);
      }
      if (kept_.size() == 3) driver->stop_receive(*this);
    } else {
      CHECK(error == ECANCELED);
    }
    if (!more) ++receive_ends_;
  }
  void on_sent(std::int64_t result) override {
    ++send_ends_;
    if (result < 0) {
      CHECK(result == -ECANCELED);
    } else {
      sent_ += static_cast<std::uint64_t>(result);
    }
    // The memory is ours again, and is used for something else.
    std::fill(outgoing_.begin(), outgoing_.end(), '!');
  }
  void retain() noexcept override { ++refs_; }
  void release() noexcept override {
    if (--refs_ == 0) delete this;
  }

 private:
  ~End() {
    --alive_;
    CHECK(kept_.empty());
  }

  void ask(Driver& on, Direction direction) {
    if (!wanted[static_cast<unsigned>(direction)]) ++asked_;
    on.want(*this, direction);
  }

  void prepare(std::size_t size) {
    outgoing_.resize(size);
    for (std::size_t i = 0; i < size; ++i) outgoing_[i] = byte_at(stream_, sent_ + i);
  }

  void send_some(Driver& on, Random& random) {
    if (sending || stopped) return;
    prepare(1 + random.below(random.below(20) == 0 ? 200'000 : 3'000));
    ++sends_;
    on.send(*this, bytes(outgoing_), outgoing_.size());
  }

  void write_now(Random& random) {
    if (sending || stopped) return;
    prepare(1 + random.below(3'000));
    sent_ += feed(descriptor_, outgoing_);
  }

  void read_now(Driver& on) {
    if (receiving) return;  // bytes would overtake those in the driver's hands
    char chunk[700];
    const ssize_t n = ::recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n > 0) {
      take({chunk, static_cast<std::size_t>(n)});
    } else {
      REQUIRE(errno == EAGAIN);
      on.used_up(*this, Direction::in);
    }
  }

  void take(std::string_view text) {
    bool right = true;
    for (const char c : text) right = right && c == byte_at(peer_stream_, received_++);
    CHECK(right);
  }

  Fd descriptor_;
  unsigned stream_;
  unsigned peer_stream_ = 0;
  int& alive_;
  int refs_ = 1;
  bool keep_ = false;
  std::vector<ReceivedBuffer> kept_;
  std::string outgoing_;
  std::uint64_t sent_ = 0, received_ = 0;
  int asked_ = 0, answered_ = 0;
  int receives_ = 0, receive_ends_ = 0;
  int sends_ = 0, send_ends_ = 0;
};

// Fails what may fail without anything being lost.
class Weather : public sys::Faults {
 public:
  Weather(std::uint64_t seed, unsigned one_in) : random_(seed), one_in_(one_in) {}
  int before(Call call, int, std::size_t& length) override {
    if (one_in_ == 0 || random_.below(one_in_) != 0) return 0;
    constexpr int enter_errors[] = {EINTR, EAGAIN, EBUSY};
    switch (call) {
      case Call::uring_enter:
        if (length > 1 && random_.below(2) == 0) return length = 1 + random_.below(2), 0;
        return enter_errors[random_.below(3)];
      case Call::uring_entry:
        return ENOSPC;
      case Call::epoll_wait:
        return EINTR;
      case Call::recv:
        return random_.below(2) == 0 ? EINTR : EAGAIN;
      default:
        return 0;
    }
  }

 private:
  Random random_;
  unsigned one_in_;
};

struct Connection {
  End* a = nullptr;
  End* b = nullptr;
};

void live(Driver& driver, std::uint64_t seed, int steps) {
  Random random(seed);
  int alive = 0;
  unsigned streams = 0;
  std::vector<Connection> connections(8);
  const auto open = [&](Connection& connection) {
    Pair pair = random.below(2) == 0 ? unix_pair() : tcp_pair();
    connection.a = new End(std::move(pair.a), ++streams, alive);
    connection.b = new End(std::move(pair.b), ++streams, alive);
    connection.a->expect(*connection.b);
    connection.b->expect(*connection.a);
  };
  const auto close = [&](Connection& connection) {
    for (End* const end : {connection.a, connection.b}) {
      end->close(driver);
      end->give_back();
    }
    run_until(driver, [&] {
      // Bytes may come with the last call.
      connection.a->give_back();
      connection.b->give_back();
      return connection.a->in_flight == 0 && connection.b->in_flight == 0;
    });
    connection.a->give_back();
    connection.b->give_back();
    // TCP's last segments may still be on their way.
    const auto deadline = Clock::now() + 10s;
    do {
      connection.a->take_rest();
      connection.b->take_rest();
      REQUIRE(Clock::now() < deadline);
    } while (connection.a->received() < connection.b->sent() ||
             connection.b->received() < connection.a->sent());
    CHECK(connection.a->received() == connection.b->sent());
    CHECK(connection.b->received() == connection.a->sent());
    connection.a->check_ended();
    connection.b->check_ended();
    connection.a->release();
    connection.b->release();
  };

  for (Connection& connection : connections) open(connection);
  for (int step = 0; step < steps; ++step) {
    Connection& connection = connections[random.below(8)];
    (random.below(2) == 0 ? connection.a : connection.b)->act(driver, random);
    if (random.below(3) == 0) driver.poll(0);
    if (random.below(50) == 0) driver.poll(ms / 20);
    if (random.below(400) == 0) {
      close(connection);
      open(connection);
    }
  }
  for (Connection& connection : connections) close(connection);
  CHECK(alive == 0);
  CHECK(driver.in_flight() == 0);
}

TEST_CASE("whatever is done in whatever order, every byte arrives once and everything ends") {
  const UringOptions sizes[] = {
      {},
      {.sq_entries = 8, .cq_entries = 16, .buffers = 4, .buffer_size = 512},
      {.sq_entries = 1, .cq_entries = 2, .buffers = 1, .buffer_size = 64},
  };
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    Weather weather(seed, seed % 3 == 0 ? 0 : 2 + static_cast<unsigned>(seed));
    const WithFaults installed(weather);
    {
      // Made in good weather: refusals have their own tests.
      sys::set_faults(nullptr);
      DriverFailure failure;
      const auto driver = make_epoll_driver(failure);
      sys::set_faults(&weather);
      INFO("driver: epoll");
      live(*driver, seed, 2'000);
    }
    for (const UringOptions& options : sizes) {
      sys::set_faults(nullptr);
      const auto driver = make_uring(options);
      if (!driver) continue;
      sys::set_faults(&weather);
      INFO("driver: uring");
      CAPTURE(options.buffers);
      live(*driver, seed, 2'000);
    }
  }
}

}  // namespace
