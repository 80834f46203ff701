// Durations of any kind as nanoseconds.
#pragma once

#include <chrono>

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

}  // namespace ringo::detail
