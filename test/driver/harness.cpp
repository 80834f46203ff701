#include "harness.hpp"

#include <exception>

namespace driver_test {

Pair unix_pair() {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

Pair tcp_pair() {
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(listener.get(), generic, size) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  REQUIRE(::getsockname(listener.get(), generic, &size) == 0);
  Fd a(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(a.get(), generic, size) == 0);
  Fd b(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const int one = 1;
  ::setsockopt(a.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::setsockopt(b.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return {std::move(a), std::move(b)};
}

std::size_t feed(const Fd& fd, std::string_view text) {
  std::size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n =
        ::send(fd.get(), text.data() + sent, text.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      REQUIRE(errno == EAGAIN);
      break;
    }
    sent += static_cast<std::size_t>(n);
  }
  return sent;
}

std::string drain_socket(const Fd& fd) {
  std::string result;
  char chunk[4096];
  for (;;) {
    const ssize_t n = ::recv(fd.get(), chunk, sizeof chunk, MSG_DONTWAIT);
    if (n <= 0) return result;
    result.append(chunk, static_cast<std::size_t>(n));
  }
}

std::string pattern(std::size_t size, unsigned seed) {
  std::string result(size, '\0');
  std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (char& c : result) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    c = static_cast<char>(state >> 56);
  }
  return result;
}

Source::~Source() {
  // After a failed REQUIRE: the report shall be about that, not about what the driver meets here.
  if (std::uncaught_exceptions() != 0 && in_flight != 0) {
    when_ready = nullptr;
    when_received = when_sent = nullptr;
    driver->stop(*this);
    for (int i = 0; i < 100 && in_flight != 0; ++i) driver->poll(10 * ms);
  }
  CHECK(refs == 0);
  CHECK(in_flight == 0);
  CHECK(next == nullptr);
}

void Source::give_back_all() {
  for (const ReceivedBuffer& buffer : held) driver->give_back(buffer);
  held.clear();
}

void Source::on_ready(Direction direction, int code) {
  CHECK(refs > 0);
  const auto index = static_cast<unsigned>(direction);
  ++calls[index];
  error[index] = code;
  CHECK_FALSE(wanted[index]);
  if (when_ready) when_ready(direction, code);
}

void Source::on_received(ReceivedBuffer buffer, int code, bool more) {
  CHECK(refs > 0);
  if (buffer.data != nullptr) {
    CHECK(code == 0);
    CHECK(buffer.size > 0);
    ++arrivals;
    received.append(reinterpret_cast<const char*>(buffer.data), buffer.size);
    if (hold) {
      held.push_back(buffer);
    } else {
      driver->give_back(buffer);
    }
  } else {
    CHECK_FALSE(more);
  }
  if (!more) {
    ++ends;
    end_error = code;
    CHECK_FALSE(receiving);
  }
  if (when_received) when_received();
}

void Source::on_sent(std::int64_t result) {
  CHECK(refs > 0);
  CHECK_FALSE(sending);
  CHECK(result != 0);
  ++sends;
  send_result = result;
  if (result > 0) sent += result;
  if (when_sent) when_sent();
}

void Source::release() noexcept {
  --refs;
  CHECK(refs >= 0);
}

void run_until(Driver& driver, const std::function<bool()>& done) {
  const auto deadline = Clock::now() + 10s;
  while (!done()) {
    REQUIRE(Clock::now() < deadline);
    driver.poll(20 * ms);
  }
}

void run_idle(Driver& driver) {
  while (driver.poll(0) != 0) {}
}

std::unique_ptr<Driver> make_uring(const UringOptions& options) {
  DriverFailure failure;
  auto driver = make_uring_driver(options, failure);
  if (driver == nullptr) {
    static bool said = false;
    if (!std::exchange(said, true)) MESSAGE("io_uring cases are not run: " << failure.message);
    return nullptr;
  }
  REQUIRE(std::string_view(driver->name()) == "uring");
  return driver;
}

void on_each_driver(const std::function<void(Driver&)>& body) {
  {
    DriverFailure failure;
    const auto driver = make_epoll_driver(failure);
    REQUIRE(driver != nullptr);
    REQUIRE(std::string_view(driver->name()) == "epoll");
    INFO("driver: epoll");
    body(*driver);
    CHECK(driver->in_flight() == 0);
  }
  if (const auto driver = make_uring()) {
    INFO("driver: uring");
    body(*driver);
    CHECK(driver->in_flight() == 0);
  }
}

int FailCall::before(sys::Call call, int, std::size_t&) {
  if (call != call_) return 0;
  if (skip_ > 0) return --skip_, 0;
  if (failed_ == times_) return 0;
  ++failed_;
  return error_;
}

}  // namespace driver_test
