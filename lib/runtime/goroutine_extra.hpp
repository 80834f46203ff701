// What few goroutines need beside their record: made when first needed, freed at the end.
#pragma once

#include <cstddef>
#include <memory>

#include <ringo/detail/frame_allocator.hpp>
#include <ringo/detail/goroutine.hpp>

#include "runtime/throw_trace.hpp"

namespace ringo::detail {

/// Touched by the goroutine itself and by the worker that ends it, but for the links.
struct GoroutineExtra {
  static void* operator new(std::size_t size) { return frame_allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { frame_free(memory, size); }

  ContextNode* context = nullptr;  // a reference; null: the background
  Goroutine* next = nullptr;       // in the list of its CancelNode, under its lock
  Goroutine* prev = nullptr;
  std::unique_ptr<ThrowTrace> thrown;  // the frames its last exception went through
};

/// Of the goroutine that runs, or is not yet known to anybody. Throws std::bad_alloc.
inline GoroutineExtra& extra_of(Goroutine& g) {
  if (g.extra == nullptr) g.extra = new GoroutineExtra;
  return *g.extra;
}

/// Null: the background.
inline ContextNode* context_of(const Goroutine& g) noexcept {
  return g.extra != nullptr ? g.extra->context : nullptr;
}

}  // namespace ringo::detail
