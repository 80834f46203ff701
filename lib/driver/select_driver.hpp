// Which kernel interface a worker runs on.
#pragma once

#include "driver/driver.hpp"

#include <optional>
#include <string_view>

namespace ringo::detail {

enum class DriverChoice : std::uint8_t {
  automatic,  ///< io_uring where it can be had, otherwise epoll
  uring,
  epoll,
};

/// "auto", "uring" or "epoll".
const char* to_string(DriverChoice choice) noexcept;

/// The choice of that name; otherwise nothing, with a message that names the three.
std::optional<DriverChoice> parse_driver_choice(std::string_view name, std::string& message);

/// Makes a driver for the calling thread, or null with the reason: under `uring` when io_uring is
/// refused, with what to do about it. Under `automatic` a refusal leads to epoll, and is logged
/// with its cause, once in a process. Makes no io_uring call under `epoll`, since a seccomp filter
/// may kill the process for one.
std::unique_ptr<Driver> make_driver(DriverChoice choice, DriverFailure& failure);

}  // namespace ringo::detail
