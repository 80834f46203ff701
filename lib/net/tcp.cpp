// What users see of TCP, over StreamSocket and ListenSocket.
#include <ringo/net/tcp.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "driver/sys.hpp"
#include "net/listen_socket.hpp"
#include "net/stream_socket.hpp"
#include "runtime/external.hpp"

namespace ringo::detail {

void retain_socket(StreamSocket* socket) noexcept { socket->retain(); }
void release_socket(StreamSocket* socket) noexcept { socket->release(); }
void retain_socket(ListenSocket* socket) noexcept { socket->retain(); }
void release_socket(ListenSocket* socket) noexcept { socket->release(); }

void return_chunk(StreamSocket* owner, const Chunk& chunk) noexcept {
  owner->take_back(chunk);
  owner->release();
}

// --- read ---------------------------------------------------------------------------------------

bool ReadCaseBase::try_take() {
  if (socket_.get() == nullptr) {
    waiter_.status = status_closed;
    return true;
  }
  return socket_->try_read(waiter_);
}

bool ReadCaseBase::looks_ready() { return socket_.get() == nullptr || socket_->looks_readable(); }

Enlist ReadCaseBase::enlist() {
  if (socket_.get() == nullptr) {
    if (!claim_self()) return Enlist::lost;
    waiter_.status = status_closed;
    return Enlist::taken;
  }
  return socket_->enlist_reader(node, [this] { return claim_self(); });
}

void ReadCaseBase::withdraw() noexcept { socket_->withdraw_reader(node); }

Error ReadCaseBase::error() const noexcept {
  if (socket_.get() == nullptr) return error_of(waiter_.status, "read", {});
  return socket_->error(waiter_.status, "read");
}

Error ReadCaseBase::canceled() noexcept { return Error::from_errno(ECANCELED, "read"); }

RecvCase::~RecvCase() {
  if (waiter_.chunk.data != nullptr) socket_->take_back(waiter_.chunk);
}

Result<net::Buffer> RecvCase::result() noexcept {
  if (waiter_.status != 0) return error();
  return net::Buffer(socket_.release(), std::exchange(waiter_.chunk, Chunk{}));
}

// --- accept -------------------------------------------------------------------------------------

AcceptCase::AcceptCase(ListenRef socket, int) noexcept : socket_(std::move(socket)) {
  node.slot = &waiter_;
}

AcceptCase::~AcceptCase() {
  if (waiter_.fd >= 0) socket_->take_back(waiter_.fd, waiter_.peer);
}

bool AcceptCase::try_take() {
  if (socket_.get() == nullptr) {
    waiter_.status = status_closed;
    return true;
  }
  return socket_->try_accept(waiter_);
}

bool AcceptCase::looks_ready() { return socket_.get() == nullptr || socket_->looks_acceptable(); }

Enlist AcceptCase::enlist() {
  return socket_->enlist(node, [this] { return claim_self(); });
}

void AcceptCase::withdraw() noexcept { socket_->withdraw(node); }

Result<net::TcpStream> AcceptCase::canceled_result() const noexcept {
  return Error::from_errno(ECANCELED, "accept");
}

namespace {

net::Address local_address_of(int fd) noexcept {
  sockaddr_in6 address{};
  socklen_t size = sizeof address;
  if (sys::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return net::Address::from_system(reinterpret_cast<sockaddr*>(&address));
}

}  // namespace

Result<net::TcpStream> AcceptCase::result() noexcept {
  if (waiter_.status != 0) {
    if (socket_.get() == nullptr) return error_of(waiter_.status, "accept", {});
    return socket_->error(waiter_.status, "accept");
  }
  auto* const socket = new StreamSocket(std::exchange(waiter_.fd, -1), waiter_.peer);
  net::TcpStream stream{StreamRef(socket)};
  socket->release();
  return stream;
}

}  // namespace ringo::detail

namespace ringo::net {

using ringo::detail::error_of;
using ringo::detail::ListenSocket;
using ringo::detail::status_closed;
using ringo::detail::StreamSocket;
namespace sys = ringo::detail::sys;

namespace {

std::int64_t due_of(std::optional<TimePoint> when) noexcept {
  if (!when) return ringo::detail::no_deadline;
  return std::chrono::nanoseconds(when->time_since_epoch()).count();
}

template <class Ref>
Result<void> result_of(const Ref& socket, int status, const char* op) noexcept {
  if (status == 0) return {};
  return socket.get() != nullptr ? socket->error(status, op) : error_of(status, op, {});
}

}  // namespace

// --- TcpStream ----------------------------------------------------------------------------------

TcpStream::~TcpStream() {
  if (socket_.get() != nullptr) socket_->close_from_anywhere();
}

Result<void> TcpStream::close() {
  return result_of(socket_, socket_.get() != nullptr ? socket_->close() : status_closed, "close");
}

Result<void> TcpStream::shutdown_write() {
  return result_of(socket_, socket_.get() != nullptr ? socket_->shutdown_write() : status_closed,
                   "shutdown");
}

Result<void> TcpStream::set_deadline(std::optional<TimePoint> when) {
  if (socket_.get() == nullptr) return error_of(status_closed, "set deadline", {});
  return result_of(socket_, socket_->set_deadline(true, true, due_of(when)), "set deadline");
}

Result<void> TcpStream::set_read_deadline(std::optional<TimePoint> when) {
  if (socket_.get() == nullptr) return error_of(status_closed, "set deadline", {});
  return result_of(socket_, socket_->set_deadline(true, false, due_of(when)), "set deadline");
}

Result<void> TcpStream::set_write_deadline(std::optional<TimePoint> when) {
  if (socket_.get() == nullptr) return error_of(status_closed, "set deadline", {});
  return result_of(socket_, socket_->set_deadline(false, true, due_of(when)), "set deadline");
}

Result<void> TcpStream::set_no_delay(bool on) {
  if (socket_.get() == nullptr) return error_of(status_closed, "set no delay", {});
  return result_of(socket_, socket_->set_option(IPPROTO_TCP, TCP_NODELAY, on), "set no delay");
}

Result<void> TcpStream::set_keep_alive(std::optional<std::chrono::seconds> idle) {
  if (socket_.get() == nullptr) return error_of(status_closed, "set keep alive", {});
  int status = socket_->set_option(SOL_SOCKET, SO_KEEPALIVE, idle.has_value());
  if (status == 0 && idle) {
    const int seconds = static_cast<int>(idle->count());
    status = socket_->set_option(IPPROTO_TCP, TCP_KEEPIDLE, seconds);
    if (status == 0) status = socket_->set_option(IPPROTO_TCP, TCP_KEEPINTVL, seconds);
  }
  return result_of(socket_, status, "set keep alive");
}

Address TcpStream::local_address() const noexcept {
  Address address;
  if (socket_.get() == nullptr) return address;
  socket_->with_descriptor([&](int fd) {
    address = ringo::detail::local_address_of(fd);
    return 0;
  });
  return address;
}

Address TcpStream::peer_address() const noexcept {
  return socket_.get() != nullptr ? socket_->address() : Address();
}

int TcpStream::native_handle() const noexcept {
  return socket_.get() != nullptr ? socket_->descriptor() : -1;
}

Task<Result<std::size_t>> TcpStream::read_exact(std::span<std::byte> buffer) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    Result<std::size_t> n = co_await read(buffer.subspan(done));
    if (!n && n.error() == Errc::eof && done > 0) {
      co_return socket_->error(ECONNRESET, "read: unexpected end");
    }
    if (!n) co_return n.error();
    done += *n;
  }
  co_return done;
}

