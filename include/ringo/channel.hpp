// Channels: how goroutines hand values to each other.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include <ringo/detail/channel_core.hpp>

namespace ringo {

/// The value of a channel that only signals (Go's struct{}): `Channel<> stop`.
struct Unit {};

template <class T = Unit>
class Channel;
template <class T>
class Sender;
template <class T>
class Receiver;
template <class T>
class SendOp;
template <class T>
class ReceiveOp;

namespace detail {

[[noreturn]] void throw_send_on_closed();
[[noreturn]] void throw_close_of_nil();

template <class T>
class SendCase final : public ChannelCase {
 public:
  explicit SendCase(SendOp<T>&& op) noexcept
      : ChannelCase(std::move(op.core_), true), value_(std::move(op.value_)) {
    node.slot = std::addressof(value_);
  }
  explicit SendCase(const SendOp<T>& op)
    requires std::is_copy_constructible_v<T>
      : ChannelCase(op.core_, true), value_(op.value_) {
    node.slot = std::addressof(value_);
  }
  void result() const {
    if (!node.ok) throw_send_on_closed();
  }

 private:
  T value_;
};

template <class T>
class ReceiveCase final : public ChannelCase {
 public:
  explicit ReceiveCase(ReceiveOp<T> op) noexcept : ChannelCase(std::move(op.core_), false) {
    node.slot = std::addressof(value_);
  }
  ~ReceiveCase() {
    if (node.ok) std::destroy_at(std::addressof(value_));
  }
  std::optional<T> result() noexcept {
    if (!node.ok) return std::nullopt;
    return std::optional<T>(std::move(value_));
  }

 private:
  union {
    T value_;
  };
};

template <class T>
constexpr void check_element() {
  static_assert(std::is_object_v<T> && std::is_same_v<T, std::remove_cv_t<T>>,
                "a channel carries plain object types");
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "channel elements need a move constructor that does not throw: it runs in the "
                "middle of a hand-over");
  static_assert(alignof(T) <= 16, "both compilers misalign more than 16 in a coroutine frame");
}

bool send_blocking(ChannelCore* core, void* value);
bool receive_blocking(ChannelCore* core, void* slot);

}  // namespace detail

/// `ch <- value`, not yet started: await it, or make it a case of select_any. It owns the value
/// until a receiver or the buffer takes it. While it waits, it keeps the channel alive by itself;
/// before that the handle does that it was made from, unless that one was a temporary.
template <class T>
class [[nodiscard("a send does nothing until it is awaited")]] SendOp {
 public:
  using Case = detail::SendCase<T>;
  template <class... Args>
  SendOp(detail::CoreRef core, std::in_place_t, Args && ... args)
      : core_(std::move(core)), value_(std::forward<Args>(args)...) {}

  // For the await, see IsEager.
  struct Early {
    bool ok;
  };
  bool try_now(detail::Goroutine* g, Early& early) {
    return core_ && core_->send_now(g, value_, early.ok);
  }
  void result_of(const Early& early) const {
    if (!early.ok) detail::throw_send_on_closed();
  }

 private:
  friend Case;
  detail::CoreRef core_;
  T value_;
};

/// `<-ch`, not yet started. Yields std::optional<T>, empty when the channel is closed and drained.
/// Keeps the channel alive as a SendOp does.
template <class T>
class [[nodiscard("a receive does nothing until it is awaited")]] ReceiveOp {
 public:
  using Case = detail::ReceiveCase<T>;
  explicit ReceiveOp(detail::CoreRef core) noexcept : core_(std::move(core)) {}

  // For the await, see IsEager.
  struct Early {
    alignas(T) std::byte value[sizeof(T)];
    bool ok;
  };
  bool try_now(detail::Goroutine* g, Early& early) {
    return core_ && core_->receive_now(g, reinterpret_cast<T*>(early.value), early.ok);
  }
  std::optional<T> result_of(Early& early) const noexcept {
    if (!early.ok) return std::nullopt;
    T* value = std::launder(reinterpret_cast<T*>(early.value));
    std::optional<T> result(std::move(*value));
    std::destroy_at(value);
    return result;
  }

 private:
  friend Case;
  detail::CoreRef core_;
};

namespace detail {

/// The operations of both directions, over a handle; Sender, Receiver and Channel pick theirs.
template <class T>
class ChannelBase {
 public:
  /// Values in the buffer now; 0 for the nil channel. From any thread (CH-26).
  std::size_t len() const noexcept { return core_ ? core_->size() : 0; }
  /// The capacity; 0 for an unbuffered and for the nil channel.
  std::size_t cap() const noexcept { return core_ ? core_->capacity() : 0; }
  bool is_nil() const noexcept { return !core_; }

