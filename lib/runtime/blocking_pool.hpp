// The threads on which blocking() calls functions.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <ringo/blocking.hpp>

namespace ringo::detail {

/// A bounded pool of threads, one for each runtime. Its threads share it, since one that does not
/// come back outlives the runtime.
///
/// A thread that has finished a call posts it to a worker with mutex_ held and `closed_` false;
/// close() comes while all workers and their drivers live, so nobody posts to one that is gone.
class BlockingPool : public std::enable_shared_from_this<BlockingPool> {
 public:
  explicit BlockingPool(unsigned limit) noexcept : limit_(limit) {}

  /// Puts the call at the end of the line; `worker` will hear of its end. Throws std::system_error
  /// if there is no thread and none can be made.
  void submit(BlockingCall& call, Worker& worker);

  /// Takes the call out of the line. False if it runs, or has run.
  bool take_back(BlockingCall& call) noexcept;

  /// Calls that were submitted and whose end the runtime has not seen. From any thread.
  std::size_t calls() const noexcept { return calls_.load(std::memory_order_seq_cst); }
  void call_ended() noexcept { calls_.fetch_sub(1, std::memory_order_seq_cst); }

  /// The ids of its threads.
  std::vector<int> threads();

  /// The runtime ends: calls in line are dropped, and nothing is posted any more.
  void close() noexcept;

  /// After close(): waits until the threads have ended. Those that have not by then are left
  /// behind, which is logged.
  void join(std::chrono::nanoseconds patience) noexcept;

 private:
  struct Thread {
    std::thread thread;
    int id = 0;  // of the thread; 0 while it begins
    bool ended = false;  // under mutex_: its last touch of the pool
  };

  void start_thread();
  void serve(Thread& self) noexcept;
  void finish(BlockingCall& call) noexcept;
  void unlink(BlockingCall& call) noexcept;
  std::vector<std::unique_ptr<Thread>> take_ended();

  const unsigned limit_;
  std::atomic<std::size_t> calls_{0};

  std::mutex mutex_;
  std::condition_variable work_;     // something in line, or closed
  std::condition_variable changed_;  // a thread has ended
  BlockingCall* head_ = nullptr;
  BlockingCall* tail_ = nullptr;
  std::size_t queued_ = 0;
  std::size_t idle_ = 0;
  std::vector<std::unique_ptr<Thread>> threads_;
  bool closed_ = false;
};

}  // namespace ringo::detail
