#include "driver/uring_driver.hpp"

#include <sys/prctl.h>

#include <algorithm>
#include <cassert>
#include <string>

#include "base/log.hpp"
#include "driver/sys.hpp"
#include "driver/uring_failure.hpp"

namespace ringo::detail {

using namespace uring;

namespace {

// How much longer than it asked for this thread's sleep may take in epoll_wait(2) and the like:
// prctl(2), 50 us if nobody set it. A wait in io_uring_enter(2) takes no notice of it.
std::int64_t timer_slack() noexcept {
  const int slack = ::prctl(PR_GET_TIMERSLACK);
  return slack > 0 ? slack : 0;
}

}  // namespace

// ---- setting up -------------------------------------------------------------------------------

int UringDriver::open(const UringOptions& options, const char*& step) {
  step = "io_uring_setup";
  if (const int error = ring_.open(options.sq_entries, options.cq_entries)) return error;
  step = "io_uring_register";
  if (const int error = pool_.open(options.buffers, options.buffer_size)) return error;
  if (const int error = ring_.register_buffers(pool_.ring(), pool_.count())) return error;
  step = "eventfd";
  // In blocking mode, like the sockets: on old kernels an operation on a descriptor in non-blocking
  // mode may end with EAGAIN.
  bell_ = sys::eventfd(0, EFD_CLOEXEC);
  if (bell_ < 0) return errno;
  step = "io_uring_enter";
  if (const int error = probe()) return error;
  arm_bell();
  slack_ns_ = timer_slack();
  open_ = true;
  return 0;
}

// A setup that succeeds promises nothing: seccomp filters and emulated kernels may refuse what
// comes after it. So the first thing received is a byte of our own, by all the means of a driver:
// a provided buffer, a multishot receive, its cancel, and a wait with a timeout.
int UringDriver::probe() {
  struct Pair {
    int fds[2] = {-1, -1};
    ~Pair() {
      if (fds[0] < 0) return;
      ::close(fds[0]);
      ::close(fds[1]);
    }
  } pair;
  if (sys::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.fds) != 0) return errno;

  UringRing::Completion completion{};
  const auto next = [&]() -> int {
    const std::int64_t deadline = now_ns() + ns_per_s;
    for (;;) {
      while (ring_.completed() != 0) {
        completion = ring_.pop();
        if (completion.user_data == tag_probe) return 0;
      }
      const std::int64_t left = deadline - now_ns();
      if (left <= 0) return ETIME;
      const int entered = enter(UringRing::Wait::one, ring_.unsubmitted(), left);
      if (entered < 0 && entered != -EINTR && entered != -ETIME) return -entered;
    }
  };

  const char byte = 'r';
  if (sys::write(pair.fds[1], &byte, 1) != 1) return EIO;
  if (!ring_.add_multishot_receive(pair.fds[0], tag_probe)) return EBUSY;
  if (const int error = next()) return error;
  if (completion.result < 0) return -completion.result;
  if (completion.result != 1 || !completion.has_buffer()) return EIO;
  const ReceivedBuffer buffer = pool_.take(completion.buffer(), 1);
  const bool right = *buffer.data == std::byte{'r'};
  pool_.give_back(buffer);
  if (!right || !completion.more()) return EIO;

  if (!ring_.add_cancel(tag_probe, tag_cancel)) return EBUSY;
  if (const int error = next()) return error;
  return completion.result == -ECANCELED ? 0 : EIO;
}

// ---- taking down ------------------------------------------------------------------------------

UringDriver::~UringDriver() {
  closing_ = true;
  if (open_) drain();
  if (in_flight_ != 0 || bell_armed_) {
    // The kernel still has operations that name our sources and buffers. What it may write to or
    // report on must stay as it is: the ring, the buffers, the bell, and the sources (nobody calls
    // release() for these) are given up, not freed.
    ring_.leak();
    pool_.leak();
    log_error("io_uring: " + std::to_string(in_flight_) +
              " operations did not end within a second of being cancelled; their memory is leaked");
    return;
  }
  ring_.close();  // before the buffers go
  if (bell_ >= 0) ::close(bell_);
}

