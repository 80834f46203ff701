// What the conformance cases share: whether something waits, what it panics with, and an element
// type that keeps accounts.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/panic.hpp>
#include <ringo/run.hpp>
#include <ringo/select.hpp>
#include <ringo/task.hpp>

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

/// The same for a coroutine function without arguments.
template <class F>
Task<std::string> panic_of_task(F body) {
  try {
    co_await body();
  } catch (const Panic& panic) { co_return panic.what(); }
  co_return "";
}

/// Starts body() on worker 0 and tells whether it is still waiting once all others there wait too.
/// Only in a goroutine of worker 0. One that waits is left as it is, so body may borrow only what
/// lives as long as the runtime, or is not touched once its wait is over. A body that owns
/// something is given by name, since GCC 12 destroys a temporary closure twice.
template <class F>
Task<bool> blocks(F body) {
  auto handle = go_on(0, body);
  co_await yields(3);
  co_return !handle.done();
}

/// Waits for all of them; rethrows the first exception.
template <class T = void>
Task<> join_all(std::vector<JoinHandle<T>>& handles) {
  for (JoinHandle<T>& handle : handles) co_await handle;
}

/// A value that counts how many of its kind are alive, moved-from ones included, and how many of
/// them hold a value: a lost or doubled value shows in `holding`, a missing or doubled destructor
/// in `alive`. Copying and moving are allowed on any worker.
class Counted {
 public:
  struct Balance {
    std::atomic<long> alive{0};
    std::atomic<long> holding{0};
  };

  Counted(Balance& balance, int value) noexcept : balance_(&balance), value_(value) {
    ++balance_->alive;
    ++balance_->holding;
  }
  Counted(const Counted& other) noexcept : balance_(other.balance_), value_(other.value_) {
    ++balance_->alive;
    if (value_ >= 0) ++balance_->holding;
  }
  Counted(Counted&& other) noexcept
      : balance_(other.balance_), value_(std::exchange(other.value_, -1)) {
    ++balance_->alive;
  }
  Counted& operator=(Counted other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Counted() {
    --balance_->alive;
    if (value_ >= 0) --balance_->holding;
  }
  /// -1 once moved from.
  int value() const noexcept { return value_; }

 private:
  Balance* balance_;
  int value_;
};

/// An element that can be moved only, and holds memory so that a lost one is a leak.
class MoveOnly {
 public:
  explicit MoveOnly(int value) : value_(std::make_unique<int>(value)) {}
  int value() const noexcept { return value_ != nullptr ? *value_ : -1; }

 private:
  std::unique_ptr<int> value_;
};

/// Makes elements of the types that a program over channels is run with, and tells their number.
template <class T>
struct Element;
template <>
struct Element<int> {
  static int make(Counted::Balance&, int number) { return number; }
  static int number(const int& value) { return value; }
};
template <>
struct Element<MoveOnly> {
  static MoveOnly make(Counted::Balance&, int number) { return MoveOnly(number); }
  static int number(const MoveOnly& value) { return value.value(); }
};
template <>
struct Element<Counted> {
  static Counted make(Counted::Balance& balance, int number) { return Counted(balance, number); }
  static int number(const Counted& value) { return value.value(); }
};

}  // namespace ringo::test
