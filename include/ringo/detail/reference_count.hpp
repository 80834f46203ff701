// Reference counts that cost no lock-prefixed instruction while the process has one thread, which
// the C library knows (handles may be held by plain threads too, so the workers' number of
// threaded() would not do).
#pragma once

#include <sys/single_threaded.h>

#include <atomic>
#include <cstdint>

namespace ringo::detail {

inline void add_reference(std::atomic<std::uint32_t>& count) noexcept {
  if (__libc_single_threaded) {
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  } else {
    count.fetch_add(1, std::memory_order_relaxed);
  }
}

/// True if it was the last one: the caller frees the object.
inline bool drop_reference(std::atomic<std::uint32_t>& count) noexcept {
  if (__libc_single_threaded) {
    std::uint32_t left = count.load(std::memory_order_relaxed) - 1;
    count.store(left, std::memory_order_relaxed);
    return left == 0;
  }
  return count.fetch_sub(1, std::memory_order_acq_rel) == 1;
}

}  // namespace ringo::detail
