// A goroutine whose waits others cancel, over and over, through the hook that contexts are built on.
#pragma once

#include <mutex>

#include <ringo/detail/goroutine.hpp>

namespace ringo::detail {
bool cancel_wait(Goroutine* g) noexcept;  // lib/runtime/claim.cpp
}

namespace ringo::test {

/// The running goroutine can be cancelled from open() to close(); before and after, cancel() does
/// nothing: once close() has returned nobody touches the goroutine, whose record may then become
/// another's, and no cancellation of it is pending. From any worker.
class CancelTarget {
 public:
  void open() {
    std::scoped_lock lock(mutex_);
    g_ = detail::current_goroutine();
    g_->guarded = true;
  }

  void close() {
    std::scoped_lock lock(mutex_);
    g_->cancel_requested = false;
    g_ = nullptr;
  }

  /// Ends the wait it is in, or else the next one.
  void cancel() {
    std::scoped_lock lock(mutex_);
    if (g_ != nullptr) detail::cancel_wait(g_);
  }

 private:
  std::mutex mutex_;
  detail::Goroutine* g_ = nullptr;
};

/// Forgets a cancellation that was delivered, or came too late, so that the goroutine goes on.
inline void forget_cancellation() { detail::current_goroutine()->cancel_requested = false; }

}  // namespace ringo::test
