// A channel without its element type: what channel.hpp's templates hand down to lib/sync.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <ringo/detail/goroutine.hpp>
#include <ringo/detail/reference_count.hpp>
#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/wait.hpp>

namespace ringo::detail {

/// How elements move. A null `move` means that copying the bytes will do.
struct ElementOps {
  std::size_t size;
  void (*move)(void* to, void* from) noexcept;  // constructs *to; *from stays alive, moved from
  void (*destroy)(void* element) noexcept;      // null: nothing to do
};

template <class T>
inline constexpr ElementOps element_ops = {
    sizeof(T),
    std::is_trivially_copyable_v<T>
        ? nullptr
        : +[](void* to, void* from) noexcept { ::new (to) T(std::move(*static_cast<T*>(from))); },
    std::is_trivially_destructible_v<T>
        ? nullptr
        : +[](void* element) noexcept { std::destroy_at(static_cast<T*>(element)); },
};

/// The shared state behind the handles of one channel.
///
/// Invariants, under the lock (Go: runtime/chan.go):
///   * at most one of the two queues has open waiters, but for one select on both ends;
///   * count > 0 implies no open receiver; count < cap implies no open sender: nobody overtakes
///     a waiter;
///   * values leave in the order in which they went in.
/// Of the elements, only moved-from ones are destroyed under the lock.
class ChannelCore {
 public:
  /// Throws Panic "makechan: size out of range" if capacity is negative or too large.
  static ChannelCore* make(std::ptrdiff_t capacity, const ElementOps& ops);

  void retain() noexcept { add_reference(references_); }
  void release() noexcept {
    if (drop_reference(references_)) destroy();
  }

  std::size_t size() const noexcept { return count_.load(std::memory_order_relaxed); }
  std::size_t capacity() const noexcept { return capacity_; }

  /// Non-blocking forms for code that is not inside an await; on other threads than the runtime's
  /// workers they are carried out by a worker. try_send throws Panic on a closed channel.
  bool try_send(void* value);
  enum class TryReceive : std::uint8_t { empty, value, closed };
  TryReceive try_receive(void* slot);

  /// One attempt of a goroutine, with the value where it is. True: it took effect, or the channel
  /// is closed (ok says which).
  template <class T>
  bool send_now(const Goroutine* g, T& value, bool& ok) {
    check_runtime(g->runtime_id);
    lock_.lock();
    if (full() || closed() || !receivers_.empty()) return send_and_unlock(&value, ok);
    put([&](std::size_t at) { ::new (static_cast<void*>(cells<T>() + at)) T(std::move(value)); });
    lock_.unlock();
    return ok = true;
  }
  /// The same; constructs the value in *slot if ok.
  template <class T>
  bool receive_now(const Goroutine* g, T* slot, bool& ok) {
    check_runtime(g->runtime_id);
    lock_.lock();
    if (empty() || !senders_.empty()) return receive_and_unlock(slot, ok);
    take([&](std::size_t at) {
      T* from = cells<T>() + at;
      ::new (static_cast<void*>(slot)) T(std::move(*from));
      std::destroy_at(from);
    });
    lock_.unlock();
    return ok = true;
  }

  /// Throws Panic "close of closed channel".
  void close();

  /// Does a goroutine wait to receive?
  bool has_receiver() noexcept {
    SpinGuard guard(lock_);
    return !receivers_.empty();
  }

 private:
  friend class ChannelCase;
  friend class ChannelLocks;

  ChannelCore(std::size_t capacity, const ElementOps& ops) : capacity_(capacity), ops_(ops) {}
  ~ChannelCore() = default;

  template <class T>
  T* cells() noexcept {
    return reinterpret_cast<T*>(this + 1);
  }
  std::byte* cell(std::size_t index) noexcept {
    return reinterpret_cast<std::byte*>(this + 1) + index * ops_.size;
  }
  void move(void* to, void* from) const noexcept {
    if (ops_.move != nullptr) return ops_.move(to, from);
    if (ops_.size == 8) {
      std::memcpy(to, from, 8);
    } else if (ops_.size == 4) {
      std::memcpy(to, from, 4);
    } else {
      std::memcpy(to, from, ops_.size);
    }
  }

  bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }

