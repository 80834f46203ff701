// The epoll driver: the same promises as io_uring's, kept with readiness and ordinary system calls.
//
// A source of ringo's own is registered once, for both directions, edge-triggered; an edge is
// remembered in `ready` until the owner says that it has used it up. A source whose descriptor
// belongs to somebody else (one_shot) is registered only while somebody waits, with EPOLLONESHOT,
// and several such sources may share one descriptor: epoll knows a descriptor only once, so they
// share an entry here.
//
// No callback is made while the events of one epoll_wait(2) are looked at: they only mark answers,
// and the answers are given afterwards. So a callback may stop and free any source, and no event
// that names it is left over.

#include <sys/socket.h>
#include <time.h>

#include <fcntl.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "driver/source_list.hpp"
#include "driver/sys.hpp"

namespace ringo::detail {
namespace {

// Events fetched by one epoll_wait(2).
constexpr int batch = 256;

// What an event names: the address of a source; or one of these in the low bits.
constexpr std::uint64_t tag_mask = 7;
constexpr std::uint64_t tag_bell = 1;
constexpr std::uint64_t tag_foreign = 2;  // and the descriptor, and the entry's generation
static_assert(alignof(IoSource) > tag_mask);

constexpr std::uint32_t in_events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t out_events = EPOLLOUT | EPOLLHUP | EPOLLERR;

constexpr std::uint8_t bit(unsigned op) { return static_cast<std::uint8_t>(1u << op); }

std::int64_t now_ns() noexcept {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// The one_shot sources of one descriptor.
struct Foreign {
  std::vector<IoSource*> sources;  // each with at least one unanswered want()
  int registered = -1;             // in the epoll set: the descriptor, a duplicate of it, or -1
  std::uint32_t generation = 0;  // so that an event of a former registration is not taken for ours
};

class EpollDriver final : public Driver {
 public:
  EpollDriver() = default;
  ~EpollDriver() override;

  /// Returns 0, or an errno with `step` naming what failed.
  int open(const char*& step) noexcept;

  const char* name() const noexcept override { return "epoll"; }
  int poll(std::int64_t timeout_ns) override;
  bool may_have_work() noexcept override;
  void wake() noexcept override;
  void want(IoSource& source, Direction direction) override;
  void used_up(IoSource& source, Direction direction) noexcept override {
    source.ready[static_cast<unsigned>(direction)] = false;
  }
  bool has_receive() const noexcept override { return false; }
  void receive(IoSource&) override { assert(!"has_receive() is false"); }
  void stop_receive(IoSource&) override { assert(!"has_receive() is false"); }
  void give_back(ReceivedBuffer) noexcept override { assert(!"has_receive() is false"); }
  void stop(IoSource& source) override;
  std::size_t in_flight() const noexcept override { return in_flight_; }

 private:
  int fetch(std::int64_t timeout_ns);
  void note(const epoll_event& event);
  void note_foreign(int fd, std::uint32_t generation, std::uint32_t events);
  int register_source(IoSource& source);
  int register_foreign(int fd, Foreign& foreign);
  void unregister_foreign(int fd, Foreign& foreign) noexcept;
  void want_foreign(IoSource& source, unsigned op);
  void leave_foreign(IoSource& source) noexcept;
  void answer(IoSource& source, unsigned op, int error) noexcept;
  int run_answers();

  int epoll_ = -1;
  bool closing_ = false;
  int bells_ = 0;  // rung since the last poll() returned
  std::uint64_t in_flight_ = 0;
  std::uint32_t generation_ = 0;
  SourceList answers_;  // sources with something in to_answer
  SourceList waiting_;  // the others with an unanswered want()
  std::unordered_map<int, Foreign> foreign_;
  std::array<epoll_event, batch> events_;
  std::thread::id owner_ = std::this_thread::get_id();

  // The bell: as in uring_driver.hpp. Registered edge-triggered, so nobody needs to read its
  // counter.
  alignas(64) std::atomic<bool> rung_{false};
  int bell_ = -1;
};

int EpollDriver::open(const char*& step) noexcept {
  step = "epoll_create1";
  epoll_ = sys::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return errno;
  step = "eventfd";
  bell_ = sys::eventfd(0, EFD_CLOEXEC);
  if (bell_ < 0) return errno;
  step = "epoll_ctl";
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = tag_bell;
  if (sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, bell_, &event) != 0) return errno;
  return 0;
}

EpollDriver::~EpollDriver() {
  closing_ = true;
  while (IoSource* const source = waiting_.pop_front()) {
    for (unsigned op = 0; op < 2; ++op) {
      if (source->wanted[op]) answer(*source, op, ECANCELED);
    }
  }
  for (auto& [fd, foreign] : foreign_) unregister_foreign(fd, foreign);
  // Callbacks may stop other sources but arm nothing any more, so this ends.
  while (!answers_.empty()) run_answers();
  assert(in_flight_ == 0);
  if (bell_ >= 0) ::close(bell_);
  if (epoll_ >= 0) ::close(epoll_);
}

// ---- answers ----------------------------------------------------------------------------------

void EpollDriver::answer(IoSource& source, unsigned op, int error) noexcept {
  if ((source.to_answer & bit(op)) != 0) return;
  if (source.to_answer == 0) {
    if (is_linked(source)) unlink(source);
    answers_.push_back(source);
  }
  source.to_answer |= bit(op);
  source.answer[op] = static_cast<std::int16_t>(error);
}

// Gives the answers that are due now; those that callbacks make due are left to the next poll().
int EpollDriver::run_answers() {
  SourceList work;
  work.prepend(answers_);
  int handled = 0;
  while (IoSource* const source = work.pop_front()) {
    std::uint8_t answers = std::exchange(source->to_answer, std::uint8_t{0});
    for (unsigned op = 0; op < 2; ++op) {
      if (source->wanted[op] && (answers & bit(op)) == 0 && !is_linked(*source)) {
        waiting_.push_back(*source);
      }
    }
    // Each callback but the last leaves the source alive: the answers to come hold it.
    while (answers != 0) {
      const unsigned op = static_cast<unsigned>(std::countr_zero(answers));
      answers &= static_cast<std::uint8_t>(~bit(op));
      ++handled;
      --in_flight_;
      --source->in_flight;
      source->wanted[op] = false;
      source->on_ready(static_cast<Direction>(op), source->answer[op]);
      source->release();
    }
  }
  return handled;
}

// ---- events -----------------------------------------------------------------------------------

// One epoll_wait(2): what it brings is remembered and marked for an answer. Returns what
// epoll_wait(2) returns.
int EpollDriver::fetch(std::int64_t timeout_ns) {
  ++stats_.enters;
  const int count = sys::epoll_wait_ns(epoll_, events_.data(), batch, timeout_ns);
  for (int i = 0; i < count; ++i) note(events_[static_cast<std::size_t>(i)]);
  if (count > 0) stats_.completions += static_cast<std::uint64_t>(count);
  return count;
}

void EpollDriver::note(const epoll_event& event) {
  const std::uint64_t data = event.data.u64;
  const std::uint32_t events = event.events;
  switch (data & tag_mask) {
    case 0: {
      IoSource& source = *reinterpret_cast<IoSource*>(data);
      if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) source.hangup = true;
      if ((events & in_events) != 0) {
        source.ready[0] = true;
        if (source.wanted[0]) answer(source, 0, 0);
      }
      if ((events & out_events) != 0) {
        source.ready[1] = true;
        if (source.wanted[1]) answer(source, 1, 0);
      }
      return;
    }
    case tag_bell:
      ++bells_;
      ++stats_.bells;
      rung_.exchange(false, std::memory_order_acq_rel);
      return;
    case tag_foreign:
      return note_foreign(static_cast<int>((data >> 3) & 0x7fffffff),
                          static_cast<std::uint32_t>(data >> 34), events);
    default:
      assert(false);
  }
}

// ---- ringo's own descriptors ------------------------------------------------------------------

int EpollDriver::register_source(IoSource& source) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = reinterpret_cast<std::uintptr_t>(&source);
  if (sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, source.fd, &event) == 0) {
    source.registered = true;
    return 0;
  }
  if (errno != EEXIST) return errno;
  // A readable() or writable() waits on this descriptor: it moves to a duplicate.
  const auto it = foreign_.find(source.fd);
  if (it == foreign_.end() || it->second.registered != source.fd) return EEXIST;
  unregister_foreign(source.fd, it->second);
  if (sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, source.fd, &event) != 0) return errno;
  source.registered = true;
  if (const int error = register_foreign(source.fd, it->second)) {
    for (IoSource* const waiter : it->second.sources) {
      for (unsigned op = 0; op < 2; ++op) {
        if (waiter->wanted[op]) answer(*waiter, op, error);
      }
    }
    foreign_.erase(it);
  }
  return 0;
}

