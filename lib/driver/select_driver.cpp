#include "driver/select_driver.hpp"

#include <atomic>
#include <string>

#include "base/log.hpp"

namespace ringo::detail {
namespace {

// Set by the first worker that says so; the others meet the same refusal.
std::atomic<bool> fallback_logged{false};

}  // namespace

const char* to_string(DriverChoice choice) noexcept {
  switch (choice) {
    case DriverChoice::automatic:
      return "auto";
    case DriverChoice::uring:
      return "uring";
    case DriverChoice::epoll:
      return "epoll";
  }
  return "?";
}

std::optional<DriverChoice> parse_driver_choice(std::string_view name, std::string& message) {
  for (const DriverChoice choice :
       {DriverChoice::automatic, DriverChoice::uring, DriverChoice::epoll}) {
    if (name == to_string(choice)) return choice;
  }
  message = "unknown driver \"" + std::string(name) + "\": it must be auto, uring or epoll";
  return std::nullopt;
}

std::unique_ptr<Driver> make_driver(DriverChoice choice, DriverFailure& failure) {
  if (choice == DriverChoice::epoll) return make_epoll_driver(failure);
  if (auto driver = make_uring_driver(failure)) return driver;
  if (choice == DriverChoice::uring) {
    failure.message += "; with RINGO_DRIVER=auto or RINGO_DRIVER=epoll ringo runs on epoll";
    return nullptr;
  }
  if (!fallback_logged.exchange(true)) {
    log_warn(failure.message + "; ringo runs on epoll (RINGO_DRIVER=epoll chooses it silently)");
  }
  return make_epoll_driver(failure);
}

}  // namespace ringo::detail
