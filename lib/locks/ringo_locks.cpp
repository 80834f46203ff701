// libringo_locks.so counts the pthread mutexes that each thread holds, for Options::check_locks:
//
//   LD_PRELOAD=libringo_locks.so ./server
//
// A library of its own that is preloaded, because that is the one way which is the same for
// programs with libringo.so and with libringo.a in them, needs nothing to be compiled or linked
// anew, sees the mutexes of all libraries (std::mutex is pthread_mutex_lock), and costs nothing to
// those who do not ask for it. It knows nothing of libringo, which finds ringo_held_mutexes() by
// its name. Not for programs with a sanitizer, whose runtime stands in front of the same functions.
//
// Locking inside of libringo, of the C++ library or of a log counts too: it is undone before a
// goroutine suspends.
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include <atomic>

namespace {

// Preloaded, hence in the static block: no call and no allocation to reach them.
[[gnu::tls_model("initial-exec")]] thread_local int held = 0;
[[gnu::tls_model("initial-exec")]] thread_local bool looking_up = false;

/// The function behind ours. Constant-initialised, since mutexes are locked before any constructor
/// here has run. What the look-up itself locks and unlocks (the memory allocator may) is left out,
/// both: no second thread can exist that early.
template <class F>
class Next;

template <class... Args>
class Next<int(Args...)> {
 public:
  constexpr explicit Next(const char* name) noexcept : name_(name) {}

  int operator()(Args... args) noexcept {
    auto* function = function_.load(std::memory_order_acquire);
    if (function == nullptr) {
      if (looking_up) return 0;
      looking_up = true;
      function = reinterpret_cast<int (*)(Args...)>(::dlsym(RTLD_NEXT, name_));
      looking_up = false;
      if (function == nullptr) return ENOSYS;
      function_.store(function, std::memory_order_release);
    }
    return function(args...);
  }

 private:
  const char* name_;
  std::atomic<int (*)(Args...)> function_{nullptr};
};

constinit Next<int(pthread_mutex_t*)> next_lock("pthread_mutex_lock");
constinit Next<int(pthread_mutex_t*)> next_trylock("pthread_mutex_trylock");
constinit Next<int(pthread_mutex_t*)> next_unlock("pthread_mutex_unlock");
constinit Next<int(pthread_mutex_t*, const timespec*)> next_timedlock("pthread_mutex_timedlock");
constinit Next<int(pthread_mutex_t*, clockid_t, const timespec*)> next_clocklock(
    "pthread_mutex_clocklock");

/// A robust mutex whose owner has died is locked, too.
int counted(int result) noexcept {
  if ((result == 0 || result == EOWNERDEAD) && !looking_up) ++held;
  return result;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int ringo_held_mutexes() noexcept { return held; }

__attribute__((visibility("default"))) int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  return counted(next_lock(mutex));
}

__attribute__((visibility("default"))) int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  return counted(next_trylock(mutex));
}

__attribute__((visibility("default"))) int pthread_mutex_timedlock(
    pthread_mutex_t* mutex, const timespec* until) noexcept {
  return counted(next_timedlock(mutex, until));
}

__attribute__((visibility("default"))) int pthread_mutex_clocklock(
    pthread_mutex_t* mutex, clockid_t clock, const timespec* until) noexcept {
  return counted(next_clocklock(mutex, clock, until));
}

__attribute__((visibility("default"))) int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  const int result = next_unlock(mutex);
  if (result == 0 && !looking_up) --held;
  return result;
}

}  // extern "C"
