// A pair of io_uring queues: what the driver needs of them, without liburing's names.
//
// To be used by the thread that opened it, and by no other (IORING_SETUP_SINGLE_ISSUER).
// Completions are made only inside enter() with `get_events` (IORING_SETUP_DEFER_TASKRUN).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

struct io_uring;

namespace ringo::detail {

class UringRing {
 public:
  /// A completion, laid out like the kernel's `struct io_uring_cqe`.
  struct Completion {
    std::uint64_t user_data;
    std::int32_t result;
    std::uint32_t flags;

    bool more() const noexcept { return (flags & flag_more) != 0; }
    bool has_buffer() const noexcept { return (flags & flag_buffer) != 0; }
    unsigned buffer() const noexcept { return flags >> 16; }

    static constexpr std::uint32_t flag_buffer = 1u << 0;
    static constexpr std::uint32_t flag_more = 1u << 1;
  };

  UringRing() noexcept;
  UringRing(const UringRing&) = delete;
  UringRing& operator=(const UringRing&) = delete;
  ~UringRing();

  /// Makes the queues. Returns 0 or an errno.
  int open(unsigned sq_entries, unsigned cq_entries);

  /// Registers a ring of provided buffers as group 0. Returns 0 or an errno.
  int register_buffers(const void* ring, unsigned count);

  /// Unmaps and closes. Nothing in flight may be missed afterwards.
  void close() noexcept;

  /// Leaves the queues mapped and open for ever: the kernel is not done with them.
  void leak() noexcept;

  bool is_open() const noexcept { return ring_ != nullptr; }

  // ---- submission ----
  // Each of these writes one entry, or returns false if there is no place for it: the queue is full
  // and could not be handed to the kernel, or the completions of that might overflow the other one.

  /// One completion, when one of the poll(2) events is there.
  bool add_poll(int fd, unsigned events, std::uint64_t user_data) noexcept;

  /// A completion at each new event (edge-triggered), until one without more().
  bool add_multishot_poll(int fd, unsigned events, std::uint64_t user_data) noexcept;

  /// A completion at each arrival on a stream, with a buffer of group 0, until one without more().
  bool add_multishot_receive(int fd, std::uint64_t user_data) noexcept;

  /// A completion when all bytes are in the socket's buffer, or the connection broke. `size` must
  /// fit into 32 bits.
  bool add_send(int fd, const void* data, std::size_t size, std::uint64_t user_data) noexcept;

  /// Cancels the operation of that name. Completes, under the name `own`, only if there is none.
  bool add_cancel(std::uint64_t user_data, std::uint64_t own) noexcept;

  /// Cancels everything. Completes, under the name `own`, only if there is nothing.
  bool add_cancel_all(std::uint64_t own) noexcept;

  /// Entries the kernel has not yet consumed.
  unsigned unsubmitted() const noexcept {
    return *sqe_tail_ - std::atomic_ref(*sq_head_).load(std::memory_order_acquire);
  }

  // ---- entering ----

  enum class Wait : std::uint8_t {
    no_events,  ///< submit only
    no,         ///< submit, and make the completions that are due
    one,        ///< ... and wait for at least one
  };

  /// io_uring_enter(2) with the first `submit` entries; timeout_ns (negative: none) counts for
  /// Wait::one. Returns the number of entries consumed, or the negative of: EINTR, ETIME, EAGAIN
  /// (no memory for a request), EBUSY (completions must be reaped first), or of what a kernel or a
  /// seccomp filter answers that does not let us use the ring at all, EEXIST among them: not the
  /// ring's thread.
  int enter(unsigned submit, Wait wait, std::int64_t timeout_ns) noexcept;

  /// How often it was called.
  std::uint64_t enters() const noexcept { return enters_; }

  // ---- completion ----

  /// Completions ready to be read.
  unsigned completed() const noexcept {
    return std::atomic_ref(*cq_tail_).load(std::memory_order_acquire) - *cq_head_;
  }

  /// Reads the oldest and frees its place. Only if completed() is not 0.
  Completion pop() noexcept {
    const unsigned head = *cq_head_;
    const Completion result = completions_[head & cq_mask_];
    std::atomic_ref(*cq_head_).store(head + 1, std::memory_order_release);
    return result;
  }

  /// The kernel has something that becomes a completion at the next enter().
  bool has_deferred() const noexcept { return (flags() & (sq_overflow | sq_taskrun)) != 0; }

  /// The completion queue was full; what did not fit comes with the next enter().
  bool overflowed() const noexcept { return (flags() & sq_overflow) != 0; }

 private:
  static constexpr unsigned sq_overflow = 1u << 1;
  static constexpr unsigned sq_taskrun = 1u << 2;

  unsigned flags() const noexcept {
    return std::atomic_ref(*sq_flags_).load(std::memory_order_relaxed);
  }
  struct io_uring_sqe* entry() noexcept;

  std::unique_ptr<io_uring> ring_;
  unsigned* sqe_tail_ = nullptr;
  unsigned* sq_head_ = nullptr;
  unsigned* sq_flags_ = nullptr;
  unsigned* cq_head_ = nullptr;
  unsigned* cq_tail_ = nullptr;
  const Completion* completions_ = nullptr;
  unsigned cq_mask_ = 0;
  unsigned enter_flags_ = 0;  // for every io_uring_enter
  unsigned wait_flags_ = 0;   // for those that wait
  std::uint64_t enters_ = 0;
};

}  // namespace ringo::detail
