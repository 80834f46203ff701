// The dump, and SIGQUIT.
#pragma once

#include "runtime/text_sink.hpp"

namespace ringo::detail {

class Runtime;

/// Writes every goroutine of that runtime, main's first. `whole`: its world stands still, so frames
/// may be read; otherwise only what the records say.
void write_goroutines(TextSink& out, const Runtime& runtime, bool whole) noexcept;

/// SIGQUIT writes a dump and ends the process, from now on and until as many releases, unless the
/// program has an action of its own for it.
void catch_sigquit() noexcept;
void release_sigquit() noexcept;

}  // namespace ringo::detail
