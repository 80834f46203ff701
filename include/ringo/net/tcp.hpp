// TCP: TcpListener and TcpStream.
//
// A connection belongs to its TcpStream, which is closed when it goes out of scope; it may be used
// by several goroutines on different workers at once (one reads, another writes, a third closes).
// Calls that wait are made in goroutines. Errors come as Result<T>: their message names the
// operation, the address and the cause.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/net/address.hpp>
#include <ringo/net/buffer.hpp>
#include <ringo/net/waiters.hpp>
#include <ringo/result.hpp>
#include <ringo/task.hpp>
#include <ringo/time.hpp>

namespace ringo::net {
class TcpStream;
class TcpListener;
}  // namespace ringo::net

namespace ringo::detail {

class StreamSocket;
class ListenSocket;

void retain_socket(StreamSocket* socket) noexcept;
void release_socket(StreamSocket* socket) noexcept;
void retain_socket(ListenSocket* socket) noexcept;
void release_socket(ListenSocket* socket) noexcept;

/// A counted reference to a socket.
template <class S>
class SocketRef {
 public:
  SocketRef() noexcept = default;
  explicit SocketRef(S* socket) noexcept : socket_(socket) {
    if (socket_ != nullptr) retain_socket(socket_);
  }
  SocketRef(const SocketRef& other) noexcept : SocketRef(other.socket_) {}
  SocketRef(SocketRef&& other) noexcept : socket_(std::exchange(other.socket_, nullptr)) {}
  SocketRef& operator=(SocketRef other) noexcept {
    std::swap(socket_, other.socket_);
    return *this;
  }
  ~SocketRef() {
    if (socket_ != nullptr) release_socket(socket_);
  }
  S* get() const noexcept { return socket_; }
  S* operator->() const noexcept { return socket_; }
  /// The reference passes to the caller.
  S* release() noexcept { return std::exchange(socket_, nullptr); }

 private:
  S* socket_ = nullptr;
};
using StreamRef = SocketRef<StreamSocket>;
using ListenRef = SocketRef<ListenSocket>;

/// One read of a wait.
class ReadCaseBase : public CaseBase {
 public:
  static constexpr bool mostly_waits = true;
  bool try_take() final;
  Enlist enlist() final;
  void withdraw() noexcept final;
  bool looks_ready() final;
  WaitReason reason() const noexcept { return WaitReason::io_wait; }
  bool ends_from_outside() const noexcept override { return true; }

 protected:
  ReadCaseBase(StreamRef socket, const ReadWaiter& waiter) noexcept
      : socket_(std::move(socket)), waiter_(waiter) {
    node.slot = &waiter_;
  }
  ~ReadCaseBase() = default;

  Error error() const noexcept;
  static Error canceled() noexcept;

  StreamRef socket_;
  ReadWaiter waiter_;
};

class ReadCase final : public ReadCaseBase {
 public:
  template <class Op>
  explicit ReadCase(Op&& op) noexcept
      : ReadCaseBase(std::forward<Op>(op).socket_, ReadWaiter(op.data_, op.size_)) {}
  Result<std::size_t> result() const noexcept {
    if (waiter_.status != 0) [[unlikely]]
      return error();
    return waiter_.span.done;
  }
  Result<std::size_t> canceled_result() const noexcept { return canceled(); }
};

class RecvCase final : public ReadCaseBase {
 public:
  template <class Op>
  explicit RecvCase(Op&& op) noexcept
      : ReadCaseBase(std::forward<Op>(op).socket_, ReadWaiter()) {}
  ~RecvCase();
  Result<net::Buffer> result() noexcept;
  Result<net::Buffer> canceled_result() const noexcept { return canceled(); }
};

/// One accept of a wait.
class AcceptCase final : public CaseBase {
 public:
  template <class Op>
  explicit AcceptCase(Op&& op) noexcept : AcceptCase(ListenRef(std::forward<Op>(op).socket_), 0) {}
  ~AcceptCase();
  bool try_take() override;
  Enlist enlist() override;
  void withdraw() noexcept override;
  bool looks_ready() override;
  WaitReason reason() const noexcept { return WaitReason::io_wait; }
  bool ends_from_outside() const noexcept override { return true; }
  Result<net::TcpStream> result() noexcept;
  Result<net::TcpStream> canceled_result() const noexcept;