// Cancels everything, and makes the last callbacks, until nothing is in flight or a second is over.
void UringDriver::drain() {
  const std::int64_t deadline = now_ns() + ns_per_s;
  for (;;) {
    while (IoSource* const source = starved_.pop_front()) {
      source->starved = false;
      answer(*source, op_receive, ECANCELED);
    }
    run_queue();
    if ((in_flight_ == 0 && !bell_armed_) || now_ns() >= deadline) return;
    ring_.add_cancel_all(tag_cancel);
    const int entered = enter(UringRing::Wait::one, ring_.unsubmitted(), 10 * ns_per_ms);
    const int reaped = reap();
    if (entered == -EEXIST) return;  // not the ring's thread: it cannot be emptied from here
    if (entered < 0 && reaped == 0) std::this_thread::yield();
  }
}

// ---- the interface ----------------------------------------------------------------------------

int UringDriver::poll(std::int64_t timeout_ns) {
  assert(owner_ == std::this_thread::get_id());
  // Going to sleep and being woken cost more than what is due within microseconds. Where many
  // timers are, the next one always is.
  if (timeout_ns > 0) timeout_ns = std::max(timeout_ns, slack_ns_);
  int handled = queue_.empty() ? 0 : run_queue();
  if (!starved_.empty()) feed_starved();
  arm_bell();  // if it finds no entry, this turn must not wait

  std::int64_t deadline = 0;
  for (;;) {
    const unsigned submit = ring_.unsubmitted();
    const bool wait =
        timeout_ns != 0 && handled == 0 && ring_.completed() == 0 && queue_.empty() && bell_armed_;
    if (ring_.overflowed()) ++stats_.overflows;
    if (submit == 0 && !wait && !ring_.has_deferred()) break;
    if (wait && timeout_ns > 0 && deadline == 0) deadline = now_ns() + timeout_ns;
    const int entered =
        enter(wait ? UringRing::Wait::one : UringRing::Wait::no, submit, timeout_ns);
    if (!wait || ring_.completed() != 0 || entered == -ETIME) break;
    if (entered == -EAGAIN || entered == -EBUSY) {
      // Nothing is submitted for want of memory, and nothing there to reap: a pause, then again.
      const std::int64_t pause = timeout_ns > 0 ? std::min(timeout_ns, ns_per_ms) : ns_per_ms;
      enter(UringRing::Wait::one, 0, pause);
      if (ring_.completed() != 0) break;
    }
    // A signal, or the timeout after something was submitted.
    if (timeout_ns > 0) {
      timeout_ns = deadline - now_ns();
      if (timeout_ns <= 0) break;
    }
  }
  handled += reap();
  stats_.enters = ring_.enters();
  return handled;
}

void UringDriver::submit() noexcept {
  // What the kernel does not take now stays queued.
  if (const unsigned queued = ring_.unsubmitted()) enter(UringRing::Wait::no_events, queued, 0);
}

bool UringDriver::may_have_work() noexcept {
  return ring_.completed() != 0 || !queue_.empty() || ring_.unsubmitted() != 0 ||
         ring_.has_deferred();
}

void UringDriver::wake() noexcept {
  if (rung_.exchange(true, std::memory_order_acq_rel)) return;
  // In a signal handler errno belongs to the code that was interrupted.
  const int saved = errno;
  const std::uint64_t one = 1;
  // Directly, not through the place for faults: a wake-up that fails is a hang. It cannot fail but
  // by a signal, and the counter is far from full.
  while (::write(bell_, &one, sizeof one) < 0 && errno == EINTR) {}
  errno = saved;
}

// The owner is told about this operation later, and lives until then.
void UringDriver::begin(IoSource& source, unsigned op) noexcept {
  source.driver = this;
  source.retain();
  ++source.in_flight;
  ++in_flight_;
  if (source.stopped) return answer(source, op, ECANCELED);
  arm(source, op);
}

