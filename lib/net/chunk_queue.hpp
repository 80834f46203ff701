// Received bytes that wait for somebody: first in, first out.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <ringo/net/buffer.hpp>

namespace ringo::detail {

/// Most connections never have any, so it is one pointer until there are.
class ChunkQueue {
 public:
  bool empty() const noexcept { return box_ == nullptr || box_->first == box_->chunks.size(); }
  std::size_t count() const noexcept { return empty() ? 0 : box_->chunks.size() - box_->first; }
  /// In all of them.
  std::size_t bytes() const noexcept { return box_ == nullptr ? 0 : box_->bytes; }

  void push_back(const Chunk& chunk) {
    if (box_ == nullptr) box_ = std::make_unique<Box>();
    Box& box = *box_;
    if (box.first > few) {
      box.chunks.erase(box.chunks.begin(),
                       box.chunks.begin() + static_cast<std::ptrdiff_t>(box.first));
      box.first = 0;
    }
    box.chunks.push_back(chunk);
    box.bytes += chunk.size();
  }

  /// There must be one.
  const Chunk& front() const noexcept { return box_->chunks[box_->first]; }

  Chunk pop_front() noexcept {
    Box& box = *box_;
    const Chunk chunk = box.chunks[box.first];
    box.bytes -= chunk.size();
    if (++box.first == box.chunks.size()) {
      box.chunks.clear();
      box.first = 0;
    }
    return chunk;
  }

  /// Forgets the first n bytes of the first one, which has more.
  void drop_bytes(std::size_t n) noexcept {
    box_->chunks[box_->first].begin += static_cast<std::uint32_t>(n);
    box_->bytes -= n;
  }

 private:
  struct Box {
    std::vector<Chunk> chunks;  // from `first` on
    std::size_t first = 0;
    std::size_t bytes = 0;
  };
  static constexpr std::size_t few = 4;

  std::unique_ptr<Box> box_;
};

}  // namespace ringo::detail