 private:
  AcceptCase(ListenRef socket, int) noexcept;

  ListenRef socket_;
  AcceptWaiter waiter_;
};

}  // namespace ringo::detail

namespace ringo::net {

/// TcpStream::read(), not yet started.
class [[nodiscard("a read does nothing until it is awaited")]] ReadOp {
 public:
  using Case = ringo::detail::ReadCase;
  ReadOp(ringo::detail::StreamRef socket, std::byte* data, std::size_t size) noexcept
      : socket_(std::move(socket)), data_(data), size_(size) {}

 private:
  friend Case;
  ringo::detail::StreamRef socket_;
  // Only templates use them, which Clang does not count.
  [[maybe_unused]] std::byte* data_;
  [[maybe_unused]] std::size_t size_;
};

/// TcpStream::recv(), not yet started.
class [[nodiscard("a receive does nothing until it is awaited")]] RecvOp {
 public:
  using Case = ringo::detail::RecvCase;
  explicit RecvOp(ringo::detail::StreamRef socket) noexcept : socket_(std::move(socket)) {}

 private:
  friend Case;
  ringo::detail::StreamRef socket_;
};

/// TcpListener::accept(), not yet started.
class [[nodiscard("an accept does nothing until it is awaited")]] AcceptOp {
 public:
  using Case = ringo::detail::AcceptCase;
  explicit AcceptOp(ringo::detail::ListenRef socket) noexcept : socket_(std::move(socket)) {}

 private:
  friend Case;
  ringo::detail::ListenRef socket_;
};

/// TcpStream::write(), not yet started. Not a case of select: bytes that went out cannot be taken
/// back. Given by name it must outlive the await, once.
class [[nodiscard("a write does nothing until it is awaited")]] WriteOp {
 public:
  // Waits as a case of its own. Where the write may be given up there is more to wait for, and a
  // Task does it.
  class Awaiter final : private ringo::detail::CaseBase {
   public:
    Awaiter(ringo::detail::Goroutine* g, WriteOp& op, std::int64_t due) noexcept
        : op_(op), due_(due) {
      node.g = g;
      op_.request_.begun = ringo::detail::WriteRequest::Begun::no;
    }
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() {
      if (node.linked.load(std::memory_order_acquire)) withdraw();
      if (std::exchange(op_.request_.by_task, false)) rest_.~TaskAwaiter();
    }

    bool await_ready() noexcept;
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> frame) noexcept {
      node.g->leaf = frame;
      Task<> rest = suspend();
      if (!rest.valid()) return std::noop_coroutine();
      ::new (static_cast<void*>(&rest_)) ringo::detail::TaskAwaiter<void>(rest);
      op_.request_.by_task = true;
      return rest_.await_suspend(frame);
    }
    Result<std::size_t> await_resume();

   private:
    Task<> suspend() noexcept;
    void begin() noexcept;
    bool try_take() override;
    bool looks_ready() override;
    ringo::detail::Enlist enlist() override;
    void withdraw() noexcept override;
    bool ask_to_end() noexcept override;
    bool ends_from_outside() const noexcept override { return true; }

    WriteOp& op_;
    union {
      std::int64_t due_;
      ringo::detail::TaskAwaiter<void> rest_;  // then, if by_task
    };
  };

  WriteOp(ringo::detail::StreamRef socket, const void* data, std::size_t size,
          std::size_t* written) noexcept
      : socket_(std::move(socket)), written_(written) {
    request_.data = static_cast<const std::byte*>(data);
    request_.size = size;
  }

  Awaiter ringo_await(ringo::detail::Goroutine* g) noexcept;

 private:
  friend class TimedWrite;
  ringo::detail::StreamRef socket_;
  std::size_t* written_;
  ringo::detail::WriteRequest request_;
};

/// TcpStream::connect(), not yet started. Not a case of select.
class [[nodiscard("a connect does nothing until it is awaited")]] ConnectOp {
 public:
  explicit ConnectOp(std::string target) : target_(std::move(target)) {}
  explicit ConnectOp(const Address& address) : address_(address) {}

  ringo::detail::TaskAwaiter<Result<TcpStream>> ringo_await(ringo::detail::Goroutine* g);

 private:
  friend class TimedConnect;
  std::string target_;
  Address address_;
};

