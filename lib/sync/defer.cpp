#include <ringo/defer.hpp>

#include <ringo/panic.hpp>

#include "base/log.hpp"
#include "runtime/report.hpp"

namespace ringo::detail {

void throw_deferred_nil() { panic("deferred call of a nil function"); }

void note_suppressed(std::exception_ptr error) noexcept {
  if (ended_quietly(error)) return;
  try {
    log_error("panic in a deferred call while another one was under way, dropped: " +
              describe(error));
  } catch (...) {
    log_error("panic in a deferred call while another one was under way, dropped");
  }
}

}  // namespace ringo::detail
