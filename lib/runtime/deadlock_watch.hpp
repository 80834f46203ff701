// Notices that nothing can ever run again.
//
// WHEN IT LOOKS. Each worker that goes to sleep announces it first. The last one to do so sees all
// others asleep, and asks here how long it may sleep. If inboxes are empty, no timer is armed, no
// blocking() call is out, no thread waits in a _blocking call and nobody holds a KeepAlive, there is
// reason for a look: at once if the drivers have nothing in flight either, which is nearly always
// the end of a program that hangs; otherwise after a second of such sleep, and then less and less
// often, because most of what is in flight has a waiter, and what has none (a receive that goes on
// for a connection nobody reads) is no life. A look that finds somebody about to run (a worker that
// has been woken and has no processor yet), or a thread that may be one of ringo's on its way in or
// out, is followed by another after some 20 ms.
//
// WHY IT IS RIGHT. The look itself stops the world, so it needs no luck with the order in which
// it reads. Then nobody resumes a goroutine, and no driver, timer or inbox acts. In that state:
//
//   * A wake-up in flight is somewhere to be seen. A goroutine made ready has lost its `wait`, in
//     whatever queue or slot it is, or on its way to a thief (thieves are workers: they stand still
//     too). A message is in an inbox, which is read here again after the world has stopped. A call
//     of blocking() counts until a worker has dealt with its end. A kernel operation that has
//     completed but was not reaped has a goroutine that waits for it, or matters to nobody.
//   * So there is life if any goroutine runs or has no wait, or waits for the kernel; if any timer
//     is armed (it will complete a wait, run a function, or cancel a Context); if a signal would
//     be sent to a channel on which a goroutine waits; or if one of the counts above is not 0.
//   * What is left is goroutines that wait for goroutines. Only a thread that is not ours could
//     still act, by try_send() and the like. Such threads are looked for first and the inboxes read
//     after that: one that has posted and ended has left its message, one that has done neither is
//     found. If there is one, nothing is reported: after five more seconds without any resumption a
//     line says so, once.
//   * Nothing of this can come to life again later, so nothing is reported wrongly. And nothing is
//     missed: the state above is reached by a last worker that falls asleep, or by the end of a
//     count, which wakes a worker.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace ringo::detail {

class Runtime;
class Worker;

class DeadlockWatch {
 public:
  explicit DeadlockWatch(Runtime& runtime) noexcept : runtime_(runtime) {}

  /// By a worker that has announced its sleep and found nothing to do, asleep for at most `limit`
  /// nanoseconds (negative: no limit) otherwise. Returns how long it may sleep; 0 if the runtime
  /// ends. Does not return if the deadlock is to end the process.
  std::int64_t before_sleep(Worker& worker, std::int64_t limit) noexcept;

  /// Life that has no goroutine: see KeepAlive. From any thread.
  void add_life() noexcept { lives_.fetch_add(1, std::memory_order_seq_cst); }
  /// The caller is on a worker of the runtime, which will look again before it sleeps.
  void end_life() noexcept { lives_.fetch_sub(1, std::memory_order_seq_cst); }

  /// Main has ended by goexit(): others go on without it (DL-03).
  void main_left() noexcept { main_left_.store(true, std::memory_order_relaxed); }

  /// What run() throws, if it was found and is not to end the process; empty otherwise.
  const std::string& report() const noexcept { return report_; }

 private:
  enum class Verdict : std::uint8_t { alive, dead, foreign, unknown };

  bool may_be_dead(bool& in_flight) const noexcept;
  bool nothing_to_come(bool& in_flight) const noexcept;
  bool counts_are_zero() const noexcept;
  Verdict look(Worker& worker) noexcept;
  Verdict of_goroutines() noexcept;
  bool has_foreign_thread() const;
  void found(bool nobody_left) noexcept;
  std::int64_t resumptions() const noexcept;

  Runtime& runtime_;
  std::atomic<int> lives_{0};
  std::atomic<bool> main_left_{false};
  std::string report_;

  // Touched by the last worker to fall asleep only; it may be another one each time.
  std::atomic<std::int64_t> next_look_{0};  // not before
  std::atomic<std::int64_t> pause_{0};      // between the last two looks
  std::atomic<std::int64_t> foreign_since_{0};
  std::atomic<std::int64_t> foreign_resumptions_{-1};
  std::atomic<bool> warned_{false};
};

}  // namespace ringo::detail
