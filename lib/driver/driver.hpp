// The one interface between ringo and a kernel. Below it stand uring_driver.hpp and epoll.cpp (and,
// later, a simulated kernel); above it nobody knows which one runs.
//
// Ownership, the rule everything in net/ rests on:
//
//   * What is in flight belongs to an IoSource, which lives in a reference-counted socket (or a
//     heap object), never in a coroutine frame. Received bytes come in buffers of the driver;
//     accepting is a system call made when the driver says the descriptor is ready. The only memory
//     of others that the kernel ever knows is what send() is given, and it knows it until
//     on_sent().
//   * An operation is over only when its own last completion has been reaped. Stopping one is a
//     request. Until then `in_flight` counts it and the source must stay alive: the driver calls
//     retain() when it arms something and release() after its last callback for it.
//   * A driver belongs to one worker: every member function but wake() is called on that worker's
//     thread, and callbacks come only from inside poll(), never from inside want() or receive().
//     So a caller may hold its own lock while it arms.
//   * Nothing is ever dropped because a queue is full: requests that find no room wait in the
//     driver and are retried each turn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace ringo::detail {

class Driver;

/// Direction of readiness.
enum class Direction : std::uint8_t { in = 0, out = 1 };

/// Bytes the kernel wrote into one of the driver's buffers. Belongs to the callee of on_received()
/// from then on, who must hand it back with Driver::give_back() on the worker it came from.
struct ReceivedBuffer {
  std::byte* data = nullptr;
  std::uint32_t size = 0;
  std::uint16_t id = 0;
};

/// What an IoSource can have in flight, one of each at most. The numbers are bits of the masks
/// below and, in uring_driver.hpp, the low bits of user_data.
enum class Operation : std::uint8_t { in = 0, out = 1, receive = 2, send = 3 };

constexpr Operation operation_of(Direction direction) noexcept {
  return static_cast<Operation>(direction);
}

/// A place in a driver's list; see source_list.hpp.
struct SourceLink {
  SourceLink* next = nullptr;  ///< null while in no list
  SourceLink* prev = nullptr;
};

/// A place in the uring driver's list of sources with a cancel under way.
struct CancelLink {
  CancelLink* cancel_next = nullptr;  ///< null while not in it
  CancelLink* cancel_prev = nullptr;
};

/// A descriptor as a driver sees it: embedded in a socket, or in the heap object of a readable(fd).
/// The owner fills fd and one_shot; the rest up to the virtuals is the driver's. A source that was
/// ever given to want() or receive() must go through stop() before the descriptor is closed and
/// before its memory is freed, since a driver may have the descriptor registered.
class alignas(8) IoSource : public SourceLink, public CancelLink {
 public:
  int fd = -1;

  /// Last callbacks that are outstanding: one for each want(), one for a receive() and one for a
  /// send(). The driver holds one retain() for each.
  std::uint32_t in_flight = 0;

  /// Driver on which the operations of this source run, set by the first want()/receive(); all
  /// later ones must go to the same driver (its worker's thread).
  Driver* driver = nullptr;

  bool one_shot = false;  ///< set by the owner: not ringo's own descriptor, so it may be closed or
                          ///< duplicated behind our back; no lasting registration

  // Driver state that owners may read, on the driver's thread.
  bool wanted[2] = {false, false};  ///< a want() is not yet answered, per Direction
  bool ready[2] = {false, false};   ///< epoll: an edge was seen and not used up, per Direction
  bool hangup = false;       ///< epoll: the peer has shut down its side (EPOLLRDHUP, EPOLLHUP): a
                             ///< short read is not the end, and no edge will come for the end
  bool receiving = false;    ///< a receive() has its last callback outstanding
  bool stopping = false;     ///< ... and stop_receive() asked it to end
  bool stopped = false;      ///< stop() was called: whatever is asked for now is refused
  bool sending = false;      ///< a send() has its on_sent() outstanding
  bool ending_send = false;  ///< ... and stop_send() asked it to end

  // Driver state that nobody else reads. The masks have a bit for each Operation.
  bool registered = false;  ///< epoll: the descriptor is in the epoll set
  bool starved = false;     ///< uring: the receive waits for buffers
  bool direct = false;  ///< uring: the receive is a poll, recv(2) follows (see uring_driver.hpp)
  std::uint8_t to_arm = 0;      ///< uring: waits for a place in the submission queue
  std::uint8_t to_cancel = 0;   ///< uring: so does its cancel
  std::uint8_t canceling = 0;   ///< uring: the kernel was asked to cancel it, and it has not ended
  std::uint8_t to_answer = 0;   ///< the last callback is due, with answer[]
  std::int16_t answer[4] = {};  ///< its errno, per Operation
  const std::byte* send_data = nullptr;  ///< what send() was given
  std::size_t send_size = 0;

  /// The direction asked for by want() may be ready now (it may also be a false alarm), or failed
  /// (error: an errno, ECANCELED after stop()). One call per want().
  virtual void on_ready(Direction direction, int error) = 0;

  /// A receive() brought something: bytes (error 0, size > 0), the end of the stream (error 0,
  /// size 0, no buffer, `more` false), or an errno (no buffer, `more` false; ECANCELED when the
  /// receive was stopped). `more` says whether there will be another call for this receive; bytes
  /// may come with the last one.
  virtual void on_received(ReceivedBuffer buffer, int error, bool more) = 0;

  /// A send() is over, and the kernel is done with its memory: the number of bytes it took, which
  /// are all of them unless the send was stopped or the connection broke in the middle, or -errno
  /// (-ECANCELED when it was stopped before it took any; -EAGAIN: use want(out) and send(2)).
  virtual void on_sent(std::int64_t result) { static_cast<void>(result); }

