#include "runtime/world.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "runtime/runtime.hpp"
#include "runtime/watchdog.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

namespace {

constexpr int interrupt_signal = SIGURG;

struct sigaction action_before;

extern "C" void ringo_interrupted(int number, siginfo_t* info, void* context) {
  const int saved = errno;
  Worker* worker = Worker::current();
  const bool ours = worker != nullptr && worker->runtime().world().interrupted(*worker);
  if (!ours) {
    if ((action_before.sa_flags & SA_SIGINFO) != 0) {
      action_before.sa_sigaction(number, info, context);
    } else if (action_before.sa_handler != SIG_DFL && action_before.sa_handler != SIG_IGN) {
      action_before.sa_handler(number);
    }
  }
  errno = saved;
}

void pause_for(std::int64_t ns) noexcept {
  const timespec time{0, static_cast<long>(ns)};
  ::nanosleep(&time, nullptr);
}

}  // namespace

void prepare_interrupts() noexcept {
  static std::atomic<bool> prepared{false};
  if (prepared.exchange(true)) return;
  struct sigaction ours {};
  ours.sa_sigaction = &ringo_interrupted;
  ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  ::sigaction(interrupt_signal, nullptr, &action_before);
  ::sigaction(interrupt_signal, &ours, nullptr);
}

World::World(Runtime& runtime, std::size_t workers)
    : runtime_(runtime), spots_(std::make_unique<Spot[]>(workers)) {}

// --- workers ------------------------------------------------------------------------------------

void World::enter(Worker& worker) noexcept {
  spots_[worker.index()].thread.store(static_cast<int>(::syscall(SYS_gettid)));
}

void World::leave(Worker& worker) noexcept {
  Spot& spot = spots_[worker.index()];
  spot.place.store(Place::standing, std::memory_order_seq_cst);
  spot.thread.store(0);
}

void World::wait_for_release() noexcept {
  while (wanted_.load(std::memory_order_seq_cst) != 0) {
    ::syscall(SYS_futex, &wanted_, FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0);
  }
}

void World::stand(Worker& worker) noexcept {
  Spot& spot = spots_[worker.index()];
  do {
    spot.place.store(Place::standing, std::memory_order_seq_cst);
    wait_for_release();
    spot.place.store(Place::away, std::memory_order_seq_cst);
  } while (wanted());
}

bool World::interrupted(Worker& worker) noexcept {
  Spot& spot = spots_[worker.index()];
  Sample* sample = spot.sample.exchange(nullptr, std::memory_order_acq_rel);
  if (sample != nullptr) sample->take(worker);
  if (!spot.hold.exchange(false, std::memory_order_seq_cst)) return sample != nullptr;
  // In the middle of stand(), it is put back as it was.
  const Place before = spot.place.load(std::memory_order_seq_cst);
  do {
    spot.place.store(Place::held, std::memory_order_seq_cst);
    wait_for_release();
    spot.place.store(before, std::memory_order_seq_cst);
  } while (wanted());
  return true;
}

// --- the coordinator ----------------------------------------------------------------------------

bool World::take_role(Worker* self, std::int64_t patience) noexcept {
  const std::int64_t begin = steady_now();
  while (role_.exchange(true, std::memory_order_acq_rel)) {
    // Whoever has it may be waiting for this very worker.
    if (self != nullptr && wanted()) {
      stand(*self);
    } else {
      pause_for(20'000);
    }
    if (patience != for_ever && steady_now() - begin > patience) return false;
  }
  return true;
}

bool World::all_stopped(const Worker* self) const noexcept {
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    if (&runtime_.worker(i) == self) continue;
    if (spots_[i].place.load(std::memory_order_seq_cst) == Place::away) return false;
  }
  return true;
}

bool World::wait_until_stopped(const Worker* self, std::int64_t patience) const noexcept {
  const std::int64_t begin = steady_now();
  for (int round = 0; !all_stopped(self); ++round) {
    if (round < 200) {
      cpu_relax();
      continue;
    }
    if (patience != for_ever && steady_now() - begin > patience) return false;
    pause_for(20'000);
  }
  return true;
}

void World::interrupt(Spot& spot) noexcept {
  if (const int thread = spot.thread.load()) {
    ::syscall(SYS_tgkill, ::getpid(), thread, interrupt_signal);
  }
}

bool World::ask(Worker& worker, Sample& sample, std::int64_t patience) noexcept {
  Spot& spot = spots_[worker.index()];
  spot.sample.store(&sample, std::memory_order_release);
  interrupt(spot);
  const std::int64_t begin = steady_now();
  while (!sample.done.load(std::memory_order_acquire)) {
    pause_for(50'000);
    if (steady_now() - begin < patience) continue;
    // Taken back, or in the handler's hands: then it is about to be done.
    if (spot.sample.exchange(nullptr, std::memory_order_acq_rel) == &sample) return false;
  }
  return true;
}

World::Stopped World::stop(Patience patience) noexcept {
  Worker* self = Worker::current();
  if (self != nullptr && &self->runtime() != &runtime_) self = nullptr;
  if (!take_role(self, std::max(patience.itself, patience.by_force))) return Stopped::busy;
  wanted_.store(1, std::memory_order_seq_cst);
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    if (&runtime_.worker(i) != self) runtime_.worker(i).wake();
  }
  if (wait_until_stopped(self, patience.itself)) return Stopped::all;
  if (patience.by_force == 0) return Stopped::some;
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    Spot& spot = spots_[i];
    if (&runtime_.worker(i) == self) continue;
    if (spot.place.load(std::memory_order_seq_cst) != Place::away) continue;
    spot.hold.store(true, std::memory_order_seq_cst);
    interrupt(spot);
  }
  return wait_until_stopped(self, patience.by_force) ? Stopped::all : Stopped::some;
}

void World::release() noexcept {
  for (std::size_t i = 0; i < runtime_.worker_count(); ++i) {
    spots_[i].hold.store(false, std::memory_order_seq_cst);
  }
  wanted_.store(0, std::memory_order_seq_cst);
  ::syscall(SYS_futex, &wanted_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  role_.store(false, std::memory_order_release);
}

}  // namespace ringo::detail
