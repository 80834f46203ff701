#include "runtime/records.hpp"

#include <new>

namespace ringo::detail {

RecordPool& RecordPool::instance() noexcept {
  // Never destroyed: records are read by whatever still holds a handle at exit.
  static RecordPool* pool = new RecordPool;
  return *pool;
}

RecordPool::Batch RecordPool::take_batch() {
  std::lock_guard guard(mutex_);
  if (!batches_.empty()) {
    const Batch batch = batches_.back();
    batches_.pop_back();
    return batch;
  }
  batches_.reserve(slab_count_ * 4 + 4);  // so that give_batch() seldom allocates
  auto* slab = new Slab;
  Goroutine* records = slab->records;
  for (std::size_t i = 0; i + 1 < slab_size; ++i) link(records[i], &records[i + 1]);
  slab->next = slabs_.load(std::memory_order_relaxed);
  slabs_.store(slab, std::memory_order_release);
  ++slab_count_;
  return {records, slab_size};
}

void RecordPool::give_batch(Batch batch) noexcept {
  std::lock_guard guard(mutex_);
  batches_.push_back(batch);
}

RecordCache::~RecordCache() { spill(0); }

void RecordCache::refill() {
  const RecordPool::Batch batch = RecordPool::instance().take_batch();
  free_ = batch.chain;
  count_ = batch.count;
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
    RecordPool::instance().give_batch({chain, taken});
  }
}

}  // namespace ringo::detail
