#include "runtime/chain.hpp"

#include <cxxabi.h>

#include <cstring>
#include <new>
#include <typeinfo>

#include <ringo/detail/promise.hpp>
#include <ringo/panic.hpp>

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

bool is_live(const Goroutine& g, std::uint32_t runtime_id) noexcept {
  const RunState state = g.state.load(std::memory_order_acquire);
  return state != RunState::free && state != RunState::finished && g.leaf != nullptr &&
         (runtime_id == 0 || g.runtime_id == runtime_id);
}

Activity activity_of(const Goroutine& g) noexcept {
  if (g.wait != nullptr) return Activity::waiting;
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

void write_frame(TextSink& out, const std::source_location& site) noexcept {
  if (is_wrapping(site)) return;
  out << plain_name(site.function_name()) << "(...)\n";
  write_place(out, site);
}

void write_birth(TextSink& out, const std::source_location& site, std::uint64_t spawner) noexcept {
  out << "created by " << plain_name(site.function_name());
  if (spawner != 0) out << " in goroutine " << spawner;
  out << "\n";
  write_place(out, site);
}

void write_birth(TextSink& out, const Goroutine& g) noexcept {
  if (!is_main(g)) write_birth(out, g.spawn_site, g.spawner);
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

void write_frames(TextSink& out, const Goroutine& g) noexcept {
  for (const PromiseBase* frame = innermost_frame(g); frame != nullptr; frame = frame->parent) {
    write_frame(out, frame->site);
  }
  write_birth(out, g);
}

ChainCopy copy_chain(const Goroutine& g) {
  ChainCopy copy{{}, g.spawner, g.spawn_site, is_main(g)};
  for (const PromiseBase* frame = innermost_frame(g);
       frame != nullptr && copy.sites.size() < ChainCopy::most; frame = frame->parent) {
    copy.sites.push_back(frame->site);
  }
  return copy;
}

void write_chain(TextSink& out, const ChainCopy& chain, bool with_birth) noexcept {
  for (const std::source_location& site : chain.sites) write_frame(out, site);
  if (with_birth && !chain.main) write_birth(out, chain.spawn_site, chain.spawner);
}

void write_goroutine(TextSink& out, const Goroutine& g, Activity activity,
                     std::int64_t now) noexcept {
  out << "goroutine " << g.id << " [" << state_name(g, activity);
  if (activity == Activity::waiting) {
    const std::uint32_t resumed = g.resumed_at.load(std::memory_order_relaxed);
    write_duration(out, std::int64_t{coarse_moment(now) - resumed} << 20);
  }
  if (g.home != nullptr) out << ", locked to worker";
  out << "]:\n";
  write_frames(out, g);
}

// --- exceptions ---------------------------------------------------------------------------------

namespace {

const void* object_of(const std::exception_ptr& error) noexcept {
  // An exception_ptr is a pointer to the exception, in libstdc++ and in libc++.
  static_assert(sizeof error == sizeof(void*));
  const void* object = nullptr;
  std::memcpy(&object, static_cast<const void*>(&error), sizeof object);
  return object;
}

/// How far the innermost handler's exception header lies before that object. By the C++ ABI for
/// Itanium, which all compilers here follow, caughtExceptions is the first member of the globals.
std::ptrdiff_t header_distance(const void* object) noexcept {
  const void* header = nullptr;
  std::memcpy(&header, abi::__cxa_get_globals(), sizeof header);
  return static_cast<const char*>(object) - static_cast<const char*>(header);
}

/// In a handler: was this exception thrown by a throw expression, and not passed on by a child's
/// Task? The former has its header at a fixed place before the object, the latter
/// (std::rethrow_exception) a header of its own elsewhere. An address is no name: the next
/// exception often lies where the one that was caught did.
bool is_first_throw(const void* object) noexcept {
  static const std::ptrdiff_t usual = [] {
    try {
      throw 0;
    } catch (...) {
      return header_distance(object_of(std::current_exception()));
    }
  }();
  return header_distance(object) == usual;
}

}  // namespace

/// Called by each frame the exception leaves, the innermost first. The exception itself is not
/// held: its destruction must not wait for the goroutine's end.
void note_thrown(PromiseBase& frame) noexcept {
  Goroutine* g = frame.g;
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (g == nullptr || (type != nullptr && (*type == typeid(Canceled) || *type == typeid(Goexit)))) {
    return;  // nobody reports these
  }
  if (g->thrown == nullptr) {
    g->thrown = new (std::nothrow) ThrowTrace;
    if (g->thrown == nullptr) return;
    exception_is_traced(g);
  }
  ThrowTrace* trace = g->thrown;
  const void* object = object_of(frame.error);
  if (trace->object != object || trace->next != &frame || is_first_throw(object)) {
    trace->object = object;
    trace->count = 0;
  }
  if (trace->count < ThrowTrace::most) trace->sites[trace->count] = frame.site;
  ++trace->count;
  trace->next = frame.parent;
}

void write_thrown(TextSink& out, const Goroutine& g) noexcept {
  out << "goroutine " << g.id << " [running]:\n";
  const ThrowTrace* trace = g.thrown;
  if (trace != nullptr && trace->next == nullptr && g.root != nullptr &&
      trace->object == object_of(g.root->error)) {
    const unsigned known = trace->count < ThrowTrace::most ? trace->count : ThrowTrace::most;
    for (unsigned i = 0; i < known; ++i) write_frame(out, trace->sites[i]);
    if (trace->count > known) out << "...additional frames elided...\n";
  } else if (g.root != nullptr) {
    write_frame(out, g.root->site);
  }
  write_birth(out, g);
}

}  // namespace ringo::detail
