// Buffer: received bytes, lent out without a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace ringo::detail {

class StreamSocket;

/// Part of a block of memory that the kernel has written into.
struct Chunk {
  std::byte* data = nullptr;  // the block
  std::uint32_t begin = 0;    // what is not yet used of it
  std::uint32_t end = 0;
  std::uint32_t capacity = 0;  // 0: one of the driver's buffers; else bytes of a block of our own
  std::uint16_t id = 0;        // of the driver's buffer

  std::uint32_t size() const noexcept { return end - begin; }
};

void return_chunk(StreamSocket* owner, const Chunk& chunk) noexcept;

}  // namespace ringo::detail

namespace ringo::net {

/// Bytes that TcpStream::recv() received, where the kernel put them. Owns them until it is
/// destroyed, on whichever worker; then the memory goes back to where it came from. Move-only.
/// Buffers are few (a worker has about 2 MB of them): hold one for as long as it takes to look at
/// the bytes, not for as long as a connection lives.
class Buffer {
 public:
  Buffer() noexcept = default;
  /// Takes over a reference to the owner.
  Buffer(ringo::detail::StreamSocket* owner, const ringo::detail::Chunk& chunk) noexcept
      : owner_(owner), chunk_(chunk) {}
  Buffer(Buffer&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)),
        chunk_(std::exchange(other.chunk_, ringo::detail::Chunk{})) {}
  /// Gives back what it held.
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));
    std::swap(owner_, taken.owner_);
    std::swap(chunk_, taken.chunk_);
    return *this;
  }
  ~Buffer() {
    if (owner_ != nullptr) ringo::detail::return_chunk(owner_, chunk_);
  }

  std::byte* data() noexcept { return chunk_.data + chunk_.begin; }
  const std::byte* data() const noexcept { return chunk_.data + chunk_.begin; }
  std::size_t size() const noexcept { return chunk_.size(); }
  bool empty() const noexcept { return chunk_.size() == 0; }
  std::span<const std::byte> span() const noexcept { return {data(), size()}; }
  std::string_view view() const noexcept { return {reinterpret_cast<const char*>(data()), size()}; }
  /// Forgets the first n bytes, at most all.
  void drop_front(std::size_t n) noexcept {
    chunk_.begin = n < chunk_.size() ? chunk_.begin + static_cast<std::uint32_t>(n) : chunk_.end;
  }

 private:
  ringo::detail::StreamSocket* owner_ = nullptr;
  ringo::detail::Chunk chunk_;
};

}  // namespace ringo::net
