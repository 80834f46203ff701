// The io_uring driver's way back from the kernel: what completions mean, and who is told.
#include <cassert>

#include "driver/sys.hpp"
#include "driver/uring_driver.hpp"

namespace ringo::detail {

using namespace uring;

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

}  // namespace ringo::detail
