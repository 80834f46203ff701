// Where the records of goroutines live: slabs that are recycled but never unmapped.
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include <ringo/detail/goroutine.hpp>

namespace ringo::detail {

/// Free records are chained in their first line, by the link of an inbox that they are not in.
inline Goroutine* next_free(const Goroutine& g) noexcept {
  return static_cast<Goroutine*>(g.next());
}
inline void link(Goroutine& g, Goroutine* next) noexcept { g.set_next(next); }

/// All records of the process. Stale claims, handles that outlive their runtime, and the dump may
/// read a record at any time; frames of abandoned goroutines stay reachable from here.
class RecordPool {
 public:
  static RecordPool& instance() noexcept;

  /// Free records, chained as by link(); counted, since who takes them would have to fetch each
  /// from the core that wrote it last.
  struct Batch {
    Goroutine* chain;
    std::size_t count;
  };

  /// Throws std::bad_alloc.
  Batch take_batch();
  void give_batch(Batch batch) noexcept;

  /// Visits every record, free ones included, without a lock.
  template <class F>
  void for_each(F&& visit) {
    for (Slab* slab = slabs_.load(std::memory_order_acquire); slab != nullptr; slab = slab->next) {
      for (Goroutine& g : slab->records) visit(g);
    }
  }

  /// The same for readers, as long as look(record) returns true. In signal handlers, too.
  template <class F>
  void look_at_each(F&& look) const {
    for (const Slab* slab = slabs_.load(std::memory_order_acquire); slab != nullptr;
         slab = slab->next) {
      for (const Goroutine& g : slab->records) {
        if (!look(g)) return;
      }
    }
  }

  static constexpr std::size_t slab_size = 64;
  static constexpr std::size_t batch_size = 64;

 private:
  RecordPool() = default;

  struct Slab {
    Slab* next = nullptr;  // constant once it is in the list
    Goroutine records[slab_size];
  };

  std::atomic<Slab*> slabs_{nullptr};
  std::mutex mutex_;
  std::size_t slab_count_ = 0;
  std::vector<Batch> batches_;
};

/// Free records of one worker. Not thread-safe.
class RecordCache {
 public:
  ~RecordCache();
  Goroutine* take() {
    if (free_ == nullptr) refill();
    Goroutine* g = free_;
    free_ = next_free(*g);
    --count_;
    return g;
  }
  void give(Goroutine* g) noexcept {
    link(*g, free_);
    free_ = g;
    if (++count_ >= 4 * RecordPool::batch_size) spill(RecordPool::batch_size);
  }

 private:
  void refill();
  void spill(std::size_t keep) noexcept;

  Goroutine* free_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace ringo::detail
