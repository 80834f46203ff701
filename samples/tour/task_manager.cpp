// Tasks may be added while others run: a mutex guards the list, a WaitGroup counts those at work.
//
// A task that adds another one is not done yet, so the counter does not touch 0 in between, and
// wait() misses nobody.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <string>
#include <vector>

using namespace ringo;

class TaskManager {
 public:
  /// `more`: how many tasks come of it, each added by the one before.
  Task<> add_task(std::string name, int more) {
    auto guard = co_await mutex_.lock();
    tasks_.push_back(name);
    wg_.add(1);
    guard.unlock();

    go(&TaskManager::execute, this, std::move(name), more);
  }

  Task<std::size_t> wait() {
    co_await wg_.wait();
    auto guard = co_await mutex_.lock();
    co_return tasks_.size();
  }

 private:
  Task<> execute(std::string name, int more) {
    Defer done{[&] { wg_.done(); }};
    fmt::print("task {}\n", name);
    if (more > 0) co_await add_task(name + ".1", more - 1);
  }

  WaitGroup wg_;
  Mutex mutex_;
  std::vector<std::string> tasks_;
};

Task<> app() {
  TaskManager manager;
  co_await manager.add_task("1", 2);
  co_await manager.add_task("2", 0);
  std::size_t count = co_await manager.wait();
  fmt::print("{} tasks\n", count);
}

int main() { return ringo::run(app); }
