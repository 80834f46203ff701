// The io_uring driver.
//
// One ring a worker, used by the worker's thread alone, whose completions are made only inside that
// thread's own io_uring_enter(2). So there is no concurrency in here but the bell.
//
// A source has at most one operation of each kind with the kernel, named by its user_data: the
// address of the source and, in the low bits, the kind. A cancel names an operation by the same
// number. That an address may be freed and used again between writing a cancel and the kernel
// reading it does no harm: entries of the submission queue are consumed in the order in which they
// were written, and a cancel does its work while it is consumed, so a new operation of the same
// name, whose entry is written later, is not there yet to be hit. A cancel that waits in our own
// queue for a place (to_cancel) is withdrawn when its operation ends.
//
// A cancel may miss an operation that is alive: between being woken and waiting again it is in a
// list of the kernel's where no cancel looks (a send that found no room, and then room at once, is
// there when the next entry is read). The cancel then completes with an error, where it says
// nothing if it worked, and does not say whom it meant. So the sources with a cancel under way are
// kept in a list, and after such an error all that are still there are cancelled again.
//
// Receives are multishot and take their buffers from a ring of provided buffers, so an idle
// connection holds none and the kernel knows no address of a socket or a frame. The kernel ends a
// multishot receive for reasons of its own (overflow of the completion queue, no buffer); then it
// is armed again here. Without buffers a receive is starved. It goes on when half of the buffers
// are back, as many receives at once as there are buffers, so that a crowd does not run into
// ENOBUFS again and again; and since others may hold on to buffers for as long as they like, a
// receive that finds less than half at the next poll() goes on "direct": a poll, and then recv(2)
// into memory from the heap. So a slow reader costs the others a detour and never their life.
#pragma once

#include <time.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <thread>

#include "driver/buffer_pool.hpp"
#include "driver/driver.hpp"
#include "driver/source_list.hpp"
#include "driver/uring_options.hpp"
#include "driver/uring_ring.hpp"

namespace ringo::detail {

namespace uring {

inline constexpr unsigned op_in = static_cast<unsigned>(Operation::in);
inline constexpr unsigned op_out = static_cast<unsigned>(Operation::out);
inline constexpr unsigned op_receive = static_cast<unsigned>(Operation::receive);
inline constexpr unsigned op_send = static_cast<unsigned>(Operation::send);

// user_data: an address with one of the four above in its low bits, or one of these alone.
inline constexpr std::uint64_t tag_mask = 7;
inline constexpr std::uint64_t tag_bell = 4;
inline constexpr std::uint64_t tag_cancel = 5;
inline constexpr std::uint64_t tag_probe = 6;
static_assert(alignof(IoSource) > tag_mask);

inline constexpr std::int64_t ns_per_s = 1'000'000'000;
inline constexpr std::int64_t ns_per_ms = 1'000'000;

constexpr std::uint8_t bit(unsigned op) { return static_cast<std::uint8_t>(1u << op); }

inline void set(std::uint8_t& mask, unsigned op) {
  mask = static_cast<std::uint8_t>(mask | bit(op));
}
inline void clear(std::uint8_t& mask, unsigned op) {
  mask = static_cast<std::uint8_t>(mask & ~bit(op));
}

// The lowest operation of a mask, taken out of it.
inline unsigned take_first(std::uint8_t& mask) {
  const auto op = static_cast<unsigned>(std::countr_zero(mask));
  clear(mask, op);
  return op;
}

inline std::uint64_t name_of(IoSource& source, unsigned op) {
  return reinterpret_cast<std::uintptr_t>(&source) | op;
}

inline std::int64_t now_ns() noexcept {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * ns_per_s + now.tv_nsec;
}

// The kernel counts the bytes of one send in 32 bits, and reports them as a signed number.
inline constexpr std::size_t send_limit = std::size_t{1} << 30;

// Errors that end an operation without saying anything about the descriptor. ECANCELED is one if
// nobody here has asked for it.
inline bool is_transient(int result) noexcept {
  return result == -EINTR || result == -EAGAIN || result == -ECANCELED;
}

}  // namespace uring

class UringDriver final : public Driver {
 public:
  UringDriver() = default;
  ~UringDriver() override;