void EpollDriver::want(IoSource& source, Direction direction) {
  assert(owner_ == std::this_thread::get_id());
  const unsigned op = static_cast<unsigned>(direction);
  if (source.wanted[op] || closing_) return;
  source.driver = this;
  source.wanted[op] = true;
  source.retain();
  ++source.in_flight;
  ++in_flight_;
  if (!is_linked(source)) waiting_.push_back(source);
  if (source.stopped) return answer(source, op, ECANCELED);
  if (source.one_shot) return want_foreign(source, op);
  if (!source.registered) {
    const int error = register_source(source);
    // What epoll does not take, plain files and directories, never blocks: as poll(2) says, ready.
    if (error != 0) return answer(source, op, error == EPERM ? 0 : error);
  }
  if (source.ready[op]) answer(source, op, 0);
}

void EpollDriver::stop(IoSource& source) {
  if (source.stopped) return;
  source.stopped = true;
  if (source.registered) {
    // It may fail when somebody closed the descriptor behind our back; it is out of the set then.
    epoll_event unused{};
    sys::epoll_ctl(epoll_, EPOLL_CTL_DEL, source.fd, &unused);
    source.registered = source.ready[0] = source.ready[1] = false;
  }
  for (unsigned op = 0; op < 2; ++op) {
    if (!source.wanted[op] || (source.to_answer & bit(op)) != 0) continue;
    if (source.one_shot) leave_foreign(source);
    ++stats_.cancels;
    answer(source, op, ECANCELED);
  }
}

