#include <ringo/metrics.hpp>

#include <algorithm>

#include <ringo/panic.hpp>

#include "runtime/blocking_pool.hpp"
#include "runtime/external.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo {

namespace detail {

namespace {

std::uint64_t read(const std::atomic<std::uint64_t>& counter) noexcept {
  return counter.load(std::memory_order_relaxed);
}

WorkerMetrics metrics_of(Worker& worker) {
  if (Worker::current() == &worker) worker.publish_driver_stats();
  const WorkerCounters& counters = worker.counters;
  WorkerMetrics m;
  m.ended = read(counters.ended);  // before `spawned`, so that it is never more
  m.spawned = read(counters.started);
  m.resumptions = worker.resumptions();
  m.steals = read(counters.steals);
  m.parks = read(counters.parks);
  m.wakes = read(counters.bells);
  m.enters = read(counters.enters);
  m.completions = read(counters.completions);
  m.queue_depth = worker.queue_depth();
  m.timers = worker.timers.size();
  m.running = worker.current_goroutine() != nullptr;
  m.asleep = worker.asleep();
  return m;
}

void add(WorkerMetrics& sum, const WorkerMetrics& one) noexcept {
  sum.spawned += one.spawned;
  sum.ended += one.ended;
  sum.resumptions += one.resumptions;
  sum.steals += one.steals;
  sum.parks += one.parks;
  sum.wakes += one.wakes;
  sum.enters += one.enters;
  sum.completions += one.completions;
  sum.queue_depth += one.queue_depth;
  sum.timers += one.timers;
  sum.running |= one.running;
  sum.asleep |= one.asleep;
}

void fill(Metrics& all, Runtime& runtime) {
  all.driver = runtime.driver_name();
  all.blocking_calls = runtime.blocking_pool().calls();
  for (std::size_t i = 0; i < runtime.worker_count(); ++i) {
    all.workers.push_back(metrics_of(runtime.worker(i)));
    all.running += all.workers.back().running;
    add(all.total, all.workers.back());
  }
  all.goroutines = runtime.goroutines();
  // Not of one moment: the parts never exceed the whole, though.
  all.running = std::min(all.running, all.goroutines);
  all.runnable = std::min(all.total.queue_depth, all.goroutines - all.running);
  all.waiting = all.goroutines - all.running - all.runnable;
}

/// One metric of all workers.
struct Column {
  const char* name;
  const char* type;
  const char* help;
  std::uint64_t (*value)(const WorkerMetrics&);
};

constexpr Column columns[] = {
    {"spawned_total", "counter", "Goroutines started.",
     [](const WorkerMetrics& m) { return m.spawned; }},
    {"ended_total", "counter", "Goroutines ended.", [](const WorkerMetrics& m) { return m.ended; }},
    {"resumptions_total", "counter", "Goroutines resumed.",
     [](const WorkerMetrics& m) { return m.resumptions; }},
    {"steals_total", "counter", "Times a worker took goroutines from another one.",
     [](const WorkerMetrics& m) { return m.steals; }},
    {"parks_total", "counter", "Times a worker went to sleep.",
     [](const WorkerMetrics& m) { return m.parks; }},
    {"wakes_total", "counter", "Times a worker was rung out of its sleep.",
     [](const WorkerMetrics& m) { return m.wakes; }},
    {"enters_total", "counter", "Calls of io_uring_enter(2) or epoll_wait(2).",
     [](const WorkerMetrics& m) { return m.enters; }},
    {"completions_total", "counter", "Completions or events handled.",
     [](const WorkerMetrics& m) { return m.completions; }},
    {"queue_depth", "gauge", "Ready goroutines.",
     [](const WorkerMetrics& m) { return std::uint64_t{m.queue_depth}; }},
    {"timers", "gauge", "Armed timers.",
     [](const WorkerMetrics& m) { return std::uint64_t{m.timers}; }},
    {"asleep", "gauge", "1 while the worker sleeps.",
     [](const WorkerMetrics& m) { return std::uint64_t{m.asleep}; }},
};

void head(std::string& out, const char* name, const char* type, const char* help) {
  out.append("# HELP ringo_").append(name).append(" ").append(help);
  out.append("\n# TYPE ringo_").append(name).append(" ").append(type).append("\n");
}

void state_line(std::string& out, const char* state, std::size_t value) {
  out.append("ringo_goroutines{state=\"").append(state).append("\"} ");
  out.append(std::to_string(value)).append("\n");
}

}  // namespace
}  // namespace detail

Metrics metrics() {
  const std::uint32_t id = detail::on_worker_thread() ? detail::current_runtime_id()
                                                      : detail::only_runtime("metrics");
  Metrics all;
  detail::for_each_runtime([&](detail::Runtime& runtime) {
    if (runtime.id() == id) detail::fill(all, runtime);
  });
  return all;
}

std::string to_prometheus(const Metrics& m) {
  std::string out;
  detail::head(out, "goroutines", "gauge", "Goroutines by state.");
  detail::state_line(out, "running", m.running);
  detail::state_line(out, "runnable", m.runnable);
  detail::state_line(out, "waiting", m.waiting);
  detail::head(out, "blocking_calls", "gauge", "Calls of blocking() in line or under way.");
  out.append("ringo_blocking_calls ").append(std::to_string(m.blocking_calls)).append("\n");
  detail::head(out, "info", "gauge", "The driver of the runtime.");
  out.append("ringo_info{driver=\"").append(m.driver).append("\"} 1\n");
  for (const detail::Column& column : detail::columns) {
    detail::head(out, column.name, column.type, column.help);
    for (std::size_t i = 0; i < m.workers.size(); ++i) {
      out.append("ringo_").append(column.name).append("{worker=\"").append(std::to_string(i));
      out.append("\"} ").append(std::to_string(column.value(m.workers[i]))).append("\n");
    }
  }
  return out;
}

}  // namespace ringo
