// An unbuffered channel for threads, as one would write it with a mutex: the sender waits until its
// value is taken.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

class Channel {
 public:
  void send(std::int64_t value) {
    std::unique_lock lock(mutex_);
    empty_.wait(lock, [&] { return !full_; });
    value_ = value;
    full_ = true;
    auto mine = ++sent_;
    filled_.notify_one();
    taken_.wait(lock, [&] { return received_ >= mine; });
  }

  /// Nothing once the channel is closed.
  std::optional<std::int64_t> receive() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return full_ || closed_; });
    if (!full_) return std::nullopt;
    auto value = value_;
    full_ = false;
    ++received_;
    empty_.notify_one();
    taken_.notify_all();
    return value;
  }

  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    filled_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable empty_, filled_, taken_;
  std::int64_t value_ = 0;
  std::int64_t sent_ = 0, received_ = 0;
  bool full_ = false, closed_ = false;
};
