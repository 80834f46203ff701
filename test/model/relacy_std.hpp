// Relacy for the models here: they run the library's own code in random interleavings with the
// stale reads that the C++ memory model allows, and data races are detected.
//
// That code speaks of std::atomic; inside namespace ringo::detail it finds the namespace std
// defined here first. So every standard header it needs is included before, and the library's
// own after this one.
#pragma once

#include <atomic>
#include <bit>
#include <cassert>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <source_location>
#include <sstream>
#include <type_traits>
#include <utility>

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
const rl::debug_info here("model", __FILE__, 0);

// Of a model that is to show that it needs sequential consistency.
bool weaken_seq_cst = false;
}  // namespace

namespace ringo::detail {

namespace std {

using ::std::bad_alloc;
using ::std::coroutine_handle;
using ::std::derived_from;
using ::std::exchange;
using ::std::forward;
using ::std::has_single_bit;
using ::std::int16_t;
using ::std::int64_t;
using ::std::int8_t;
using ::std::memory_order_acq_rel;
using ::std::memory_order_acquire;
using ::std::memory_order_relaxed;
using ::std::memory_order_release;
using ::std::memory_order_seq_cst;
using ::std::move;
using ::std::size_t;
using ::std::source_location;
using ::std::uint32_t;
using ::std::uint64_t;
using ::std::uint8_t;
using ::std::uintptr_t;
using ::std::unique_ptr;

enum class Access { load, store, update };

inline rl::memory_order model_order(::std::memory_order order, Access access) {
  switch (order) {
    case memory_order_relaxed:
      return rl::mo_relaxed;
    case memory_order_acquire:
      return rl::mo_acquire;
    case memory_order_release:
      return rl::mo_release;
    case memory_order_acq_rel:
      return rl::mo_acq_rel;
    case memory_order_seq_cst:
      if (!weaken_seq_cst) return rl::mo_seq_cst;
      return access == Access::load    ? rl::mo_acquire
             : access == Access::store ? rl::mo_release
                                       : rl::mo_acq_rel;
    default:
      ::std::abort();  // the library needs no other
  }
}

template <class T>
class atomic {
 public:
  atomic() : atomic(T()) {}
  atomic(T value) {
    ended_(here) = 0;
    value_.store(to(value), rl::mo_relaxed, here);
  }
  T load(::std::memory_order order) const {
    touch();
    return from(value_.load(model_order(order, Access::load), here));
  }
  void store(T value, ::std::memory_order order) {
    touch();
    value_.store(to(value), model_order(order, Access::store), here);
  }
  T exchange(T value, ::std::memory_order order) {
    touch();
    return from(value_.exchange(to(value), model_order(order, Access::update), here));
  }
  T fetch_add(T value, ::std::memory_order order) {
    touch();
    return from(value_.fetch_add(to(value), model_order(order, Access::update), here));
  }
  T fetch_sub(T value, ::std::memory_order order) {
    touch();
    return from(value_.fetch_sub(to(value), model_order(order, Access::update), here));
  }
  T fetch_or(T value, ::std::memory_order order) {
    touch();
    return from(value_.fetch_or(to(value), model_order(order, Access::update), here));
  }
  bool compare_exchange_weak(T& expected, T desired, ::std::memory_order success,
                             ::std::memory_order failure) {
    touch();
    Rep seen = to(expected);
    const bool done = value_.compare_exchange_weak(
        seen, to(desired), model_order(success, Access::update), here,
        model_order(failure, Access::load), here);
    expected = from(seen);
    return done;
  }
  bool compare_exchange_strong(T& expected, T desired, ::std::memory_order success,
                               ::std::memory_order failure) {
    touch();
    Rep seen = to(expected);
    const bool done = value_.compare_exchange_strong(
        seen, to(desired), model_order(success, Access::update), here,
        model_order(failure, Access::load), here);
    expected = from(seen);
    return done;
  }

  /// For models: the memory is no longer an atomic's. Who touches it now, or has touched it
  /// without that having happened before, is found out.
  void end_life() { ended_(here) = 1; }

 private:
  // Relacy prints values, and knows no enumerations.
  using Rep = ::std::conditional_t<::std::is_enum_v<T> || ::std::is_same_v<T, bool>, int, T>;
  static Rep to(T value) { return static_cast<Rep>(value); }
  static T from(Rep value) { return static_cast<T>(value); }
  void touch() const { RL_ASSERT(ended_(here) == 0); }

  rl::atomic<Rep> value_;
  rl::var<int> ended_;
};

}  // namespace std
}  // namespace ringo::detail

namespace {

/// The rule that the first argument names: its place in `names`, of which the first is none.
template <int count>
[[maybe_unused]] int what_to_break(const char* const (&names)[count], int argc, char** argv) {
  if (argc < 2) return 0;
  for (int i = 0; i < count; ++i) {
    if (::std::strcmp(names[i], argv[1]) == 0) return i;
  }
  std::fprintf(stderr, "there is no rule %s\n", argv[1]);
  std::exit(2);
}

/// Runs a model, as often as the second argument says. Whether it is as it should be: a model of
/// which a rule was left out has to fail by its own checks, not by taking too long.
template <class Model>
[[maybe_unused]] int run_model(bool is_broken, int argc, char** argv,
                               unsigned long long iterations) {
  rl::test_params params;
  params.iteration_count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : iterations;
  params.execution_depth_limit = 20'000;
  params.search_type = rl::random_scheduler_type;
  const bool holds = rl::simulate<Model>(params);
  if (!is_broken) return holds ? 0 : 1;
  return !holds && params.test_result != rl::test_result_livelock ? 0 : 1;
}

}  // namespace
