// Signals of the operating system, through channels (Go's os/signal).
#pragma once

#include <initializer_list>

#include <ringo/channel.hpp>

/// Go's os/signal.
///
///     Channel<int> interrupts(1);
///     signals::notify(interrupts, {SIGINT, SIGTERM});
///     co_await interrupts.recv();   // or as a case of a select
///     signals::stop(interrupts);    // from now on Ctrl-C ends the process again
///
/// Signals belong to the process, so these functions concern all runtimes in it. When a runtime
/// ends, its channels are stopped.
namespace ringo::signals {

/// From now on each of these signals is sent to the channel, as its number. Nobody waits for the
/// channel: a signal that finds it full is dropped, so it needs a buffer of as many places as
/// signals shall not be missed (SG-01); the same signal arriving again before it was sent counts
/// once, as in the kernel. Without signals, all that can be caught are meant but those that the
/// program's own faults raise (SIGSEGV, SIGBUS, SIGFPE, SIGILL). May be called again for the same
/// channel, which adds signals, and for several channels, each of which gets all of its signals.
///
/// The channel is kept alive. One that was closed is dropped when a signal meets it.
///
/// Goroutines only: Panic elsewhere, for the nil channel, and, with nothing changed, for a signal
/// that cannot be caught. Throws std::system_error if there is no descriptor left to hear of
/// signals by. Does not suspend.
void notify(const Sender<int>& channel, std::initializer_list<int> numbers = {});

/// Undoes all notify() for this channel. After it has returned nothing is sent to the channel any
/// more, and each signal that came before is in it, unless it was full. A signal that no channel
/// asks for any longer does again what it did before the first notify(): by default, SIGINT ends
/// the process. From any thread; does not suspend.
void stop(const Sender<int>& channel);

/// Undoes all notify() and ignore() for these signals, whatever the channel; without signals, for
/// all of them. From any thread; does not suspend.
void reset(std::initializer_list<int> numbers = {});

/// These signals do nothing from now on, and no channel gets them; without signals, all that can be
/// ignored. notify() and reset() end that. Throws Panic, with nothing changed, for a signal that
/// cannot be ignored. From any thread; does not suspend.
void ignore(std::initializer_list<int> numbers = {});

/// Whether the signal is ignored at present, by ignore() or because the process was started so, as
/// nohup does. From any thread.
bool ignored(int number) noexcept;

}  // namespace ringo::signals
