// Goroutines that suspend while their thread holds a std::mutex: whoever locks it next on this
// thread blocks the thread, and with it the goroutine that could unlock it.
#include <dlfcn.h>

#include <cstdint>
#include <string>
#include <utility>

#include "base/log.hpp"
#include "runtime/chain.hpp"
#include "runtime/dump.hpp"
#include "runtime/lock_check.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

namespace {

/// Who ran: what stays true when it runs elsewhere, or is gone.
struct Suspect {
  Goroutine* g;
  std::uint64_t id;
  std::source_location spawn_site;
  bool ended;
};

/// It has suspended. Perhaps it has gone on elsewhere since; so the world is stopped to look.
void tell_of_suspended(Runtime& runtime, const Suspect& who, TextSink& out) noexcept {
  const World::Stopped stopped = runtime.world().stop(stop_patience);
  if (stopped == World::Stopped::all && is_live(*who.g, runtime.id()) && who.g->id == who.id) {
    out << "\n";
    write_one(out, &runtime, *who.g, true);
  }
  if (stopped != World::Stopped::busy) runtime.world().release();
}

void tell(Runtime& runtime, const Suspect& who, int held) noexcept {
  if (!first_report_of(who.spawn_site.file_name(), who.spawn_site.line())) return;
  MappedSink out;
  out << "goroutine " << who.id << (who.ended ? " ended" : " suspended")
      << " while its thread holds " << std::uint64_t(held)
      << (held == 1 ? " std::mutex (pthread mutex) that it has" : " pthread mutexes that it has")
      << " locked: who locks it on this thread blocks the thread for ever (started at "
      << who.spawn_site.file_name() << ":" << std::uint64_t{who.spawn_site.line()} << ")";
  if (!who.ended) tell_of_suspended(runtime, who, out);
  std::string_view text = out.text();
  if (text.ends_with('\n')) text.remove_suffix(1);
  log_error(text);
}

}  // namespace

// Looked up by name and not through a weak symbol: in a program that libringo.a is linked into the
// linker resolves a weak symbol that it finds nowhere to null, for good, and a preloaded library
// comes too late.
namespace {

using Counter = int (*)() noexcept;

Counter counter() noexcept {
  static const auto found = reinterpret_cast<Counter>(::dlsym(RTLD_DEFAULT, "ringo_held_mutexes"));
  return found;
}

}  // namespace

bool mutexes_are_counted() noexcept { return counter() != nullptr; }

int held_mutexes() noexcept { return counter() != nullptr ? counter()() : 0; }

void Worker::resume_checked(Goroutine* g) {
  if (g->lock_waits) lock_wait_is_over(*g);
  Suspect who{g, g->id, g->spawn_site, false};
  const int before = held_mutexes();
  run_until_suspended(g);
  const int held = held_mutexes() - before;
  who.ended = finished_ != nullptr;
  if (who.ended && g->lock_waits) lock_wait_is_over(*g);
  if (held > 0) [[unlikely]]
    tell(runtime_, who, held);
  if (finished_ != nullptr) finish(std::exchange(finished_, nullptr));
}

}  // namespace ringo::detail
