#include "driver/buffer_pool.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <new>

#include "base/sanitizers.hpp"

#if RINGO_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace ringo::detail {
namespace {

// What nobody up here may touch: under AddressSanitizer a buffer that is used after it was given
// back is reported like any use after free.
void poison([[maybe_unused]] void* data, [[maybe_unused]] std::size_t size) noexcept {
#if RINGO_ASAN
  __asan_poison_memory_region(data, size);
#endif
}

void unpoison([[maybe_unused]] void* data, [[maybe_unused]] std::size_t size) noexcept {
#if RINGO_ASAN
  __asan_unpoison_memory_region(data, size);
#endif
}

// A cache line between buffers: were they a multiple of 4 KiB apart, the first lines of all of them
// would compete for the same few sets of the cache, and short messages fill the first lines only.
constexpr std::size_t gap = 64;

void* map(std::size_t size) noexcept {
  void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return nullptr;
  // A child must not see pages that the kernel writes for its parent. Failing is harmless.
  ::madvise(address, size, MADV_DONTFORK);
  return address;
}

}  // namespace

int BufferPool::open(unsigned count, unsigned size) noexcept {
  assert(count != 0 && (count & (count - 1)) == 0 && count <= 32768 && entries_ == nullptr);
  count_ = count;
  size_ = size;
  spare_size_ = std::min(size, spare_size);
  entries_ = static_cast<Entry*>(map(count * sizeof(Entry)));
  memory_ = static_cast<std::byte*>(map(count * (size + gap)));
  if (entries_ == nullptr || memory_ == nullptr) return ENOMEM;
  poison(memory_, count * (size + gap));
  try {
    stack_.reserve(count);
  } catch (const std::bad_alloc&) { return ENOMEM; }
  for (unsigned id = count; id-- != 0;) stack_.push_back(static_cast<std::uint16_t>(id));
  refill();
  return 0;
}

BufferPool::~BufferPool() {
  for (std::byte* spare : spares_) {
    unpoison(spare, spare_size_);
    ::operator delete(spare);
  }
  if (leaked_) return;
  if (entries_ != nullptr) ::munmap(entries_, count_ * sizeof(Entry));
  if (memory_ != nullptr && available() == count_) {
    unpoison(memory_, count_ * (size_ + gap));
    ::munmap(memory_, count_ * (size_ + gap));
  }
}

std::byte* BufferPool::address_of(unsigned id) const noexcept {
  return memory_ + id * (size_ + gap);
}

void BufferPool::enter(std::uint16_t id) noexcept {
  Entry& entry = entries_[tail_ & (count_ - 1)];
  entry.address = reinterpret_cast<std::uintptr_t>(address_of(id));
  entry.length = size_;
  entry.id = id;
  ++in_ring_;
  std::atomic_ref(entries_[0].tail).store(++tail_, std::memory_order_release);
}

void BufferPool::refill() noexcept {
  while (in_ring_ < target_ && !stack_.empty()) {
    const std::uint16_t id = stack_.back();
    stack_.pop_back();
    enter(id);
  }
}

void BufferPool::ran_out() noexcept {
  if (stack_.empty()) return;
  target_ = std::min(target_ * 2, count_);
  refill();
}

ReceivedBuffer BufferPool::take(unsigned id, unsigned size) noexcept {
  assert(id < count_ && in_ring_ != 0);
  --in_ring_;
  refill();
  std::byte* const data = address_of(id);
  unpoison(data, size);
  return {data, size, static_cast<std::uint16_t>(id)};
}

ReceivedBuffer BufferPool::spare() noexcept {
  std::byte* data = nullptr;
  if (!spares_.empty()) {
    data = spares_.back();
    spares_.pop_back();
    unpoison(data, spare_size_);
  } else {
    data = static_cast<std::byte*>(::operator new(spare_size_, std::nothrow));
    if (data == nullptr) return {};
  }
  return {data, spare_size_, spare_id};
}

void BufferPool::give_back(ReceivedBuffer buffer) noexcept {
  assert(buffer.data != nullptr);
  if (buffer.id != spare_id) {
    assert(buffer.id < count_ && buffer.data == address_of(buffer.id));
    poison(buffer.data, size_);
    if (in_ring_ < target_) return enter(buffer.id);
    stack_.push_back(buffer.id);  // has room for all
    return;
  }
  if (spares_.size() < spares_kept) {
    try {
      spares_.push_back(buffer.data);
      poison(buffer.data, spare_size_);
      return;
    } catch (const std::bad_alloc&) {
      // Not kept, then.
    }
  }
  ::operator delete(buffer.data);
}

}  // namespace ringo::detail