  /// Keep the owner alive while something is in flight, and let it go.
  virtual void retain() noexcept = 0;
  virtual void release() noexcept = 0;

 protected:
  ~IoSource() = default;
};

/// How a driver counts its work; read by metrics and tests.
struct DriverStats {
  std::uint64_t enters = 0;       ///< io_uring_enter(2), epoll_wait(2)
  std::uint64_t completions = 0;  ///< completions or events handled
  std::uint64_t cancels = 0;      ///< cancel requests issued
  std::uint64_t no_buffers = 0;   ///< receives that found no buffer
  std::uint64_t overflows = 0;    ///< completion queue overflows seen
  std::uint64_t bells = 0;        ///< wake-ups received through wake()
  std::uint64_t rearms = 0;       ///< operations armed again after the kernel had ended them
  std::uint64_t direct = 0;       ///< arrivals that went to the heap for want of buffers
};

class Driver {
 public:
  /// On the worker's thread, like all but wake(). Ends what is in flight: every source gets its
  /// last callbacks, from inside, with ECANCELED unless something happened; requests made by them
  /// are dropped. Buffers must have been given back.
  virtual ~Driver() = default;

  /// "uring" or "epoll".
  virtual const char* name() const noexcept = 0;

  /// Submits what is queued, handles what has completed (running the callbacks), and if nothing
  /// had completed waits up to timeout_ns for something (0: does not wait; negative: no limit), or
  /// as much longer as the thread's timer slack allows (PR_SET_TIMERSLACK of prctl(2)). Returns the
  /// number of completions handled, the bell included; EINTR is handled inside.
  virtual int poll(std::int64_t timeout_ns) = 0;

  /// Submits what is queued, and leaves what has completed to the next poll().
  virtual void submit() noexcept {}

  /// Cheap look, without a system call if possible, whether poll(0) would find something. Used
  /// while spinning before sleep.
  virtual bool may_have_work() noexcept = 0;

  /// Ends a poll() that waits, or the next one. From any thread and from signal handlers.
  virtual void wake() noexcept = 0;

  /// Asks for one on_ready(direction). A second want() before the answer changes nothing. After
  /// stop() the answer is ECANCELED.
  virtual void want(IoSource& source, Direction direction) = 0;

  /// The caller met EAGAIN in this direction (or, reading a stream whose source does not say
  /// `hangup`, a short count): what the driver remembered of its readiness is used up. Called on
  /// the driver's thread with no poll() between the system call and this one, otherwise an edge
  /// that came in between would be forgotten; a caller on another thread leaves it out and calls
  /// want() alone, at the price of a false alarm.
  virtual void used_up(IoSource& source, Direction direction) noexcept = 0;

  /// True if receive() is supported; otherwise want(in) and recv(2) are the way.
  virtual bool has_receive() const noexcept = 0;

  /// Receives from a stream socket into the driver's buffers until stopped, ended or failed:
  /// on_received() per arrival. When the driver's buffers are used up a receive pauses, and goes on
  /// by itself. The owner bounds what it holds: past its limit it calls stop_receive(), for the
  /// driver feeds those whom others leave without buffers from the heap.
  virtual void receive(IoSource& source) = 0;

  /// Asks a receive to end. Bytes may still arrive, before its last on_received (more == false) or
  /// with it; what is not delivered stays in the socket. A receive() before that last call takes
  /// the stop back, and no last call comes for it.
  virtual void stop_receive(IoSource& source) = 0;

  /// Returns a buffer given to on_received(). Also from inside on_received().
  virtual void give_back(ReceivedBuffer buffer) noexcept = 0;

  /// True if send() is supported; otherwise send(2), and want(out) for what it does not take.
  virtual bool has_send() const noexcept { return false; }

  /// Sends `size` bytes (at least 1) on a stream socket, submitted with what else this turn has for
  /// the kernel; on_sent() follows. One at a time per source. The memory must stay as it is until
  /// then, also after stop_send() and stop(). After stop() the answer is -ECANCELED.
  virtual void send(IoSource& source, const std::byte* data, std::size_t size) {
    static_cast<void>(source), static_cast<void>(data), static_cast<void>(size);
  }

  /// Asks a send to end soon with what the kernel took by then.
  virtual void stop_send(IoSource& source) { static_cast<void>(source); }

  /// The owner is closing the descriptor: ends everything this source has in flight (each want(),
  /// receive() and send() still gets its last callback, from poll(), with ECANCELED unless it
  /// happened) and forgets the descriptor. close(2) is allowed when in_flight is 0, at the latest
  /// after those callbacks.
  virtual void stop(IoSource& source) = 0;

  /// Operations in flight on this driver, the bell not counted.
  virtual std::size_t in_flight() const noexcept = 0;

  const DriverStats& stats() const noexcept { return stats_; }

 protected:
  DriverStats stats_;
};

/// Why a driver could not be made.
struct DriverFailure {
  int error = 0;        ///< errno
  std::string message;  ///< one sentence that names the cause and what to do
};

/// Makes an io_uring driver for the calling thread, or null with the reason. Refused with EPERM or
/// ENOSYS by seccomp, sysctl or an old kernel, with EINVAL by one before Linux 6.1, with ENOMEM for
/// want of RLIMIT_MEMLOCK (after smaller rings were tried).
std::unique_ptr<Driver> make_uring_driver(DriverFailure& failure);

/// Makes an epoll driver for the calling thread, or null with the reason (EMFILE, ENOMEM).
std::unique_ptr<Driver> make_epoll_driver(DriverFailure& failure);

}  // namespace ringo::detail
