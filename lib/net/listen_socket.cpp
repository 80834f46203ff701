#include "net/listen_socket.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include <ringo/time.hpp>

#include "driver/sys.hpp"

namespace ringo::detail {

namespace {

constexpr std::int64_t shortest_pause = 5'000'000;
constexpr std::int64_t longest_pause = 1'000'000'000;

/// The connection is gone, or a signal came; another one may be there.
bool is_of_the_connection(int error) noexcept {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

/// Nothing is wrong with the listener; something will be free again.
bool is_shortage(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

ListenSocket::ListenSocket(int descriptor, const net::Address& local)
    : Socket(descriptor, local) {
  retry_.socket = this;
  retry_.claim = &ListenSocket::keep;
  retry_.fire = &ListenSocket::try_again;
}

ListenSocket::~ListenSocket() {
  for (const Accepted& one : pending_) sys::close(one.fd);
}

bool ListenSocket::pausing() const noexcept { return pause_ != 0 && clock_now() < paused_until_; }

// --- what an accepter does ----------------------------------------------------------------------

bool ListenSocket::take(AcceptWaiter& waiter) noexcept {
  if (closed_) {
    waiter.status = status_closed;
  } else if (in_.expired()) {
    waiter.status = ETIMEDOUT;
  } else if (!pending_.empty()) {
    waiter.fd = pending_.front().fd;
    waiter.peer = pending_.front().peer;
    pending_.erase(pending_.begin());
  } else {
    return false;
  }
  return true;
}

bool ListenSocket::try_accept(AcceptWaiter& waiter) noexcept {
  SpinGuard guard(in_.lock);
  if (take(waiter)) return true;
  if (pausing()) return false;
  const int status = more_ && waiters_.empty() ? accept_one() : EAGAIN;
  if (status == EAGAIN) {
    look_out();
    return false;
  }
  waiter.status = status;
  return status != 0 || take(waiter);
}

/// Sees to it that connections are noticed, though perhaps nobody is going to wait for one: a
/// select with a default must find it the next time.
void ListenSocket::look_out() noexcept {
  if (at_home()) {
    arm();
  } else {
    ask(wish_in);
  }
}

bool ListenSocket::looks_acceptable() noexcept {
  SpinGuard guard(in_.lock);
  if (closed_ || in_.expired() || !pending_.empty()) return true;
  if (pausing()) return false;
  if (!more_ || !waiters_.empty() || accept_one() == EAGAIN) look_out();
  return !pending_.empty();
}

void ListenSocket::wait(WaitNode& node) noexcept {
  waiters_.push_back(node);
  watch_deadline(in_);
  look_out();
}

void ListenSocket::withdraw(WaitNode& node) noexcept {
  SpinGuard guard(in_.lock);
  if (node.linked.load(std::memory_order_relaxed)) waiters_.remove(node);
}

void ListenSocket::take_back(int descriptor, const net::Address& peer) noexcept {
  {
    SpinGuard guard(in_.lock);
    if (!closed_) {
      pending_.insert(pending_.begin(), Accepted{descriptor, peer});
      return;
    }
  }
  sys::close(descriptor);
}

/// One connection into pending_; 0, EAGAIN if there is none, or an errno.
int ListenSocket::accept_one() noexcept {
  for (;;) {
    sockaddr_in6 peer{};
    socklen_t size = sizeof peer;
    auto* const address = reinterpret_cast<sockaddr*>(&peer);
    const int accepted = sys::accept4(fd, address, &size, SOCK_CLOEXEC);
    if (accepted >= 0) {
      pause_ = 0;
      more_ = true;
      pending_.push_back(Accepted{accepted, net::Address::from_system(address)});
      return 0;
    }
    const int error = errno == EWOULDBLOCK ? EAGAIN : errno;
    if (is_of_the_connection(error)) continue;
    if (error == EAGAIN) {
      more_ = false;
      if (has_home() && Worker::current() == &home()) {
        home_driver().used_up(*this, Direction::in);
      }
    } else if (is_shortage(error)) {
      more_ = true;
      pause_ = std::clamp(2 * pause_, shortest_pause, longest_pause);
      paused_until_ = clock_now() + pause_;
    }
    return error;
  }
}

// --- at home ------------------------------------------------------------------------------------

/// Has the kernel tell us of connections.
void ListenSocket::arm() noexcept {
  if (closed_) return;
  if (!pausing()) return home_driver().want(*this, Direction::in);
  if (retry_.armed) return;
  Worker& worker = home();
  retry_.queue = &worker.timers;
  retry_.when = paused_until_;
  retry_.armed = true;
  worker.timers.insert(retry_, worker.coarse_now());
}

void ListenSocket::fail(int status, Wakes& wake) noexcept {
  while (WaitNode* node = waiters_.pop_claimed()) {
    static_cast<AcceptWaiter*>(node->slot)->status = status;
    wake.push(*node);
  }
}

void ListenSocket::accept_for_waiters(Wakes& wake) noexcept {
  if (waiters_.empty()) {
    more_ = true;
    return;
  }
  while (!waiters_.empty()) {
    if (pending_.empty()) {
      const int status = accept_one();
      if (status == EAGAIN) break;
      if (status != 0) return fail(status, wake);
    }
    WaitNode* const node = waiters_.pop_claimed();
    if (node == nullptr) break;
    take(*static_cast<AcceptWaiter*>(node->slot));
    wake.push(*node);
  }
  if (!waiters_.empty()) arm();
}

void ListenSocket::on_ready(Direction, int error) {
  Wakes wake;
  {
    SpinGuard guard(in_.lock);
    if (!closed_ && !stopping() && error != ECANCELED) {
      if (error != 0) {
        fail(error, wake);
      } else if (pausing()) {
        arm();
      } else {
        accept_for_waiters(wake);
      }
    }
  }
  wake.complete_all();
  end_callback();
}

bool ListenSocket::keep(TimerNode* node) noexcept {
  static_cast<Retry*>(node)->socket->retain();
  return true;
}

void ListenSocket::try_again(TimerNode* node) noexcept {
  ListenSocket& self = *static_cast<Retry*>(node)->socket;
  {
    SpinGuard guard(self.in_.lock);
    self.retry_.armed = false;
    if (!self.waiters_.empty()) self.arm();
  }
  self.release();
}

// --- for Socket ---------------------------------------------------------------------------------

void ListenSocket::serve(std::uint32_t) noexcept {
  SpinGuard guard(in_.lock);
  arm();
}

void ListenSocket::end_waits(Wakes& wake) noexcept {
  fail(status_closed, wake);
  for (const Accepted& one : pending_) sys::close(one.fd);
  pending_.clear();
  if (retry_.armed && retry_.queue->remove(retry_)) retry_.armed = false;
}

void ListenSocket::expire(bool out, Wakes& wake) noexcept {
  if (!out) fail(ETIMEDOUT, wake);
}

}  // namespace ringo::detail
