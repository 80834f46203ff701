// How threads that are no workers reach a runtime. They never touch the state of a channel or a
// lock: they post what is to be done to a worker, and sleep until it has been done.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <ringo/detail/goroutine.hpp>
#include <ringo/task.hpp>

namespace ringo::detail {

/// Id of the runtime this worker thread belongs to, 0 on other threads.
std::uint32_t current_runtime_id() noexcept;
bool runtime_is_alive(std::uint32_t id) noexcept;
/// It does not live, and has nothing left of what it held.
bool runtime_is_gone(std::uint32_t id) noexcept;

/// Calls fn(context) on a worker of that runtime and waits for it; here and now, behind a
/// process-wide lock, if it does not live (then nobody else uses its state). Rethrows what fn
/// throws. Throws Panic if the runtime ends before it was called.
void call_on_runtime(std::uint32_t id, void (*fn)(void*), void* context);

/// Carries out `f` where the state of runtime `id` may be touched: at once on a worker.
template <class F>
void with_runtime_of(std::uint32_t id, F&& f) {
  if (on_worker_thread()) return f();
  call_on_runtime(
      id, [](void* context) { (*static_cast<std::remove_reference_t<F>*>(context))(); }, &f);
}

/// Id of the only live runtime; throws Panic naming `what` if there is none or more than one.
std::uint32_t only_runtime(const char* what);

/// Runs `body` (a function giving Task<>) as a goroutine of runtime `id` on behalf of this thread,
/// which sleeps until it is done; rethrows its exception. Throws Panic on a worker's thread and if
/// the runtime ends before.
void run_for_thread(const char* what, std::uint32_t id, Task<> (*body)(void*), void* context);

template <class F>
void run_for_thread(const char* what, F&& body) {
  if (on_worker_thread()) run_for_thread(what, 0, nullptr, nullptr);
  run_for_thread(
      what, only_runtime(what),
      [](void* context) -> Task<> {
        return (*static_cast<std::remove_reference_t<F>*>(context))();
      },
      &body);
}

class Runtime;
/// Visits the runtimes that live, without a lock; none of them ends meanwhile. In signal handlers,
/// too.
void visit_runtimes(void (*visit)(Runtime&, void*), void* context) noexcept;
template <class F>
void for_each_runtime(F&& f) noexcept {
  visit_runtimes(
      [](Runtime& runtime, void* context) {
        (*static_cast<std::remove_reference_t<F>*>(context))(runtime);
      },
      &f);
}
bool any_runtime() noexcept;

void register_runtime(Runtime& runtime);
/// After this no call reaches it any more, and those that did have been carried out: before any
/// thread touches without it what was its own. On worker 0, when no goroutine runs any more.
void unregister_runtime(Runtime& runtime) noexcept;
/// Its resources have been released: from here on another runtime may have what was its own.
void runtime_is_gone(const Runtime& runtime) noexcept;

}  // namespace ringo::detail
