#include <ringo/leak_check.hpp>

#include <algorithm>
#include <cstring>

#include <ringo/time.hpp>

#include "base/log.hpp"
#include "runtime/chain.hpp"
#include "runtime/dump.hpp"
#include "runtime/external.hpp"
#include "runtime/records.hpp"
#include "runtime/runtime.hpp"

namespace ringo {

namespace detail {

namespace {

/// Calls look(g, runtime, whole) for every live goroutine but the one that asks, of all runtimes,
/// each of which stands still meanwhile (so look() must not allocate), and of those that have ended
/// (runtime null).
template <class F>
void look_at_goroutines(F&& look) {
  prepare_interrupts();
  const Goroutine* self = current_goroutine();
  for_each_runtime([&](Runtime& runtime) {
    const World::Stopped stopped = runtime.world().stop(stop_patience);
    RecordPool::instance().look_at_each([&](const Goroutine& g) {
      if (&g != self && is_live(g, runtime.id())) {
        look(g, &runtime, stopped == World::Stopped::all);
      }
      return true;
    });
    if (stopped != World::Stopped::busy) runtime.world().release();
  });
  RecordPool::instance().look_at_each([&](const Goroutine& g) {
    const std::uint32_t id = lives_in(g);
    if (id != 0 && runtime_is_gone(id) && is_live(g, id)) look(g, nullptr, true);
    return true;
  });
}

}  // namespace
}  // namespace detail

LeakCheck::LeakCheck() {
  detail::MappedSink names;
  detail::look_at_goroutines([&](const detail::Goroutine& g, detail::Runtime*, bool) {
    const Name name{g.runtime_id, g.id};
    names.write({reinterpret_cast<const char*>(&name), sizeof name});
  });
  known_.resize(names.text().size() / sizeof(Name));
  if (!known_.empty()) std::memcpy(known_.data(), names.text().data(), names.text().size());
  if (const detail::Goroutine* self = detail::current_goroutine()) {
    known_.push_back({self->runtime_id, self->id});
  }
  std::sort(known_.begin(), known_.end());
}

LeakCheck::~LeakCheck() {
  if (asked_) return;
  try {
    const std::string left = leaks_now();
    if (!left.empty()) detail::log_error("LeakCheck: goroutines are left behind:\n" + left);
  } catch (...) {
    detail::log_error("LeakCheck: no memory to say what is left behind");
  }
}

std::string LeakCheck::leaks_now(std::size_t* count) {
  asked_ = true;
  detail::MappedSink out;
  std::size_t found = 0;
  detail::look_at_goroutines(
      [&](const detail::Goroutine& g, detail::Runtime* runtime, bool whole) {
        if (std::binary_search(known_.begin(), known_.end(), Name{g.runtime_id, g.id})) return;
        if (found++ != 0) out << "\n";
        detail::write_one(out, runtime, g, whole);
      });
  if (count != nullptr) *count = found;
  return std::string(out.text());
}

Task<std::string> LeakCheck::leaks(std::chrono::nanoseconds patience) {
  const std::int64_t end = detail::due_in(patience);
  std::chrono::nanoseconds pause = std::chrono::microseconds(50);
  for (;;) {
    std::string left = leaks_now();
    if (left.empty() || detail::clock_now() >= end) co_return left;
    co_await sleep_for(pause);
    pause *= 2;
  }
}

}  // namespace ringo