void UringDriver::want(IoSource& source, Direction direction) {
  assert(owner_ == std::this_thread::get_id());
  const auto op = static_cast<unsigned>(direction);
  if (source.wanted[op] || closing_) return;
  source.wanted[op] = true;
  begin(source, op);
}

void UringDriver::receive(IoSource& source) {
  assert(owner_ == std::this_thread::get_id());
  if (closing_) return;
  if (!source.receiving) {
    source.receiving = true;
    return begin(source, op_receive);
  }
  if (!source.stopping || source.stopped) return;
  // Takes a stop back. If its cancel is under way already, the receive will end with an ECANCELED
  // that nobody asks for any more, and be armed again.
  source.stopping = false;
  clear(source.to_cancel, op_receive);
  if ((source.to_answer & bit(op_receive)) != 0) {
    clear(source.to_answer, op_receive);
    source.direct = false;
    arm(source, op_receive);
  }
}

void UringDriver::stop_receive(IoSource& source) {
  if (!source.receiving || source.stopping) return;
  source.stopping = true;
  cancel(source, op_receive);
}

void UringDriver::send(IoSource& source, const std::byte* data, std::size_t size) {
  assert(owner_ == std::this_thread::get_id());
  assert(!source.sending && size != 0);
  if (closing_) return;
  source.sending = true;
  source.send_data = data;
  source.send_size = std::min(size, send_limit);
  begin(source, op_send);
}

void UringDriver::stop_send(IoSource& source) {
  if (!source.sending || source.ending_send) return;
  source.ending_send = true;
  cancel(source, op_send);
}

void UringDriver::stop(IoSource& source) {
  if (source.stopped) return;
  source.stopped = true;
  stop_send(source);
  if (source.wanted[0]) cancel(source, op_in);
  if (source.wanted[1]) cancel(source, op_out);
  stop_receive(source);
}

// ---- making one -------------------------------------------------------------------------------

namespace {

// Smaller and smaller rings for those whose RLIMIT_MEMLOCK is spent: divisors of the sizes asked
// for. The completion queue is the largest part and goes first.
struct Shrink {
  unsigned sq, cq, buffers;
};
constexpr Shrink shrinks[] = {{1, 1, 1}, {1, 4, 1}, {1, 8, 1}, {4, 32, 1}, {4, 32, 4}};

UringOptions shrunk(const UringOptions& options, const Shrink& by) {
  UringOptions result = options;
  result.sq_entries = std::max(options.sq_entries / by.sq, 1u);
  result.cq_entries = std::max(options.cq_entries / by.cq, 2 * result.sq_entries);
  result.buffers = std::max(options.buffers / by.buffers, 1u);
  return result;
}

}  // namespace

std::unique_ptr<Driver> make_uring_driver(const UringOptions& options, DriverFailure& failure) {
  const char* step = "";
  int error = 0;
  // The kernel gives locked memory back some time after a ring was closed, so a program that is
  // started again at once may be short of it for a moment: hence a second round.
  for (int round = 0; round < 2; ++round) {
    for (const Shrink& by : shrinks) {
      const UringOptions smaller = shrunk(options, by);
      auto driver = std::make_unique<UringDriver>();
      error = driver->open(smaller, step);
      if (error == 0) {
        if (by.cq != 1) {
          log_debug("io_uring: RLIMIT_MEMLOCK allows only a ring of " +
                    std::to_string(smaller.sq_entries) + " and " +
                    std::to_string(smaller.cq_entries) + " entries with " +
                    std::to_string(smaller.buffers) + " buffers");
        }
        return driver;
      }
      if (error != ENOMEM) break;
    }
    if (error != ENOMEM) break;
    const timespec moment{0, 2 * ns_per_ms};
    if (round == 0) ::nanosleep(&moment, nullptr);
  }
  failure = describe_uring_failure(step, error);
  return nullptr;
}

std::unique_ptr<Driver> make_uring_driver(DriverFailure& failure) {
  return make_uring_driver(UringOptions{}, failure);
}

}  // namespace ringo::detail
