// Hierarchical WaitGroups: a task waits for its own subtasks before it reports to its parent.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <functional>
#include <string>
#include <vector>

using namespace ringo;
using namespace std::chrono_literals;

struct HierarchicalTask {
  WaitGroup& parent;
  std::string name;
  std::vector<std::chrono::milliseconds> subtasks;  // how long each takes
  WaitGroup local = {};

  Task<> execute() {
    Defer done{[&] { parent.done(); }};
    for (auto subtask : subtasks) {
      local.add(1);
      go(&HierarchicalTask::execute_subtask, this, subtask);
    }
    co_await local.wait();
    fmt::print("{}: all subtasks are done\n", name);
  }

  Task<> execute_subtask(std::chrono::milliseconds takes) {
    Defer done{[&] { local.done(); }};
    co_await sleep_for(takes);
    fmt::print("{}: a subtask is done\n", name);
  }
};

Task<> app() {
  WaitGroup wg;
  HierarchicalTask build{wg, "build", {10ms, 20ms, 30ms}};
  HierarchicalTask check{wg, "check", {10ms, 20ms}};
  for (HierarchicalTask* task : {&build, &check}) {
    wg.add(1);
    go(&HierarchicalTask::execute, task);
  }
  co_await wg.wait();
  fmt::print("all tasks are done\n");
}

int main() { return ringo::run(app); }
