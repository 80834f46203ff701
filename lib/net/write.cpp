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
using ringo::detail::WriteRequest;

WriteOp::Awaiter WriteOp::ringo_await(Goroutine* g) noexcept {
  return Awaiter(g, *this, ringo::detail::no_deadline);
}

WriteOp::Awaiter TimedWrite::ringo_await(Goroutine* g) noexcept {
  return WriteOp::Awaiter(g, op_, ringo::detail::due_in(limit_));
}

void WriteOp::Awaiter::begin() noexcept {
  WriteRequest& request = op_.request_;
  request.begun = WriteRequest::Begun::at_once;
  if (std::exchange(request.awaited, true) || op_.socket_.get() == nullptr) {
    request.status = ringo::detail::status_closed;
  } else if (node.g->guarded && ringo::detail::cancellation_pending(node.g)) [[unlikely]] {
    request.status = ECANCELED;
  } else {
    // Not looked at `finished` here: it is another worker's, once the write has begun.
    if (!op_.socket_->begin_write(request)) request.begun = WriteRequest::Begun::goes_on;
    return;
  }
  request.finished = true;
}

bool WriteOp::Awaiter::await_ready() noexcept {
  if (node.g->budget <= 0) [[unlikely]]
    return false;
  --node.g->budget;
  begin();
  return op_.request_.begun == WriteRequest::Begun::at_once;
}

/// Waits, or gives the Task to await. The write may have begun: nothing can fail any more.
Task<> WriteOp::Awaiter::suspend() noexcept {
  Goroutine* const g = node.g;
  if (op_.request_.begun == WriteRequest::Begun::no) {
    begin();
    if (op_.request_.begun == WriteRequest::Begun::at_once) {
      // It has run for long enough: it keeps what it got, and the others go first.
      ringo::detail::reschedule(g);
      return {};
    }
  }
  if (g->guarded || due_ != ringo::detail::no_deadline) {
    return ringo::detail::wait_for_write(*op_.socket_.get(), op_.request_, due_);
  }
  g->reason.store(ringo::detail::WaitReason::io_wait, std::memory_order_relaxed);
  g->wait = this;
  if (enlist() != ringo::detail::Enlist::waiting) ringo::detail::reschedule(g);
  return {};
}

bool WriteOp::Awaiter::try_take() { return op_.socket_->write_finished(op_.request_); }

bool WriteOp::Awaiter::looks_ready() { return op_.socket_->write_finished(op_.request_); }

ringo::detail::Enlist WriteOp::Awaiter::enlist() {
  return op_.socket_->enlist_writer(op_.request_, node, [this] { return claim_self(); });
}

void WriteOp::Awaiter::withdraw() noexcept { op_.socket_->withdraw_writer(op_.request_, node); }

bool WriteOp::Awaiter::ask_to_end() noexcept {
  op_.socket_->stop_write(op_.request_, ECANCELED);
  return true;
}

Result<std::size_t> WriteOp::Awaiter::await_resume() {
  if (op_.request_.by_task) rest_.await_resume();
  const WriteRequest& request = op_.request_;
  if (op_.written_ != nullptr) *op_.written_ = request.done;
  if (request.status == 0) [[likely]]
    return request.done;
  if (op_.socket_.get() == nullptr) return ringo::detail::error_of(request.status, "write", {});
  return op_.socket_->error(request.status, "write");
}

}  // namespace ringo::net
