// What the checks of locks say.
#include <cstdint>
#include <cstdio>

#include "runtime/lock_table.hpp"

namespace ringo::detail {

namespace {

WaitReason reason_of(const LockWait& wait) noexcept {
  if (wait.joined != nullptr) return WaitReason::join;
  if (wait.use.kind == LockKind::mutex) return WaitReason::mutex_lock;
  return wait.use.shared ? WaitReason::shared_mutex_lock_shared : WaitReason::shared_mutex_lock;
}

std::string goroutine(const GoroutineId& who) { return "goroutine " + std::to_string(who.second); }

const char* manner(bool shared) noexcept { return shared ? " for reading" : ""; }

/// Without the end of its last line, which the log adds.
std::string finished(StringSink& out) {
  if (out.text.ends_with('\n')) out.text.pop_back();
  return std::move(out.text);
}

void write_witness(TextSink& out, const std::string& first, const std::string& second,
                   const Witness& one) {
  out << goroutine(one.who) << " locks " << second << manner(one.second_shared) << ":\n";
  write_chain(out, one.second, true);
  out << "and holds " << first << manner(one.first_shared) << " since:\n";
  write_chain(out, one.first, false);
}

}  // namespace

std::string name_of(const void* lock, LockKind kind) {
  char text[40];
  std::snprintf(text, sizeof text, "%s %p", kind == LockKind::mutex ? "Mutex" : "SharedMutex",
                lock);
  return text;
}

std::string double_lock_report(const LockWait& wait, const Holding& held) {
  StringSink out;
  out << goroutine(held.who) << " locks " << name_of(wait.use.lock, wait.use.kind)
      << manner(wait.use.shared) << ", which it holds" << manner(held.shared)
      << " already: it waits for itself\n"
      << goroutine(held.who) << " [" << to_string(reason_of(wait)) << "]:\n";
  write_chain(out, wait.where, true);
  out << "and holds it since:\n";
  write_chain(out, held.where, false);
  return finished(out);
}

std::string cycle_report(const std::vector<const LockWait*>& cycle) {
  StringSink out;
  out << std::uint64_t{cycle.size()} << " goroutines wait for each other: none of them can go on\n";
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    const LockWait& wait = *cycle[i];
    const GoroutineId next = id_of(*cycle[(i + 1) % cycle.size()]->g);
    out << goroutine(id_of(*wait.g)) << " [" << to_string(reason_of(wait)) << "] waits for ";
    if (wait.joined != nullptr) {
      out << "the end of " << goroutine(next) << ":\n";
    } else {
      // The next one holds it, or is a writer that keeps new readers out.
      out << goroutine(next) << " and " << name_of(wait.use.lock, wait.use.kind)
          << manner(wait.use.shared) << ":\n";
    }
    write_chain(out, wait.where, true);
  }
  return finished(out);
}

std::string order_report(const std::string& first, const std::string& second, const Witness& now,
                         const Witness& then) {
  StringSink out;
  out << "two goroutines lock " << first << " and " << second
      << " in opposite orders, and can deadlock\n";
  write_witness(out, first, second, now);
  write_witness(out, second, first, then);
  return finished(out);
}

}  // namespace ringo::detail
