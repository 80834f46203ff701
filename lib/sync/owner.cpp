#include "sync/owner.hpp"

#include <exception>
#include <string>

#include <ringo/panic.hpp>

#include "base/log.hpp"

namespace ringo::detail {

void throw_foreign(const char* type) {
  std::string text = type;
  text += " is in use by another runtime: it belongs to one ringo::run";
  panic(text.c_str());
}

namespace {

/// Takes every open wait out of the queue, and makes sure that it never ends: a claimed wait
/// completes no more, and one without a claim word is forgotten by whoever cancels.
std::size_t strand(WaitQueue& queue) noexcept {
  std::size_t count = 0;
  while (WaitNode* node = queue.pop_claimed()) {
    ++count;
    if (node->seq == 0) node->g->wait = nullptr;
  }
  return count;
}

}  // namespace

void destroyed_with_waiters(const char* type, SpinLock& lock, std::uint32_t owner,
                            WaitQueue* const* queues, std::size_t count,
                            std::size_t woken) noexcept {
  const Runtime* runtime = current_runtime();
  if (runtime != nullptr && runtime->id() == owner) {
    if (runtime->stopping()) return;
  } else if (!runtime_is_alive(owner)) {
    return;
  }
  std::size_t waiters = woken;
  {
    SpinGuard guard(lock);
    for (std::size_t i = 0; i < count; ++i) waiters += strand(*queues[i]);
  }
  if (waiters == 0) return;
  std::string text = "sync: ";
  text += type;
  text += " destroyed while " + std::to_string(waiters) +
          (waiters == 1 ? " goroutine waits on it" : " goroutines wait on it");
  if (woken != 0 || std::uncaught_exceptions() == 0) fatal(text.c_str());
  if (runtime != nullptr && runtime->draining()) return;
  log_warn(text + ", by an exception; they wait for ever");
}

}  // namespace ringo::detail
