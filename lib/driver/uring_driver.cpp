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

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "base/log.hpp"
#include "driver/buffer_pool.hpp"
#include "driver/source_list.hpp"
#include "driver/sys.hpp"
#include "driver/uring_failure.hpp"
#include "driver/uring_options.hpp"
#include "driver/uring_ring.hpp"

namespace ringo::detail {
namespace {

constexpr unsigned op_in = static_cast<unsigned>(Operation::in);
constexpr unsigned op_out = static_cast<unsigned>(Operation::out);
constexpr unsigned op_receive = static_cast<unsigned>(Operation::receive);
constexpr unsigned op_send = static_cast<unsigned>(Operation::send);

// user_data: an address with one of the four above in its low bits, or one of these alone.
constexpr std::uint64_t tag_mask = 7;
constexpr std::uint64_t tag_bell = 4;
constexpr std::uint64_t tag_cancel = 5;
constexpr std::uint64_t tag_probe = 6;
static_assert(alignof(IoSource) > tag_mask);

constexpr std::int64_t ns_per_s = 1'000'000'000;
constexpr std::int64_t ns_per_ms = 1'000'000;

constexpr std::uint8_t bit(unsigned op) { return static_cast<std::uint8_t>(1u << op); }

void set(std::uint8_t& mask, unsigned op) { mask = static_cast<std::uint8_t>(mask | bit(op)); }
void clear(std::uint8_t& mask, unsigned op) { mask = static_cast<std::uint8_t>(mask & ~bit(op)); }

// The lowest operation of a mask, taken out of it.
unsigned take_first(std::uint8_t& mask) {
  const auto op = static_cast<unsigned>(std::countr_zero(mask));
  clear(mask, op);
  return op;
}

std::uint64_t name_of(IoSource& source, unsigned op) {
  return reinterpret_cast<std::uintptr_t>(&source) | op;
}

std::int64_t now_ns() noexcept {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * ns_per_s + now.tv_nsec;
}

// The kernel counts the bytes of one send in 32 bits, and reports them as a signed number.
constexpr std::size_t send_limit = std::size_t{1} << 30;

// Errors that end an operation without saying anything about the descriptor. ECANCELED is one if
// nobody here has asked for it.
bool is_transient(int result) noexcept {
  return result == -EINTR || result == -EAGAIN || result == -ECANCELED;
}

class UringDriver final : public Driver {
 public:
  UringDriver() = default;
  ~UringDriver() override;

  /// Returns 0, or an errno with `step` naming what failed.
  int open(const UringOptions& options, const char*& step);

  const char* name() const noexcept override { return "uring"; }
  int poll(std::int64_t timeout_ns) override;
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

  // The bell. wake() writes to it only when `rung_` was false, so a crowd of wakers costs one
  // write; it is cleared before poll() returns, and the exchanges order whatever a waker did before
  // wake() before whatever the worker does after that poll().
  alignas(64) std::atomic<bool> rung_{false};
  int bell_ = -1;
};

// ---- setting up -------------------------------------------------------------------------------

int UringDriver::open(const UringOptions& options, const char*& step) {
  step = "io_uring_setup";
  if (const int error = ring_.open(options.sq_entries, options.cq_entries)) return error;
  step = "io_uring_register";
  if (const int error = pool_.open(options.buffers, options.buffer_size)) return error;
  if (const int error = ring_.register_buffers(pool_.ring(), pool_.count())) return error;
  step = "eventfd";
  // In blocking mode, like the sockets: on old kernels an operation on a descriptor in non-blocking
  // mode may end with EAGAIN.
  bell_ = sys::eventfd(0, EFD_CLOEXEC);
  if (bell_ < 0) return errno;
  step = "io_uring_enter";
  if (const int error = probe()) return error;
  arm_bell();
  open_ = true;
  return 0;
}

// A setup that succeeds promises nothing: seccomp filters and emulated kernels may refuse what
// comes after it. So the first thing received is a byte of our own, by all the means of a driver:
// a provided buffer, a multishot receive, its cancel, and a wait with a timeout.
int UringDriver::probe() {
  struct Pair {
    int fds[2] = {-1, -1};
    ~Pair() {
      if (fds[0] < 0) return;
      ::close(fds[0]);
      ::close(fds[1]);
    }
  } pair;
  if (sys::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.fds) != 0) return errno;

