#include <ringo/readiness.hpp>

#include <poll.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <new>
#include <string_view>
#include <utility>

#include <ringo/detail/frame_allocator.hpp>
#include <ringo/detail/reference_count.hpp>

#include "driver/driver.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

/// What a driver watches for one wait: on the heap, since an answer may be under way when the wait
/// has ended. It is asked once, and its driver is called by its home worker only.
class ReadinessSource final : public IoSource, private Message {
 public:
  ReadinessSource(int descriptor, Worker& home) noexcept : home_(home) {
    fd = descriptor;
    one_shot = true;
  }
  static void* operator new(std::size_t size) { return frame_allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { frame_free(memory, size); }

  void retain() noexcept override { add_reference(references_); }
  void release() noexcept override {
    if (drop_reference(references_)) delete this;
  }

  /// On the home worker, before anybody else knows us.
  void arm(WaitNode& node, Direction direction) {
    waiter_ = &node;
    node.linked.store(true, std::memory_order_relaxed);
    home_.driver().want(*this, direction);
  }

  /// The wait has ended otherwise. Any worker.
  void abandon(WaitNode& node) noexcept {
    {
      SpinGuard guard(lock_);
      if (!node.linked.load(std::memory_order_relaxed)) return;
      waiter_ = nullptr;
      node.linked.store(false, std::memory_order_relaxed);
    }
    if (Worker::current() == &home_) return home_.driver().stop(*this);
    retain();
    run = [](Worker& worker, Message* message) noexcept {
      auto* self = static_cast<ReadinessSource*>(message);
      worker.driver().stop(*self);
      self->release();
    };
    home_.post(this);
  }

  void on_ready(Direction, int error) override {
    // When the runtime stops nobody is resumed any more, and nothing is filled in.
    WaitNode* waiter = nullptr;
    if (!home_.runtime().stopping()) {
      SpinGuard guard(lock_);
      if (waiter_ != nullptr) {
        WaitNode& node = *std::exchange(waiter_, nullptr);
        // Claim first: once it is no longer linked, a node whose claim is lost may be gone.
        if (node.seq == 0 || try_claim(node.g, node.seq)) {
          *static_cast<int*>(node.slot) = error;
          waiter = &node;
        }
        node.linked.store(false, std::memory_order_release);
      }
    }
    driver->stop(*this);  // the driver forgets the descriptor
    if (waiter != nullptr) complete(*waiter);
  }

  void on_received(ReceivedBuffer, int, bool) override {}

 private:
  ~ReadinessSource() = default;

  Worker& home_;
  std::atomic<std::uint32_t> references_{1};
  SpinLock lock_;
  WaitNode* waiter_ = nullptr;
};

ReadinessCase::~ReadinessCase() {
  if (source_ == nullptr) return;
  if (node.linked.load(std::memory_order_acquire)) withdraw();
  source_->release();
}

/// Asks poll(2), which also knows what is no descriptor: that counts as ready, with an error.
bool ReadinessCase::looks_ready() {
  if (fd_ < 0) {
    error_ = EBADF;  // poll(2) would skip it
    return true;
  }
  pollfd ask{};
  ask.fd = fd_;
  ask.events = static_cast<short>(write_ ? POLLOUT : POLLIN | POLLRDHUP);
  if (::poll(&ask, 1, 0) <= 0) return false;
  error_ = (ask.revents & POLLNVAL) != 0 ? EBADF : 0;
  return true;
}

Enlist ReadinessCase::enlist() {
  try {
    source_ = new ReadinessSource(fd_, *node.g->worker);
  } catch (const std::bad_alloc&) {
    if (!claim_self()) return Enlist::lost;
    error_ = ENOMEM;
    return Enlist::taken;
  }
  source_->arm(node, write_ ? Direction::out : Direction::in);
  return Enlist::waiting;
}

void ReadinessCase::withdraw() noexcept { source_->abandon(node); }

Result<void> ReadinessCase::failed(int error) const noexcept {
  char text[20] = "fd ";
  char* end = std::to_chars(text + 3, text + sizeof text, fd_).ptr;
  return Error::from_errno(error, write_ ? "writable" : "readable",
                           std::string_view(text, static_cast<std::size_t>(end - text)));
}

Result<void> ReadinessCase::result() const noexcept {
  return error_ == 0 ? Result<void>() : failed(error_);
}

Result<void> ReadinessCase::canceled_result() const noexcept { return failed(ECANCELED); }

}  // namespace ringo::detail
