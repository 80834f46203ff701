// A connection: what has come and nobody has read yet, who waits to read, and what is to be sent.
//
// Reading. Where the driver receives by itself (io_uring), a receive stays armed and bytes come in
// the driver's buffers: into the span of the first reader, or to `ahead_` if nobody waits. When
// more is held than a reader should be behind (limits below), the receive is stopped, and armed
// again by the next reader who finds nothing; so a peer that sends faster than it is read meets a
// full TCP window. Where it does not (epoll), and for large transfers everywhere, a reader asks for
// readiness, and then recv(2) puts the bytes where it wants them (`direct_`), when its turn comes:
// what is received long before it is looked at has left the cache.
//
// Order. All bytes in ahead_ come before those in the kernel, and recv(2) is called only while no
// receive is alive (`live_`), whose bytes would come later though they are earlier.
// While bytes are in ahead_ nobody waits.
//
// A reader in a wait of several cases, or of a goroutine that can be cancelled, must be claimed
// before its memory is touched, and its claim may fail: so its bytes are received elsewhere first.
//
// Writing. Writes are whole and in the order in which they came: a list of requests, the first one
// at work. With a driver that sends, it is in the kernel's hands (`in_kernel_`) and its memory may
// not go away before on_sent(); otherwise, and before that if it is large, send(2) takes what it
// takes, and the rest follows when there is room.
#pragma once

#include <cstddef>
#include <cstdint>

#include <ringo/net/waiters.hpp>

#include "net/chunk_queue.hpp"
#include "net/socket.hpp"

namespace ringo::detail {

class StreamSocket final : public Socket {
 public:
  using Socket::Socket;

  // --- reading; all without locks, on any worker
  bool try_read(ReadWaiter& waiter) noexcept;
  bool looks_readable() noexcept;
  template <class ClaimSelf>
  Enlist enlist_reader(WaitNode& node, ClaimSelf&& claim_self) noexcept {
    SpinGuard guard(in_.lock);
    auto& waiter = *static_cast<ReadWaiter*>(node.slot);
    if (node.seq == 0) {
      if (try_read_locked(waiter)) return Enlist::taken;
    } else if (can_read_now(waiter)) {
      if (!claim_self()) return Enlist::lost;
      try_read_locked(waiter);
      return Enlist::taken;
    }
    wait_to_read(node);
    return Enlist::waiting;
  }
  void withdraw_reader(WaitNode& node) noexcept;
  void take_back(const Chunk& chunk) noexcept;

  // --- writing; all without locks, on any worker
  /// Begins a write. True if it is finished, well or not; otherwise the request must stay where it
  /// is until it is.
  bool begin_write(WriteRequest& request) noexcept;
  /// Ends a write early. It may end later, and differently.
  void stop_write(WriteRequest& request, int status) noexcept;
  bool write_finished(const WriteRequest& request) noexcept;
  template <class ClaimSelf>
  Enlist enlist_writer(WriteRequest& request, WaitNode& node, ClaimSelf&& claim_self) noexcept {
    SpinGuard guard(out_.lock);
    if (request.finished) return claim_self() ? Enlist::taken : Enlist::lost;
    request.waiter = &node;
    node.linked.store(true, std::memory_order_relaxed);
    return Enlist::waiting;
  }
  void withdraw_writer(WriteRequest& request, WaitNode& node) noexcept;
  int shutdown_write() noexcept;

  // --- connecting, before anything else: waits until the descriptor is writable
  bool connect_done(int& status) noexcept;
  template <class ClaimSelf>
  Enlist enlist_connect(WaitNode& node, ClaimSelf&& claim_self) noexcept {
    SpinGuard guard(out_.lock);
    if (connected_ || closed_) return claim_self() ? Enlist::taken : Enlist::lost;
    connector_ = &node;
    node.linked.store(true, std::memory_order_relaxed);
    if (at_home()) home_driver().want(*this, Direction::out);
    return Enlist::waiting;
  }
  void withdraw_connect(WaitNode& node) noexcept;

 private:
  ~StreamSocket() override;

  // The driver's callbacks.
  void on_ready(Direction direction, int error) override;
  void on_received(ReceivedBuffer buffer, int error, bool more) override;
  void on_sent(std::int64_t result) override;

  // Socket
  void serve(std::uint32_t wishes) noexcept override;
  void end_waits(Wakes& wake) noexcept override;
  void let_go() noexcept override;
  void expire(bool out, Wakes& wake) noexcept override;
  bool waited_for(bool out) const noexcept override {
    return out ? first_write_ != nullptr : !readers_.empty();
  }

  // Reading, under in_.lock.
  bool receives() const noexcept { return driver_receives_ && !direct_; }
  bool can_read_now(const ReadWaiter& waiter) const noexcept;
  bool try_read_locked(ReadWaiter& waiter) noexcept;
  void wait_to_read(WaitNode& node) noexcept;
  void look_out() noexcept;
  void arm_read() noexcept;
  void pause_receive() noexcept;
  void go_direct() noexcept;
  void take_ahead(ReadWaiter& waiter) noexcept;
  std::size_t hand_out(const std::byte* data, std::size_t size, Wakes& wake) noexcept;
  void drop_chunk(const Chunk& chunk) noexcept;
  void fail_readers(int status, Wakes& wake) noexcept;
  void end_reading(int status, Wakes& wake) noexcept;
  bool receive_directly(ReadWaiter& waiter) noexcept;
  int receive_into(void* data, std::size_t size, std::size_t& got) noexcept;
  void note_direct(std::size_t got, std::size_t asked) noexcept;
  bool wake_to_receive(Wakes& wake) noexcept;
  void read_ready(int error, Wakes& wake) noexcept;

  // Writing, under out_.lock.
  void continue_writes(Wakes& wake) noexcept;
  void complete_connect(int error, Wakes& wake) noexcept;
  bool send_now(WriteRequest& request) noexcept;
  void finish_first_write(int status, Wakes& wake) noexcept;
  void finish_write(WriteRequest& request, int status, Wakes& wake) noexcept;
  void unlink_write(WriteRequest& request) noexcept;
  void stop_write_locked(WriteRequest& request, int status, Wakes& wake) noexcept;
  void sent_locked(std::int64_t result, Wakes& wake) noexcept;
  void write_ready(int error, Wakes& wake) noexcept;

  // Under in_.lock.
  WaitQueue readers_;
  ChunkQueue ahead_;
  ChunkQueue returned_;           // the driver's, on their way home
  int read_end_ = 0;              // status of all reads to come, once ahead_ is empty
  bool driver_receives_ = false;  // known when somebody has waited
  bool armed_ = false;            // the receive goes on
  bool live_ = false;             // ... or its last callback is still to come
  bool direct_ = false;
  bool more_ = false;             // recv(2) is worth a try
  bool large_ = false;            // the last bytes that came were many
  std::uint8_t small_reads_ = 0;  // in a row, in direct mode

  // Under out_.lock.
  bool in_kernel_ = false;
  WriteRequest* first_write_ = nullptr;
  WriteRequest* last_write_ = nullptr;
  WaitNode* connector_ = nullptr;
  bool connected_ = false;
  int connect_status_ = 0;
};

}  // namespace ringo::detail