/// A TCP connection. Move-only; the descriptor is closed with it.
class TcpStream {
 public:
  /// No connection: every operation fails with Errc::closed.
  TcpStream() noexcept = default;
  explicit TcpStream(ringo::detail::StreamRef socket) noexcept : socket_(std::move(socket)) {}
  TcpStream(TcpStream&& other) noexcept : socket_(std::move(other.socket_)) {}
  /// Closes the connection it had.
  TcpStream& operator=(TcpStream&& other) noexcept {
    TcpStream taken(std::move(other));
    std::swap(socket_, taken.socket_);
    return *this;
  }
  ~TcpStream();

  /// Connects to "host:port" or to an address: `auto conn = co_await TcpStream::connect(target)`
  /// yields Result<TcpStream>. The addresses a name has are tried one after the other. Cancellable,
  /// and with_timeout() limits all of it; a connection that was under way is closed then.
  static ConnectOp connect(std::string_view target) { return ConnectOp(std::string(target)); }
  static ConnectOp connect(const Address& address) { return ConnectOp(address); }

  /// Receives up to as many bytes as the span has, at least one: yields Result<std::size_t>, or
  /// Errc::eof at the end of the stream. Suspends while there are none. An empty span yields 0.
  /// A case of select; one that loses, times out or is cancelled (std::errc::operation_canceled)
  /// takes no byte. Several readers at once get their bytes in the order in which they came.
  ReadOp read(std::span<std::byte> buffer) { return read(buffer.data(), buffer.size()); }
  ReadOp read(std::span<char> buffer) { return read(buffer.data(), buffer.size()); }
  ReadOp read(std::span<unsigned char> buffer) { return read(buffer.data(), buffer.size()); }
  ReadOp read(void* data, std::size_t size) {
    return ReadOp(socket_, static_cast<std::byte*>(data), size);
  }

  /// Receives bytes without copying them: yields Result<Buffer>, never an empty one. Otherwise as
  /// read().
  RecvOp recv() { return RecvOp(socket_); }

  /// Sends all of the bytes: yields Result<std::size_t>, the number of them, or an error;
  /// `*written` says then how many the kernel had taken. Suspends while there is no room. The bytes
  /// must stay as they are until it is over. Writes by several goroutines are whole, one after the
  /// other. Cancellable: returns when the kernel is done with the memory.
  WriteOp write(std::span<const std::byte> bytes, std::size_t* written = nullptr) {
    return WriteOp(socket_, bytes.data(), bytes.size(), written);
  }
  WriteOp write(std::span<const unsigned char> bytes, std::size_t* written = nullptr) {
    return WriteOp(socket_, bytes.data(), bytes.size(), written);
  }
  template <class Chars>
    requires(std::is_convertible_v<const Chars&, std::span<const char>> &&
             !std::is_convertible_v<const Chars&, std::string_view>)
  WriteOp write(const Chars& chars, std::size_t* written = nullptr) {
    const std::span<const char> span(chars);
    return WriteOp(socket_, span.data(), span.size(), written);
  }
  WriteOp write(std::string_view text, std::size_t* written = nullptr) {
    return WriteOp(socket_, text.data(), text.size(), written);
  }
  WriteOp write(const void* data, std::size_t size, std::size_t* written = nullptr) {
    return WriteOp(socket_, data, size, written);
  }

  /// Fills the whole span: yields its size, Errc::eof if the stream ended before the first byte,
  /// std::errc::connection_reset ("unexpected end") if it ended in the middle, or the error.
  Task<Result<std::size_t>> read_exact(std::span<std::byte> buffer);
  Task<Result<std::size_t>> read_exact(std::span<char> buffer) {
    return read_exact(std::as_writable_bytes(buffer));
  }

  /// Sends the end of the stream; reading goes on. After the writes have returned.
  Result<void> shutdown_write();

  /// Closes the connection: operations that wait, in whichever goroutine, end with Errc::closed,
  /// and so do those to come, a second close() included. Does not suspend.
  Result<void> close();

  /// After that moment reads (writes) fail with std::errc::timed_out, those that wait and those to
  /// come, even if there is data; no data is lost, and another deadline makes the connection usable
  /// again. std::nullopt: no deadline. A write that timed out may have been sent in part. From any
  /// goroutine, also while others wait.
  Result<void> set_deadline(std::optional<TimePoint> when);
  Result<void> set_read_deadline(std::optional<TimePoint> when);
  Result<void> set_write_deadline(std::optional<TimePoint> when);

