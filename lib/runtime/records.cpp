#include "runtime/records.hpp"

#include <new>

namespace ringo::detail {

RecordPool& RecordPool::instance() noexcept {
  // Never destroyed: records are read by whatever still holds a handle at exit.
  static RecordPool* pool = new RecordPool;
  return *pool;
}

Goroutine* RecordPool::take_batch() {
  std::lock_guard guard(mutex_);
  if (!batches_.empty()) {
    Goroutine* chain = batches_.back();
    batches_.pop_back();
    return chain;
  }
  batches_.reserve(slab_count_ * 4 + 4);  // so that give_batch() seldom allocates
  auto* slab = new Slab;
  Goroutine* records = slab->records;
  for (std::size_t i = 0; i + 1 < slab_size; ++i) link(records[i], &records[i + 1]);
  slab->next = slabs_.load(std::memory_order_relaxed);
  slabs_.store(slab, std::memory_order_release);
  ++slab_count_;
  return records;
}

void RecordPool::give_batch(Goroutine* chain) noexcept {
  std::lock_guard guard(mutex_);
  batches_.push_back(chain);
}

RecordCache::~RecordCache() { spill(0); }

void RecordCache::refill() {
  free_ = RecordPool::instance().take_batch();
  for (Goroutine* g = free_; g != nullptr; g = next_free(*g)) ++count_;
}

void RecordCache::spill(std::size_t keep) noexcept {
  while (count_ > keep) {
    Goroutine* chain = free_;
    Goroutine* last = free_;
    std::size_t taken = 1;
    while (taken < RecordPool::batch_size && next_free(*last) != nullptr) {
      last = next_free(*last);
      ++taken;
    }
    free_ = next_free(*last);
    link(*last, nullptr);
    count_ -= taken;
    RecordPool::instance().give_batch(chain);
  }
}

}  // namespace ringo::detail
