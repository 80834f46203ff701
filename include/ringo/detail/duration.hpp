// Time in nanoseconds: durations of any kind, and the clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace ringo::detail {

/// In nanoseconds; what does not fit becomes the longest, or the most negative, there is.
template <class Rep, class Period>
constexpr std::chrono::nanoseconds saturate(std::chrono::duration<Rep, Period> d) noexcept {
  using Wide = std::chrono::duration<long double, std::nano>;
  constexpr auto most = std::chrono::nanoseconds::max();
  if (Wide(d) >= Wide(most)) return most;
  if (Wide(d) <= Wide(-most)) return -most;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(d);
}
constexpr std::chrono::nanoseconds saturate(std::chrono::nanoseconds d) noexcept { return d; }

/// Nanoseconds of the clock that this thread's runtime lives by; of the steady clock outside.
std::int64_t clock_now() noexcept;

/// now + d, saturating at INT64_MAX, which never comes.
std::int64_t due_in(std::chrono::nanoseconds d) noexcept;

}  // namespace ringo::detail
