#include <ringo/channel.hpp>

#include <cstdint>
#include <limits>
#include <mutex>
#include <new>

#include <ringo/detail/frame_allocator.hpp>
#include <ringo/panic.hpp>

#include <ringo/detail/reference_count.hpp>
#include "runtime/external.hpp"
#include "runtime/runtime.hpp"
#include "sync/owner.hpp"

namespace ringo::detail {

static_assert(sizeof(ChannelCore) % 16 == 0, "the buffer behind the core must be aligned to 16");

ChannelCore* ChannelCore::make(std::ptrdiff_t capacity, const ElementOps& ops) {
  constexpr std::size_t limit =
      static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) - sizeof(ChannelCore);
  if (capacity < 0 || static_cast<std::size_t>(capacity) > limit / ops.size) {
    panic("makechan: size out of range");
  }
  auto count = static_cast<std::size_t>(capacity);
  void* memory = nullptr;
  try {
    memory = frame_allocate(sizeof(ChannelCore) + count * ops.size);
  } catch (const std::bad_alloc&) { panic("makechan: size out of range"); }
  auto* core = ::new (memory) ChannelCore(count, ops);
  core->runtime_id_.store(current_runtime_id(), std::memory_order_relaxed);
  return core;
}

void ChannelCore::destroy() noexcept {
  std::size_t count = count_.load(std::memory_order_relaxed);
  if (ops_.destroy != nullptr) {
    for (std::size_t i = 0; i < count; ++i) ops_.destroy(cell((head_ + i) % capacity_));
  }
  std::size_t bytes = sizeof(ChannelCore) + capacity_ * ops_.size;
  this->~ChannelCore();
  frame_free(this, bytes);
}

void ChannelCore::bind(std::uint32_t runtime_id) {
  change_owner(runtime_id_, lock_, runtime_id, "channel", [this] { forget_waiters(); });
}

void ChannelCore::forget_waiters() noexcept {
  senders_.forget();
  receivers_.forget();
}

// Both are inlined: calls made an unbuffered round trip 12% more instructions.
[[gnu::always_inline]] inline bool ChannelCore::send_locked(void* value, bool& ok,
                                                            WaitNode*& partner) noexcept {
  if (closed()) {
    ok = false;
    return true;
  }
  if (WaitNode* receiver = receivers_.pop_claimed()) {
    move(receiver->slot, value);
    receiver->ok = true;
    partner = receiver;
    ok = true;
    return true;
  }
  if (full()) return false;
  put([&](std::size_t at) { move(cell(at), value); });
  ok = true;
  return true;
}

[[gnu::always_inline]] inline bool ChannelCore::receive_locked(void* slot, bool& ok,
                                                               WaitNode*& partner) noexcept {
  if (!empty()) {
    take([&](std::size_t at) {
      std::byte* from = cell(at);
      move(slot, from);
      if (ops_.destroy != nullptr) ops_.destroy(from);
    });
    // A full buffer may have senders waiting: the first one's value follows the others before
    // anything newer can get in (CH-23).
    if (WaitNode* sender = senders_.pop_claimed()) {
      put([&](std::size_t at) { move(cell(at), sender->slot); });
      sender->ok = true;
      partner = sender;
    }
    ok = true;
    return true;
  }
  if (WaitNode* sender = senders_.pop_claimed()) {
    move(slot, sender->slot);
    sender->ok = true;
    partner = sender;
    ok = true;
    return true;
  }
  if (closed()) {
    ok = false;
    return true;
  }
  return false;
}

bool ChannelCore::send_and_unlock(void* value, bool& ok) noexcept {
  WaitNode* partner = nullptr;
  const bool took = send_locked(value, ok, partner);
  lock_.unlock();
  if (partner != nullptr) complete(*partner);
  return took;
}

bool ChannelCore::receive_and_unlock(void* slot, bool& ok) noexcept {
  WaitNode* partner = nullptr;
  const bool took = receive_locked(slot, ok, partner);
  lock_.unlock();
  if (partner != nullptr) complete(*partner);
  return took;
}

void ChannelCore::close_here(bool& already_closed) noexcept {
  WakeList wake;
  {
    SpinGuard guard(lock_);
    already_closed = closed();
    closed_.store(true, std::memory_order_relaxed);
    while (WaitNode* receiver = receivers_.pop_claimed()) {
      receiver->ok = false;
      wake.push(*receiver);
    }
    while (WaitNode* sender = senders_.pop_claimed()) {
      sender->ok = false;
      wake.push(*sender);
    }
  }
  wake.complete_all();
}

