// What the cases of locks share: goroutines that are cancelled, and what fails alike for all locks.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/panic.hpp>
#include <ringo/run.hpp>
#include <ringo/select.hpp>
#include <ringo/task.hpp>
#include <ringo/time.hpp>

#include "cancel_target.hpp"
#include "matrix.hpp"

namespace ringo::test {

/// The text of the Panic that f() throws, "" if it throws none.
template <class F>
std::string panic_of(F&& f) {
  try {
    f();
  } catch (const Panic& panic) { return panic.what(); }
  return "";
}

template <class F>
Task<std::string> panic_of_task(F body) {
  try {
    co_await body();
  } catch (const Panic& panic) { co_return panic.what(); }
  co_return "";
}

enum class End { running, returned, canceled };

/// A goroutine on worker 0 that can be cancelled.
class Victim {
 public:
  template <class F>
  explicit Victim(F body) : state_(std::make_shared<State>()) {
    handle_ = go_on(0, [state = state_, body = std::move(body)]() -> Task<> {
      detail::Goroutine* g = detail::current_goroutine();
      g->guarded = true;
      state->g = g;
      End end = End::returned;
      try {
        co_await body();
      } catch (const Canceled&) { end = End::canceled; }
      state->end = end;
    });
  }

  /// Cancels its wait, or else the next one. True if a wait was ended.
  bool cancel() const {
    REQUIRE(state_->g.load() != nullptr);
    return detail::cancel_wait(state_->g);
  }
  End end() const { return state_->end; }
  Task<> ended() {
    return eventually([this] { return end() != End::running; });
  }

 private:
  struct State {
    std::atomic<detail::Goroutine*> g{nullptr};
    std::atomic<End> end{End::running};
  };
  std::shared_ptr<State> state_;
  JoinHandle<void> handle_;
};

/// Lets go of the CPU for long enough that others get into the middle of things.
inline void jitter(unsigned round) {
  for (unsigned i = (round * 7919u) % 64u; i > 0; --i) detail::cpu_relax();
}

/// Runs round(i, k), a coroutine function, in goroutine i for each k, and meanwhile cancels whoever
/// waits, over and over; a cancellation ends one round. Awaits between() each time around.
template <class Round, class Between>
Task<> while_cancelling(int goroutines, int rounds, Round round, Between between) {
  std::atomic<int> running{goroutines};
  std::vector<CancelTarget> targets(static_cast<std::size_t>(goroutines));
  std::vector<JoinHandle<>> handles;
  for (int i = 0; i < goroutines; ++i) {
    handles.push_back(go([&, i]() -> Task<> {
      CancelTarget& target = targets[static_cast<std::size_t>(i)];
      target.open();
      for (int k = 0; k < rounds; ++k) {
        try {
          co_await round(i, k);
        } catch (const Canceled&) {}
        forget_cancellation();
      }
      target.close();
      --running;
    }));
  }
  while (running > 0) {
    for (CancelTarget& target : targets) {
      target.cancel();
      co_await yield();
    }
    co_await between();
  }
  for (auto& handle : handles) co_await handle;
}

/// `wait(object)` gives a Task that waits for a T. Two goroutines wait for an object that is then
/// destroyed: a fatal error that says so.
template <class T, class Wait>
void expect_fatal_destruction(const char* type, Wait wait) {
  std::string text =
      std::string("fatal error: sync: ") + type + " destroyed while 2 goroutines wait on it";
  expect_exit_matrix(2, text, [wait]() -> Task<> {
    co_await on_one_worker([wait]() -> Task<> {
      auto object = std::make_unique<T>();
      for (int i = 0; i < 2; ++i) {
        go_on(0, [wait, p = object.get()]() -> Task<> { co_await wait(*p); });
      }
      co_await yields(3);
      object.reset();
    });
  });
}

/// The same while an exception unwinds: that one is what the process dies of.
template <class T, class Wait>
void expect_destruction_by_exception(Wait wait) {
  expect_exit_matrix(2, "panic: the cause", [wait]() -> Task<> {
    go_on(0, [wait]() -> Task<> {
      T object;
      go_on(0, [wait, p = &object]() -> Task<> { co_await wait(*p); });
      co_await yields(3);
      throw std::runtime_error("the cause");
    });
    for (;;) co_await yield();
  });
}

/// A waiter that was abandoned by one runtime is forgotten by the next: `again(object)` is done in
/// a second run, and a waiter of a live runtime keeps others out.
template <class T, class Wait, class Again>
void expect_forgotten_waiters(const char* type, Wait wait, Again again) {
  for_each_setting([&](const Setting& setting) {
    T object;
    bool passed = false;
    run_setting(setting, [&]() -> Task<> {
      co_await on_one_worker([&]() -> Task<> {
        go_on(0, [&]() -> Task<> {
          co_await wait(object);
          passed = true;
        });
        co_await yields(3);
      });
    });
    CHECK(!passed);
    run_setting(setting, [&]() -> Task<> {
      co_await again(object);
      // While this runtime lives, no other one may wait here, however often it tries without a
      // pause.
      std::set<std::string> texts;
      std::thread other([&] {
        Options options;
        options.workers = 1;
        options.driver = DriverKind::epoll;
        ringo::run(options, [&]() -> Task<> {
          for (int i = 0; i < 300; ++i) {
            texts.insert(co_await panic_of_task([&]() -> Task<> { co_await wait(object); }));
          }
        });
      });
      other.join();
      REQUIRE_EQ(texts.size(), 1);
      CHECK_EQ(*texts.begin(),
               std::string(type) + " is in use by another runtime: it belongs to one ringo::run");
    });
    CHECK(!passed);
  });
}

/// At shutdown with Options::drain every waiter ends with Canceled.
template <class T, class Wait>
void expect_drained(Wait wait) {
  for_each_setting([&](const Setting& setting) {
    Options options;
    options.drain = std::chrono::seconds(20);
    std::atomic<int> canceled{0};
    std::atomic<int> passed{0};
    run_setting(
        setting,
        [&]() -> Task<> {
          auto object = std::make_shared<T>();
          for (int i = 0; i < 8; ++i) {
            go([&, object]() -> Task<> {
              try {
                if (this_worker() % 2 == 0) detail::current_goroutine()->guarded = true;
                co_await wait(*object);
                ++passed;
              } catch (const Canceled&) {
                ++canceled;
                throw;
              }
            });
          }
          co_await yields(5);
        },
        options);
    CHECK(passed == 0);
    CHECK(canceled == 8);
  });
}

}  // namespace ringo::test
