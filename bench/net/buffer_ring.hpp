// A ring of provided buffers, as liburing 2.3 lets one build it.
#pragma once

#include "server_socket.hpp"

#include <liburing.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace bench {

/// Buffers that the kernel picks from when bytes arrive. Each is in one place: the kernel's ring,
/// or a connection's queue.
class BufferRing {
 public:
  /// Its number, for buffer selection.
  static constexpr std::uint16_t group = 0;

  BufferRing(io_uring& ring, long count, long size)
      : count_(static_cast<std::uint32_t>(count)), size_(static_cast<std::uint32_t>(size)) {
    ring_ = static_cast<io_uring_buf_ring*>(map(count_ * sizeof(io_uring_buf)));
    memory_ = static_cast<std::byte*>(map(std::size_t{count_} * size_));
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(ring_);
    registration.ring_entries = count_;
    registration.bgid = group;
    const int error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error < 0) die("io_uring_register_buf_ring", -error);
    io_uring_buf_ring_init(ring_);
    for (std::uint32_t id = 0; id < count_; ++id) give_back(id);
    publish();
  }

  std::byte* data(std::uint32_t id) const { return memory_ + std::size_t{id} * size_; }
  std::uint32_t size() const { return size_; }
  /// Half of them are the kernel's: time to arm what has run out of buffers.
  bool plenty() const { return free_ >= count_ / 2; }

  void taken() { --free_; }
  void give_back(std::uint32_t id) {
    io_uring_buf_ring_add(ring_, data(id), size_, static_cast<std::uint16_t>(id),
                          io_uring_buf_ring_mask(count_), given_++);
    ++free_;
  }
  /// Lets the kernel see what was given back: once a turn.
  void publish() {
    if (given_ != 0) io_uring_buf_ring_advance(ring_, std::exchange(given_, 0));
  }

 private:
  static void* map(std::size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) die("mmap");
    return memory;
  }

  const std::uint32_t count_;
  const std::uint32_t size_;
  io_uring_buf_ring* ring_ = nullptr;
  std::byte* memory_ = nullptr;
  int given_ = 0;
  std::uint32_t free_ = 0;
};

}  // namespace bench
