// Why io_uring cannot be had on this machine, in words for whoever runs the program.
#pragma once

#include "driver/driver.hpp"

namespace ringo::detail {

/// Describes `error` met in `step` ("io_uring_setup", ...): the cause, found out as far as the
/// system tells, and what to do about it.
DriverFailure describe_uring_failure(const char* step, int error);

}  // namespace ringo::detail
