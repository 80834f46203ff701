// A raw io_uring echo server, without ringo: what the kernel can do, and where the figures come
// from that ringo's driver is built on. The flags select the ways there are to receive, to answer
// and to wait; the defaults are the best of them (README.md beside this file has the comparison).
//
// Receiving. Buffers come from one ring of provided buffers, which the kernel fills when bytes
// have come, so an idle connection holds none. "multishot" is armed once; "oneshot" again after
// each arrival, and asks the kernel to wait first (POLL_FIRST), as there is hardly ever something
// at once; "eager" is the same without that.
//
// Answering. Received buffers wait in a queue of their connection until they are sent and go back
// to the kernel then, so nothing is ever copied or allocated. When all completions of a turn have
// been looked at, each connection's buffers are sent together: by a system call at once ("direct",
// which needs the ring only for what the peer does not take), or as an operation ("ring").
//
// A peer that sends and never reads holds buffers, in the end all of them. A library has to see to
// that; this reference does not.
#include "buffer_ring.hpp"
#include "options.hpp"
#include "server_socket.hpp"

#include <liburing.h>
#include <poll.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using bench::BufferRing;
using bench::die;

struct Settings {
  long port = 0;
  std::string receive = "multishot";
  std::string send = "ring";
  std::string wait = "liburing";
  long wait_nr = 1;
  long buffers = 256;
  long buffer_size = 32 << 10;
};

constexpr unsigned submission_entries = 256;
constexpr unsigned completion_entries = 4096;
constexpr std::uint32_t none = ~std::uint32_t{0};

enum class Kind : std::uint8_t { accept, receive, send, stop };

std::uint64_t tag(Kind kind, int fd) {
  return static_cast<std::uint64_t>(kind) << 32 | static_cast<std::uint32_t>(fd);
}

struct Connection {
  bool open = false;
  bool receiving = false;      // a receive is armed
  bool sending = false;        // a send operation is in flight
  bool ended = false;          // nothing will be received any more
  bool starved = false;        // on the list of those that wait for buffers
  bool unanswered = false;     // on the list of those that got something this turn
  std::uint32_t first = none;  // buffers received and not yet sent, in order
  std::uint32_t last = none;
};

struct Message {
  msghdr header{};
  std::array<iovec, 64> parts;
};

class Server {
 public:
  explicit Server(const Settings& s)
      : multishot_(s.receive == "multishot"),
        poll_first_(s.receive == "oneshot"),
        direct_(s.send == "direct"),
        raw_wait_(s.wait == "raw"),
        wait_nr_(static_cast<unsigned>(s.wait_nr)),
        stop_(bench::stop_signal()),
        connections_(bench::raise_open_files()) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                       IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                       IORING_SETUP_TASKRUN_FLAG;
    parameters.cq_entries = completion_entries;
    int error = io_uring_queue_init_params(submission_entries, &ring_, &parameters);
    if (error < 0) die("io_uring_queue_init_params", -error);
    error = io_uring_register_ring_fd(&ring_);
    if (error < 0) die("io_uring_register_ring_fd", -error);

    buffers_.emplace(ring_, s.buffers, s.buffer_size);
    next_.assign(static_cast<std::size_t>(s.buffers), none);
    filled_.resize(static_cast<std::size_t>(s.buffers));
    sent_.resize(static_cast<std::size_t>(s.buffers));

