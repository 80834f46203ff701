#include "runtime/throw_trace.hpp"

#include <cxxabi.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <typeinfo>
#include <utility>

#include <ringo/detail/promise.hpp>
#include <ringo/detail/wait.hpp>
#include <ringo/panic.hpp>

#include "runtime/chain.hpp"
#include "runtime/goroutine_extra.hpp"

namespace ringo::detail {

namespace {

const void* object_of(const std::exception_ptr& error) noexcept {
  // An exception_ptr is a pointer to the exception, in libstdc++ and in libc++.
  static_assert(sizeof error == sizeof(void*));
  const void* object = nullptr;
  std::memcpy(&object, static_cast<const void*>(&error), sizeof object);
  return object;
}

/// How far the innermost handler's exception header lies before that object. By the C++ ABI for
/// Itanium, which all compilers here follow, caughtExceptions is the first member of the globals.
std::ptrdiff_t header_distance(const void* object) noexcept {
  const void* header = nullptr;
  std::memcpy(&header, abi::__cxa_get_globals(), sizeof header);
  return static_cast<const char*>(object) - static_cast<const char*>(header);
}

/// In a handler: was this exception thrown by a throw expression, and not passed on by a child's
/// Task? The former has its header at a fixed place before the object, the latter
/// (std::rethrow_exception) a header of its own elsewhere. An address is no name: the next
/// exception often lies where the one that was caught did.
bool is_first_throw(const void* object) noexcept {
  static const std::ptrdiff_t usual = [] {
    try {
      throw 0;
    } catch (...) {
      return header_distance(object_of(std::current_exception()));
    }
  }();
  return header_distance(object) == usual;
}

/// The trace of g, made if there is none; null without memory.
ThrowTrace* trace_of(Goroutine& g) noexcept {
  try {
    std::unique_ptr<ThrowTrace>& trace = extra_of(g).thrown;
    if (trace == nullptr) trace = std::make_unique<ThrowTrace>();
    return trace.get();
  } catch (const std::bad_alloc&) { return nullptr; }
}

const ThrowTrace* thrown_of(const Goroutine& g) noexcept {
  return g.extra != nullptr ? g.extra->thrown.get() : nullptr;
}

void write_sites(TextSink& out, const ThrowTrace& trace) noexcept {
  const unsigned known = trace.count < ThrowTrace::most ? trace.count : ThrowTrace::most;
  for (unsigned i = 0; i < known; ++i) write_frame(out, trace.sites[i]);
  if (trace.count > known) out << "...additional frames elided...\n";
}

}  // namespace

/// Called by each frame the exception leaves, the innermost first. The exception itself is not
/// held: its destruction must not wait for the goroutine's end.
void note_thrown(PromiseBase& frame) noexcept {
  Goroutine* g = frame.g;
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (g == nullptr || (type != nullptr && (*type == typeid(Canceled) || *type == typeid(Goexit)))) {
    return;  // nobody reports these
  }
  ThrowTrace* trace = trace_of(*g);
  if (trace == nullptr) return;
  const void* object = object_of(frame.error);
  const bool first = is_first_throw(object);
  if (trace->object != object || trace->next != &frame || first) {
    trace->object = object;
    trace->count = 0;
    if (first || (trace->origin != nullptr && trace->origin->object != object)) {
      trace->origin.reset();
      trace->origins = 0;
    }
  }
  if (trace->count < ThrowTrace::most) trace->sites[trace->count] = frame.site;
  ++trace->count;
  trace->next = frame.parent;
}

std::unique_ptr<ThrowTrace> take_trace(Goroutine& g, const std::exception_ptr& error) noexcept {
  if (thrown_of(g) == nullptr || thrown_of(g)->object != object_of(error)) return nullptr;
  std::unique_ptr<ThrowTrace> trace = std::move(g.extra->thrown);
  // Where it was thrown says more than who has passed it on.
  if (trace->origins == ThrowTrace::most_origins) {
    trace->origin->was_cut = true;
    return std::move(trace->origin);
  }
  trace->goroutine = g.id;
  trace->spawner = g.spawner;
  trace->spawn_site = g.spawn_site;
  return trace;
}

void throw_on(std::unique_ptr<ThrowTrace> origin) noexcept {
  Goroutine* g = current_goroutine();
  if (g == nullptr || origin == nullptr) return;
  ThrowTrace* trace = trace_of(*g);
  if (trace == nullptr) return;
  trace->object = origin->object;
  trace->next = nullptr;
  trace->count = 0;
  trace->origins = origin->origins + 1;
  trace->origin = std::move(origin);
}

void write_thrown(TextSink& out, const Goroutine& g) noexcept {
  out << "goroutine " << g.id << " [running]:\n";
  const ThrowTrace* trace = thrown_of(g);
  const bool known = trace != nullptr && trace->next == nullptr && g.root != nullptr &&
                     trace->object == object_of(g.root->error);
  if (known) {
    write_sites(out, *trace);
  } else if (g.root != nullptr) {
    write_frame(out, g.root->site);
  }
  write_birth(out, g.id, g.spawner, g.spawn_site);
  if (!known) return;
  for (trace = trace->origin.get(); trace != nullptr; trace = trace->origin.get()) {
    if (trace->was_cut) out << "\n...additional goroutines elided...\n";
    out << "\nfrom goroutine " << trace->goroutine << ":\n";
    write_sites(out, *trace);
    write_birth(out, trace->goroutine, trace->spawner, trace->spawn_site);
  }
}

}  // namespace ringo::detail
