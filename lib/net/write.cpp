// Waiting for a write. The kernel may hold the caller's memory, so a write that is cancelled, or
// whose time is up, is asked to end, and its goroutine goes on when it has.
#include <cerrno>
#include <utility>

#include <ringo/net/tcp.hpp>

#include "net/stream_socket.hpp"

namespace ringo::detail {

namespace {

/// Waits until a write is finished; yields false if the goroutine was cancelled first.
class WriteDone {
 public:
  class Case final : public CaseBase {
   public:
    explicit Case(const WriteDone& op) noexcept : socket_(op.socket_), request_(op.request_) {}
    bool try_take() override { return socket_.write_finished(request_); }
    bool looks_ready() override { return socket_.write_finished(request_); }
    Enlist enlist() override {
      return socket_.enlist_writer(request_, node, [this] { return claim_self(); });
    }
    void withdraw() noexcept override { socket_.withdraw_writer(request_, node); }
    WaitReason reason() const noexcept { return WaitReason::io_wait; }
    bool ends_from_outside() const noexcept override { return true; }
    bool result() const noexcept { return true; }
    bool canceled_result() const noexcept { return false; }

   private:
    StreamSocket& socket_;
    WriteRequest& request_;
  };

  WriteDone(StreamSocket& socket, WriteRequest& request) noexcept
      : socket_(socket), request_(request) {}

 private:
  StreamSocket& socket_;
  WriteRequest& request_;
};

Task<> wait_for_write(StreamSocket& socket, WriteRequest& request, std::int64_t due) {
  int stop = 0;
  if (due == no_deadline) {
    if (!co_await WriteDone(socket, request)) stop = ECANCELED;
  } else {
    try {
      const std::chrono::nanoseconds left(due - clock_now());
      if (!co_await with_timeout(left, WriteDone(socket, request))) stop = ETIMEDOUT;
    } catch (const Canceled&) { stop = ECANCELED; }
  }
  if (stop == 0) co_return;
  socket.stop_write(request, stop);
  const ShieldScope until_it_ends(current_goroutine());
  while (!socket.write_finished(request)) co_await WriteDone(socket, request);
}

}  // namespace

}  // namespace ringo::detail

namespace ringo::net {

using ringo::detail::Goroutine;

WriteOp::Awaiter WriteOp::ringo_await(Goroutine* g) noexcept {
  return Awaiter(g, *this, ringo::detail::no_deadline);
}

WriteOp::Awaiter TimedWrite::ringo_await(Goroutine* g) noexcept {
  return WriteOp::Awaiter(g, op_, due_);
}

void WriteOp::Awaiter::begin() noexcept {
  begun_ = true;
  ringo::detail::WriteRequest& request = op_.request_;
  if (std::exchange(request.awaited, true) || op_.socket_.get() == nullptr) {
    request.status = ringo::detail::status_closed;
    request.finished = true;
  } else if (g_->guarded && ringo::detail::cancellation_pending(g_)) [[unlikely]] {
    request.status = ECANCELED;
    request.finished = true;
  } else {
    // Not looked at `finished` here: it is another worker's, once the write has begun.
    finished_ = op_.socket_->begin_write(request);
    return;
  }
  finished_ = true;
}

bool WriteOp::Awaiter::await_ready() noexcept {
  if (g_->budget <= 0) [[unlikely]]
    return false;
  --g_->budget;
  begin();
  return finished_;
}

/// What to await before the result, if anything. The write may have begun: nothing can fail any more.
Task<> WriteOp::Awaiter::suspend() noexcept {
  if (!begun_) {
    begin();
    if (finished_) {
      // It has run for long enough: it keeps what it got, and the others go first.
      ringo::detail::reschedule(g_);
      return {};
    }
  }
  return ringo::detail::wait_for_write(*op_.socket_.get(), op_.request_, due_);
}

Result<std::size_t> WriteOp::Awaiter::await_resume() {
  if (wait_) wait_->await_resume();
  const ringo::detail::WriteRequest& request = op_.request_;
  if (op_.written_ != nullptr) *op_.written_ = request.done;
  if (request.status == 0) [[likely]]
    return request.done;
  if (op_.socket_.get() == nullptr) return ringo::detail::error_of(request.status, "write", {});
  return op_.socket_->error(request.status, "write");
}

}  // namespace ringo::net
