// A listening socket: connections that were accepted and are not yet taken, and who waits for one.
//
// A connection is accepted into `pending_` first; only then is a waiter claimed for it. So one who
// loses a select, times out or is cancelled takes nothing with him. Nothing is accepted that
// nobody waits for: it stays in the kernel's backlog.
//
// Without descriptors (EMFILE, ENFILE) or memory the accepter gets the error; the connection stays
// in the backlog and keeps the descriptor readable, so after such an error nothing is tried for a
// while (`pause_`, doubled each time), or those who accept again at once would spin.
#pragma once

#include <cstdint>
#include <vector>

#include "net/socket.hpp"
#include "net/stream_socket.hpp"

namespace ringo::detail {

class ListenSocket final : public Socket {
 public:
  ListenSocket(int descriptor, const net::Address& local);

  bool try_accept(AcceptWaiter& waiter) noexcept;
  bool looks_acceptable() noexcept;
  template <class ClaimSelf>
  Enlist enlist(WaitNode& node, ClaimSelf&& claim_self) noexcept {
    SpinGuard guard(in_.lock);
    if (!pending_.empty() || closed_ || in_.expired()) {
      if (!claim_self()) return Enlist::lost;
      take(*static_cast<AcceptWaiter*>(node.slot));
      return Enlist::taken;
    }
    wait(node);
    return Enlist::waiting;
  }
  void withdraw(WaitNode& node) noexcept;
  /// An accepted connection that its waiter could not take: the next one gets it.
  void take_back(int descriptor, const net::Address& peer) noexcept;

 private:
  struct Accepted {
    int fd;
    net::Address peer;
  };
  /// Tries again after a pause.
  struct Retry : TimerNode {
    ListenSocket* socket = nullptr;
    bool armed = false;
    WorkerTimers* queue = nullptr;
  };

  ~ListenSocket() override;
  void on_ready(Direction direction, int error) override;
  void on_received(ReceivedBuffer, int, bool) override {}
  void serve(std::uint32_t wishes) noexcept override;
  void end_waits(Wakes& wake) noexcept override;
  void expire(bool out, Wakes& wake) noexcept override;
  bool waited_for(bool out) const noexcept override { return !out && !waiters_.empty(); }

  // Under in_.lock.
  bool take(AcceptWaiter& waiter) noexcept;
  void wait(WaitNode& node) noexcept;
  int accept_one() noexcept;
  void look_out() noexcept;
  void arm() noexcept;
  void accept_for_waiters(Wakes& wake) noexcept;
  void fail(int status, Wakes& wake) noexcept;
  bool pausing() const noexcept;
  static bool keep(TimerNode* node) noexcept;
  static void try_again(TimerNode* node) noexcept;

  WaitQueue waiters_;
  std::vector<Accepted> pending_;
  bool more_ = false;       // accept4(2) is worth a try
  std::int64_t pause_ = 0;  // length of the last pause; 0: the last accept went well
  std::int64_t paused_until_ = 0;
  Retry retry_;
};

}  // namespace ringo::detail
