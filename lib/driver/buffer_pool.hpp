// The receive buffers of an io_uring driver: memory that is lent to the kernel through a ring of
// provided buffers, handed to a socket when the kernel has written into one, and lent again when it
// comes back.
//
// The ring is the kernel's `struct io_uring_buf_ring`: an array of 16-byte entries written by us
// and read by the kernel, its tail laid over the last two bytes of the first entry. The kernel
// keeps the head. It never reads an entry at or past the tail, so an entry is written first and
// published by the store to the tail.
//
// The kernel takes buffers in the order in which they were entered, so the more there are in the
// ring the colder the next one is. Hence only `target` of them are in it, and the others on a
// stack, the last used on top; the target grows when the kernel has run out.
//
// Besides the ring there are spare blocks on the heap, for receives that must go on although
// sockets hold all buffers.
#pragma once

#include "driver/driver.hpp"

#include <vector>

namespace ringo::detail {

class BufferPool {
 public:
  BufferPool() = default;
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// Unmaps the memory; if buffers are still out, theirs stays mapped (it is somebody's).
  ~BufferPool();

  /// Maps `count` buffers (a power of two, at most 32768) of `size` bytes and enters the first of
  /// them in the ring. Returns 0 or an errno.
  int open(unsigned count, unsigned size) noexcept;

  /// What the kernel needs to know at registration.
  const void* ring() const noexcept { return entries_; }
  unsigned count() const noexcept { return count_; }

  /// Buffers that nobody holds.
  unsigned available() const noexcept { return in_ring_ + static_cast<unsigned>(stack_.size()); }

  /// The kernel found no buffer: if there are any, it gets more of them from now on.
  void ran_out() noexcept;

  /// The kernel has written `size` bytes into buffer `id`.
  ReceivedBuffer take(unsigned id, unsigned size) noexcept;

  /// Lends a buffer to the kernel again, or keeps a spare for the next time.
  void give_back(ReceivedBuffer buffer) noexcept;

  /// A block from the heap, its `size` the room in it, that goes through give_back() like any
  /// buffer; `data` is null if there is no memory.
  ReceivedBuffer spare() noexcept;

  /// Gives up the memory without unmapping it, because the kernel may still write into it.
  void leak() noexcept { leaked_ = true; }

 private:
  struct Entry {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t id;
    std::uint16_t tail;  // of the ring, in entry 0; nothing in the others
  };
  static_assert(sizeof(Entry) == 16);

  static constexpr std::uint16_t spare_id = 0xffff;
  static constexpr std::size_t spares_kept = 64;
  static constexpr unsigned spare_size = 8192;  // or less, where buffers are smaller

  // Buffers in the ring at first: more than the completions that one io_uring_enter(2) of a recent
  // kernel makes (20).
  static constexpr unsigned first_target = 32;

  std::byte* address_of(unsigned id) const noexcept;
  void enter(std::uint16_t id) noexcept;
  void refill() noexcept;

  Entry* entries_ = nullptr;
  std::byte* memory_ = nullptr;
  unsigned count_ = 0;
  unsigned size_ = 0;
  unsigned spare_size_ = 0;
  unsigned in_ring_ = 0;
  unsigned target_ = first_target;
  std::vector<std::uint16_t> stack_;  // the others that nobody holds
  std::uint16_t tail_ = 0;
  bool leaked_ = false;
  std::vector<std::byte*> spares_;
};

}  // namespace ringo::detail
