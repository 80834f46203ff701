// The real code of RunQueue under Relacy, which runs it in random interleavings
// with the stale reads that the C++ memory model allows, and detects data races.
//
// Its queue code speaks of std::atomic; inside namespace ringo::detail that finds
// the namespace std defined here first.
#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <sstream>

#include <relacy/relacy.hpp>
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef errno
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

// Relacy replaces operator new and delete by inline functions. Taken by address
// they exist for the standard library too, whatever the optimisation.
namespace relacy_memory {
extern void* (*volatile allocate)(std::size_t);
extern void* (*volatile allocate_array)(std::size_t);
extern void (*volatile release)(void*);
extern void (*volatile release_array)(void*);
void* (*volatile allocate)(std::size_t) = ::operator new;
void* (*volatile allocate_array)(std::size_t) = ::operator new[];
void (*volatile release)(void*) = ::operator delete;
void (*volatile release_array)(void*) = ::operator delete[];
}  // namespace relacy_memory

namespace {
const rl::debug_info here("RunQueue", __FILE__, 0);
}

namespace ringo::detail {

namespace std {

using ::std::bad_alloc;
using ::std::has_single_bit;
using ::std::memory_order_acq_rel;
using ::std::memory_order_acquire;
using ::std::memory_order_relaxed;
using ::std::memory_order_release;
using ::std::size_t;
using ::std::uint64_t;
using ::std::unique_ptr;

inline rl::memory_order model_order(::std::memory_order order) {
  switch (order) {
    case memory_order_relaxed:
      return rl::mo_relaxed;
    case memory_order_acquire:
      return rl::mo_acquire;
    case memory_order_release:
      return rl::mo_release;
    case memory_order_acq_rel:
      return rl::mo_acq_rel;
    default:
      ::std::abort();  // RunQueue needs no other
  }
}

template <class T>
class atomic {
 public:
  atomic() { value_.store(T(), rl::mo_relaxed, here); }
  atomic(T value) { value_.store(value, rl::mo_relaxed, here); }
  T load(::std::memory_order order) const { return value_.load(model_order(order), here); }
  void store(T value, ::std::memory_order order) { value_.store(value, model_order(order), here); }
  bool compare_exchange_weak(T& expected, T desired, ::std::memory_order success,
                             ::std::memory_order failure) {
    return value_.compare_exchange_weak(expected, desired, model_order(success), here,
                                        model_order(failure), here);
  }
  bool compare_exchange_strong(T& expected, T desired, ::std::memory_order success,
                               ::std::memory_order failure) {
    return value_.compare_exchange_strong(expected, desired, model_order(success), here,
                                          model_order(failure), here);
  }

 private:
  rl::atomic<T> value_;
};

}  // namespace std
}  // namespace ringo::detail

#include "runtime/run_queue.cpp"

namespace {

using ringo::detail::Goroutine;
using ringo::detail::RunQueue;

// An owner and two thieves, of which the second also robs the first. Rings begin
// with one slot, so that they grow, wrap around and shrink within a few steps.
struct Model : rl::test_suite<Model, 3> {
  static constexpr std::uintptr_t count = 9;

  std::unique_ptr<RunQueue> queues[3];
  rl::var<std::uintptr_t> payload[count + 1];
  int seen[count + 1];

  void before() {
    for (auto& queue : queues) queue = std::make_unique<RunQueue>(true, 1);
    for (int& each : seen) each = 0;
  }

  void consume(Goroutine* goroutine) {
    const auto i = reinterpret_cast<std::uintptr_t>(goroutine);
    RL_ASSERT(i >= 1 && i <= count);
    RL_ASSERT(payload[i](here) == i);
    ++seen[i];
    RL_ASSERT(seen[i] == 1);
  }

  void pop(unsigned self) {
    if (Goroutine* goroutine = queues[self]->pop()) consume(goroutine);
  }

  void thread(unsigned self) {
    if (self == 0) {
      for (std::uintptr_t i = 1; i <= count; ++i) {
        payload[i](here) = i;
        queues[0]->push(reinterpret_cast<Goroutine*>(i));
        for (unsigned n = i > 4 ? rl::rand(3) : 0; n > 0; --n) pop(0);
      }
    } else {
      for (int step = 0; step < 8; ++step) {
        const unsigned victim = self == 2 && rl::rand(4) != 0 ? 1 : 0;
        if (Goroutine* goroutine = queues[victim]->steal_into(*queues[self])) consume(goroutine);
        if (rl::rand(4) == 0) pop(self);
      }
    }
  }

  void after() {
    for (unsigned self = 0; self < 3; ++self) {
      queues[self]->drain_to([&](Goroutine* goroutine) { consume(goroutine); });
      RL_ASSERT(queues[self]->empty());
    }
    for (std::uintptr_t i = 1; i <= count; ++i) RL_ASSERT(seen[i] == 1);
    for (auto& queue : queues) queue.reset();
  }
};

}  // namespace

// The number of interleavings may be given.
int main(int argc, char** argv) {
  rl::test_params params;
  params.iteration_count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000;
  params.execution_depth_limit = 20'000;
  params.search_type = rl::random_scheduler_type;
  return rl::simulate<Model>(params) ? 0 : 1;
}
