#include "runtime/deadlock_watch.hpp"

#include <dirent.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "base/sanitizers.hpp"
#include "runtime/blocking_pool.hpp"
#include "runtime/chain.hpp"
#include "runtime/dump.hpp"
#include "runtime/records.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t retry_pause = 20'000'000;
constexpr std::int64_t first_pause = second;
constexpr std::int64_t longest_pause = 16 * second;
constexpr std::int64_t foreign_patience = 5 * second;
constexpr std::int64_t look_patience = 20'000'000;  // a worker that does not stop is alive

/// ThreadSanitizer has a thread of its own, and a second one after a fork. They block all signals,
/// SIGSEGV too, which no other thread does.
bool is_tool_thread(const std::string& folder) {
  if (RINGO_TSAN == 0) return false;
  std::ifstream file(folder + "/status");
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("SigBlk:")) continue;
    const auto blocked = std::strtoull(line.c_str() + 7, nullptr, 16);
    return (blocked >> (SIGSEGV - 1) & 1) != 0;
  }
  return false;
}

std::int64_t sooner(std::int64_t limit, std::int64_t other) noexcept {
  return limit < 0 || other < limit ? other : limit;
}

}  // namespace

std::int64_t DeadlockWatch::before_sleep(Worker& worker, std::int64_t limit) noexcept {
  if (runtime_.options().on_deadlock == DeadlockPolicy::ignore) return limit;
  if (runtime_.draining() || runtime_.stopping()) return limit;
  bool in_flight = false;
  if (!may_be_dead(in_flight)) return limit;
  // A simulated clock jumps to the end of a sleep, so none must be invented.
  if (in_flight && runtime_.environment() != nullptr) return limit;

  const std::int64_t now = runtime_.now();
  std::int64_t next = next_look_.load(std::memory_order_relaxed);
  if (next == 0 && in_flight) {
    pause_.store(first_pause, std::memory_order_relaxed);
    next = now + first_pause;
    next_look_.store(next, std::memory_order_relaxed);
  }
  if (now < next) return sooner(limit, next - now);

  const Verdict verdict = look(worker);
  if (verdict == Verdict::dead) return 0;
  if (verdict == Verdict::unknown) {
    // Some thread had no core to come on, or was about to run something.
    next_look_.store(now + retry_pause, std::memory_order_relaxed);
    return sooner(limit, retry_pause);
  }
  std::int64_t pause = pause_.load(std::memory_order_relaxed);
  if (verdict == Verdict::foreign) {
    // Soon again at first: it may have been one of ours on its way in or out.
    pause = pause == 0 ? retry_pause : std::min(2 * pause, foreign_patience);
  } else {
    pause = pause == 0 ? first_pause : std::min(2 * pause, longest_pause);
  }
  pause_.store(pause, std::memory_order_relaxed);
  next_look_.store(now + pause, std::memory_order_relaxed);
  return sooner(limit, pause);
}

/// A cheap guess, while others may run.
bool DeadlockWatch::may_be_dead(bool& in_flight) const noexcept {
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    const Worker& one = runtime_.worker(i);
    if (!one.asleep()) return false;
    in_flight |= one.has_in_flight();
  }
  return nothing_to_come(in_flight);
}

bool DeadlockWatch::nothing_to_come(bool& in_flight) const noexcept {
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    if (runtime_.worker(i).has_posts()) return false;
  }
  if (!counts_are_zero()) return false;
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    std::size_t idle = 0;
    if (runtime_.worker(i).timers.armed(idle)) return false;
    in_flight |= idle != 0;
  }
  return true;
}

bool DeadlockWatch::counts_are_zero() const noexcept {
  return lives_.load(std::memory_order_seq_cst) == 0 && runtime_.blocking_pool().calls() == 0;
}

