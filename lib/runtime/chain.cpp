#include "runtime/chain.hpp"

#include <ringo/detail/promise.hpp>

namespace ringo::detail {

// --- names --------------------------------------------------------------------------------------

namespace {

constexpr std::string_view call_operator = "::operator()";

bool drop_suffix(std::string_view& text, std::string_view suffix) noexcept {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

/// Drops the parameters at the end: the last parenthesis and all up to the one that it closes.
void drop_parameters(std::string_view& name) noexcept {
  if (!name.ends_with(')')) return;
  int depth = 0;
  for (std::size_t i = name.size(); i-- > 0;) {
    if (name[i] == ')') ++depth;
    if (name[i] == '(' && --depth == 0) {
      if (i > 0) name = name.substr(0, i);
      return;
    }
  }
}

/// Drops the result type: all up to the last space that stands in no parentheses or brackets.
void drop_result(std::string_view& name) noexcept {
  int depth = 0;
  for (std::size_t i = name.size(); i-- > 0;) {
    const char c = name[i];
    if (c == ')' || c == '>' || c == ']') ++depth;
    if (c == '(' || c == '<' || c == '[') --depth;
    if (c == ' ' && depth == 0) {
      name.remove_prefix(i + 1);
      return;
    }
  }
}

}  // namespace

std::string_view plain_name(std::string_view name) noexcept {
  // GCC: "Task<T> f(T) [with T = int]"; Clang: "Task<T> f(T) [T = int]".
  if (name.ends_with(']')) {
    if (std::size_t with = name.rfind(" ["); with != std::string_view::npos)
      name = name.substr(0, with);
  }
  drop_suffix(name, " const");
  // The body of a coroutine is for GCC a function "void f(f(int)::_Z1fi.Frame*)".
  drop_parameters(name);
  const bool lambda = drop_suffix(name, call_operator);
  drop_result(name);
  if (lambda && name.empty()) return call_operator;
  return name;
}

std::string_view state_name(const Goroutine& g, Activity activity) noexcept {
  switch (activity) {
    case Activity::running: return "running";
    case Activity::runnable: return "runnable";
    case Activity::waiting: break;
  }
  return to_string(g.reason.load(std::memory_order_relaxed));
}

// --- states -------------------------------------------------------------------------------------

std::uint32_t lives_in(const Goroutine& g) noexcept {
  // The state first: whose a live record is was written before.
  const RunState state = g.state.load(std::memory_order_acquire);
  return state == RunState::free || state == RunState::finished ? 0 : g.glimpsed_runtime_id();
}

bool is_live(const Goroutine& g, std::uint32_t runtime_id) noexcept {
  return lives_in(g) == runtime_id && g.leaf != nullptr;
}

Activity activity_of(const Goroutine& g) noexcept {
  if (wait_of(g) != nullptr) return Activity::waiting;
  // Made ready, every goroutine loses its `wait`. One that waits without: this one.
  return g.reason.load(std::memory_order_relaxed) == WaitReason::blocking_call_end
             ? Activity::waiting
             : Activity::runnable;
}

// --- frames -------------------------------------------------------------------------------------

namespace {

/// Frames that are ringo's own wrapping around the program's.
bool is_wrapping(const std::source_location& site) noexcept {
  const std::string_view file = site.file_name();
  return site.line() == 0 || file.ends_with("include/ringo/run.hpp") ||
         file.ends_with("include/ringo/go.hpp");
}

void write_place(TextSink& out, const std::source_location& site) noexcept {
  out << "\t" << site.file_name() << ":" << std::uint64_t{site.line()} << "\n";
}

const PromiseBase* innermost_frame(const Goroutine& g) noexcept {
  if (g.leaf == nullptr) return nullptr;
  return &std::coroutine_handle<PromiseBase>::from_address(g.leaf.address()).promise();
}

void write_duration(TextSink& out, std::int64_t ns) noexcept {
  const auto seconds = static_cast<std::uint64_t>(ns) / 1'000'000'000;
  if (ns <= 0 || seconds == 0) return;
  if (seconds < 60) {
    out << ", " << seconds << (seconds == 1 ? " second" : " seconds");
  } else {
    out << ", " << seconds / 60 << (seconds < 120 ? " minute" : " minutes");
  }
}

}  // namespace

void write_frame(TextSink& out, const std::source_location& site) noexcept {
  if (is_wrapping(site)) return;
  out << plain_name(site.function_name()) << "(...)\n";
  write_place(out, site);
}

void write_birth(TextSink& out, std::uint64_t id, std::uint64_t spawner,
                 const std::source_location& site) noexcept {
  if (id == main_id) return;
  out << "created by " << plain_name(site.function_name());
  if (spawner != 0) out << " in goroutine " << spawner;
  out << "\n";
  write_place(out, site);
}

void write_frames(TextSink& out, const Goroutine& g) noexcept {
  for (const PromiseBase* frame = innermost_frame(g); frame != nullptr; frame = frame->parent) {
    write_frame(out, frame->site);
  }
  write_birth(out, g.id, g.spawner, g.spawn_site);
}

ChainCopy copy_chain(const Goroutine& g) {
  ChainCopy copy{{}, g.id, g.spawner, g.spawn_site};
  for (const PromiseBase* frame = innermost_frame(g);
       frame != nullptr && copy.sites.size() < ChainCopy::most; frame = frame->parent) {
    copy.sites.push_back(frame->site);
  }
  return copy;
}

void write_chain(TextSink& out, const ChainCopy& chain, bool with_birth) noexcept {
  for (const std::source_location& site : chain.sites) write_frame(out, site);
  if (with_birth) write_birth(out, chain.goroutine, chain.spawner, chain.spawn_site);
}

void write_goroutine(TextSink& out, const Goroutine& g, Activity activity,
                     std::int64_t now) noexcept {
  out << "goroutine " << g.id << " [" << state_name(g, activity);
  if (activity == Activity::waiting) {
    const std::uint32_t resumed = g.resumed_at.load(std::memory_order_relaxed);
    write_duration(out, std::int64_t{coarse_moment(now) - resumed} << 20);
  }
  if (g.pinned) out << ", locked to worker";
  out << "]:\n";
  write_frames(out, g);
}

}  // namespace ringo::detail
