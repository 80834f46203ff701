// The io_uring driver's way to the kernel: what is armed and cancelled, and what waits for that.
#include <poll.h>

#include <cassert>
#include <cstdlib>
#include <utility>

#include "base/log.hpp"
#include "driver/uring_driver.hpp"
#include "driver/uring_failure.hpp"

namespace ringo::detail {

using namespace uring;

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

}  // namespace ringo::detail
