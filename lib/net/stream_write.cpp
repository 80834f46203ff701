// The writing side of a connection, and what both sides share; stream_socket.hpp tells the rules.
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "driver/sys.hpp"
#include "net/stream_socket.hpp"

namespace ringo::detail {

namespace {

// So much is worth a system call of its own: copying takes longer than entering the kernel, and the
// bytes are in the caches now.
constexpr std::size_t large_write = 16 * 1024;

}  // namespace

// --- what a writer does -------------------------------------------------------------------------

bool StreamSocket::begin_write(WriteRequest& request) noexcept {
  SpinGuard guard(out_.lock);
  if (closed_) {
    request.status = status_closed;
    return request.finished = true;
  }
  if (out_.expired()) {
    request.status = ETIMEDOUT;
    return request.finished = true;
  }
  if (request.size == 0) return request.finished = true;
  const bool first = first_write_ == nullptr;
  const bool here = at_home();
  const bool sends = here && home_driver().has_send();
  if (first && (!sends || request.size >= large_write) && send_now(request)) return true;
  (last_write_ != nullptr ? last_write_->next : first_write_) = &request;
  last_write_ = &request;
  watch_deadline(out_);
  if (!first) return false;
  if (sends) {
    in_kernel_ = true;
    home_driver().send(*this, request.data + request.done, request.size - request.done);
  } else if (here) {
    home_driver().want(*this, Direction::out);
  } else {
    ask(wish_out);
  }
  return false;
}

/// send(2) until all is gone or the kernel takes no more. True: finished.
bool StreamSocket::send_now(WriteRequest& request) noexcept {
  for (;;) {
    const ssize_t n = sys::send(fd, request.data + request.done, request.size - request.done,
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      request.done += static_cast<std::size_t>(n);
      if (request.done == request.size) return request.finished = true;
      continue;
    }
    if (n == 0 || errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (Worker::current() == &home()) home_driver().used_up(*this, Direction::out);
      return false;
    }
    request.status = static_cast<std::int16_t>(errno);
    return request.finished = true;
  }
}

void StreamSocket::stop_write(WriteRequest& request, int status) noexcept {
  Wakes wake;
  {
    SpinGuard guard(out_.lock);
    stop_write_locked(request, status, wake);
  }
  wake.complete_all();
}

bool StreamSocket::write_finished(const WriteRequest& request) noexcept {
  SpinGuard guard(out_.lock);
  return request.finished;
}

void StreamSocket::withdraw_writer(WriteRequest& request, WaitNode& node) noexcept {
  SpinGuard guard(out_.lock);
  if (!node.linked.load(std::memory_order_relaxed)) return;
  request.waiter = nullptr;
  node.linked.store(false, std::memory_order_relaxed);
}

int StreamSocket::shutdown_write() noexcept {
  return with_descriptor(
      [](int descriptor) { return sys::shutdown(descriptor, SHUT_WR) == 0 ? 0 : errno; });
}

// --- the list of requests -----------------------------------------------------------------------

/// The request is out of the list, and belongs to its waiter from now on.
void StreamSocket::finish_write(WriteRequest& request, int status, Wakes& wake) noexcept {
  request.status = static_cast<std::int16_t>(status);
  request.finished = true;
  WaitNode* const node = std::exchange(request.waiter, nullptr);
  if (node == nullptr) return;
  // Claim first: once unlinked, a node whose claim is lost may be gone.
  const bool mine = node->seq == 0 || try_claim(node->g, node->seq);
  node->linked.store(false, std::memory_order_release);
  if (mine) wake.push(*node);
}

void StreamSocket::unlink_write(WriteRequest& request) noexcept {
  WriteRequest* before = nullptr;
  for (WriteRequest* one = first_write_; one != &request; one = one->next) before = one;
  (before != nullptr ? before->next : first_write_) = request.next;
  if (last_write_ == &request) last_write_ = before;
}

void StreamSocket::finish_first_write(int status, Wakes& wake) noexcept {
  WriteRequest& request = *first_write_;
  first_write_ = request.next;
  if (first_write_ == nullptr) last_write_ = nullptr;
  finish_write(request, status, wake);
}

/// At home: goes on with the first request.
void StreamSocket::continue_writes(Wakes& wake) noexcept {
  while (first_write_ != nullptr && !in_kernel_ && !closed_) {
    WriteRequest& request = *first_write_;
    if (home_driver().has_send()) {
      in_kernel_ = true;
      return home_driver().send(*this, request.data + request.done, request.size - request.done);
    }
    if (!send_now(request)) return home_driver().want(*this, Direction::out);
    finish_first_write(request.status, wake);
  }
}

void StreamSocket::stop_write_locked(WriteRequest& request, int status, Wakes& wake) noexcept {
  if (request.finished) return;
  if (&request == first_write_ && in_kernel_) {
    if (request.stop_status != 0) return;
    request.stop_status = static_cast<std::int16_t>(status);
    if (at_home()) {
      home_driver().stop_send(*this);
    } else {
      ask(wish_stop_send);
    }
    return;
  }
  const bool was_first = &request == first_write_;
  unlink_write(request);
  finish_write(request, status, wake);
  if (!was_first || first_write_ == nullptr) return;
  if (at_home()) {
    continue_writes(wake);
  } else {
    ask(wish_out);
  }
}

// --- the driver's callbacks ---------------------------------------------------------------------

void StreamSocket::on_sent(std::int64_t result) {
  Wakes wake;
  {
    SpinGuard guard(out_.lock);
    in_kernel_ = false;
    if (!stopping()) sent_locked(result, wake);
  }
  wake.complete_all();
  end_callback();
}

void StreamSocket::sent_locked(std::int64_t result, Wakes& wake) noexcept {
  WriteRequest& request = *first_write_;
  if (result > 0) request.done += static_cast<std::size_t>(result);
  if (request.done == request.size) {
    finish_first_write(0, wake);
  } else if (closed_) {
    finish_first_write(status_closed, wake);
  } else if (request.stop_status != 0) {
    finish_first_write(request.stop_status, wake);
  } else if (result == -EAGAIN) {
    // The kernel could not wait for this socket: send(2) goes on when there is room.
    return home_driver().want(*this, Direction::out);
  } else if (result <= 0) {
    finish_first_write(result == 0 ? EPIPE : static_cast<int>(-result), wake);
  }
  continue_writes(wake);
}

void StreamSocket::write_ready(int error, Wakes& wake) noexcept {
  if (closed_ || stopping() || in_kernel_) return;
  if (error != 0) {
    if (error == ECANCELED) return;
    while (first_write_ != nullptr) finish_first_write(error, wake);
    return;
  }
  while (first_write_ != nullptr) {
    WriteRequest& request = *first_write_;
    if (!send_now(request)) return home_driver().want(*this, Direction::out);
    finish_first_write(request.status, wake);
  }
}

void StreamSocket::on_ready(Direction direction, int error) {
  Wakes wake;
  if (direction == Direction::in) {
    SpinGuard guard(in_.lock);
    read_ready(error, wake);
  } else {
    SpinGuard guard(out_.lock);
    if (connector_ != nullptr) {
      complete_connect(error, wake);
    } else {
      write_ready(error, wake);
    }
  }
  wake.complete_all();
  end_callback();
}

// --- for Socket ---------------------------------------------------------------------------------

void StreamSocket::serve(std::uint32_t wishes) noexcept {
  Wakes wake;
  if ((wishes & (wish_in | wish_stop_receive | wish_return)) != 0) {
    SpinGuard guard(in_.lock);
    while (!returned_.empty()) drop_chunk(returned_.pop_front());
    if (!stopping()) {
      if ((wishes & wish_stop_receive) != 0 && live_ && !armed_) home_driver().stop_receive(*this);
      arm_read();
    }
  }
  if ((wishes & (wish_out | wish_stop_send)) != 0 && !stopping()) {
    SpinGuard guard(out_.lock);
    if (in_kernel_) {
      if (first_write_->stop_status != 0) home_driver().stop_send(*this);
    } else {
      continue_writes(wake);
    }
  }
  wake.complete_all();
}

void StreamSocket::end_waits(Wakes& wake) noexcept {
  fail_readers(status_closed, wake);
  WriteRequest* rest = in_kernel_ ? std::exchange(first_write_->next, nullptr)
                                  : std::exchange(first_write_, nullptr);
  last_write_ = first_write_;
  while (rest != nullptr) {
    WriteRequest* const next = rest->next;
    finish_write(*rest, status_closed, wake);
    rest = next;
  }
  if (connector_ != nullptr) complete_connect(status_closed, wake);
}

void StreamSocket::expire(bool out, Wakes& wake) noexcept {
  if (!out) return fail_readers(ETIMEDOUT, wake);
  WriteRequest* rest = in_kernel_ ? std::exchange(first_write_->next, nullptr)
                                  : std::exchange(first_write_, nullptr);
  last_write_ = first_write_;
  while (rest != nullptr) {
    WriteRequest* const next = rest->next;
    finish_write(*rest, ETIMEDOUT, wake);
    rest = next;
  }
  if (in_kernel_) stop_write_locked(*first_write_, ETIMEDOUT, wake);
}

void StreamSocket::let_go() noexcept {
  SpinGuard guard(in_.lock);
  while (!ahead_.empty()) drop_chunk(ahead_.pop_front());
}

// --- connecting ---------------------------------------------------------------------------------

bool StreamSocket::connect_done(int& status) noexcept {
  SpinGuard guard(out_.lock);
  status = closed_ ? status_closed : connect_status_;
  return connected_ || closed_;
}

void StreamSocket::complete_connect(int error, Wakes& wake) noexcept {
  WaitNode* const node = std::exchange(connector_, nullptr);
  if (!closed_ && stopping()) return;
  if (error == 0) {
    socklen_t size = sizeof error;
    if (sys::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  }
  connected_ = true;
  connect_status_ = error;
  const bool mine = node->seq == 0 || try_claim(node->g, node->seq);
  node->linked.store(false, std::memory_order_release);
  if (mine) wake.push(*node);
}

void StreamSocket::withdraw_connect(WaitNode& node) noexcept {
  SpinGuard guard(out_.lock);
  if (!node.linked.load(std::memory_order_relaxed)) return;
  connector_ = nullptr;
  node.linked.store(false, std::memory_order_relaxed);
}

}  // namespace ringo::detail
