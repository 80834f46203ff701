// The dump, and SIGQUIT.
#pragma once

#include "runtime/text_sink.hpp"
#include "runtime/world.hpp"

namespace ringo::detail {

class Runtime;
struct Goroutine;

/// How long a worker has to come to the end of what it does before its thread is held by a signal,
/// and that thread to take it: it comes at once, unless the machine is overloaded.
inline constexpr World::Patience stop_patience{100'000'000, 5'000'000'000};

/// Writes one live goroutine. `whole`: the world of its runtime stands still, so frames may be
/// read; otherwise only what the record says. `runtime` null: it was abandoned, and the runtime is
/// gone.
void write_one(TextSink& out, const Runtime* runtime, const Goroutine& g, bool whole) noexcept;

/// Writes every goroutine of that runtime, main's first.
void write_goroutines(TextSink& out, const Runtime& runtime, bool whole) noexcept;

/// SIGQUIT writes a dump and ends the process, from now on and until as many releases, unless the
/// program has an action of its own for it.
void catch_sigquit() noexcept;
void release_sigquit() noexcept;

}  // namespace ringo::detail