  UringRing::Completion completion{};
  const auto next = [&]() -> int {
    const std::int64_t deadline = now_ns() + ns_per_s;
    for (;;) {
      while (ring_.completed() != 0) {
        completion = ring_.pop();
        if (completion.user_data == tag_probe) return 0;
      }
      const std::int64_t left = deadline - now_ns();
      if (left <= 0) return ETIME;
      const int entered = enter(UringRing::Wait::one, ring_.unsubmitted(), left);
      if (entered < 0 && entered != -EINTR && entered != -ETIME) return -entered;
    }
  };

  const char byte = 'r';
  if (sys::write(pair.fds[1], &byte, 1) != 1) return EIO;
  if (!ring_.add_multishot_receive(pair.fds[0], tag_probe)) return EBUSY;
  if (const int error = next()) return error;
  if (completion.result < 0) return -completion.result;
  if (completion.result != 1 || !completion.has_buffer()) return EIO;
  const ReceivedBuffer buffer = pool_.take(completion.buffer(), 1);
  const bool right = *buffer.data == std::byte{'r'};
  pool_.give_back(buffer);
  if (!right || !completion.more()) return EIO;

  if (!ring_.add_cancel(tag_probe, tag_cancel)) return EBUSY;
  if (const int error = next()) return error;
  return completion.result == -ECANCELED ? 0 : EIO;
}

// ---- taking down ------------------------------------------------------------------------------

UringDriver::~UringDriver() {
  closing_ = true;
  if (open_) drain();
  if (in_flight_ != 0 || bell_armed_) {
    // The kernel still has operations that name our sources and buffers. What it may write to or
    // report on must stay as it is: the ring, the buffers, the bell, and the sources (nobody calls
    // release() for these) are given up, not freed.
    ring_.leak();
    pool_.leak();
    log_error("io_uring: " + std::to_string(in_flight_) +
              " operations did not end within a second of being cancelled; their memory is leaked");
    return;
  }
  ring_.close();  // before the buffers go
  if (bell_ >= 0) ::close(bell_);
}

// Cancels everything, and makes the last callbacks, until nothing is in flight or a second is over.
void UringDriver::drain() {
  const std::int64_t deadline = now_ns() + ns_per_s;
  for (;;) {
    while (IoSource* const source = starved_.pop_front()) {
      source->starved = false;
      answer(*source, op_receive, ECANCELED);
    }
    run_queue();
    if ((in_flight_ == 0 && !bell_armed_) || now_ns() >= deadline) return;
    ring_.add_cancel_all(tag_cancel);
    const int entered = enter(UringRing::Wait::one, ring_.unsubmitted(), 10 * ns_per_ms);
    const int reaped = reap();
    if (entered == -EEXIST) return;  // not the ring's thread: it cannot be emptied from here
    if (entered < 0 && reaped == 0) std::this_thread::yield();
  }
}

// ---- what goes to the kernel ------------------------------------------------------------------

// The number of entries consumed, or -errno: only of what may be met again and again in ordinary
// life, once the ring is known to work.
int UringDriver::enter(UringRing::Wait wait, unsigned submit, std::int64_t timeout_ns) noexcept {
  const int result = ring_.enter(submit, wait, timeout_ns);
  if (result >= 0 || result == -EINTR || result == -ETIME || result == -EAGAIN ||
      result == -EBUSY || !open_ || closing_) {
    return result;
  }
  if (result == -EBADR) {
    log_error("io_uring: the kernel had no memory to keep completions and has dropped some");
  } else if (result == -EEXIST) {
    log_error("io_uring: a driver was used on a thread that is not its own");
  } else {
    log_error(describe_uring_failure("io_uring_enter", -result).message);
  }
  std::abort();
}

bool UringDriver::try_arm(IoSource& source, unsigned op) noexcept {
  const std::uint64_t name = name_of(source, op);
  bool done;
  if (op == op_out) {
    done = ring_.add_poll(source.fd, POLLOUT, name);
  } else if (op == op_send) {
    done = ring_.add_send(source.fd, source.send_data, source.send_size, name);
  } else if (op == op_in || source.direct) {
    done = ring_.add_poll(source.fd, POLLIN | POLLRDHUP, name);
  } else {
    done = ring_.add_multishot_receive(source.fd, name);
  }
  if (done) {
    clear(source.to_arm, op);
    end_cancel(source, op);  // of the one before
  }
  return done;
}

void UringDriver::arm(IoSource& source, unsigned op) noexcept {
  if (try_arm(source, op)) return;
  set(source.to_arm, op);
  enqueue(source);
}

bool UringDriver::try_cancel(IoSource& source, unsigned op) noexcept {
  if (!ring_.add_cancel(name_of(source, op), tag_cancel)) return false;
  clear(source.to_cancel, op);
  set(source.canceling, op);
  if (source.cancel_next == nullptr) {
    source.cancel_prev = canceling_.cancel_prev;
    source.cancel_next = &canceling_;
    canceling_.cancel_prev->cancel_next = &source;
    canceling_.cancel_prev = &source;
  }
  ++stats_.cancels;
  return true;
}

void UringDriver::end_cancel(IoSource& source, unsigned op) noexcept {
  if (source.canceling == 0) return;
  clear(source.canceling, op);
  if (source.canceling != 0) return;
  source.cancel_prev->cancel_next = source.cancel_next;
  source.cancel_next->cancel_prev = source.cancel_prev;
  source.cancel_next = source.cancel_prev = nullptr;
}

// Is the operation, which is with the kernel, wanted no more?
bool UringDriver::to_end(const IoSource& source, unsigned op) const noexcept {
  if (op == op_receive) return source.stopping || source.stopped;
  if (op == op_send) return source.ending_send || source.stopped;
  return source.stopped;
}

void UringDriver::cancel_again() noexcept {
  cancel_missed_ = false;
  for (CancelLink* link = canceling_.cancel_next; link != &canceling_; link = link->cancel_next) {
    auto& source = *static_cast<IoSource*>(link);
    for (std::uint8_t left = source.canceling; left != 0;) {
      const unsigned op = take_first(left);
      if (to_end(source, op)) cancel(source, op);
    }
  }
}

// Makes the last callback of an operation come, wherever the operation is now.
void UringDriver::cancel(IoSource& source, unsigned op) noexcept {
  const std::uint8_t mask = bit(op);
  if (((source.to_answer | source.to_cancel) & mask) != 0) return;
  if ((source.to_arm & mask) != 0) {
    clear(source.to_arm, op);
    answer(source, op, ECANCELED);
  } else if (op == op_receive && source.starved) {
    source.starved = false;
    if (is_linked(source)) unlink(source);
    answer(source, op, ECANCELED);
  } else if (!try_cancel(source, op)) {
    set(source.to_cancel, op);
    enqueue(source);
  }
}

void UringDriver::arm_bell() noexcept {
  // Multishot, and so edge-triggered: it completes at each write, and nobody needs to read the
  // counter, which would overflow after 2^64 wake-ups.
  if (!bell_armed_) bell_armed_ = ring_.add_multishot_poll(bell_, POLLIN, tag_bell);
}

// ---- what waits in the driver -----------------------------------------------------------------

void UringDriver::enqueue(IoSource& source) noexcept {
  // One that is linked is in the queue already, or in a list that run_queue() is working on, or
  // among the starved, and the queue goes before.
  if (is_linked(source)) {
    if (!source.starved) return;
    unlink(source);
  }
  queue_.push_back(source);
}

void UringDriver::answer(IoSource& source, unsigned op, int error) noexcept {
  set(source.to_answer, op);
  source.answer[op] = static_cast<std::int16_t>(error);
  enqueue(source);
}

// Writes entries for what found none before, and makes the callbacks that need no kernel.
int UringDriver::run_queue() {
  SourceList work;
  work.prepend(queue_);
  SourceList blocked;
  bool room = true;
  int handled = 0;
  while (IoSource* const source = work.pop_front()) {
    for (std::uint8_t left = source->to_cancel; room && left != 0;) {
      room = try_cancel(*source, take_first(left));
    }
    for (std::uint8_t left = source->to_arm; room && left != 0;) {
      room = try_arm(*source, take_first(left));
    }
    std::uint8_t answers = std::exchange(source->to_answer, std::uint8_t{0});
    if (source->to_cancel != 0 || source->to_arm != 0) {
      blocked.push_back(*source);
    } else if (source->starved) {
      starved_.push_back(*source);
    }
    // Each callback but the last leaves the source alive: the answers to come hold it.
    while (answers != 0) {
      const unsigned op = take_first(answers);
      ++handled;
      finish(*source, op, {}, source->answer[op]);
    }
  }
  queue_.prepend(blocked);
  return handled;
}

void UringDriver::starve(IoSource& source) noexcept {
  source.starved = true;
  if (!is_linked(source)) starved_.push_back(source);
}

// Lets starved receives go on. Called at the head of poll(), so those it meets starved in an
// earlier one, and sockets have had a turn to give back what they could.
void UringDriver::feed_starved() noexcept {
  const unsigned available = pool_.available();
  const bool enough = available != 0 && available * 2 >= pool_.count();
  for (unsigned fed = 0; !starved_.empty() && (!enough || fed < available); ++fed) {
    IoSource& source = *starved_.pop_front();
    source.starved = false;
    source.direct = !enough;
    ++stats_.rearms;
    arm(source, op_receive);
  }
}

// ---- what comes back --------------------------------------------------------------------------

int UringDriver::reap() {
  // Callbacks may submit, and what completes at once then is left to the next poll().
  const unsigned count = ring_.completed();
  for (unsigned i = 0; i < count; ++i) {
    UringRing::Completion completion = ring_.pop();
    if (sys::Faults* const hook = sys::faults()) [[unlikely]] {
      hook->completion(completion.user_data, completion.result, completion.flags);
    }
    complete(completion);
  }
  stats_.completions += count;
  if (cancel_missed_) cancel_again();
  return static_cast<int>(count);
}

void UringDriver::complete(const UringRing::Completion& completion) {
  const std::uint64_t tag = completion.user_data & tag_mask;
  IoSource* const source = reinterpret_cast<IoSource*>(completion.user_data & ~tag_mask);
  switch (tag) {
    case op_in:
      return complete_want(*source, Direction::in, completion.result);
    case op_out:
      return complete_want(*source, Direction::out, completion.result);
    case op_receive:
      return source->direct ? complete_direct(*source, completion.result)
                            : complete_receive(*source, completion);
    case op_send:
      return complete_send(*source, completion.result);
    case tag_bell:
      if (!completion.more()) bell_armed_ = false;
      if (completion.result < 0) return;
      ++stats_.bells;
      rung_.exchange(false, std::memory_order_acq_rel);
      return;
    default:
      // A cancel, which completes only if it found nothing. Mostly the operation had ended by
      // itself.
      assert(tag == tag_cancel);
      if (completion.result < 0) cancel_missed_ = true;
  }
}

void UringDriver::account_end(IoSource& source, unsigned op) noexcept {
  end_cancel(source, op);
  --in_flight_;
  // With nothing left in flight nothing waits in a queue either, but it may still be linked there.
  if (--source.in_flight == 0 && is_linked(source)) unlink(source);
}

// The place where an operation ends: the source may be gone after it.
void UringDriver::finish(IoSource& source, unsigned op, ReceivedBuffer buffer, int error) {
  if (op == op_send) return finish_send(source, -error);
  account_end(source, op);
  if (op == op_receive) {
    source.receiving = source.stopping = source.direct = false;
    source.on_received(buffer, error, false);
  } else {
    source.wanted[op] = false;
    source.on_ready(static_cast<Direction>(op), error);
  }
  source.release();
}

void UringDriver::finish_send(IoSource& source, std::int64_t result) {
  account_end(source, op_send);
  source.sending = source.ending_send = false;
  source.on_sent(result);
  source.release();
}

void UringDriver::complete_send(IoSource& source, std::int32_t result) {
  clear(source.to_cancel, op_send);
  if (result == -EINTR || result == -ECANCELED) {
    if (!source.ending_send && !source.stopped && !closing_) {
      ++stats_.rearms;
      return arm(source, op_send);
    }
    result = -ECANCELED;
  }
  finish_send(source, result);
}

void UringDriver::complete_want(IoSource& source, Direction direction, std::int32_t result) {
  const auto op = static_cast<unsigned>(direction);
  clear(source.to_cancel, op);
  if (is_transient(result)) {
    if (!source.stopped && !closing_) {
      ++stats_.rearms;
      return arm(source, op);
    }
    result = -ECANCELED;
  }
  finish(source, op, {}, result < 0 ? -result : 0);
}

// Hands over bytes of a receive that goes on. If the kernel has ended it (`again`), it is armed
// anew, but only after the callback, which may want to stop it: until then it counts as waiting for
// an entry.
void UringDriver::deliver(IoSource& source, ReceivedBuffer buffer, bool again, bool direct) {
  if (again) set(source.to_arm, op_receive);
  source.on_received(buffer, 0, true);
  if (!again || (source.to_arm & bit(op_receive)) == 0) return;
  source.direct = direct;
  ++stats_.rearms;
  arm(source, op_receive);
}

void UringDriver::complete_receive(IoSource& source, const UringRing::Completion& completion) {
  std::int32_t result = completion.result;
  ReceivedBuffer buffer;
  if (completion.has_buffer()) {
    buffer = pool_.take(completion.buffer(), result > 0 ? static_cast<unsigned>(result) : 0);
    if (result <= 0) {
      pool_.give_back(buffer);
      buffer = {};
    }
  }
  if (!completion.more()) clear(source.to_cancel, op_receive);
  if (result > 0) {
    // The bytes come first whatever the flags say. Then: the kernel may have ended the receive (the
    // completion queue had overflowed), and if nobody asked it to end it goes on.
    if (completion.more()) return deliver(source, buffer, false, false);
    if (!ends(source)) return deliver(source, buffer, true, false);
    return finish(source, op_receive, buffer, 0);
  }
  assert(!completion.more());
  if (result == -ENOBUFS) {
    ++stats_.no_buffers;
    pool_.ran_out();
    if (!ends(source)) return starve(source);
    result = -ECANCELED;
  } else if (is_transient(result)) {
    if (!ends(source)) {
      // EAGAIN: the kernel could not wait for this socket, or the descriptor is in non-blocking
      // mode on an old kernel. A poll can wait, and does not come back at once with the same.
      source.direct = result == -EAGAIN;
      ++stats_.rearms;
      return arm(source, op_receive);
    }
    result = -ECANCELED;
  }
  finish(source, op_receive, {}, -result);
}

void UringDriver::complete_direct(IoSource& source, std::int32_t result) {
  clear(source.to_cancel, op_receive);
  // Stopped: what is in the socket stays there.
  if (ends(source)) return finish(source, op_receive, {}, ECANCELED);
  if (result < 0) {
    if (!is_transient(result)) return finish(source, op_receive, {}, -result);
    ++stats_.rearms;
    return arm(source, op_receive);
  }
  ReceivedBuffer buffer = pool_.spare();
  if (buffer.data == nullptr) return starve(source);
  const ssize_t size = sys::recv(source.fd, buffer.data, buffer.size, MSG_DONTWAIT);
  if (size > 0) {
    ++stats_.direct;
    buffer.size = static_cast<std::uint32_t>(size);
    return deliver(source, buffer, true, pool_.available() == 0);
  }
  const int error = size == 0 ? 0 : errno;
  pool_.give_back(buffer);
  if (error == EAGAIN || error == EINTR) {
    ++stats_.rearms;
    return arm(source, op_receive);
  }
  finish(source, op_receive, {}, error);
}

// ---- the interface ----------------------------------------------------------------------------

int UringDriver::poll(std::int64_t timeout_ns) {
  assert(owner_ == std::this_thread::get_id());
  int handled = queue_.empty() ? 0 : run_queue();
  if (!starved_.empty()) feed_starved();
  arm_bell();  // if it finds no entry, this turn must not wait

  std::int64_t deadline = 0;
  for (;;) {
    const unsigned submit = ring_.unsubmitted();
    const bool wait =
        timeout_ns != 0 && handled == 0 && ring_.completed() == 0 && queue_.empty() && bell_armed_;
    if (ring_.overflowed()) ++stats_.overflows;
    if (submit == 0 && !wait && !ring_.has_deferred()) break;
    if (wait && timeout_ns > 0 && deadline == 0) deadline = now_ns() + timeout_ns;
    const int entered =
        enter(wait ? UringRing::Wait::one : UringRing::Wait::no, submit, timeout_ns);
    if (!wait || ring_.completed() != 0 || entered == -ETIME) break;
    if (entered == -EAGAIN || entered == -EBUSY) {
      // Nothing is submitted for want of memory, and nothing there to reap: a pause, then again.
      const std::int64_t pause = timeout_ns > 0 ? std::min(timeout_ns, ns_per_ms) : ns_per_ms;
      enter(UringRing::Wait::one, 0, pause);
      if (ring_.completed() != 0) break;
    }
    // A signal, or the timeout after something was submitted.
    if (timeout_ns > 0) {
      timeout_ns = deadline - now_ns();
      if (timeout_ns <= 0) break;
    }
  }
  handled += reap();
  stats_.enters = ring_.enters();
  return handled;
}

bool UringDriver::may_have_work() noexcept {
  return ring_.completed() != 0 || !queue_.empty() || ring_.unsubmitted() != 0 ||
         ring_.has_deferred();
}

void UringDriver::wake() noexcept {
  if (rung_.exchange(true, std::memory_order_acq_rel)) return;
  // In a signal handler errno belongs to the code that was interrupted.
  const int saved = errno;
  const std::uint64_t one = 1;
  // Directly, not through the place for faults: a wake-up that fails is a hang. It cannot fail but
  // by a signal, and the counter is far from full.
  while (::write(bell_, &one, sizeof one) < 0 && errno == EINTR) {}
  errno = saved;
}

// The owner is told about this operation later, and lives until then.
void UringDriver::begin(IoSource& source, unsigned op) noexcept {
  source.driver = this;
  source.retain();
  ++source.in_flight;
  ++in_flight_;
  if (source.stopped) return answer(source, op, ECANCELED);
  arm(source, op);
}

void UringDriver::want(IoSource& source, Direction direction) {
  assert(owner_ == std::this_thread::get_id());
  const auto op = static_cast<unsigned>(direction);
  if (source.wanted[op] || closing_) return;
  source.wanted[op] = true;
  begin(source, op);
}

void UringDriver::receive(IoSource& source) {
  assert(owner_ == std::this_thread::get_id());
  if (closing_) return;
  if (!source.receiving) {
    source.receiving = true;
    return begin(source, op_receive);
  }
  if (!source.stopping || source.stopped) return;
  // Takes a stop back. If its cancel is under way already, the receive will end with an ECANCELED
  // that nobody asks for any more, and be armed again.
  source.stopping = false;
  clear(source.to_cancel, op_receive);
  if ((source.to_answer & bit(op_receive)) != 0) {
    clear(source.to_answer, op_receive);
    source.direct = false;
    arm(source, op_receive);
  }
}

void UringDriver::stop_receive(IoSource& source) {
  if (!source.receiving || source.stopping) return;
  source.stopping = true;
  cancel(source, op_receive);
}

void UringDriver::send(IoSource& source, const std::byte* data, std::size_t size) {
  assert(owner_ == std::this_thread::get_id());
  assert(!source.sending && size != 0);
  if (closing_) return;
  source.sending = true;
  source.send_data = data;
  source.send_size = std::min(size, send_limit);
  begin(source, op_send);
}

void UringDriver::stop_send(IoSource& source) {
  if (!source.sending || source.ending_send) return;
  source.ending_send = true;
  cancel(source, op_send);
}

void UringDriver::stop(IoSource& source) {
  if (source.stopped) return;
  source.stopped = true;
  stop_send(source);
  if (source.wanted[0]) cancel(source, op_in);
  if (source.wanted[1]) cancel(source, op_out);
  stop_receive(source);
}

// ---- making one -------------------------------------------------------------------------------

// Smaller and smaller rings for those whose RLIMIT_MEMLOCK is spent: divisors of the sizes asked
// for. The completion queue is the largest part and goes first.
struct Shrink {
  unsigned sq, cq, buffers;
};
constexpr Shrink shrinks[] = {{1, 1, 1}, {1, 4, 1}, {1, 8, 1}, {4, 32, 1}, {4, 32, 4}};

UringOptions shrunk(const UringOptions& options, const Shrink& by) {
  UringOptions result = options;
  result.sq_entries = std::max(options.sq_entries / by.sq, 1u);
  result.cq_entries = std::max(options.cq_entries / by.cq, 2 * result.sq_entries);
  result.buffers = std::max(options.buffers / by.buffers, 1u);
  return result;
}

}  // namespace

