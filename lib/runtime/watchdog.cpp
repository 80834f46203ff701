#include "runtime/watchdog.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "base/log.hpp"
#include "runtime/chain.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

namespace {

// A goroutine that holds its worker again and again is told of so often.
constexpr std::int64_t pause_between_reports = 1'000'000'000;
constexpr std::int64_t answer_patience = 200'000'000;

/// Collects in a given place; what does not fit is dropped.
class PlaceSink final : public TextSink {
 public:
  PlaceSink(char* begin, std::size_t size) noexcept : begin_(begin), room_(size) {}
  void write(std::string_view text) noexcept override {
    const std::size_t n = std::min(text.size(), room_ - used_);
    std::memcpy(begin_ + used_, text.data(), n);
    used_ += n;
  }
  std::size_t used() const noexcept { return used_; }

 private:
  char* begin_;
  std::size_t room_;
  std::size_t used_ = 0;
};

std::string hexadecimal(std::uintptr_t value) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%zx", static_cast<std::size_t>(value));
  return digits;
}

/// "f(int)+0x1c", or the file and the place in it, for addr2line.
std::string describe_address(void* address) {
  Dl_info info{};
  if (::dladdr(address, &info) == 0)
    return "0x" + hexadecimal(reinterpret_cast<std::uintptr_t>(address));
  const auto offset_from = [&](const void* base) {
    return "+0x" + hexadecimal(static_cast<std::uintptr_t>(static_cast<const char*>(address) -
                                                           static_cast<const char*>(base)));
  };
  if (info.dli_sname == nullptr) {
    const char* file = info.dli_fname != nullptr ? info.dli_fname : "?";
    return file + offset_from(info.dli_fbase);
  }
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), &std::free);
  return (status == 0 ? name.get() : info.dli_sname) + offset_from(info.dli_saddr);
}

/// How long that thread of this process has been ready to run without a processor, in all; what it
/// waits now is added when it gets one. 0 where the kernel does not say.
std::int64_t queued_time(int thread) noexcept {
  char name[48];
  std::snprintf(name, sizeof name, "/proc/self/task/%d/schedstat", thread);
  const int fd = ::open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[96];
  const ssize_t size = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (size <= 0) return 0;
  text[size] = '\0';
  long long ran = 0;
  long long queued = 0;
  return std::sscanf(text, "%lld %lld", &ran, &queued) == 2 ? queued : 0;
}

}  // namespace

void Sample::take(const Worker& worker) noexcept {
  if (const Goroutine* g = worker.current_goroutine()) {
    goroutine = g->id;
    spawn_site = g->spawn_site;
    PlaceSink out(text, sizeof text);
    write_goroutine(out, *g, Activity::running, 0);
    text_size = out.used();
    native_count = ::backtrace(native, most_frames);
  }
  done.store(true, std::memory_order_release);
}

void Watchdog::start() {
  if (limit_ <= 0) return;
  void* one = nullptr;
  ::backtrace(&one, 1);  // loads what it needs, which must not happen in a signal handler
  prepare_interrupts();
  thread_ = std::thread([this] { run(); });
}

void Watchdog::stop() noexcept {
  if (!thread_.joinable()) return;
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::rouse() noexcept {
  {
    std::lock_guard guard(mutex_);
    roused_ = true;
    dozing_.store(false, std::memory_order_seq_cst);
  }
  changed_.notify_all();
}

bool Watchdog::all_asleep() const noexcept {
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    if (!runtime_.worker(i).asleep()) return false;
  }
  return true;
}

/// A worker that wakes stores asleep = false, then reads dozing_; we set dozing_, then read who is
/// asleep. So one of us sees the other.
void Watchdog::run() noexcept {
  pthread_setname_np(pthread_self(), "ringo-watchdog");
  thread_id_.store(static_cast<int>(::syscall(SYS_gettid)), std::memory_order_relaxed);
  std::vector<Seen> seen(runtime_.worker_count());
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait_for(lock, std::chrono::nanoseconds(limit_ / 2), [this] { return stopping_; });
    if (stopping_) return;
    roused_ = false;
    dozing_.store(true, std::memory_order_seq_cst);
    if (all_asleep()) {
      std::fill(seen.begin(), seen.end(), Seen{});
      changed_.wait(lock, [this] { return stopping_ || roused_; });
      continue;
    }
    dozing_.store(false, std::memory_order_seq_cst);
    lock.unlock();
    const std::int64_t now = steady_now();
    for (std::size_t i = 0; i < seen.size(); ++i) {
      try {
        look(runtime_.worker(i), seen[i], now);
      } catch (...) {
        // No memory for a report.
      }
    }
    lock.lock();
  }
}

void Watchdog::look(Worker& worker, Seen& seen, std::int64_t now) {
  const std::uint64_t resumptions = worker.resumptions();
  if (worker.current_goroutine() == nullptr || resumptions != seen.resumptions ||
      runtime_.world().wanted()) {
    seen = {};
    seen.resumptions = resumptions;
    if (worker.current_goroutine() != nullptr) seen.since = now;
    return;
  }
  if (seen.since == 0) seen.since = now;
  if (seen.queued < 0) seen.queued = queued_time(worker.thread());
  if (worker.stealable() > 0) runtime_.wake_sleeper();
  if (seen.told || now - seen.since < limit_ || now < quiet_until_) return;
  seen.told = tell(worker, seen);
  if (seen.told) quiet_until_ = now + pause_between_reports;
}

/// False if it was the processor that was missing.
bool Watchdog::tell(Worker& worker, const Seen& seen) {
  auto sample = std::make_unique<Sample>();
  const bool answered = runtime_.world().ask(worker, *sample, answer_patience);
  const std::int64_t held =
      steady_now() - seen.since - (queued_time(worker.thread()) - seen.queued);
  if (held < limit_) return false;
  if (!answered || sample->goroutine == 0) return true;
  std::string text = "goroutine " + std::to_string(sample->goroutine) + " has held worker " +
                     std::to_string(worker.index()) + " for " + std::to_string(held / 1'000'000) +
                     " ms without suspending (started at " + sample->spawn_site.file_name() + ":" +
                     std::to_string(sample->spawn_site.line()) + ")\n";
  text.append(sample->text, sample->text_size);
  text += "native stack:";
  // The first two are of the handler.
  for (int i = 2; i < sample->native_count; ++i) {
    text += "\n\t" + describe_address(sample->native[i]);
  }
  log_warn(text);
  return true;
}

}  // namespace ringo::detail
