// The queues of io_uring. The only file that knows liburing, and content with its release 2.3:
// constants that are newer are written here as numbers.
//
// liburing makes and maps the ring and fills in the entries. Entering the kernel is done here: the
// functions of liburing decide on their own whether to enter, once or more often, and with which
// flags, and a turn of a worker shall be one io_uring_enter(2) that always runs deferred work.

#include <liburing.h>

#include <cerrno>

#include "driver/sys.hpp"
#include "driver/uring_ring.hpp"

namespace ringo::detail {
namespace {

static_assert(sizeof(UringRing::Completion) == sizeof(io_uring_cqe));
static_assert(offsetof(UringRing::Completion, result) == offsetof(io_uring_cqe, res));
static_assert(offsetof(UringRing::Completion, flags) == offsetof(io_uring_cqe, flags));
static_assert(UringRing::Completion::flag_buffer == IORING_CQE_F_BUFFER);
static_assert(UringRing::Completion::flag_more == IORING_CQE_F_MORE);
static_assert(IORING_CQE_BUFFER_SHIFT == 16);

// There is no setting to fall back to: a kernel that has DEFER_TASKRUN (6.1) has all of these.
constexpr unsigned setup_flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG |
                                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
constexpr unsigned features_needed = IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL |
                                     IORING_FEAT_POLL_32BITS | IORING_FEAT_EXT_ARG |
                                     IORING_FEAT_CQE_SKIP;

// Linux 6.15: wait without being counted as waiting for a disk. Otherwise an idle worker shows up
// as 100% iowait, and the governor raises the clock for it.
constexpr unsigned feature_no_iowait = 1u << 17;
constexpr unsigned enter_no_iowait = 1u << 7;

constexpr std::uint16_t buffer_group = 0;
constexpr std::int64_t ns_per_s = 1'000'000'000;

}  // namespace

UringRing::UringRing() noexcept = default;

UringRing::~UringRing() { close(); }

int UringRing::open(unsigned sq_entries, unsigned cq_entries) {
  io_uring_params params{};
  params.flags = setup_flags;
  params.cq_entries = cq_entries;
  std::size_t length = sq_entries;
  if (sys::fails(sys::Call::uring_setup, -1, length)) return errno;
  auto ring = std::make_unique<io_uring>();
  const int result = io_uring_queue_init_params(sq_entries, ring.get(), &params);
  if (result < 0) return -result;
  ring_ = std::move(ring);
  if ((params.features & features_needed) != features_needed) return EINVAL;

  static_assert(IORING_SQ_CQ_OVERFLOW == sq_overflow && IORING_SQ_TASKRUN == sq_taskrun);
  sqe_tail_ = &ring_->sq.sqe_tail;
  sq_head_ = ring_->sq.khead;
  sq_flags_ = ring_->sq.kflags;
  cq_head_ = ring_->cq.khead;
  cq_tail_ = ring_->cq.ktail;
  cq_mask_ = ring_->cq.ring_mask;
  completions_ = reinterpret_cast<const Completion*>(ring_->cq.cqes);

  // A forked child must not move the tail of its parent's queue. Failing is harmless.
  io_uring_ring_dontfork(ring_.get());
  // Saves the kernel a look into the table of descriptors. Refused to a thread with 16 rings.
  length = IORING_REGISTER_RING_FDS;
  if (!sys::fails(sys::Call::uring_register, ring_->ring_fd, length) &&
      io_uring_register_ring_fd(ring_.get()) == 1) {
    enter_flags_ = IORING_ENTER_REGISTERED_RING;
  }
  if ((params.features & feature_no_iowait) != 0) wait_flags_ = enter_no_iowait;
  return 0;
}

int UringRing::register_buffers(const void* buffers, unsigned count) {
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(buffers);
  registration.ring_entries = count;
  registration.bgid = buffer_group;
  const int result =
      sys::uring_register(ring_->ring_fd, IORING_REGISTER_PBUF_RING, &registration, 1);
  return result == 0 ? 0 : errno;
}

void UringRing::close() noexcept {
  if (ring_ == nullptr) return;
  io_uring_queue_exit(ring_.get());
  ring_.reset();
}

void UringRing::leak() noexcept {
  // Not for reading again, but so that a leak checker sees that nobody forgot it.
  static std::atomic<io_uring*> last{nullptr};
  last.store(ring_.release(), std::memory_order_relaxed);
}

// ---- submission -------------------------------------------------------------------------------

io_uring_sqe* UringRing::entry() noexcept {
  if (sys::fails(sys::Call::uring_entry)) return nullptr;
  if (io_uring_sqe* const sqe = io_uring_get_sqe(ring_.get())) return sqe;
  if (ring_->cq.ring_entries - completed() < ring_->sq.ring_entries) return nullptr;
  if (enter(unsubmitted(), Wait::no_events, 0) < 0) return nullptr;
  return io_uring_get_sqe(ring_.get());
}

bool UringRing::add_poll(int fd, unsigned events, std::uint64_t user_data) noexcept {
  io_uring_sqe* const sqe = entry();
  if (sqe == nullptr) return false;
  io_uring_prep_poll_add(sqe, fd, events);
  sqe->user_data = user_data;
  return true;
}

bool UringRing::add_multishot_poll(int fd, unsigned events, std::uint64_t user_data) noexcept {
  io_uring_sqe* const sqe = entry();
  if (sqe == nullptr) return false;
  io_uring_prep_poll_multishot(sqe, fd, events);
  sqe->user_data = user_data;
  return true;
}

bool UringRing::add_multishot_receive(int fd, std::uint64_t user_data) noexcept {
  io_uring_sqe* const sqe = entry();
  if (sqe == nullptr) return false;
  io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffer_group;
  sqe->user_data = user_data;
  return true;
}

bool UringRing::add_send(int fd, const void* data, std::size_t size,
                         std::uint64_t user_data) noexcept {
  io_uring_sqe* const sqe = entry();
  if (sqe == nullptr) return false;
  // MSG_WAITALL: one completion for all bytes, however often the kernel has to wait for room.
  io_uring_prep_send(sqe, fd, data, size, MSG_NOSIGNAL | MSG_WAITALL);
  sqe->user_data = user_data;
  return true;
}

bool UringRing::add_cancel(std::uint64_t user_data, std::uint64_t own) noexcept {
  io_uring_sqe* const sqe = entry();
  if (sqe == nullptr) return false;
  io_uring_prep_cancel64(sqe, user_data, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = own;
  return true;
}

bool UringRing::add_cancel_all(std::uint64_t own) noexcept {
  io_uring_sqe* const sqe = entry();
  if (sqe == nullptr) return false;
  io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = own;
  return true;
}

// ---- entering ---------------------------------------------------------------------------------

int UringRing::enter(unsigned submit, Wait wait, std::int64_t timeout_ns) noexcept {
  // What liburing does before entering a ring that has no SQPOLL thread; the array between queue
  // and entries was filled once and for all when the ring was made.
  ring_->sq.sqe_head = ring_->sq.sqe_tail;
  io_uring_smp_store_release(ring_->sq.ktail, ring_->sq.sqe_tail);

  ++enters_;
  unsigned flags = enter_flags_;
  if (wait != Wait::no_events) flags |= IORING_ENTER_GETEVENTS;
  int result;
  if (wait != Wait::one) {
    result = sys::uring_enter(ring_->enter_ring_fd, submit, 0, flags, nullptr, 0);
  } else if (timeout_ns < 0) {
    result = sys::uring_enter(ring_->enter_ring_fd, submit, 1, flags | wait_flags_, nullptr, 0);
  } else {
    __kernel_timespec timeout{timeout_ns / ns_per_s, timeout_ns % ns_per_s};
    io_uring_getevents_arg argument{};
    argument.ts = reinterpret_cast<std::uintptr_t>(&timeout);
    result =
        sys::uring_enter(ring_->enter_ring_fd, submit, 1,
                         flags | wait_flags_ | IORING_ENTER_EXT_ARG, &argument, sizeof argument);
  }
  return result >= 0 ? result : -errno;
}

}  // namespace ringo::detail