std::unique_ptr<Driver> make_uring_driver(const UringOptions& options, DriverFailure& failure) {
  const char* step = "";
  int error = 0;
  // The kernel gives locked memory back some time after a ring was closed, so a program that is
  // started again at once may be short of it for a moment: hence a second round.
  for (int round = 0; round < 2; ++round) {
    for (const Shrink& by : shrinks) {
      const UringOptions smaller = shrunk(options, by);
      auto driver = std::make_unique<UringDriver>();
      error = driver->open(smaller, step);
      if (error == 0) {
        if (by.cq != 1) {
          log_debug("io_uring: RLIMIT_MEMLOCK allows only a ring of " +
                    std::to_string(smaller.sq_entries) + " and " +
                    std::to_string(smaller.cq_entries) + " entries with " +
                    std::to_string(smaller.buffers) + " buffers");
        }
        return driver;
      }
      if (error != ENOMEM) break;
    }
    if (error != ENOMEM) break;
    const timespec moment{0, 2 * ns_per_ms};
    if (round == 0) ::nanosleep(&moment, nullptr);
  }
  failure = describe_uring_failure(step, error);
  return nullptr;
}

std::unique_ptr<Driver> make_uring_driver(DriverFailure& failure) {
  return make_uring_driver(UringOptions{}, failure);
}

}  // namespace ringo::detail