 protected:
  friend struct ChannelAccess;
  ChannelBase() noexcept = default;
  explicit ChannelBase(CoreHandle core) noexcept : core_(std::move(core)) {}

  // By a handle that stays, and by a temporary one.
  CoreRef lend() const& noexcept { return CoreRef(core_); }
  CoreRef lend() && noexcept { return CoreRef(std::move(core_)); }

  bool try_send_value(T& value) const { return core_ && core_->try_send(std::addressof(value)); }
  std::optional<T> try_receive_value(bool* closed) const {
    union Slot {
      Slot() noexcept {}
      ~Slot() {}
      T value;
    } slot;
    if (!core_) return std::nullopt;
    switch (core_->try_receive(std::addressof(slot.value))) {
      case ChannelCore::TryReceive::value:
        break;
      case ChannelCore::TryReceive::closed:
        if (closed != nullptr) *closed = true;
        [[fallthrough]];
      case ChannelCore::TryReceive::empty:
        return std::nullopt;
    }
    std::optional<T> result(std::move(slot.value));
    std::destroy_at(std::addressof(slot.value));
    return result;
  }
  void send_value_blocking(T& value) const {
    if (!detail::send_blocking(core_.get(), std::addressof(value))) throw_send_on_closed();
  }
  std::optional<T> receive_value_blocking() const {
    union Slot {
      Slot() noexcept {}
      ~Slot() {}
      T value;
    } slot;
    if (!detail::receive_blocking(core_.get(), std::addressof(slot.value))) return std::nullopt;
    std::optional<T> result(std::move(slot.value));
    std::destroy_at(std::addressof(slot.value));
    return result;
  }
  void close_channel() const {
    if (!core_) throw_close_of_nil();
    core_->close();
  }

  CoreHandle core_;
};

/// For the runtime.
struct ChannelAccess {
  /// Not of a nil channel.
  template <class T>
  static ChannelCore& core(const ChannelBase<T>& channel) noexcept {
    return *channel.core_.get();
  }
};

}  // namespace detail

/// The sending side of a channel (`chan<- T`). Made from a Channel, never turned back into one.
template <class T>
class Sender : public detail::ChannelBase<T> {
 public:
  /// As Channel::send, emplace, try_send, send_blocking and close.
  SendOp<T> send(T value) const& { return emplace(std::move(value)); }
  SendOp<T> send(T value) && { return std::move(*this).emplace(std::move(value)); }
  template <class... Args>
  SendOp<T> emplace(Args&&... args) const& {
    return SendOp<T>(this->lend(), std::in_place, std::forward<Args>(args)...);
  }
  template <class... Args>
  SendOp<T> emplace(Args&&... args) && {
    return SendOp<T>(std::move(*this).lend(), std::in_place, std::forward<Args>(args)...);
  }
  bool try_send(T&& value) const { return this->try_send_value(value); }
  bool try_send(const T& value) const {
    T copy(value);
    return this->try_send_value(copy);
  }
  void send_blocking(T value) const { this->send_value_blocking(value); }
  void close() const { this->close_channel(); }

  bool operator==(const Sender& other) const noexcept { return this->core_ == other.core_; }

 private:
  friend class Channel<T>;
  explicit Sender(detail::CoreHandle core) noexcept : detail::ChannelBase<T>(std::move(core)) {}
};

/// The receiving side of a channel (`<-chan T`). It cannot send and cannot close.
template <class T>
class Receiver : public detail::ChannelBase<T> {
 public:
  /// As Channel::recv, try_recv and recv_blocking.
  ReceiveOp<T> recv() const& noexcept { return ReceiveOp<T>(this->lend()); }
  ReceiveOp<T> recv() && noexcept { return ReceiveOp<T>(std::move(*this).lend()); }
  std::optional<T> try_recv(bool* closed = nullptr) const {
    return this->try_receive_value(closed);
  }
  std::optional<T> recv_blocking() const { return this->receive_value_blocking(); }

  bool operator==(const Receiver& other) const noexcept { return this->core_ == other.core_; }

 private:
  friend class Channel<T>;
  explicit Receiver(detail::CoreHandle core) noexcept : detail::ChannelBase<T>(std::move(core)) {}
};

/// A typed queue between goroutines (Go's `chan T`), FIFO for values and for waiters.
///
/// A Channel is a handle: copies are the same channel and compare equal, the last one frees it, and
/// it need not be closed. Of capacity 0 a send completes when a receiver takes the value (a
/// rendezvous); of capacity n the first n sends complete at once. Any number of goroutines may use
/// it, on all workers of one runtime; using it from a second runtime while the first one lives
/// throws Panic.
///
/// A wait that loses a select, or is cancelled, takes and leaves nothing. T is any object type with
/// a move constructor that does not throw.
template <class T>
class Channel : public detail::ChannelBase<T> {
 public:
  using value_type = T;

