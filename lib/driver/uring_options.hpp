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

  /// Receive buffers, a power of two of at most 32768. Their memory is touched only as they are
  /// used; the ring that names them charges 16 bytes each to RLIMIT_MEMLOCK.
  unsigned buffers = 512;

  /// Bytes a buffer holds.
  unsigned buffer_size = 4096;
};

/// Makes a driver of other sizes.
std::unique_ptr<Driver> make_uring_driver(const UringOptions& options, DriverFailure& failure);

}  // namespace ringo::detail