    listener_ = bench::listen_on_loopback(s.port, 0);
    arm_accept();
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_poll_add(sqe, stop_, POLLIN);
    io_uring_sqe_set_data64(sqe, tag(Kind::stop, stop_));
  }

  void run() {
    while (!stopping_) {
      wait();
      unsigned head = 0;
      unsigned count = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++count;
        complete(*cqe);
      }
      io_uring_cq_advance(&ring_, count);
      for (const int fd : unanswered_) {
        at(fd).unanswered = false;
        answer(fd);
      }
      unanswered_.clear();
      buffers_->publish();
      feed_starved();
    }
    io_uring_queue_exit(&ring_);
  }

 private:
  // --- the ring -------------------------------------------------------------------------------

  void wait() {
    if (!raw_wait_) {
      io_uring_cqe* cqe = nullptr;
      __kernel_timespec limit{1, 0};
      const int result = io_uring_submit_and_wait_timeout(&ring_, &cqe, wait_nr_, &limit, nullptr);
      if (result < 0 && result != -ETIME && result != -EINTR && result != -EBUSY) {
        die("io_uring_submit_and_wait_timeout", -result);
      }
      return;
    }
    // The same by hand: publish the submissions, one io_uring_enter with the time limit in it.
    const unsigned submit = ring_.sq.sqe_tail - ring_.sq.sqe_head;
    if (submit != 0) {
      ring_.sq.sqe_head = ring_.sq.sqe_tail;
      io_uring_smp_store_release(ring_.sq.ktail, ring_.sq.sqe_tail);
    }
    __kernel_timespec limit{1, 0};
    io_uring_getevents_arg argument{};
    argument.ts = reinterpret_cast<std::uint64_t>(&limit);
    const long result =
        syscall(__NR_io_uring_enter, ring_.enter_ring_fd, submit, wait_nr_,
                IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | IORING_ENTER_REGISTERED_RING,
                &argument, sizeof argument);
    if (result < 0 && errno != ETIME && errno != EINTR && errno != EBUSY) die("io_uring_enter");
  }

  io_uring_sqe* next_sqe() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      const int result = io_uring_submit(&ring_);
      if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN) {
        die("io_uring_submit", -result);
      }
      sqe = io_uring_get_sqe(&ring_);
    }
    return sqe;
  }

  void complete(const io_uring_cqe& cqe) {
    const int fd = static_cast<int>(cqe.user_data & 0xffffffff);
    switch (static_cast<Kind>(cqe.user_data >> 32)) {
      case Kind::accept:
        accepted(cqe);
        break;
      case Kind::receive:
        received(fd, cqe);
        break;
      case Kind::send:
        sent(fd, cqe.res);
        break;
      case Kind::stop:
        stopping_ = true;
        break;
    }
  }

  // --- accepting ------------------------------------------------------------------------------

  void arm_accept() {
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_multishot_accept(sqe, listener_, nullptr, nullptr, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, tag(Kind::accept, listener_));
    accepting_ = true;
  }

  void accepted(const io_uring_cqe& cqe) {
    if (cqe.res >= 0) {
      connections_[static_cast<std::size_t>(cqe.res)] = Connection{};
      connections_[static_cast<std::size_t>(cqe.res)].open = true;
      arm_receive(cqe.res);
    }
    if ((cqe.flags & IORING_CQE_F_MORE) != 0) return;
    accepting_ = false;
    // With no descriptor left, the next close arms it again.
    if (cqe.res == -EMFILE || cqe.res == -ENFILE) return;
    if (cqe.res < 0 && cqe.res != -ECONNABORTED && cqe.res != -EINTR && cqe.res != -EAGAIN) {
      die("accept", -cqe.res);
    }
    arm_accept();
  }

  // --- receiving ------------------------------------------------------------------------------

  Connection& at(int fd) { return connections_[static_cast<std::size_t>(fd)]; }

  void arm_receive(int fd) {
    io_uring_sqe* sqe = next_sqe();
    if (multishot_) {
      io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
    } else {
      io_uring_prep_recv(sqe, fd, nullptr, buffers_->size(), 0);
      if (poll_first_) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BufferRing::group;
    io_uring_sqe_set_data64(sqe, tag(Kind::receive, fd));
    at(fd).receiving = true;
  }

  void received(int fd, const io_uring_cqe& cqe) {
    Connection& c = at(fd);
    c.receiving = (cqe.flags & IORING_CQE_F_MORE) != 0;
    if (cqe.res > 0) {
      buffers_->taken();
      queue(c, cqe.flags >> IORING_CQE_BUFFER_SHIFT, static_cast<std::uint32_t>(cqe.res));
      if (!c.unanswered) {
        c.unanswered = true;
        unanswered_.push_back(fd);
      }
      if (!c.receiving && !c.ended) arm_receive(fd);
      return;
    }
    if (cqe.res == -ENOBUFS) {
      if (!c.receiving) starve(fd);
      return;
    }
    if (cqe.res == -EINTR || cqe.res == -EAGAIN) {
      if (!c.receiving) arm_receive(fd);
      return;
    }
    c.ended = true;  // the end of the stream, or a broken one
    close_if_done(fd);
  }

  void starve(int fd) {
    if (at(fd).starved) return;
    at(fd).starved = true;
    starved_.push_back(fd);
  }

  // Arming at once what has run out of buffers would only fail again.
  void feed_starved() {
    if (starved_.empty() || !buffers_->plenty()) return;
    for (const int fd : std::exchange(starved_, {})) {
      Connection& c = at(fd);
      c.starved = false;
      if (c.ended) {
        close_if_done(fd);
      } else {
        arm_receive(fd);
      }
    }
  }

  // --- answering ------------------------------------------------------------------------------

  void queue(Connection& c, std::uint32_t id, std::uint32_t size) {
    filled_[id] = size;
    sent_[id] = 0;
    next_[id] = none;
    (c.first == none ? c.first : next_[c.last]) = id;
    c.last = id;
  }

  void dequeue(Connection& c) {
    const std::uint32_t id = c.first;
    c.first = next_[id];
    buffers_->give_back(id);
  }

  void answer(int fd) {
    Connection& c = at(fd);
    if (c.sending) return;
    while (c.first != none) {
      const msghdr& message = gather(c);
      if (direct_) {
        const ssize_t result = message.msg_iovlen == 1
                                   ? ::send(fd, message.msg_iov->iov_base, message.msg_iov->iov_len,
                                            MSG_DONTWAIT | MSG_NOSIGNAL)
                                   : ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result < 0 && errno != EAGAIN && errno != EINTR) {
          broken(fd);
          return;
        }
        std::size_t offered = 0;
        for (std::size_t i = 0; i < message.msg_iovlen; ++i) offered += message.msg_iov[i].iov_len;
        if (result > 0) taken(c, static_cast<std::size_t>(result));
        if (result == static_cast<ssize_t>(offered)) continue;
      }
      const msghdr& rest = direct_ ? gather(c) : message;
      io_uring_sqe* sqe = next_sqe();
      if (rest.msg_iovlen == 1) {
        io_uring_prep_send(sqe, fd, rest.msg_iov->iov_base, rest.msg_iov->iov_len,
                           MSG_NOSIGNAL | MSG_WAITALL);
      } else {
        io_uring_prep_sendmsg(sqe, fd, &rest, MSG_NOSIGNAL | MSG_WAITALL);
        next_message_ = (next_message_ + 1) % messages_.size();
      }
      io_uring_sqe_set_data64(sqe, tag(Kind::send, fd));
      c.sending = true;
      return;
    }
    close_if_done(fd);
  }

  // What waits in the connection's queue as one message, in the next free place of messages_. An
  // operation made of it moves that place on. The kernel copies the message when it takes the
  // submission, so as many places as there are submission entries will do.
  const msghdr& gather(const Connection& c) {
    Message& message = messages_[next_message_];
    std::size_t count = 0;
    for (std::uint32_t id = c.first; id != none && count < message.parts.size(); id = next_[id]) {
      message.parts[count++] = {buffers_->data(id) + sent_[id], filled_[id] - sent_[id]};
    }
    message.header.msg_iov = message.parts.data();
    message.header.msg_iovlen = count;
    return message.header;
  }

  // The peer has taken so many bytes of the queue.
  void taken(Connection& c, std::size_t bytes) {
    while (bytes != 0) {
      const std::uint32_t id = c.first;
      const std::uint32_t part =
          static_cast<std::uint32_t>(std::min<std::size_t>(bytes, filled_[id] - sent_[id]));
      sent_[id] += part;
      bytes -= part;
      if (sent_[id] == filled_[id]) dequeue(c);
    }
  }

  void sent(int fd, int result) {
    Connection& c = at(fd);
    c.sending = false;
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
      broken(fd);
      return;
    }
    if (result > 0) taken(c, static_cast<std::size_t>(result));
    answer(fd);
  }

  // The peer takes nothing any more: drop what is left for it; an armed receive ends by itself.
  void broken(int fd) {
    Connection& c = at(fd);
    while (c.first != none) dequeue(c);
    c.ended = true;
    shutdown(fd, SHUT_RDWR);
    close_if_done(fd);
  }

  // Only when no operation can still name it: the number may come back with the next accept.
  void close_if_done(int fd) {
    Connection& c = at(fd);
    if (!c.open || !c.ended || c.receiving || c.sending || c.starved || c.unanswered ||
        c.first != none) {
      return;
    }
    c.open = false;
    close(fd);
    if (!accepting_) arm_accept();
  }

  const bool multishot_;
  const bool poll_first_;
  const bool direct_;
  const bool raw_wait_;
  const unsigned wait_nr_;
  const int stop_;
  io_uring ring_{};
  int listener_ = -1;
  bool accepting_ = false;
  bool stopping_ = false;
  std::vector<Connection> connections_;  // by descriptor
  std::vector<int> starved_;
  std::vector<int> unanswered_;
  std::vector<Message> messages_ = std::vector<Message>(submission_entries + 1);
  std::size_t next_message_ = 0;
  std::optional<BufferRing> buffers_;
  // By buffer: the next one in its connection's queue, bytes in it, bytes of them sent.
  std::vector<std::uint32_t> next_;
  std::vector<std::uint32_t> filled_;
  std::vector<std::uint32_t> sent_;
};

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  bench::Options options("A TCP echo server on io_uring, one thread, without ringo.");
  options.number("--port", s.port, 0, 65535, "listen there; 0: a free one, which is printed");
  options.choice("--receive", s.receive, {"multishot", "oneshot", "eager"}, "how to receive");
  options.choice("--send", s.send, {"direct", "ring"}, "how to answer");
  options.choice("--wait", s.wait, {"liburing", "raw"}, "how to call io_uring_enter");
  options.number("--wait-nr", s.wait_nr, 1, 64, "completions to wait for");
  options.number("--buffers", s.buffers, 1, 32768, "provided buffers, a power of two");
  options.number("--buffer-size", s.buffer_size, 64, 65536, "bytes in each");
  options.parse(argc, argv);
  if ((s.buffers & (s.buffers - 1)) != 0) options.fail("--buffers wants a power of two");
  Server(s).run();
  return 0;
}
