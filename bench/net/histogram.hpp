// A log-linear histogram (the idea of HdrHistogram): 128 equal steps in each power of two, so that
// every recorded value is known to within 1/128 of itself, from 0 to 2^64 - 1, in 58 KiB that are
// allocated once. Recording is a bit scan, a shift and an increment.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {

class Histogram {
 public:
  /// Counts `value` `times` times.
  void record(std::uint64_t value, std::uint64_t times = 1) {
    counts_[index_of(value)] += times;
    total_ += times;
    if (value > max_) max_ = value;
  }

  /// Number of values recorded.
  std::uint64_t count() const { return total_; }

  /// Largest value recorded, exactly; 0 when there is none.
  std::uint64_t max() const { return max_; }

  /// The smallest value v of the histogram's resolution such that at least the share `quantile`
  /// (0 to 1) of all recorded values is <= v. 0 when nothing was recorded.
  std::uint64_t at(double quantile) const {
    if (total_ == 0) return 0;
    const double share = std::clamp(quantile, 0.0, 1.0) * static_cast<double>(total_);
    const auto wanted = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted) return std::min(highest_in(i), max_);
    }
    return max_;
  }

  /// Adds everything `other` has recorded.
  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    max_ = std::max(max_, other.max_);
  }

  /// Forgets everything.
  void clear() {
    std::fill(counts_.begin(), counts_.end(), 0);
    total_ = 0;
    max_ = 0;
  }

 private:
  // A value of at most 8 significant bits is its own index. A longer one keeps its 8 leading bits
  // (the first of them is 1, so they are 128 to 255) and moves up 128 places per bit dropped: the
  // ranges of successive shifts meet without a gap.
  static constexpr int kept_bits = 8;
  static constexpr std::size_t steps = std::size_t{1} << (kept_bits - 1);
  static constexpr std::size_t size = (64 - kept_bits) * steps + 2 * steps;

  static std::size_t index_of(std::uint64_t value) {
    const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kept_bits);
    return static_cast<std::size_t>(shift) * steps + static_cast<std::size_t>(value >> shift);
  }

  static std::uint64_t highest_in(std::size_t index) {
    if (index < 2 * steps) return index;
    const std::size_t shift = index / steps - 1;
    const std::uint64_t leading = index - shift * steps;
    return (leading << shift) + ((std::uint64_t{1} << shift) - 1);
  }

  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(size);
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace bench
