// A worker pool: a few goroutines share the tasks in a channel. Closing it sends them home when the
// last task was taken.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <atomic>
#include <vector>

using namespace ringo;
using namespace std::chrono_literals;

struct Job {
  int id;

  Task<> execute() {
    co_await sleep_for(10ms);
    fmt::print("task {}\n", id);
  }
};

Task<> worker_pool(const std::vector<Job>& jobs, int max_workers) {
  WaitGroup wg;
  Channel<Job> queue(jobs.size());
  std::atomic<int> executed = 0;

  for (int i = 0; i < max_workers; ++i) {
    wg.add(1);
    go([&]() -> Task<> {
      Defer done{[&] { wg.done(); }};
      while (auto job = co_await queue.recv()) {
        co_await job->execute();
        ++executed;
      }
    });
  }

  for (const Job& job : jobs) co_await queue.send(job);
  queue.close();

  co_await wg.wait();
  fmt::print("{} workers did {} tasks\n", max_workers, executed.load());
}

Task<> app() {
  std::vector<Job> jobs;
  for (int id = 1; id <= 8; ++id) jobs.push_back(Job{id});
  co_await worker_pool(jobs, 3);
}

int main() { return ringo::run(app); }
