// dump(): what is everybody waiting for?
#pragma once

#include <cstdio>
#include <string>

namespace ringo {

/// Describes every goroutine of all runtimes of the process in Go's manner: number, state or what it
/// waits for, for how long (from one second on), its chain of awaiting functions by file and line,
/// innermost first, and where it was started.
///
///     goroutine 7 [chan receive, 3 minutes]:
///     reader(...)
///             server.cpp:41
///     created by serve in goroutine 1
///             server.cpp:77
///
/// All workers stand still meanwhile: those between two goroutines at once, others when theirs
/// suspends, and after 0.1 s by a signal (SIGURG) to their threads. The program then goes on. From
/// any thread and from goroutines; does not suspend; not from signal handlers. The same is written
/// to standard error when the process gets SIGQUIT (Options::dump_on_sigquit), which ends it with
/// status 2.
std::string dump();

/// Writes it to a descriptor or a stream. What cannot be written is lost.
void dump(int descriptor);
void dump(std::FILE* stream);

}  // namespace ringo
