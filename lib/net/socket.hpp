// What a connection and a listener have in common: a descriptor whose kernel operations belong to
// one worker, its home, while goroutines of all workers use it.
//
// Two sides, each with a lock: `in_` for reading and accepting, `out_` for writing. Who needs both
// takes in_ first. The home is the worker that first arms an operation; only there is the driver
// called. Others leave a wish and post the socket to the home's inbox; as long as a receive stays
// armed, nobody has to.
//
// closed_ is set with both locks held, once. From then on nothing new is armed, so whoever holds a
// lock and sees it false may use the descriptor, and the descriptor is closed when the last
// operation has ended: its number is not used again while the kernel works on it.
//
// Once the runtime is stopping, callbacks fill nothing in: what a waiting frame borrowed from main
// may be gone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <type_traits>

#include <ringo/detail/frame_allocator.hpp>
#include <ringo/detail/spin_lock.hpp>
#include <ringo/detail/timer_node.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/net/address.hpp>
#include <ringo/result.hpp>

#include "driver/driver.hpp"
#include "runtime/external.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

/// How an operation on a socket ended: 0, an errno, or one of these.
inline constexpr int status_eof = -1;
inline constexpr int status_closed = -2;

/// `op` must live for ever; `about` is the address it was about.
Error error_of(int status, const char* op, const net::Address& about) noexcept;

inline constexpr std::int64_t no_deadline = std::numeric_limits<std::int64_t>::max();

/// Waiters whose waits have ended, made ready when all locks are dropped, behind those who are: what
/// a driver has found in one round runs in the order in which it came. One alone runs next, here.
class Wakes {
 public:
  void push(WaitNode& node) noexcept {
    node.next = nullptr;
    (last_ != nullptr ? last_->next : first_) = &node;
    last_ = &node;
  }
  void complete_all() noexcept {
    if (first_ == nullptr) return;
    if (first_ == last_ && Worker::current()->queue_depth() == 0) return complete(*first_);
    for (WaitNode* node = first_; node != nullptr;) {
      WaitNode* const next = node->next;
      complete_at_tail(*node);
      node = next;
    }
  }

 private:
  WaitNode* first_ = nullptr;
  WaitNode* last_ = nullptr;
};

class Socket;

/// Ends the waits of one side when its deadline has come. In a worker's queue only after somebody
/// had to wait under a deadline, and then until it fires: moving a deadline further away, which
/// programs do before each read, costs nothing.
struct DeadlineTimer : TimerNode {
  Socket* socket = nullptr;
  bool out = false;
  bool armed = false;  // in `queue`, or popped from it and about to fire
  WorkerTimers* queue = nullptr;
};

/// One direction of a socket.
struct Side {
  SpinLock lock;
  std::int64_t due = no_deadline;
  std::unique_ptr<DeadlineTimer> timer;  // made with the first deadline

  bool expired() const noexcept { return due != no_deadline && passed(); }

 private:
  bool passed() const noexcept;
};