// ---- other people's descriptors ---------------------------------------------------------------

// Registers what the entry's sources want now. Returns 0 or an errno.
int EpollDriver::register_foreign(int fd, Foreign& foreign) {
  epoll_event event{};
  event.events = EPOLLONESHOT;
  for (const IoSource* const source : foreign.sources) {
    const auto open = [&](unsigned op) {
      return source->wanted[op] && (source->to_answer & bit(op)) == 0;
    };
    if (open(0)) event.events |= EPOLLIN | EPOLLRDHUP;
    if (open(1)) event.events |= EPOLLOUT;
  }
  if (foreign.registered >= 0) {
    event.data.u64 = tag_foreign | static_cast<std::uint64_t>(fd) << 3 |
                     static_cast<std::uint64_t>(foreign.generation) << 34;
    if (sys::epoll_ctl(epoll_, EPOLL_CTL_MOD, foreign.registered, &event) == 0) return 0;
    if (errno != ENOENT && errno != EBADF) return errno;
    // The descriptor was closed under a waiter, and perhaps the number is in use again.
    unregister_foreign(fd, foreign);
  }
  foreign.generation = ++generation_ & 0x3fffffff;
  event.data.u64 = tag_foreign | static_cast<std::uint64_t>(fd) << 3 |
                   static_cast<std::uint64_t>(foreign.generation) << 34;
  if (sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0) {
    foreign.registered = fd;
    return 0;
  }
  if (errno != EEXIST) return errno;
  // One of ringo's own sockets has it registered, with other flags. epoll tells a duplicate apart.
  const int duplicate = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return errno;
  if (sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, duplicate, &event) != 0) {
    const int error = errno;
    ::close(duplicate);
    return error;
  }
  foreign.registered = duplicate;
  return 0;
}

void EpollDriver::unregister_foreign(int fd, Foreign& foreign) noexcept {
  if (foreign.registered < 0) return;
  epoll_event unused{};
  sys::epoll_ctl(epoll_, EPOLL_CTL_DEL, foreign.registered, &unused);
  if (foreign.registered != fd) ::close(foreign.registered);
  foreign.registered = -1;
}

void EpollDriver::want_foreign(IoSource& source, unsigned op) {
  Foreign& foreign = foreign_[source.fd];
  if (std::find(foreign.sources.begin(), foreign.sources.end(), &source) == foreign.sources.end()) {
    foreign.sources.push_back(&source);
  }
  const int error = register_foreign(source.fd, foreign);
  if (error == 0) return;
  answer(source, op, error == EPERM ? 0 : error);
  leave_foreign(source);
}

