// The sizes of an io_uring driver. All of them at one place; only tests use others.
#pragma once

#include "driver/driver.hpp"

namespace ringo::detail {

struct UringOptions {
  /// Submission queue: more than one turn of a worker asks for, small enough to stay in the cache.
  unsigned sq_entries = 256;

  /// Completion queue: it must not overflow in ordinary work, since an overflow ends the receives
  /// that post into it. A ring of 256 and 4096 entries charges 84 KiB to RLIMIT_MEMLOCK (from Linux
  /// 6.14 on).
  unsigned cq_entries = 4096;

  /// Receive buffers, a power of two of at most 32768. They are address space; the kernel gives
  /// memory to the pages that messages reach, and a few warm buffers do most of the work (see
  /// buffer_pool.hpp). The ring that names them charges 16 bytes each to RLIMIT_MEMLOCK.
  unsigned buffers = 256;

  /// Bytes a buffer holds. Large, because each buffer filled is a receive of its own to TCP, which
  /// may answer it with a window update: an echo of 64 KiB through buffers of 4 KiB takes 2.7 times
  /// the processor time of one recv(2), through buffers of 64 KiB no more than that.
  unsigned buffer_size = 65536;
};

/// Makes a driver of other sizes.
std::unique_ptr<Driver> make_uring_driver(const UringOptions& options, DriverFailure& failure);

}  // namespace ringo::detail
