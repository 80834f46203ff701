// Puts itself before the C library's allocation, and so before operator new too.
#include <execinfo.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

#include "counted_malloc.hpp"

extern "C" {
void* __libc_malloc(std::size_t size) noexcept;
void* __libc_calloc(std::size_t count, std::size_t size) noexcept;
void* __libc_realloc(void* memory, std::size_t size) noexcept;
void* __libc_memalign(std::size_t alignment, std::size_t size) noexcept;
}

namespace ringo::test {
namespace {

constinit std::atomic<long> allocations{0};
constinit std::atomic<bool> looking{false};  // for the first one
constinit void* frames[32];
constinit int depth = 0;

void count() noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  // backtrace() may allocate itself, but is no longer looked for then.
  if (looking.load(std::memory_order_relaxed) && looking.exchange(false)) {
    depth = ::backtrace(frames, static_cast<int>(sizeof frames / sizeof *frames));
  }
}

}  // namespace

long allocations_so_far() noexcept { return allocations.load(); }

void look_for_allocation(bool on) noexcept {
  if (on) depth = 0;
  looking.store(on);
}

void print_allocation() noexcept { ::backtrace_symbols_fd(frames, depth, 2); }

}  // namespace ringo::test

extern "C" {

void* malloc(std::size_t size) noexcept {
  ringo::test::count();
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  ringo::test::count();
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  ringo::test::count();
  return __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  ringo::test::count();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  ringo::test::count();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) noexcept {
  ringo::test::count();
  *memory = __libc_memalign(alignment, size);
  return *memory != nullptr ? 0 : ENOMEM;
}

}  // extern "C"
