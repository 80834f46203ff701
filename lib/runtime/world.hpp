// Stopping the world: all workers of a runtime stand still, so that somebody may look at
// goroutines, frames and queues as if nothing else existed.
//
// A worker stands still between two goroutines, when it sees that it is wanted. One that does not
// come there, because its goroutine does not suspend, can be held by force: a signal stops its
// thread where it is. Then, too, all frames of waiting goroutines are whole, since only the
// goroutine that runs changes any.
//
// Everything here is atomic flags and futexes, because who stops the world may itself be a signal
// handler (the dump of SIGQUIT).
//
// Why nobody runs on unseen. The coordinator sets wanted_, then reads the places; a worker that goes
// on sets its place to `away`, then reads wanted_, and stands again if that is set. All four are
// sequentially consistent: if the coordinator read `standing` before the worker's `away`, the
// worker reads wanted_ as set. A sleeper announces its sleep, then reads wanted_; the coordinator
// sets wanted_, then rings every worker that has announced its sleep.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace ringo::detail {

class Runtime;
class Worker;
struct Sample;

class World {
 public:
  explicit World(Runtime& runtime, std::size_t workers);

  /// For a worker between two goroutines: should it stand still?
  bool wanted() const noexcept { return wanted_.load(std::memory_order_seq_cst) != 0; }
  void stand(Worker& worker) noexcept;
  /// The worker's thread begins, and runs no goroutine any more.
  void enter(Worker& worker) noexcept;
  void leave(Worker& worker) noexcept;

  /// How stop() ended.
  enum class Stopped : std::uint8_t { all, some, busy };

  static constexpr std::int64_t for_ever = INT64_MAX;

  /// How many nanoseconds a worker has to stand still of itself; then, if it is to be held by
  /// force, until its thread, which may have no processor, has taken the signal.
  struct Patience {
    std::int64_t itself;
    std::int64_t by_force = 0;
  };

  /// Stops all workers but the one of this thread, if it is one. `all`: they stand still or are
  /// held; one that is held may hold any lock, malloc's too. `some`: not all within that time.
  /// `busy`: somebody else kept the world stopped for that long. After `all` and `some` the caller
  /// must release(). From any thread; from a signal handler.
  Stopped stop(Patience patience) noexcept;
  void release() noexcept;

  /// Has the worker's thread fill in the sample, in a signal handler. False if it has not done so
  /// within `patience` nanoseconds, and will not.
  bool ask(Worker& worker, Sample& sample, std::int64_t patience) noexcept;

  /// In the handler of the interrupt signal, on the worker's thread. False: it was not for us.
  bool interrupted(Worker& worker) noexcept;

 private:
  enum class Place : std::uint32_t { away, standing, held };
  struct Spot {
    std::atomic<Place> place{Place::away};
    std::atomic<bool> hold{false};
    std::atomic<Sample*> sample{nullptr};
    std::atomic<int> thread{0};  // its id, while it may be sent a signal
  };

  void interrupt(Spot& spot) noexcept;
  bool take_role(Worker* self, std::int64_t patience) noexcept;
  bool all_stopped(const Worker* self) const noexcept;
  bool wait_until_stopped(const Worker* self, std::int64_t patience) const noexcept;
  void wait_for_release() noexcept;

  Runtime& runtime_;
  std::unique_ptr<Spot[]> spots_;
  std::atomic<bool> role_{false};         // somebody is the coordinator
  std::atomic<std::uint32_t> wanted_{0};  // a futex
};

/// Catches the signal by which threads are held (SIGURG, which is ignored otherwise), unless the
/// program does. May be called again.
void prepare_interrupts() noexcept;

}  // namespace ringo::detail