DeadlockWatch::Verdict DeadlockWatch::look(Worker&) noexcept {
  const World::Stopped stopped = runtime_.world().stop({look_patience});
  if (stopped == World::Stopped::busy) return Verdict::unknown;
  Verdict verdict = Verdict::unknown;
  bool unused = false;
  if (stopped == World::Stopped::all) {
    verdict = runtime_.stopping() ? Verdict::alive : of_goroutines();
    if (verdict == Verdict::dead && has_foreign_thread()) verdict = Verdict::foreign;
    // After the look for threads.
    if (verdict == Verdict::dead || verdict == Verdict::foreign) {
      if (!nothing_to_come(unused)) verdict = Verdict::unknown;
      if (runtime_.any_resource_alive()) verdict = Verdict::alive;
    }
  }
  if (verdict == Verdict::dead) found(runtime_.goroutines() == 0);
  if (verdict == Verdict::foreign && !warned_.load(std::memory_order_relaxed)) {
    const std::int64_t resumed = resumptions();
    const std::int64_t now = runtime_.now();
    if (foreign_resumptions_.load(std::memory_order_relaxed) != resumed) {
      foreign_resumptions_.store(resumed, std::memory_order_relaxed);
      foreign_since_.store(now, std::memory_order_relaxed);
    } else if (now - foreign_since_.load(std::memory_order_relaxed) >= foreign_patience) {
      warned_.store(true, std::memory_order_relaxed);
      log_warn(
          "all goroutines are asleep - deadlock? Only threads that are not ringo's could wake one "
          "(dump() or SIGQUIT shows what each waits for; a KeepAlive says that this is meant)");
    }
  }
  runtime_.world().release();
  return verdict;
}

// --- the world stands still ---------------------------------------------------------------------

/// Unknown, if one is running or about to.
DeadlockWatch::Verdict DeadlockWatch::of_goroutines() noexcept {
  Verdict verdict = Verdict::dead;
  RecordPool::instance().look_at_each([&](const Goroutine& g) {
    if (!is_live(g, runtime_.id())) return true;
    if (runtime_.is_running(g) || activity_of(g) != Activity::waiting || wait_of(g) == nullptr) {
      verdict = Verdict::unknown;
    } else if (wait_of(g)->ends_from_outside()) {
      verdict = Verdict::alive;
    }
    return verdict == Verdict::dead;
  });
  return verdict;
}

std::int64_t DeadlockWatch::resumptions() const noexcept {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    sum += static_cast<std::int64_t>(runtime_.worker(i).resumptions());
  }
  return sum;
}

/// Threads of this process besides the workers, the watchdog, those of blocking(), and the kernel's
/// for io_uring. One of ringo's that is just starting or ending counts as well.
bool DeadlockWatch::has_foreign_thread() const {
  const std::vector<int> ours = runtime_.threads();
  DIR* directory = ::opendir("/proc/self/task");
  if (directory == nullptr) return true;  // nothing is known
  bool found = false;
  while (const dirent* entry = ::readdir(directory)) {
    const int thread = std::atoi(entry->d_name);
    if (thread == 0 || std::find(ours.begin(), ours.end(), thread) != ours.end()) continue;
    const std::string folder = "/proc/self/task/" + std::string(entry->d_name);
    std::ifstream file(folder + "/comm");
    std::string name;
    if (!std::getline(file, name) || name.starts_with("iou-")) continue;  // or it has just ended
    if (!is_tool_thread(folder)) found = true;
  }
  ::closedir(directory);
  return found;
}

void DeadlockWatch::found(bool nobody_left) noexcept {
  StringSink out;
  out << (main_left_.load(std::memory_order_relaxed) && nobody_left
              ? "fatal error: no goroutines (main called goexit) - deadlock!\n"
              : "fatal error: all goroutines are asleep - deadlock!\n");
  write_goroutines(out, runtime_, true);
  if (runtime_.options().on_deadlock == DeadlockPolicy::report_and_exit) last_words(out.text);
  report_ = std::move(out.text);
  runtime_.stop();
}

}  // namespace ringo::detail