  /// An unbuffered channel.
  Channel() : Channel(0) {}

  /// A channel with room for `capacity` values. Throws Panic "makechan: size out of range" if it
  /// is negative or absurd (CH-02).
  explicit Channel(std::ptrdiff_t capacity)
      : detail::ChannelBase<T>(
            detail::CoreHandle(detail::ChannelCore::make(capacity, detail::element_ops<T>))) {
    detail::check_element<T>();
  }

  /// The channel that is never ready: sending and receiving wait for ever, a case of a select is
  /// switched off, close() throws (CH-05 to CH-07, SE-08).
  static Channel nil() noexcept { return Channel(detail::CoreHandle()); }

  /// Sends a value. Suspends while there is neither room nor a receiver. Throws Panic "send on
  /// closed channel" when awaited if the channel is closed by then, or gets closed while it waits;
  /// the value is then not delivered (CH-09, CH-10, CH-13). Cancellable: a cancelled send was not
  /// delivered. Inside a goroutine only; see send_blocking.
  SendOp<T> send(T value) const& { return emplace(std::move(value)); }
  SendOp<T> send(T value) && { return std::move(*this).emplace(std::move(value)); }

  /// Sends a signal on a Channel<>.
  SendOp<T> send() const&
    requires std::is_same_v<T, Unit>
  {
    return emplace();
  }
  SendOp<T> send() &&
    requires std::is_same_v<T, Unit>
  {
    return std::move(*this).emplace();
  }

  /// send(T(args...)) without a temporary.
  template <class... Args>
  SendOp<T> emplace(Args&&... args) const& {
    return SendOp<T>(this->lend(), std::in_place, std::forward<Args>(args)...);
  }
  template <class... Args>
  SendOp<T> emplace(Args&&... args) && {
    return SendOp<T>(std::move(*this).lend(), std::in_place, std::forward<Args>(args)...);
  }

  /// Receives a value; empty when the channel is closed and its buffer drained (CH-14). Suspends
  /// while there is nothing. `while (auto v = co_await ch.recv())` is Go's `for v := range ch`.
  /// Cancellable: nothing was taken then. Inside a goroutine only; see recv_blocking.
  ReceiveOp<T> recv() const& noexcept { return ReceiveOp<T>(this->lend()); }
  ReceiveOp<T> recv() && noexcept { return ReceiveOp<T>(std::move(*this).lend()); }

  /// Sends if that is possible at once; otherwise returns false and leaves the value alone. Throws
  /// Panic on a closed channel. From goroutines, and from any thread once the channel is in use by
  /// a runtime, whose worker then carries it out.
  bool try_send(T&& value) const { return this->try_send_value(value); }
  bool try_send(const T& value) const {
    T copy(value);
    return this->try_send_value(copy);
  }

  /// Receives if that is possible at once. Empty if there is nothing, or if the channel is closed
  /// and drained: `closed`, if given, is set to true then. From any thread, as try_send.
  std::optional<T> try_recv(bool* closed = nullptr) const {
    return this->try_receive_value(closed);
  }

  /// send and recv for plain threads: block the thread. Throw Panic inside a goroutine, where they
  /// would block a worker, when no runtime runs, and when it ends before the operation took place.
  void send_blocking(T value) const { this->send_value_blocking(value); }
  std::optional<T> recv_blocking() const { return this->receive_value_blocking(); }

  /// No more values will be sent. Receivers drain the buffer and then get nothing, senders fail.
  /// Wakes all waiters, receivers in the order in which they came. Throws Panic on a closed and on
  /// the nil channel (CH-07, CH-08). Does not suspend; from any thread.
  void close() const { this->close_channel(); }

  operator Sender<T>() const noexcept { return Sender<T>(this->core_); }
  operator Receiver<T>() const noexcept { return Receiver<T>(this->core_); }

  friend bool operator==(const Channel& a, const Channel& b) noexcept { return a.core_ == b.core_; }
  friend bool operator==(const Channel& a, const Sender<T>& b) noexcept {
    return static_cast<Sender<T>>(a) == b;
  }
  friend bool operator==(const Channel& a, const Receiver<T>& b) noexcept {
    return static_cast<Receiver<T>>(a) == b;
  }

 private:
  explicit Channel(detail::CoreHandle core) noexcept : detail::ChannelBase<T>(std::move(core)) {}
};

}  // namespace ringo
