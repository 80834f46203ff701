#include "net/socket.hpp"

#include <cerrno>
#include <mutex>

#include <ringo/panic.hpp>
#include <ringo/time.hpp>

#include <ringo/detail/reference_count.hpp>
#include "driver/sys.hpp"
#include "runtime/external.hpp"

namespace ringo::detail {

Error error_of(int status, const char* op, const net::Address& about) noexcept {
  std::error_code code;
  switch (status) {
    case status_eof:
      code = make_error_code(Errc::eof);
      break;
    case status_closed:
      code = make_error_code(Errc::closed);
      break;
    default:
      code = std::error_code(status, std::generic_category());
  }
  return Error(code, op, about.to_string());
}

bool Side::passed() const noexcept { return clock_now() >= due; }

Socket::Socket(int descriptor, const net::Address& address)
    : runtime_(current_runtime()), address_(address) {
  fd = descriptor;
  if (runtime_ == nullptr) panic("sockets are for goroutines: no runtime runs on this thread");
  runtime_id_ = runtime_->id();
  runtime_->add_resource(*this);
}

Socket::~Socket() = default;

void Socket::retain() noexcept { add_reference(references_); }

void Socket::release() noexcept {
  if (drop_reference(references_)) delete this;
}

bool Socket::settle(Worker* here) noexcept {
  if (here == nullptr || &here->runtime() != runtime_) {
    fatal("a socket was used outside of the runtime it was made in");
  }
  Worker* none = nullptr;
  return home_.compare_exchange_strong(none, here, std::memory_order_acq_rel) || none == here;
}

void Socket::ask(std::uint32_t wishes) noexcept {
  if (wishes_.fetch_or(wishes, std::memory_order_acq_rel) != 0) return;
  retain();
  Message::run = [](Worker&, Message* node) noexcept {
    auto* self = static_cast<Socket*>(node);
    const std::uint32_t wished = self->wishes_.exchange(0, std::memory_order_acq_rel);
    if ((wished & ~wish_close) != 0) self->serve(wished);
    if ((wished & wish_close) != 0) self->close_at_home();
    self->release();
  };
  home().post(this);
}

// --- closing ------------------------------------------------------------------------------------

int Socket::close() noexcept {
  Wakes wake;
  {
    std::scoped_lock guard(in_.lock, out_.lock);
    if (closed_) return status_closed;
    closed_ = true;
    end_waits(wake);
    disarm_deadline(in_);
    disarm_deadline(out_);
  }
  if (!has_home()) {
    finish_close();
  } else if (at_home()) {
    close_at_home();
  } else {
    ask(wish_close);
  }
  wake.complete_all();
  return 0;
}

void Socket::close_at_home() noexcept {
  home_driver().stop(*this);
  end_callback();
}

void Socket::finish_close() noexcept {
  if (fd < 0) return;
  let_go();
  sys::close(fd);
  fd = -1;
  runtime_->remove_resource(*this);
  release();  // never the last one: whoever calls has another
}

void Socket::close_from_anywhere() noexcept {
  in_own_runtime([this] { close(); });
}

void Socket::call_own_runtime(void (*fn)(void*), void* context) noexcept {
  if (!runtime_is_alive(runtime_id_)) return;
  try {
    call_on_runtime(runtime_id_, fn, context);
  } catch (const Panic&) {
    // It ended meanwhile.
  }
}

/// Nobody but us is left: no worker, no driver.
void Socket::runtime_ended() noexcept {
  closed_ = true;
  if (fd >= 0) sys::close(fd);
  fd = -1;
  release();
}

// --- deadlines ----------------------------------------------------------------------------------

int Socket::set_deadline(bool in, bool out, std::int64_t due) noexcept {
  int status = 0;
  for (Side* side : {&in_, &out_}) {
    if (side == &in_ ? !in : !out) continue;
    Wakes wake;
    {
      SpinGuard guard(side->lock);
      if (closed_) {
        status = status_closed;
        continue;
      }
      side->due = due;
      if (due == no_deadline) continue;  // an armed timer finds that out when it fires
      const bool is_out = side == &out_;
      if (side->expired()) {
        expire(is_out, wake);
      } else if (waited_for(is_out)) {
        arm_deadline(*side);
      }
    }
    wake.complete_all();
  }
  return status;
}

void Socket::arm_deadline(Side& side) noexcept {
  if (side.timer == nullptr) {
    side.timer = std::make_unique<DeadlineTimer>();
    side.timer->socket = this;
    side.timer->out = &side == &out_;
    side.timer->claim = &Socket::keep;
    side.timer->fire = &Socket::fired;
  }
  DeadlineTimer& timer = *side.timer;
  if (timer.armed) {
    if (timer.when <= side.due) return;       // it fires earlier, and looks again then
    if (!timer.queue->remove(timer)) return;  // it is firing: the same
    timer.queue->idle_gone();
  }
  Worker& worker = *Worker::current();
  timer.queue = &worker.timers;
  timer.when = side.due;
  timer.armed = true;
  worker.timers.idle_inserted();
  worker.timers.insert(timer, worker.coarse_now());
}

void Socket::disarm_deadline(Side& side) noexcept {
  side.due = no_deadline;
  if (side.timer == nullptr || !side.timer->armed) return;
  if (!side.timer->queue->remove(*side.timer)) return;
  side.timer->queue->idle_gone();
  side.timer->armed = false;
}

bool Socket::keep(TimerNode* node) noexcept {
  static_cast<DeadlineTimer*>(node)->socket->retain();
  return true;
}

void Socket::fired(TimerNode* node) noexcept {
  auto* timer = static_cast<DeadlineTimer*>(node);
  Socket& self = *timer->socket;
  Side& side = timer->out ? self.out_ : self.in_;
  Wakes wake;
  {
    SpinGuard guard(side.lock);
    timer->armed = false;
    timer->queue->idle_gone();
    if (side.expired()) {
      self.expire(timer->out, wake);
    } else if (side.due != no_deadline && self.waited_for(timer->out)) {
      self.arm_deadline(side);
    }
  }
  wake.complete_all();
  self.release();
}

// --- options ------------------------------------------------------------------------------------

int Socket::set_option(int level, int name, int value) noexcept {
  return with_descriptor([&](int descriptor) {
    return sys::setsockopt(descriptor, level, name, &value, sizeof value) == 0 ? 0 : errno;
  });
}

}  // namespace ringo::detail