// Takes the source out of its entry, unless it waits for the other direction still.
void EpollDriver::leave_foreign(IoSource& source) noexcept {
  const auto it = foreign_.find(source.fd);
  if (it == foreign_.end()) return;
  Foreign& foreign = it->second;
  if (source.stopped) {
    std::erase(foreign.sources, &source);
  } else {
    std::erase_if(foreign.sources, [](const IoSource* waiter) {
      return (!waiter->wanted[0] || (waiter->to_answer & bit(0)) != 0) &&
             (!waiter->wanted[1] || (waiter->to_answer & bit(1)) != 0);
    });
  }
  // A registration that asks for more than is wanted does no harm: its event finds nobody. One
  // that nobody needs goes.
  if (foreign.sources.empty()) {
    unregister_foreign(source.fd, foreign);
    foreign_.erase(it);
  }
}

void EpollDriver::note_foreign(int fd, std::uint32_t generation, std::uint32_t events) {
  const auto it = foreign_.find(fd);
  if (it == foreign_.end() || it->second.generation != generation) return;
  Foreign& foreign = it->second;
  const std::uint32_t mask[2] = {in_events, out_events};
  std::erase_if(foreign.sources, [&](IoSource* source) {
    bool waits = false;
    for (unsigned op = 0; op < 2; ++op) {
      if (!source->wanted[op] || (source->to_answer & bit(op)) != 0) continue;
      if ((events & mask[op]) != 0) {
        answer(*source, op, 0);
      } else {
        waits = true;
      }
    }
    return !waits;
  });
  if (foreign.sources.empty()) {
    unregister_foreign(fd, foreign);
    foreign_.erase(it);
    return;
  }
  // Somebody waits for the other direction: EPOLLONESHOT has switched the registration off.
  const int error = register_foreign(fd, foreign);
  if (error == 0) return;
  for (IoSource* const source : foreign.sources) {
    for (unsigned op = 0; op < 2; ++op) {
      if (source->wanted[op]) answer(*source, op, error);
    }
  }
  unregister_foreign(fd, foreign);
  foreign_.erase(it);
}

// ---- the interface ----------------------------------------------------------------------------

int EpollDriver::poll(std::int64_t timeout_ns) {
  assert(owner_ == std::this_thread::get_id());
  std::int64_t deadline = 0;
  for (;;) {
    const bool wait = timeout_ns != 0 && answers_.empty() && bells_ == 0;
    if (wait && timeout_ns > 0 && deadline == 0) deadline = now_ns() + timeout_ns;
    const int count = fetch(wait ? timeout_ns : 0);
    const int handled = run_answers() + std::exchange(bells_, 0);
    if (handled != 0 || !wait || count == 0) return handled;
    if (count > 0) return count;  // edges that nobody waits for are remembered
    assert(errno == EINTR);
    if (timeout_ns > 0) {
      timeout_ns = deadline - now_ns();
      if (timeout_ns <= 0) return 0;
    }
  }
}

// epoll cannot be asked without a system call, so this one fetches. It makes no callback: what it
// finds is answered by the next poll().
bool EpollDriver::may_have_work() noexcept {
  if (!answers_.empty() || bells_ != 0) return true;
  fetch(0);
  return !answers_.empty() || bells_ != 0;
}

void EpollDriver::wake() noexcept {
  if (rung_.exchange(true, std::memory_order_acq_rel)) return;
  // In a signal handler errno belongs to the code that was interrupted.
  const int saved = errno;
  const std::uint64_t one = 1;
  // Directly, not through the place for faults: a wake-up that fails is a hang. It cannot fail but
  // by a signal, and the counter is far from full.
  while (::write(bell_, &one, sizeof one) < 0 && errno == EINTR) {}
  errno = saved;
}

}  // namespace

std::unique_ptr<Driver> make_epoll_driver(DriverFailure& failure) {
  const char* step = "";
  auto driver = std::make_unique<EpollDriver>();
  const int error = driver->open(step);
  if (error == 0) return driver;
  failure.error = error;
  failure.message = std::string("epoll failed: ") + step + ": " + std::strerror(error);
  if (error == EMFILE) {
    failure.message = "epoll needs more file descriptors than RLIMIT_NOFILE allows this process";
  }
  return nullptr;
}

}  // namespace ringo::detail
