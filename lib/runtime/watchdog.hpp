// The watchdog: who holds a worker?
//
// A thread of its own, started only if it is wanted. It looks at each worker's count of resumptions
// every few milliseconds while any worker is awake, and sleeps without a limit while all sleep. If a
// goroutine is still running at the same count after the limit, a signal makes the worker's own
// thread say what it does, so nothing is read behind its back. Time for which the thread was ready
// to run and had no processor is not the goroutine's, and does not count, from the second look on.
// What waits on a worker that is held when it is looked at twice is offered to one that sleeps: no
// worker is woken for a goroutine or two that are about to run where they are.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <source_location>
#include <thread>
#include <vector>

namespace ringo::detail {

class Runtime;
class Worker;

/// What a thread says about itself, in its signal handler.
struct Sample {
  static constexpr int most_frames = 48;

  std::uint64_t goroutine = 0;  // 0: none was running
  std::source_location spawn_site;
  char text[3000];  // its await chain
  std::size_t text_size = 0;
  void* native[most_frames];
  int native_count = 0;
  std::atomic<bool> done{false};

  /// On the worker's thread.
  void take(const Worker& worker) noexcept;
};

class Watchdog {
 public:
  Watchdog(Runtime& runtime, std::int64_t limit_ns) noexcept
      : runtime_(runtime), limit_(limit_ns) {}

  /// Nothing at all if the limit is 0.
  void start();
  void stop() noexcept;

  /// A worker has been woken: the watchdog must be, too.
  void worker_is_awake() noexcept {
    if (dozing_.load(std::memory_order_seq_cst)) [[unlikely]]
      rouse();
  }
  /// The id of its thread; 0 without one.
  int thread() const noexcept { return thread_id_.load(std::memory_order_relaxed); }

 private:
  struct Seen {
    std::uint64_t resumptions = 0;
    std::int64_t since = 0;    // 0: no goroutine was running
    std::int64_t queued = -1;  // queued_time() of its thread at the second look
    bool told = false;
  };

  void run() noexcept;
  void rouse() noexcept;
  bool all_asleep() const noexcept;
  void look(Worker& worker, Seen& seen, std::int64_t now);
  bool tell(Worker& worker, const Seen& seen);

  Runtime& runtime_;
  const std::int64_t limit_;
  std::int64_t quiet_until_ = 0;
  std::thread thread_;
  std::atomic<int> thread_id_{0};
  std::atomic<bool> dozing_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool roused_ = false;
  bool stopping_ = false;
};

}  // namespace ringo::detail
