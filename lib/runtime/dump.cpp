#include "runtime/dump.hpp"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include <ringo/dump.hpp>

#include "runtime/chain.hpp"
#include "runtime/external.hpp"
#include "runtime/records.hpp"
#include "runtime/runtime.hpp"

namespace ringo::detail {

namespace {

void write_header(TextSink& out, const Runtime& runtime) noexcept {
  out << "ringo: " << std::uint64_t{runtime.goroutines()} << " goroutines, "
      << std::uint64_t{runtime.worker_count()} << " workers, driver " << runtime.driver_name()
      << "\n";
}

void write_runtime(TextSink& out, Runtime& runtime) noexcept {
  const World::Stopped stopped = runtime.world().stop(stop_patience);
  write_header(out, runtime);
  write_goroutines(out, runtime, stopped == World::Stopped::all);
  if (stopped != World::Stopped::busy) runtime.world().release();
}

void write_everything(TextSink& out) noexcept {
  bool first = true;
  for_each_runtime([&](Runtime& runtime) {
    if (!first) out << "\n";
    first = false;
    write_runtime(out, runtime);
  });
  if (first) out << "ringo: no runtime\n";
}

}  // namespace

void write_one(TextSink& out, const Runtime* runtime, const Goroutine& g, bool whole) noexcept {
  const bool running = runtime != nullptr && runtime->is_running(g);
  if (whole) {
    const std::int64_t now = runtime != nullptr ? runtime->now() : steady_now();
    return write_goroutine(out, g, running ? Activity::running : activity_of(g), now);
  }
  out << "goroutine " << g.id << " ["
      << (running ? "running" : state_name(g, Activity::waiting)) << "]:\n"
      << "\tits worker does not stop; frames unavailable\n";
}

void write_goroutines(TextSink& out, const Runtime& runtime, bool whole) noexcept {
  const auto write = [&](const Goroutine& g) {
    out << "\n";
    write_one(out, &runtime, g, whole);
  };
  RecordPool& pool = RecordPool::instance();
  pool.look_at_each([&](const Goroutine& g) {
    if (is_live(g, runtime.id()) && is_main(g)) write(g);
    return true;
  });
  pool.look_at_each([&](const Goroutine& g) {
    if (is_live(g, runtime.id()) && !is_main(g)) write(g);
    return true;
  });
}

// --- SIGQUIT ------------------------------------------------------------------------------------

namespace {

std::mutex sigquit_mutex;
int sigquit_users = 0;
bool sigquit_caught = false;

extern "C" void ringo_quit(int number) {
  static std::atomic<bool> quitting{false};
  if (quitting.exchange(true)) return;  // one thread is at it
  if (!any_runtime()) {
    // The last runtime has ended, but somebody put this handler back later.
    ::signal(number, SIG_DFL);
    ::raise(number);
    return;
  }
  {
    DescriptorSink out(STDERR_FILENO);
    out << "SIGQUIT: quit\n\n";
    write_everything(out);
  }
  ::_exit(2);
}

bool is_ours() noexcept {
  struct sigaction now {};
  ::sigaction(SIGQUIT, nullptr, &now);
  return now.sa_handler == &ringo_quit;
}

}  // namespace

void catch_sigquit() noexcept {
  std::lock_guard guard(sigquit_mutex);
  if (sigquit_users++ != 0) return;
  struct sigaction now {};
  ::sigaction(SIGQUIT, nullptr, &now);
  if (now.sa_handler != SIG_DFL) return;
  prepare_interrupts();
  struct sigaction ours {};
  ours.sa_handler = &ringo_quit;
  ours.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  ::sigaction(SIGQUIT, &ours, nullptr);
  sigquit_caught = true;
}

void release_sigquit() noexcept {
  std::lock_guard guard(sigquit_mutex);
  if (--sigquit_users != 0 || !sigquit_caught) return;
  sigquit_caught = false;
  if (is_ours()) ::signal(SIGQUIT, SIG_DFL);
}

}  // namespace ringo::detail

namespace ringo {

std::string dump() {
  detail::prepare_interrupts();
  detail::MappedSink out;
  detail::write_everything(out);
  return std::string(out.text());
}

void dump(int descriptor) {
  detail::prepare_interrupts();
  detail::DescriptorSink out(descriptor);
  detail::write_everything(out);
}

void dump(std::FILE* stream) {
  const std::string text = dump();
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace ringo