  // The buffer, with the lock held. Room, or a value, must be there; moving it is the caller's.
  bool full() const noexcept { return count_.load(std::memory_order_relaxed) == capacity_; }
  bool empty() const noexcept { return count_.load(std::memory_order_relaxed) == 0; }
  template <class F>
  void put(F&& move_to) noexcept {
    const std::size_t count = count_.load(std::memory_order_relaxed);
    std::size_t tail = head_ + count;
    if (tail >= capacity_) tail -= capacity_;
    move_to(tail);
    count_.store(count + 1, std::memory_order_relaxed);
  }
  template <class F>
  void take(F&& move_from) noexcept {
    move_from(head_);
    head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
    count_.store(count_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  }

  // With the lock held. True: it took effect, or the channel is closed (ok says which); a partner
  // to be completed after unlocking is stored in `partner`.
  bool send_locked(void* value, bool& ok, WaitNode*& partner) noexcept;
  bool receive_locked(void* slot, bool& ok, WaitNode*& partner) noexcept;

  // The same for who holds the lock, which is dropped before the partner is completed.
  bool send_and_unlock(void* value, bool& ok) noexcept;
  bool receive_and_unlock(void* slot, bool& ok) noexcept;

  void close_here(bool& already_closed) noexcept;
  void destroy() noexcept;

  // The channel belongs to the runtime that uses it; throws Panic if another one does and lives.
  void check_runtime(std::uint32_t runtime_id) {
    if (runtime_id_.load(std::memory_order_relaxed) != runtime_id) [[unlikely]]
      bind(runtime_id);
  }
  void bind(std::uint32_t runtime_id);
  // Those who wait were abandoned with their runtime.
  void forget_waiters() noexcept;

  std::atomic<std::uint32_t> references_{1};
  SpinLock lock_;
  std::atomic<bool> closed_{false};  // atomic, as count_, for who looks without the lock
  std::atomic<std::uint32_t> runtime_id_{0};
  std::size_t capacity_;
  std::atomic<std::size_t> count_{0};
  std::size_t head_ = 0;
  const ElementOps& ops_;
  WaitQueue receivers_;
  WaitQueue senders_;
};

/// A reference to a channel's core; null for the nil channel.
class CoreHandle {
 public:
  CoreHandle() noexcept = default;
  explicit CoreHandle(ChannelCore* owned) noexcept : core_(owned) {}
  CoreHandle(const CoreHandle& other) noexcept : core_(other.core_) {
    if (core_ != nullptr) core_->retain();
  }
  CoreHandle(CoreHandle&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  CoreHandle& operator=(CoreHandle other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~CoreHandle() {
    if (core_ != nullptr) core_->release();
  }

  ChannelCore* get() const noexcept { return core_; }
  ChannelCore* operator->() const noexcept { return core_; }
  explicit operator bool() const noexcept { return core_ != nullptr; }
  bool operator==(const CoreHandle&) const noexcept = default;

 private:
  ChannelCore* core_ = nullptr;
};

/// The channel of an operation. Most operations need not wait, and two atomic counts for each cost
/// more than the rest of it, so an operation made from a handle that stays only borrows: the handle
/// keeps the channel until the await, and what waits keeps it by itself (keep()), as do copies.
class CoreRef {
 public:
  explicit CoreRef(const CoreHandle& lender) noexcept
      : bits_(reinterpret_cast<std::uintptr_t>(lender.get())) {}
  explicit CoreRef(CoreHandle&& given) noexcept : CoreRef(given) { keep(); }
  CoreRef(const CoreRef& other) noexcept : bits_(other.bits_ & ~kept) { keep(); }
  CoreRef(CoreRef&& other) noexcept : bits_(std::exchange(other.bits_, 0)) {}
  CoreRef& operator=(CoreRef other) noexcept {
    std::swap(bits_, other.bits_);
    return *this;
  }
  ~CoreRef() {
    if ((bits_ & kept) != 0) get()->release();
  }

  void keep() noexcept {
    if (bits_ == 0 || (bits_ & kept) != 0) return;
    get()->retain();
    bits_ |= kept;
  }

  ChannelCore* get() const noexcept { return reinterpret_cast<ChannelCore*>(bits_ & ~kept); }
  ChannelCore* operator->() const noexcept { return get(); }
  explicit operator bool() const noexcept { return bits_ != 0; }

 private:
  static constexpr std::uintptr_t kept = 1;

  std::uintptr_t bits_;
};

/// A send or a receive on a channel (core null: the nil channel, never ready). node.slot is the
/// value to send or the place to receive into; afterwards node.ok is false if it was closed.
class ChannelCase : public CaseBase {
 public:
  bool try_take() final;
  Enlist enlist() final;
  void withdraw() noexcept final;
  bool looks_ready() final;
 
  // For select; not of the nil channel. With the channel's lock, or without: a moment's guess.
  bool glimpse() const noexcept {
    const ChannelCore& core = *core_.get();
    if (core.closed()) return true;
    return sends() ? !core.full() || !core.receivers_.empty()
                   : !core.empty() || !core.senders_.empty();
  }
  // With the channel's lock. `partner` as in ChannelCore.
  ChannelCore* core() const noexcept { return core_.get(); }
  bool try_locked(WaitNode*& partner) noexcept;
  void enlist_locked() noexcept;
  void check_runtime() {
    if (core_) core_->check_runtime(node.g->runtime_id);
  }

  WaitReason reason() const noexcept {
    if (!core_) return sends() ? WaitReason::chan_send_nil : WaitReason::chan_receive_nil;
    return sends() ? WaitReason::chan_send : WaitReason::chan_receive;
  }

 protected:
  ChannelCase(CoreRef core, bool send) noexcept : core_(std::move(core)) {
    node.kind = send ? CaseKind::channel_send : CaseKind::channel_receive;
  }
  ~ChannelCase() = default;

 private:
  bool try_here(WaitNode*& partner) noexcept;
  bool sends() const noexcept { return node.kind == CaseKind::channel_send; }
  WaitQueue& queue() noexcept { return sends() ? core_->senders_ : core_->receivers_; }

  CoreRef core_;
};

/// The locks of the channels of one select, taken in address order, each once.
class ChannelLocks {
 public:
  static void lock(ChannelCore* core) noexcept { core->lock_.lock(); }
  static void unlock(ChannelCore* core) noexcept { core->lock_.unlock(); }
};

}  // namespace ringo::detail
