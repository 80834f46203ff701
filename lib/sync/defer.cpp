#include <ringo/defer.hpp>

#include <memory>
#include <string>

#include <ringo/panic.hpp>

#include "base/log.hpp"
#include "runtime/report.hpp"

namespace ringo {

namespace detail {

void throw_deferred_nil() {
  panic("invalid memory address or nil pointer dereference (deferred call of a null function)");
}

void deferred_call_failed() noexcept {
  log_error("a deferred call failed while another exception was unwinding: " +
            describe(std::current_exception()));
}

}  // namespace detail

namespace {

/// Rethrows what a deferred call has thrown (the exception being handled) in place of `replaced`.
/// Only the type Panic is known to be copyable into one that nests another.
[[noreturn]] void replace(const std::exception_ptr& replaced) {
  std::exception_ptr newer = std::current_exception();
  try {
    std::rethrow_exception(newer);
  } catch (const std::nested_exception&) {
    throw;  // it has a history of its own
  } catch (const Panic& panic) {
    try {
      std::rethrow_exception(replaced);
    } catch (...) { std::throw_with_nested(Panic(panic)); }
  }
  // Others leave the handler above as they are.
}

}  // namespace

void DeferStack::pop_and_run() {
  std::unique_ptr<Entry> entry(std::exchange(top_, top_->below));
  entry->run();
}

void DeferStack::run() {
  std::exception_ptr error;
  while (top_ != nullptr) {
    try {
      try {
        pop_and_run();
      } catch (...) {
        if (error) replace(error);
        throw;
      }
    } catch (...) { error = std::current_exception(); }
  }
  if (error) std::rethrow_exception(error);
}

void DeferStack::finish() {
  if (std::uncaught_exceptions() == unwinding_) return run();
  while (top_ != nullptr) {
    try {
      pop_and_run();
    } catch (...) { detail::deferred_call_failed(); }
  }
}

void DeferStack::dismiss() noexcept {
  while (top_ != nullptr) std::unique_ptr<Entry> entry(std::exchange(top_, top_->below));
}

}  // namespace ringo
