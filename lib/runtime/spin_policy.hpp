// Whether a worker that has nothing to run spins before it sleeps.
#pragma once

#include <cstdint>

namespace ringo::detail {

/// Being woken by the kernel costs tens of microseconds on a virtual machine, more than most
/// answers take to come, so spinning pays while waits are short. It does not pay after a turn (what
/// a worker does between two waits) that was long itself: beside it the wake-up is small, and many
/// are served in such a turn because they gathered during the wait. Who takes them one by one does
/// the same work in more system calls. Nor does it pay to spin until a timer is due, whose time is
/// known: with a million timers the next one is always near, and spinning would take a whole core
/// to be some 50 us more punctual. Times are in ns. For the worker's thread only.
class SpinPolicy {
 public:
  /// What ended spinning; `time`: nothing did, for spin_max_ns.
  enum class End : std::uint8_t { work, timer, time };

  static constexpr std::int64_t spin_max_ns = 50'000;
  static constexpr std::int64_t brief_turn_ns = 50'000;
  static constexpr unsigned threshold_max = 1024;

  /// A turn ends. True: spin for spin_max_ns and say spun(). If that was in vain (End::time), or
  /// false: sleep and say slept().
  bool end_turn(std::int64_t now) noexcept {
    brief_ = now - turn_began_ < brief_turn_ns;
    return brief_ && spin_next_;
  }

  void spun(End end, std::int64_t now) noexcept {
    turn_began_ = now;
    if (end == End::work) {
      threshold_ = 1;
      return;
    }
    spin_next_ = false;
    // Whoever has to bring the work may need this very core. Try less often.
    if (end == End::time && threshold_ < threshold_max) threshold_ *= 2;
  }

  void slept(std::int64_t began, std::int64_t now, bool until_timer) noexcept {
    turn_began_ = now;
    // A wait that spinning would have saved; after enough of them, spin before the next one.
    if (brief_ && !until_timer && now - began < spin_max_ns && ++short_waits_ >= threshold_) {
      short_waits_ = 0;
      spin_next_ = true;
    }
  }

 private:
  std::int64_t turn_began_ = 0;
  bool brief_ = false;  // the turn that ended last
  bool spin_next_ = false;
  unsigned short_waits_ = 0;  // since it was set last
  unsigned threshold_ = 1;    // short waits that it takes to set it
};

}  // namespace ringo::detail
