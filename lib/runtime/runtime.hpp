// A runtime: the workers of one ringo::run, and how it starts and ends.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <ringo/run.hpp>

#include "runtime/deadlock_watch.hpp"
#include "runtime/environment.hpp"
#include "runtime/watchdog.hpp"
#include "runtime/worker.hpp"
#include "runtime/world.hpp"

namespace ringo::detail {

class BlockingPool;

/// Something the runtime must end before it is gone: an open socket, a thread that waits.
class Resource {
 public:
  /// The runtime has stopped: no goroutine runs any more, the drivers are gone.
  virtual void runtime_ended() noexcept = 0;

  /// Will it make a goroutine run though that waits for other goroutines only? Asked while the
  /// world stands still.
  virtual bool is_alive() noexcept { return false; }

 protected:
  ~Resource() = default;

 private:
  friend class Runtime;
  Resource* next_ = nullptr;
  Resource* prev_ = nullptr;
  bool listed_ = false;
};

class Runtime {
 public:
  /// Throws Panic for impossible options. `environment` replaces the real world (may be null).
  explicit Runtime(const Options& options, Environment* environment = nullptr);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Runs main_task as goroutine 1 on this thread and the workers' threads, to the end.
  void run(Task<> main_task);

  std::uint32_t id() const noexcept { return id_; }
  const Options& options() const noexcept { return options_; }
  Environment* environment() const noexcept { return environment_; }
  std::size_t worker_count() const noexcept { return workers_.size(); }
  Worker& worker(std::size_t index) const noexcept { return *workers_[index]; }
  const char* driver_name() const noexcept { return driver_name_; }
  std::int64_t now() const { return environment_ ? environment_->now() : steady_now(); }

  /// Started and not ended.
  std::size_t goroutines() const noexcept;

  bool stopping() const noexcept { return stopping_.load(std::memory_order_seq_cst); }
  bool draining() const noexcept { return draining_.load(std::memory_order_acquire); }
  /// Main has returned: ends the loops (or begins to drain). On the worker it ran on.
  void main_returned(Worker& worker) noexcept;
  /// While draining: a goroutine ended; perhaps it was the last one.
  void check_drained() noexcept;
  std::int64_t drain_deadline() const noexcept;

  // Scheduling between workers.
  void wake_sleeper() noexcept;
  bool begin_search() noexcept;
  void end_search() noexcept { searching_.fetch_sub(1, std::memory_order_seq_cst); }
  std::atomic<int> sleeping{0};

  /// Resources are told when the runtime ends. From any worker.
  void add_resource(Resource& resource);
  void remove_resource(Resource& resource) noexcept;

  /// The threads of blocking().
  BlockingPool& blocking_pool() const noexcept { return *blocking_pool_; }

  /// While the world stands still: cancels what waits. By a worker.
  void cancel_everything() noexcept;
  World& world() noexcept { return world_; }
  const World& world() const noexcept { return world_; }
  Watchdog& watchdog() noexcept { return watchdog_; }
  DeadlockWatch& deadlock_watch() noexcept { return deadlock_watch_; }
  /// While the world stands still: is g the goroutine that some worker runs?
  bool is_running(const Goroutine& g) const noexcept;
  /// The threads of the workers and of blocking(), by their ids.
  std::vector<int> threads() const;
  bool any_resource_alive() noexcept;
  /// Ends the loops. From any worker.
  void stop() noexcept;

  // Of the list of runtimes, see external.cpp.
  std::atomic<Runtime*> next_runtime{nullptr};

 private:
  void worker_thread(unsigned index);
  void make_drivers(Worker& worker);
  void end_worker(Worker& worker) noexcept;
  void wake_all() noexcept;
  void release_resources() noexcept;
  void unlink(Resource& resource) noexcept;

  const Options options_;
  Environment* const environment_;
  const std::uint32_t id_;
  const char* driver_name_ = "";
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;
  Goroutine* main_ = nullptr;

  std::atomic<bool> stopping_{false};
  std::atomic<bool> draining_{false};
  std::atomic<std::int64_t> drain_deadline_{0};
  std::atomic<int> searching_{0};
  World world_;
  DeadlockWatch deadlock_watch_;
  Watchdog watchdog_;

  // Meeting point of the workers, for starting and ending.
  std::mutex meeting_mutex_;
  std::condition_variable meeting_;
  unsigned arrived_ = 0;
  std::uint64_t round_ = 0;
  bool posts_left_ = false;  // at the end; written by the last to arrive
  template <class F>
  void meet_and(F&& by_the_last);

  // Start-up.
  DriverKind kind_ = DriverKind::automatic;
  const bool driver_by_program_;  // not by RINGO_DRIVER, nor left open
  std::mutex failure_mutex_;
  DriverFailure failure_;
  bool failed_ = false;
  bool try_epoll_ = false;
  bool give_up_ = false;

  std::shared_ptr<BlockingPool> blocking_pool_;

  std::mutex resources_mutex_;
  Resource* resources_ = nullptr;

  friend class Worker;
};

/// The runtime of this worker thread, or null.
Runtime* current_runtime() noexcept;

}  // namespace ringo::detail