class Socket : public IoSource, public Resource, protected Message {
 public:
  /// Takes the descriptor over. `address` is what errors are about. On a worker.
  Socket(int descriptor, const net::Address& address);
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  static void* operator new(std::size_t size) { return frame_allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { frame_free(memory, size); }

  void retain() noexcept final;
  void release() noexcept final;

  /// Ends all waits with status_closed and the descriptor as soon as nothing is in flight. Returns
  /// status_closed the second time. Any worker.
  int close() noexcept;
  /// From whichever thread, and whether or not the runtime lives.
  void close_from_anywhere() noexcept;

  /// As Go's SetDeadline: for the operations that wait and for those to come. no_deadline: none.
  int set_deadline(bool in, bool out, std::int64_t due) noexcept;

  /// setsockopt(2) while the socket is open. Returns a status.
  int set_option(int level, int name, int value) noexcept;

  /// Calls f(fd) while the socket is open and cannot be closed; a status.
  template <class F>
  int with_descriptor(F&& f) noexcept {
    SpinGuard guard(out_.lock);
    return closed_ ? status_closed : f(fd);
  }

  int descriptor() noexcept {
    SpinGuard guard(out_.lock);
    return closed_ ? -1 : fd;
  }
  /// The peer's; a listener's own.
  const net::Address& address() const noexcept { return address_; }
  Error error(int status, const char* op) const noexcept { return error_of(status, op, address_); }

 protected:
  virtual ~Socket();

  /// What may be asked of the home worker.
  enum Wish : std::uint32_t {
    wish_in = 1,
    wish_out = 2,
    wish_stop_receive = 4,
    wish_stop_send = 8,
    wish_return = 16,
    wish_close = 32,
  };

  /// The worker this runs on, and whether it is the home; a socket without a home gets this one.
  bool at_home() noexcept {
    Worker* here = Worker::current();
    Worker* home = home_.load(std::memory_order_acquire);
    return home == here || (home == nullptr && settle(here));
  }
  /// Is `here` the home? Not only at an address where one was, of a runtime that has ended.
  bool is_home(const Worker* here) const noexcept {
    return here != nullptr && here == home_.load(std::memory_order_acquire) &&
           here->runtime_id() == runtime_id_;
  }
  Worker& home() const noexcept { return *home_.load(std::memory_order_acquire); }
  bool has_home() const noexcept { return home_.load(std::memory_order_acquire) != nullptr; }
  /// At home. In callbacks from the end of a driver its worker does not know it any more.
  Driver& home_driver() const noexcept { return driver != nullptr ? *driver : home().driver(); }
  /// Whether callbacks must leave frames alone. At home.
  bool stopping() const noexcept { return home().runtime().stopping(); }

  /// Has the home worker call serve(). Not at home; with or without locks.
  void ask(std::uint32_t wishes) noexcept;

  /// At home, without locks: does what was wished for, wish_close excepted.
  virtual void serve(std::uint32_t wishes) noexcept = 0;
  /// Under both locks, once, when closed_ has been set: ends the waits that can end now.
  virtual void end_waits(Wakes& wake) noexcept = 0;
  /// At home (or without one), nothing is in flight any more: lets go what the socket holds.
  virtual void let_go() noexcept {}
  /// Under the side's lock: its deadline has passed.
  virtual void expire(bool out, Wakes& wake) noexcept = 0;
  /// Under the side's lock: does anybody wait there?
  virtual bool waited_for(bool out) const noexcept = 0;

  /// Under the side's lock, before a wait: makes sure that its deadline will be seen to.
  void watch_deadline(Side& side) noexcept {
    if (side.due != no_deadline) arm_deadline(side);
  }

  /// Calls f() on a worker of the socket's runtime: here, if this is one. Not at all once that
  /// runtime has ended, and with it everything f could be about.
  template <class F>
  void in_own_runtime(F&& f) noexcept {
    if (on_worker_thread() && current_runtime_id() == runtime_id_) return f();
    call_own_runtime(
        [](void* context) {
          // Elsewhere if it ended this very moment.
          if (on_worker_thread()) (*static_cast<std::remove_reference_t<F>*>(context))();
        },
        &f);
  }

  /// Last line of each callback: closes the descriptor if that was all.
  void end_callback() noexcept {
    if (stopped && in_flight == 0) [[unlikely]]
      finish_close();
  }

  Side in_;
  Side out_;
  bool closed_ = false;

 private:
  bool settle(Worker* here) noexcept;
  void call_own_runtime(void (*fn)(void*), void* context) noexcept;
  void arm_deadline(Side& side) noexcept;
  void disarm_deadline(Side& side) noexcept;
  static bool keep(TimerNode* node) noexcept;
  static void fired(TimerNode* node) noexcept;
  void close_at_home() noexcept;
  void finish_close() noexcept;
  void runtime_ended() noexcept final;

  // Its maker's, and the runtime's until the descriptor is closed: a thread may drop the last handle
  // when the runtime has shut its door and not yet come to its open sockets.
  std::atomic<std::uint32_t> references_{2};
  std::atomic<std::uint32_t> wishes_{0};
  std::atomic<Worker*> home_{nullptr};
  Runtime* runtime_;
  std::uint32_t runtime_id_;
  net::Address address_;
};

}  // namespace ringo::detail