// --- calls that do not suspend ------------------------------------------------------------------

namespace {

/// Calls f where the state of the channel may be touched; see owner.hpp.
template <class Forget, class F>
void in_own_runtime(std::atomic<std::uint32_t>& owner, SpinLock& lock, Forget&& forget, F&& f) {
  if (at_home(owner)) [[likely]]
    return f();
  call_from_afar(owner, lock, "channel", forget, f);
}

}  // namespace

bool ChannelCore::try_send(void* value) {
  bool took = false;
  bool ok = false;
  in_own_runtime(
      runtime_id_, lock_, [this] { forget_waiters(); },
      [&] {
        lock_.lock();
        took = send_and_unlock(value, ok);
      });
  if (took && !ok) throw_send_on_closed();
  return took;
}

ChannelCore::TryReceive ChannelCore::try_receive(void* slot) {
  bool took = false;
  bool ok = false;
  in_own_runtime(
      runtime_id_, lock_, [this] { forget_waiters(); },
      [&] {
        lock_.lock();
        took = receive_and_unlock(slot, ok);
      });
  if (!took) return TryReceive::empty;
  return ok ? TryReceive::value : TryReceive::closed;
}

void ChannelCore::close() {
  bool already_closed = false;
  in_own_runtime(
      runtime_id_, lock_, [this] { forget_waiters(); }, [&] { close_here(already_closed); });
  if (already_closed) panic("close of closed channel");
}

// --- one case of a wait -------------------------------------------------------------------------

[[gnu::always_inline]] inline bool ChannelCase::try_here(WaitNode*& partner) noexcept {
  return sends() ? core_->send_locked(node.slot, node.ok, partner)
                 : core_->receive_locked(node.slot, node.ok, partner);
}

bool ChannelCase::try_locked(WaitNode*& partner) noexcept { return try_here(partner); }

void ChannelCase::enlist_locked() noexcept {
  core_.keep();
  queue().push_back(node);
}

bool ChannelCase::try_take() {
  if (!core_) return false;
  check_runtime();
  core_->lock_.lock();
  return sends() ? core_->send_and_unlock(node.slot, node.ok)
                 : core_->receive_and_unlock(node.slot, node.ok);
}

Enlist ChannelCase::enlist() {
  if (!core_) return Enlist::waiting;
  check_runtime();
  WaitNode* partner = nullptr;
  {
    SpinGuard guard(core_->lock_);
    // This is the only case of its wait, hence registered nowhere: it may look for a partner, and
    // needs no claim on itself.
    if (!try_here(partner)) {
      enlist_locked();
      return Enlist::waiting;
    }
  }
  if (partner != nullptr) complete(*partner);
  return Enlist::taken;
}

void ChannelCase::withdraw() noexcept {
  if (!core_) return;
  SpinGuard guard(core_->lock_);
  if (node.linked.load(std::memory_order_relaxed)) queue().remove(node);
}

bool ChannelCase::looks_ready() {
  if (!core_) return false;
  SpinGuard guard(core_->lock_);
  return glimpse();
}

// --- plain threads ------------------------------------------------------------------------------

namespace {

struct RawOp {
  using Case = class RawCase;
  CoreRef core;
  void* slot;
  bool send;
};

/// A send from, or a receive into, memory of a plain thread that sleeps meanwhile.
class RawCase final : public ChannelCase {
 public:
  explicit RawCase(RawOp op) noexcept : ChannelCase(std::move(op.core), op.send) {
    node.slot = op.slot;
  }
  bool result() const noexcept { return node.ok; }
};

Task<bool> carry_out(CoreRef core, void* slot, bool send) {
  RawOp op{std::move(core), slot, send};
  co_return co_await std::move(op);
}

bool block_on(ChannelCore* core, void* slot, bool send, const char* what) {
  if (core != nullptr) core->retain();
  CoreHandle handle(core);
  bool ok = false;
  run_for_thread(what, [&]() -> Task<> { ok = co_await carry_out(CoreRef(handle), slot, send); });
  return ok;
}

}  // namespace

bool send_blocking(ChannelCore* core, void* value) {
  return block_on(core, value, true, "send_blocking");
}

bool receive_blocking(ChannelCore* core, void* slot) {
  return block_on(core, slot, false, "recv_blocking");
}

void throw_send_on_closed() { panic("send on closed channel"); }
void throw_close_of_nil() { panic("close of nil channel"); }

}  // namespace ringo::detail