  /// Returns 0, or an errno with `step` naming what failed.
  int open(const UringOptions& options, const char*& step);

  const char* name() const noexcept override { return "uring"; }
  int poll(std::int64_t timeout_ns) override;
  void submit() noexcept override;
  bool may_have_work() noexcept override;
  void wake() noexcept override;
  void want(IoSource& source, Direction direction) override;
  void used_up(IoSource&, Direction) noexcept override {}
  bool has_receive() const noexcept override { return true; }
  void receive(IoSource& source) override;
  void stop_receive(IoSource& source) override;
  void give_back(ReceivedBuffer buffer) noexcept override { pool_.give_back(buffer); }
  bool has_send() const noexcept override { return true; }
  void send(IoSource& source, const std::byte* data, std::size_t size) override;
  void stop_send(IoSource& source) override;
  void stop(IoSource& source) override;
  std::size_t in_flight() const noexcept override { return in_flight_; }

 private:
  int probe();
  void drain();
  int enter(UringRing::Wait wait, unsigned submit, std::int64_t timeout_ns) noexcept;

  // What goes to the kernel.
  void begin(IoSource& source, unsigned op) noexcept;
  void arm(IoSource& source, unsigned op) noexcept;
  bool try_arm(IoSource& source, unsigned op) noexcept;
  void cancel(IoSource& source, unsigned op) noexcept;
  bool try_cancel(IoSource& source, unsigned op) noexcept;
  void end_cancel(IoSource& source, unsigned op) noexcept;
  void cancel_again() noexcept;
  bool to_end(const IoSource& source, unsigned op) const noexcept;
  void arm_bell() noexcept;

  // What waits in the driver.
  void enqueue(IoSource& source) noexcept;
  void answer(IoSource& source, unsigned op, int error) noexcept;
  int run_queue();
  void starve(IoSource& source) noexcept;
  void feed_starved() noexcept;

  // What comes back.
  int reap();
  void complete(const UringRing::Completion& completion);
  void complete_want(IoSource& source, Direction direction, std::int32_t result);
  void complete_receive(IoSource& source, const UringRing::Completion& completion);
  void complete_direct(IoSource& source, std::int32_t result);
  void complete_send(IoSource& source, std::int32_t result);
  void deliver(IoSource& source, ReceivedBuffer buffer, bool again, bool direct);
  void finish(IoSource& source, unsigned op, ReceivedBuffer buffer, int error);
  void finish_send(IoSource& source, std::int64_t result);
  void account_end(IoSource& source, unsigned op) noexcept;

  bool ends(const IoSource& source) const noexcept {
    return source.stopping || source.stopped || closing_;
  }

  UringRing ring_;
  BufferPool pool_;
  bool open_ = false;
  bool closing_ = false;
  bool bell_armed_ = false;
  std::uint64_t in_flight_ = 0;
  SourceList queue_;    // sources with something in to_arm, to_cancel or to_answer
  SourceList starved_;  // receives that found no buffer, and have nothing in those
  CancelLink canceling_{&canceling_, &canceling_};  // sources with something in `canceling`
  bool cancel_missed_ = false;
  std::thread::id owner_ = std::this_thread::get_id();
  std::int64_t slack_ns_ = 0;  // no wait is shorter than this

  // The bell. wake() writes to it only when `rung_` was false, so a crowd of wakers costs one
  // write; it is cleared before poll() returns, and the exchanges order whatever a waker did before
  // wake() before whatever the worker does after that poll().
  alignas(64) std::atomic<bool> rung_{false};
  int bell_ = -1;
};

}  // namespace ringo::detail
