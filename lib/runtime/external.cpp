#include "runtime/external.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <ringo/go.hpp>
#include <ringo/keep_alive.hpp>
#include <ringo/panic.hpp>

#include "runtime/runtime.hpp"

namespace ringo::detail {

namespace {

// Held while a call is posted, so that a runtime found here lives until the post is done; and while
// a thread does without a runtime, so that such threads exclude each other and the end of a runtime
// (which may carry out calls that look up another one, hence recursive). Before the locks of
// channels and of sync/: nobody takes it under one of those.
std::recursive_mutex registry_mutex;

// The runtimes that can be reached. Changed under the mutex; the dump, which may be a signal
// handler, reads it without, and a runtime is not gone before all such readers are.
std::atomic<Runtime*> first_runtime{nullptr};
std::atomic<int> readers{0};

// Ids of runtimes that have left the registry and still hold what runtime_ended() will end.
std::vector<std::uint32_t>& ending() {
  static auto* ids = new std::vector<std::uint32_t>;
  return *ids;
}

Runtime* find_locked(std::uint32_t id) noexcept {
  Runtime* one = first_runtime.load();
  while (one != nullptr && one->id() != id) one = one->next_runtime.load();
  return one;
}

/// Where a thread sleeps until something was done for it.
struct Sleeper {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  bool ended = false;  // the runtime ended before
  std::exception_ptr error;

  void finish(bool runtime_ended = false) noexcept {
    std::lock_guard guard(mutex);
    if (done) return;
    done = true;
    ended |= runtime_ended;
    changed.notify_all();
  }
  void wait() {
    std::unique_lock guard(mutex);
    changed.wait(guard, [this] { return done; });
  }
};

struct Call : Message {
  void (*fn)(void*) = nullptr;
  void* context = nullptr;
  Sleeper sleeper;

  static void carry_out(Worker&, Message* node) noexcept {
    auto* call = static_cast<Call*>(node);
    try {
      call->fn(call->context);
    } catch (...) {
      call->sleeper.error = std::current_exception();
    }
    // Under the lock to the end: the caller frees us as soon as it can take it.
    call->sleeper.finish();
  }
};

/// A goroutine that runs for a thread; shared by both, since either may go first.
struct Errand final : Resource {
  Sleeper sleeper;
  void runtime_ended() noexcept override { sleeper.finish(true); }
};

}  // namespace

void register_runtime(Runtime& runtime) {
  std::lock_guard guard(registry_mutex);
  runtime.next_runtime.store(first_runtime.load());
  first_runtime.store(&runtime);
}

void unregister_runtime(Runtime& runtime) noexcept {
  {
    std::lock_guard guard(registry_mutex);
    ending().push_back(runtime.id());
    std::atomic<Runtime*>* link = &first_runtime;
    while (link->load() != &runtime) link = &link->load()->next_runtime;
    link->store(runtime.next_runtime.load());
    runtime.worker(0).drain_inbox();
  }
  while (readers.load() != 0) std::this_thread::yield();
}

void runtime_is_gone(const Runtime& runtime) noexcept {
  std::lock_guard guard(registry_mutex);
  std::erase(ending(), runtime.id());
}

void visit_runtimes(void (*visit)(Runtime&, void*), void* context) noexcept {
  readers.fetch_add(1);
  for (Runtime* one = first_runtime.load(); one != nullptr; one = one->next_runtime.load()) {
    visit(*one, context);
  }
  readers.fetch_sub(1);
}

bool any_runtime() noexcept { return first_runtime.load() != nullptr; }

std::uint32_t current_runtime_id() noexcept {
  const Runtime* runtime = current_runtime();
  return runtime != nullptr ? runtime->id() : 0;
}

bool runtime_is_alive(std::uint32_t id) noexcept {
  std::lock_guard guard(registry_mutex);
  return find_locked(id) != nullptr;
}

bool runtime_is_gone(std::uint32_t id) noexcept {
  std::lock_guard guard(registry_mutex);
  if (find_locked(id) != nullptr) return false;
  for (std::uint32_t each : ending()) {
    if (each == id) return false;
  }
  return true;
}

std::uint32_t only_runtime(const char* what) {
  std::lock_guard guard(registry_mutex);
  Runtime* only = first_runtime.load();
  if (only != nullptr && only->next_runtime.load() == nullptr) return only->id();
  std::string text = what;
  text += only == nullptr ? ": no runtime is running (call it between the start and the end of "
                               "ringo::run)"
                             : ": several runtimes are running, and this thread belongs to none";
  panic(text.c_str());
}

void call_on_runtime(std::uint32_t id, void (*fn)(void*), void* context) {
  Call call;
  {
    std::unique_lock guard(registry_mutex);
    Runtime* runtime = find_locked(id);
    if (runtime == nullptr) return fn(context);
    call.run = &Call::carry_out;
    call.fn = fn;
    call.context = context;
    runtime->worker(0).post(&call);
  }
  call.sleeper.wait();
  if (call.sleeper.error) std::rethrow_exception(call.sleeper.error);
}

void run_for_thread(const char* what, std::uint32_t id, Task<> (*body)(void*), void* context) {
  if (on_worker_thread()) {
    std::string text = what;
    text += ": it would block a worker; co_await the operation instead";
    panic(text.c_str());
  }
  auto errand = std::make_shared<Errand>();
  bool started = false;
  auto start = [&] {
    Runtime* runtime = current_runtime();
    if (runtime == nullptr || runtime->stopping()) return;
    runtime->add_resource(*errand);
    runtime->deadlock_watch().add_life();
    started = true;
    go([errand, body, context]() -> Task<> {
      try {
        co_await body(context);
      } catch (const Canceled&) {
        errand->sleeper.ended = true;  // drained
      } catch (...) {
        errand->sleeper.error = std::current_exception();
      }
      current_runtime()->remove_resource(*errand);
      current_runtime()->deadlock_watch().end_life();
      errand->sleeper.finish();
    });
  };
  with_runtime_of(id, start);
  if (started) errand->sleeper.wait();
  if (!started || errand->sleeper.ended) {
    std::string text = what;
    text += ": the runtime ended before it took place";
    panic(text.c_str());
  }
  if (errand->sleeper.error) std::rethrow_exception(errand->sleeper.error);
}

}  // namespace ringo::detail

namespace ringo {

KeepAlive::KeepAlive()
    : runtime_(detail::on_worker_thread() ? detail::current_runtime_id()
                                          : detail::only_runtime("KeepAlive")) {
  detail::with_runtime_of(runtime_, [] {
    if (detail::Runtime* runtime = detail::current_runtime()) runtime->deadlock_watch().add_life();
  });
}

KeepAlive::~KeepAlive() {
  if (runtime_ == 0) return;
  const std::uint32_t id = runtime_;
  auto end = [id] {
    detail::Runtime* runtime = detail::current_runtime();
    if (runtime != nullptr && runtime->id() == id) runtime->deadlock_watch().end_life();
  };
  try {
    if (detail::current_runtime_id() == id) {
      end();
    } else {
      detail::call_on_runtime(id, [](void* f) { (*static_cast<decltype(end)*>(f))(); }, &end);
    }
  } catch (...) {
    // The runtime has ended, or is about to.
  }
}

}  // namespace ringo