  /// TCP_NODELAY; on unless switched off.
  Result<void> set_no_delay(bool on);
  /// Probes an idle peer after that time, and then every interval; std::nullopt: never (default).
  Result<void> set_keep_alive(std::optional<std::chrono::seconds> idle);

  Address local_address() const noexcept;
  Address peer_address() const noexcept;
  /// The descriptor, -1 once closed; still owned by the stream.
  int native_handle() const noexcept;
  /// False for a default-constructed or moved-from stream.
  bool valid() const noexcept { return socket_.get() != nullptr; }

 private:
  ringo::detail::StreamRef socket_;
};

/// How TcpListener::listen() sets up a listener. SO_REUSEADDR is always on.
struct ListenOptions {
  int backlog = 4096;       ///< connections the kernel accepts ahead of us; its own limit applies
  bool reuse_port = false;  ///< SO_REUSEPORT: several listeners share the port
  bool v6_only = false;     ///< an IPv6 listener takes no IPv4 connections
  bool no_delay = true;     ///< TCP_NODELAY for the accepted connections
};

/// A listening TCP socket. Move-only; closed when it goes out of scope.
class TcpListener {
 public:
  TcpListener() noexcept = default;
  explicit TcpListener(ringo::detail::ListenRef socket) noexcept : socket_(std::move(socket)) {}
  TcpListener(TcpListener&& other) noexcept : socket_(std::move(other.socket_)) {}
  /// Closes the listener it was.
  TcpListener& operator=(TcpListener&& other) noexcept {
    TcpListener taken(std::move(other));
    std::swap(socket_, taken.socket_);
    return *this;
  }
  ~TcpListener();

  /// Listens on "127.0.0.1:8080", ":8080", "[::1]:0" (a free port). Does not suspend; in
  /// goroutines.
  static Result<TcpListener> listen(std::string_view address, const ListenOptions& options = {});
  static Result<TcpListener> listen(const Address& address, const ListenOptions& options = {});

  /// The next connection: yields Result<TcpStream>. A case of select; one that loses, times out or
  /// is cancelled takes no connection. Where the process or the system has no descriptor left the
  /// error says so, the connection stays in the backlog, and the next accept waits a little.
  AcceptOp accept() { return AcceptOp(socket_); }

  /// As TcpStream's, for accept().
  Result<void> set_deadline(std::optional<TimePoint> when);
  /// Ends accepts that wait with Errc::closed, and refuses those to come and the next close().
  Result<void> close();
  Address local_address() const noexcept;
  int native_handle() const noexcept;
  bool valid() const noexcept { return socket_.get() != nullptr; }

 private:
  ringo::detail::ListenRef socket_;
};

/// A write with a time limit, see with_timeout().
class [[nodiscard("co_await it")]] TimedWrite {
 public:
  TimedWrite(std::chrono::nanoseconds d, WriteOp op) noexcept : op_(std::move(op)), limit_(d) {}
  WriteOp::Awaiter ringo_await(ringo::detail::Goroutine* g) noexcept;

 private:
  WriteOp op_;
  std::chrono::nanoseconds limit_;
};

/// A connect with a time limit, see with_timeout().
class [[nodiscard("co_await it")]] TimedConnect {
 public:
  TimedConnect(std::chrono::nanoseconds d, ConnectOp op) noexcept : op_(std::move(op)), limit_(d) {}
  ringo::detail::TaskAwaiter<Result<TcpStream>> ringo_await(ringo::detail::Goroutine* g);

 private:
  ConnectOp op_;
  std::chrono::nanoseconds limit_;
};

/// Ends a write or a connect with std::errc::timed_out if it takes longer than d, which begins with
/// the co_await. A write may have been sent in part by then (see its `written`).
template <class Rep, class Period>
TimedWrite with_timeout(std::chrono::duration<Rep, Period> d, WriteOp op) noexcept {
  return TimedWrite(ringo::detail::saturate(d), std::move(op));
}
template <class Rep, class Period>
TimedConnect with_timeout(std::chrono::duration<Rep, Period> d, ConnectOp op) noexcept {
  return TimedConnect(ringo::detail::saturate(d), std::move(op));
}

}  // namespace ringo::net
