// The bytes an echo must bring back unchanged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace bench {

/// An endless stream of bytes for each connection, checked at the price of a memcmp and sent
/// without being written anywhere first: one ring of random bytes, which every connection enters
/// at a place of its own. A byte that is lost, doubled, swapped or from another connection meets
/// other random bytes. The ring's length is prime, so messages of no size come round in step.
class Pattern {
 public:
  /// `longest`: the most bytes that from() lets a caller see at once.
  explicit Pattern(std::size_t longest) : bytes_(length + longest) {
    std::uint64_t state = 0x9e3779b97f4a7c15;
    for (std::size_t i = 0; i < length; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      bytes_[i] = static_cast<std::uint8_t>(state >> 56);
    }
    for (std::size_t i = length; i < bytes_.size(); ++i) bytes_[i] = bytes_[i - length];
  }

  /// Where a connection's stream enters the ring.
  static std::size_t start_of(std::size_t connection) { return connection * 7919 % length; }

  /// The place `bytes` further on.
  static std::size_t advance(std::size_t place, std::size_t bytes) {
    place += bytes;
    return place < length ? place : place % length;
  }

  /// The bytes from `place` on, at least `longest` of them.
  const std::uint8_t* from(std::size_t place) const { return bytes_.data() + place; }

  /// How many of the `count` bytes at `seen` are right before the first wrong one.
  std::size_t right(std::size_t place, const std::uint8_t* seen, std::size_t count) const {
    if (std::memcmp(from(place), seen, count) == 0) return count;
    std::size_t i = 0;
    while (from(place)[i] == seen[i]) ++i;
    return i;
  }

 private:
  static constexpr std::size_t length = 65521;
  std::vector<std::uint8_t> bytes_;
};

}  // namespace bench
