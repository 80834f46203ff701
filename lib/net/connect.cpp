// Connecting: one address after the other, until one answers.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/net/resolve.hpp>
#include <ringo/net/tcp.hpp>
#include <ringo/time.hpp>

#include "driver/sys.hpp"
#include "net/stream_socket.hpp"

namespace ringo::detail {

namespace {

/// Waits until a connection is made or refused; yields a status.
class ConnectDone {
 public:
  class Case final : public CaseBase {
   public:
    explicit Case(const ConnectDone& op) noexcept : socket_(op.socket_) {}
    bool try_take() override { return socket_.connect_done(status_); }
    bool looks_ready() override { return try_take(); }
    Enlist enlist() override {
      return socket_.enlist_connect(node, [this] { return claim_self(); });
    }
    void withdraw() noexcept override { socket_.withdraw_connect(node); }
    WaitReason reason() const noexcept { return WaitReason::io_wait; }
    bool ends_from_outside() const noexcept override { return true; }
    int result() noexcept {
      socket_.connect_done(status_);
      return status_;
    }
    int canceled_result() const noexcept { return ECANCELED; }

   private:
    StreamSocket& socket_;
    int status_ = 0;
  };

  explicit ConnectDone(StreamSocket& socket) noexcept : socket_(socket) {}

 private:
  StreamSocket& socket_;
};

Task<int> wait_connected(StreamSocket& socket, std::int64_t due) {
  if (due == no_deadline) co_return co_await ConnectDone(socket);
  try {
    const std::chrono::nanoseconds left(due - clock_now());
    const Result<int> status = co_await with_timeout(left, ConnectDone(socket));
    co_return status ? *status : ETIMEDOUT;
  } catch (const Canceled&) {}
  co_return ECANCELED;
}

Task<Result<net::TcpStream>> connect_to(net::Address address, std::int64_t due) {
  constexpr const char* op = "dial tcp";
  sockaddr_in6 storage;
  const socklen_t size = address.to_system(&storage);
  const auto* const where = reinterpret_cast<const sockaddr*>(&storage);
  const int fd = sys::socket(where->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) co_return error_of(errno, op, address);
  auto* const socket = new StreamSocket(fd, address);
  net::TcpStream stream{StreamRef(socket)};  // closes it if anything goes wrong
  socket->release();
  const int on = 1;
  sys::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  int status = sys::connect(fd, where, size) == 0 ? 0 : errno;
  // EINTR: it goes on all the same (connect(2)).
  if (status == EINPROGRESS || status == EINTR) { status = co_await wait_connected(*socket, due); }
  // From now on each call says for itself whether it may block.
  if (status == 0 && ::fcntl(fd, F_SETFL, 0) != 0) status = errno;
  if (status != 0) co_return error_of(status, op, address);
  co_return std::move(stream);
}

/// Looks a name up in a goroutine of its own, so that who waits for it can leave.
Task<> look_up_for(std::string target, Channel<Result<std::vector<net::Address>>> out) {
  Result<std::vector<net::Address>> found = co_await net::resolve(std::move(target));
  out.try_send(std::move(found));
}

Task<Result<std::vector<net::Address>>> look_up(std::string target, std::int64_t due) {
  if (const Result<net::Address> address = net::Address::parse(target)) {
    co_return std::vector<net::Address>{*address};
  }
  Channel<Result<std::vector<net::Address>>> found(1);
  go(look_up_for, target, found);
  if (due == no_deadline) {
    auto addresses = co_await found.recv();
    co_return std::move(*addresses);
  }
  const std::chrono::nanoseconds left(due - clock_now());
  auto addresses = co_await with_timeout(left, found.recv());
  if (!addresses) co_return Error(addresses.error().code(), "lookup", target);
  co_return std::move(**addresses);
}

Task<Result<net::TcpStream>> connect_by_name(std::string target, std::int64_t due) {
  std::vector<net::Address> addresses;
  bool canceled = false;
  try {
    Result<std::vector<net::Address>> found = co_await look_up(target, due);
    if (!found) co_return found.error();
    addresses = std::move(*found);
  } catch (const Canceled&) { canceled = true; }
  if (canceled) co_return Error::from_errno(ECANCELED, "dial tcp", target);
  Error error(Errc::closed);
  for (net::Address address : addresses) {
    // To any address means to this host.
    Result<net::TcpStream> stream = co_await connect_to(address, due);
    if (stream) co_return std::move(stream);
    error = stream.error();
    if (error == std::errc::operation_canceled || error == std::errc::timed_out) break;
  }
  co_return error;
}

}  // namespace

}  // namespace ringo::detail

namespace ringo::net {

using ringo::detail::Goroutine;
using ringo::detail::TaskAwaiter;

namespace {

Task<Result<TcpStream>> start(std::string target, const Address& address, std::int64_t due) {
  if (target.empty()) return ringo::detail::connect_to(address, due);
  return ringo::detail::connect_by_name(std::move(target), due);
}

}  // namespace

TaskAwaiter<Result<TcpStream>> ConnectOp::ringo_await(Goroutine*) {
  Task<Result<TcpStream>> task = start(std::move(target_), address_, ringo::detail::no_deadline);
  return TaskAwaiter<Result<TcpStream>>(task);
}

TaskAwaiter<Result<TcpStream>> TimedConnect::ringo_await(Goroutine*) {
  Task<Result<TcpStream>> task =
      start(std::move(op_.target_), op_.address_, ringo::detail::due_in(limit_));
  return TaskAwaiter<Result<TcpStream>>(task);
}

}  // namespace ringo::net
