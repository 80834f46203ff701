#include "runtime/runtime.hpp"

#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include <ringo/go.hpp>
#include <ringo/panic.hpp>

#include "base/log.hpp"
#include "runtime/blocking_pool.hpp"
#include "runtime/dump.hpp"
#include "runtime/external.hpp"
#include "runtime/lock_check.hpp"
#include "runtime/settings.hpp"

namespace ringo::detail {

std::int64_t steady_now() noexcept {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

namespace {

std::atomic<std::uint32_t> last_runtime_id{0};

// How long the end of a runtime waits for calls of blocking() that run.
constexpr std::chrono::seconds blocking_patience{5};

[[noreturn]] void refuse_to_start(const std::string& why) {
  std::fflush(stdout);
  std::fprintf(stderr, "ringo: %s\n", why.c_str());
  std::_Exit(2);
}

}  // namespace

Runtime::Runtime(const Options& options, Environment* environment)
    : options_(resolve_options(options, environment != nullptr)),
      environment_(environment),
      id_(last_runtime_id.fetch_add(1, std::memory_order_relaxed) + 1),
      world_(*this, options_.workers),
      deadlock_watch_(*this),
      watchdog_(*this, options_.watchdog.count()),
      kind_(options_.driver),
      driver_by_program_(options.driver != DriverKind::automatic),
      blocking_pool_(std::make_shared<BlockingPool>(blocking_threads())) {
  workers_.reserve(options_.workers);
  for (unsigned i = 0; i < options_.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(*this, i));
    workers_.back()->random_ =
        Random(environment_ != nullptr ? environment_->seed(i)
                                       : static_cast<std::uint64_t>(steady_now()) * (2 * i + 3));
  }
}

Runtime::~Runtime() = default;

void Runtime::run(Task<> main_task) {
  const LockCheckScope lock_checks(id_, options_.check_locks == Switch::on);
  const bool several = workers_.size() > 1;
  if (several) threaded_runtimes.fetch_add(1, std::memory_order_seq_cst);
  if (options_.dump_on_sigquit) catch_sigquit();
  register_runtime(*this);
  Worker& first = *workers_[0];
  first.enter_thread();
  for (unsigned i = 1; i < workers_.size(); ++i) {
    try {
      threads_.emplace_back([this, i] { worker_thread(i); });
    } catch (const std::system_error& error) {
      // The others wait for this one already, so there is no way back.
      refuse_to_start("cannot start the thread of worker " + std::to_string(i + 1) + " of " +
                      std::to_string(workers_.size()) + ": " + error.code().message() +
                      " (limits: RLIMIT_NPROC, pids.max of the cgroup; RINGO_WORKERS sets fewer)");
    }
  }
  make_drivers(first);
  if (!give_up_) {
    auto root = SpawnAccess::root_of(main_task);
    main_ = first.make_goroutine(root.promise(), nullptr, -1,
                                 std::source_location::current());
    SpawnAccess::disown(main_task);
    main_->join.store(join_dropped, std::memory_order_relaxed);
    watchdog_.start();
    first.ready_at_tail(main_);  // from here on another worker may run it to its end
    first.loop();
  }
  watchdog_.stop();
  end_worker(first);
  for (std::thread& thread : threads_) thread.join();
  release_resources();
  runtime_is_gone(*this);
  // Only now: a call may have waited for this runtime, as in send_blocking().
  blocking_pool_->join(blocking_patience);
  if (several) threaded_runtimes.fetch_sub(1, std::memory_order_seq_cst);
  if (options_.dump_on_sigquit) release_sigquit();
  if (give_up_) {
    std::string why = failure_.message;
    if (options_.driver == DriverKind::uring) {
      why += driver_by_program_
                 ? "; the program insists on it (Options::driver): automatic or epoll runs on epoll"
                 : "; RINGO_DRIVER=auto or RINGO_DRIVER=epoll runs on epoll";
    }
    refuse_to_start(why);
  }
  if (!deadlock_watch_.report().empty()) throw Deadlock(deadlock_watch_.report().c_str());
}

void Runtime::worker_thread(unsigned index) {
  Worker& worker = *workers_[index];
  worker.enter_thread();
  make_drivers(worker);
  if (!give_up_) worker.loop();
  end_worker(worker);
}

// --- meeting ------------------------------------------------------------------------------------

template <class F>
void Runtime::meet_and(F&& by_the_last) {
  std::unique_lock guard(meeting_mutex_);
  if (++arrived_ == workers_.size()) {
    arrived_ = 0;
    by_the_last();
    ++round_;
    meeting_.notify_all();
    return;
  }
  std::uint64_t round = round_;
  meeting_.wait(guard, [&] { return round_ != round; });
}

/// Every worker makes its driver on its own thread; if one of them is refused and nobody insisted
/// on io_uring, all of them use epoll.
void Runtime::make_drivers(Worker& worker) {
  for (;;) {
    DriverFailure failure;
    std::unique_ptr<Driver> driver;
    if (environment_ != nullptr) {
      driver = environment_->make_driver(worker.index());
      if (driver == nullptr) failure.message = "the environment makes no driver";
    } else if (kind_ == DriverKind::epoll) {
      driver = make_epoll_driver(failure);
    } else {
      driver = make_uring_driver(failure);
    }
    bool made = driver != nullptr;
    worker.set_driver(std::move(driver));
    bool again = false;
    {
      std::lock_guard guard(failure_mutex_);
      if (!made && !failed_) {
        failed_ = true;
        failure_ = std::move(failure);
      }
    }
    meet_and([&] {
      try_epoll_ = failed_ && kind_ == DriverKind::automatic && environment_ == nullptr;
      give_up_ = failed_ && !try_epoll_;
      if (try_epoll_) {
        log_fallback(failure_.message);
        kind_ = DriverKind::epoll;
      }
      failed_ = false;
      if (!give_up_ && !try_epoll_) driver_name_ = worker.driver().name();
    });
    again = try_epoll_;
    if (!again) return;
    worker.set_driver(nullptr);
    meet_and([&] { try_epoll_ = false; });
  }
}

// --- the end ------------------------------------------------------------------------------------

void Runtime::main_returned(Worker& worker) noexcept {
  if (options_.drain.count() <= 0) return stop();
  drain_deadline_.store(worker.now() + options_.drain.count(), std::memory_order_relaxed);
  draining_.store(true, std::memory_order_seq_cst);
  world_.stop({World::for_ever});
  cancel_everything();
  world_.release();
  check_drained();
}

void Runtime::stop() noexcept {
  stopping_.store(true, std::memory_order_seq_cst);
  wake_all();
}

void Runtime::wake_all() noexcept {
  for (auto& worker : workers_) worker->wake();
}

void Runtime::check_drained() noexcept {
  if (goroutines() == 0 || now() >= drain_deadline_.load(std::memory_order_relaxed)) stop();
}

std::int64_t Runtime::drain_deadline() const noexcept {
  return drain_deadline_.load(std::memory_order_relaxed);
}

/// The world stands still: nobody arms, claims or completes. A wait in progress is either open,
/// with g->wait set, or its goroutine is queued already.
void Runtime::cancel_everything() noexcept {
  RecordPool::instance().for_each([this](Goroutine& g) {
    if (g.runtime_id != id_ || g.root == nullptr || g.leaf == nullptr) return;
    if (g.drain_exempt) return;  // it hears of it when shield() ends
    g.guarded = true;
    g.cancel_requested.store(true, std::memory_order_relaxed);
    CaseBase* wait = wait_of(g);
    if (wait == nullptr || g.shielded || is_running(g)) return;
    if (wait->node.seq == 0) {
      if (wait->ask_to_end()) return;
      wait->withdraw();
      wait->node.seq = claim_step;  // from now on decided by `winner`
      g.winner = winner_canceled;
      make_ready_at_tail(&g);
    } else if (try_claim(&g, wait->node.seq)) {
      g.winner = winner_canceled;
      if ((claim_set(&g, claim_complete) & claim_armed) != 0) make_ready_at_tail(&g);
    }
  });
}

void Runtime::end_worker(Worker& worker) noexcept {
  world_.leave(worker);
  // Nobody runs a goroutine any more. Close the door to other threads; what they have asked for is
  // still carried out, though no goroutine will run.
  meet_and([&] { blocking_pool_->close(); });
  if (worker.index() == 0) unregister_runtime(*this);
  // From here on only workers post: what they do for a message may ask something of another one's
  // socket. On until nothing is left, since after this there are no drivers to ask.
  do {
    worker.drain_inbox();
    meet_and([&] {
      posts_left_ = false;
      for (const auto& each : workers_) posts_left_ |= each->has_posts();
    });
  } while (posts_left_);
  // Cancels what is in flight and waits for its end. Sockets hear of it; nobody is resumed.
  worker.set_driver(nullptr);
  meet_and([] {});
  worker.leave_thread();
}

void Runtime::release_resources() noexcept {
  for (;;) {
    Resource* resource = nullptr;
    {
      std::lock_guard guard(resources_mutex_);
      resource = resources_;
      if (resource == nullptr) return;
      unlink(*resource);
    }
    resource->runtime_ended();
  }
}

void Runtime::add_resource(Resource& resource) {
  std::lock_guard guard(resources_mutex_);
  resource.prev_ = nullptr;
  resource.next_ = resources_;
  if (resources_ != nullptr) resources_->prev_ = &resource;
  resources_ = &resource;
  resource.listed_ = true;
}

void Runtime::remove_resource(Resource& resource) noexcept {
  std::lock_guard guard(resources_mutex_);
  if (resource.listed_) unlink(resource);
}

void Runtime::unlink(Resource& resource) noexcept {
  (resource.prev_ != nullptr ? resource.prev_->next_ : resources_) = resource.next_;
  if (resource.next_ != nullptr) resource.next_->prev_ = resource.prev_;
  resource.listed_ = false;
}

// --- between workers ----------------------------------------------------------------------------

std::size_t Runtime::goroutines() const noexcept {
  std::uint64_t started = 0;
  std::uint64_t ended = 0;
  // Ends first: a goroutine that ends meanwhile is then not counted as ended but never started.
  for (const auto& worker : workers_) {
    ended += worker->counters.ended.load(std::memory_order_acquire);
  }
  for (const auto& worker : workers_) {
    started += worker->counters.started.load(std::memory_order_acquire);
  }
  return static_cast<std::size_t>(started - ended);
}

bool Runtime::is_running(const Goroutine& g) const noexcept {
  for (const auto& worker : workers_) {
    if (worker->current_goroutine() == &g) return true;
  }
  return false;
}

std::vector<int> Runtime::threads() const {
  std::vector<int> all = blocking_pool_->threads();
  all.push_back(watchdog_.thread());
  for (const auto& worker : workers_) all.push_back(worker->thread());
  return all;
}

/// Without the lock, under which resources may take none: only workers change the list, and they
/// stand still.
bool Runtime::any_resource_alive() noexcept {
  for (Resource* one = resources_; one != nullptr; one = one->next_) {
    if (one->is_alive()) return true;
  }
  return false;
}

bool Runtime::begin_search() noexcept {
  int searching = searching_.load(std::memory_order_relaxed);
  if (2 * searching >= static_cast<int>(workers_.size())) return false;
  searching_.fetch_add(1, std::memory_order_seq_cst);
  return true;
}

void Runtime::wake_sleeper() noexcept {
  if (options_.pinned || sleeping.load(std::memory_order_seq_cst) == 0 ||
      searching_.load(std::memory_order_seq_cst) != 0) {
    return;
  }
  for (auto& worker : workers_) {
    if (worker->asleep()) return worker->wake();
  }
}

Runtime* current_runtime() noexcept {
  Worker* worker = Worker::current();
  return worker != nullptr ? &worker->runtime() : nullptr;
}

void run_main(const Options& options, Task<> main_task) {
  if (on_worker_thread()) panic("ringo::run was called inside a goroutine");
  Runtime runtime(options);
  runtime.run(std::move(main_task));
}

}  // namespace ringo::detail

namespace ringo {

std::size_t num_goroutines() noexcept {
  const detail::Runtime* runtime = detail::current_runtime();
  return runtime != nullptr ? runtime->goroutines() : 0;
}

unsigned num_workers() noexcept {
  const detail::Runtime* runtime = detail::current_runtime();
  return runtime != nullptr ? static_cast<unsigned>(runtime->worker_count()) : 0;
}

unsigned this_worker() noexcept {
  const detail::Worker* worker = detail::Worker::current();
  return worker != nullptr ? worker->index() : 0;
}

std::string_view driver_name() noexcept {
  const detail::Runtime* runtime = detail::current_runtime();
  return runtime != nullptr ? runtime->driver_name() : "";
}

}  // namespace ringo
