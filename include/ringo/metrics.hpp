// metrics(): what a runtime has counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ringo {

/// One worker. Counts only grow.
struct WorkerMetrics {
  std::uint64_t spawned = 0;      ///< goroutines started on it
  std::uint64_t ended = 0;        ///< goroutines that ended on it
  std::uint64_t resumptions = 0;  ///< goroutines resumed
  std::uint64_t steals = 0;       ///< times it took goroutines from another worker
  std::uint64_t parks = 0;        ///< times it went to sleep
  std::uint64_t wakes = 0;        ///< times others rang it out of its sleep
  std::uint64_t enters = 0;       ///< io_uring_enter(2) or epoll_wait(2)
  std::uint64_t completions = 0;  ///< completions or events handled
  std::size_t queue_depth = 0;    ///< ready goroutines that it is going to run, now
  std::size_t timers = 0;         ///< armed timers, now
  bool running = false;           ///< a goroutine runs on it, now
  bool asleep = false;            ///< now
};

/// A runtime. Numbers of different workers are not of exactly the same moment, and those that come
/// from the drivers (wakes, enters, completions) lag behind on a busy worker by up to about a
/// thousand resumptions.
struct Metrics {
  std::string driver;          ///< "uring" or "epoll"
  std::size_t goroutines = 0;  ///< started and not ended
  std::size_t running = 0;     ///< of them: on a worker
  std::size_t runnable = 0;    ///< of them: ready
  std::size_t waiting = 0;     ///< of them: the others
  std::size_t blocking_calls = 0;  ///< calls of blocking() in line or under way
  WorkerMetrics total;             ///< sums; `running` and `asleep` are true if they are for any
  std::vector<WorkerMetrics> workers;
};

/// The metrics of this goroutine's runtime; on a plain thread, of the only one (Panic if there is
/// none or more than one). Nothing is stopped and nobody waits: the workers count in memory that
/// only they write to. Does not suspend.
Metrics metrics();

/// The same in Prometheus's text format (version 0.0.4): ringo_goroutines{state="waiting"} 12 and
/// so on, with a label `worker` where each has its own.
std::string to_prometheus(const Metrics& metrics);

}  // namespace ringo
