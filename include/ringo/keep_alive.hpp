// KeepAlive: there is life outside that the runtime does not see.
#pragma once

#include <cstdint>
#include <utility>

namespace ringo {

/// While one lives, its runtime does not report a deadlock: something that ringo knows nothing of
/// (a callback of a C library, shared memory, a device) will wake a goroutine.
///
/// Made inside a goroutine it belongs to that goroutine's runtime; on a plain thread to the only one
/// that runs (Panic if there is none or more than one). Move-only; destroyed on any thread, also
/// after the runtime has ended. Does not suspend.
class [[nodiscard("it keeps alive as long as it lives")]] KeepAlive {
 public:
  [[nodiscard("give it a name")]] KeepAlive();
  KeepAlive(KeepAlive&& other) noexcept : runtime_(std::exchange(other.runtime_, 0)) {}
  KeepAlive& operator=(KeepAlive&& other) noexcept {
    std::swap(runtime_, other.runtime_);
    return *this;
  }
  ~KeepAlive();

 private:
  std::uint32_t runtime_;  // 0: moved from
};

}  // namespace ringo
