#include <ringo/task_group.hpp>

#include <memory>
#include <string>
#include <utility>

#include <ringo/panic.hpp>

#include "runtime/report.hpp"
#include "runtime/throw_trace.hpp"

namespace ringo {

namespace detail {

GroupState::GroupState() {
  auto [context, cancel] = with_cancel_cause(this_context());
  context_ = std::move(context);
  cancel_ = std::move(cancel);
}

GroupState::~GroupState() = default;

void GroupState::set_limit(std::int64_t n) {
  if (n < 1) panic("task_group: a limit below 1 would let nothing run");
  // Synchronises with children that have ended: they looked at the limit.
  if (active_.load(std::memory_order_acquire) != 0) {
    panic("task_group: the limit is changed while children are active");
  }
  limit_.emplace(n);
}

void GroupState::enter() {
  active_.fetch_add(1, std::memory_order_relaxed);
  members_.add(1);
}

GroupState::Leave::~Leave() {
  if (holds_place) group->limit_->release();
  group->active_.fetch_sub(1, std::memory_order_release);
  group->members_.done();  // the last touch: the group may end now
}

void GroupState::fail(std::exception_ptr error) noexcept {
  std::unique_ptr<ThrowTrace> origin = take_trace(*current_goroutine(), error);
  {
    SpinGuard guard(lock_);
    if (first_ != nullptr) return;
    first_ = error;
    origin_ = std::move(origin);
  }
  cancel_(Error(make_error_code(Errc::canceled), "task_group", describe(error)));
}

void GroupState::child_failed() noexcept {
  std::exception_ptr error = std::current_exception();
  if (ended_quietly(error)) {
    cut_short_.store(true, std::memory_order_relaxed);
    return;
  }
  fail(error);
  exception_is_seen(current_goroutine());
}

void GroupState::body_failed() noexcept {
  std::exception_ptr error = std::current_exception();
  if (!ended_quietly(error)) return fail(error);
  leaving_ = error;
  cancel_();
}

Task<> GroupState::join() {
  Goroutine* g = current_goroutine();
  {
    const ShieldScope no_cancellation(g);
    co_await members_.wait();
  }
  cancel_();
  if (first_ != nullptr) {
    throw_on(std::move(origin_));
    std::rethrow_exception(first_);
  }
  // By its Context, or by the end of the runtime.
  const bool from_outside = cancellation_pending(g) || this_context().err();
  if (leaving_ == nullptr) {
    // The body had ended well when a cancellation from outside cut the work of its children short.
    if (from_outside && cut_short_.load(std::memory_order_relaxed)) throw Canceled{};
    co_return;
  }
  try {
    std::rethrow_exception(leaving_);
  } catch (const Canceled&) {
    // Cancelled by cancel() of this very group: that is how it was to end.
    if (!from_outside) co_return;
    throw;
  }
}

}  // namespace detail

Task<> TaskGroup::room() const {
  if (!state_->limited()) co_return;
  co_await state_->limit().acquire();
  state_->limit().release();
}

detail::Placement TaskGroup::here() const {
  return detail::Placement(-1, detail::ContextAccess::bound(state_->context()));
}

}  // namespace ringo