// --- TcpListener --------------------------------------------------------------------------------

Result<TcpListener> TcpListener::listen(std::string_view text, const ListenOptions& options) {
  const Result<Address> address = Address::parse(text);
  if (!address) return Error(address.error().code(), "listen tcp", text);
  return listen(*address, options);
}

Result<TcpListener> TcpListener::listen(const Address& address, const ListenOptions& options) {
  sockaddr_in6 storage;
  const socklen_t size = address.to_system(&storage);
  const auto* const where = reinterpret_cast<const sockaddr*>(&storage);
  // Non-blocking: accept4(2) has no flag that says so for one call.
  const int fd = sys::socket(where->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return error_of(errno, "listen tcp", address);
  const auto set = [fd](int level, int name, int value) {
    return sys::setsockopt(fd, level, name, &value, sizeof value) == 0;
  };
  const bool listens = set(SOL_SOCKET, SO_REUSEADDR, 1) &&
                       (!options.reuse_port || set(SOL_SOCKET, SO_REUSEPORT, 1)) &&
                       (!address.is_v6() || set(IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only)) &&
                       // Accepted sockets inherit it, which spares a system call for each of them.
                       (!options.no_delay || set(IPPROTO_TCP, TCP_NODELAY, 1)) &&
                       sys::bind(fd, where, size) == 0 && sys::listen(fd, options.backlog) == 0;
  if (!listens) {
    const int error = errno;
    sys::close(fd);
    return error_of(error, "listen tcp", address);
  }
  auto* const socket = new ListenSocket(fd, ringo::detail::local_address_of(fd));
  TcpListener listener{ringo::detail::ListenRef(socket)};
  socket->release();
  return listener;
}

TcpListener::~TcpListener() {
  if (socket_.get() != nullptr) socket_->close_from_anywhere();
}

Result<void> TcpListener::close() {
  return result_of(socket_, socket_.get() != nullptr ? socket_->close() : status_closed, "close");
}

Result<void> TcpListener::set_deadline(std::optional<TimePoint> when) {
  if (socket_.get() == nullptr) return error_of(status_closed, "set deadline", {});
  return result_of(socket_, socket_->set_deadline(true, false, due_of(when)), "set deadline");
}

Address TcpListener::local_address() const noexcept {
  return socket_.get() != nullptr ? socket_->address() : Address();
}

int TcpListener::native_handle() const noexcept {
  return socket_.get() != nullptr ? socket_->descriptor() : -1;
}

}  // namespace ringo::net
