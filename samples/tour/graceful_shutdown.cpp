// Graceful shutdown: closing a channel tells all workers to stop, a WaitGroup says when they have,
// and only then what they used is closed.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <functional>

using namespace ringo;
using namespace std::chrono_literals;

struct Stop {};  // never sent: the channel is only closed

struct Database {
  bool open = true;
};

Task<> worker(int id, const Database& database, Receiver<Stop> stop) {
  bool stopping = false;
  while (!stopping) {
    if (!database.open) panic("a worker outlived its database");
    co_await select_any{
        on(stop.recv(), [&] { stopping = true; }),
        on(after(5ms), [&] { /* the work of one round */ }),
    };
  }
  fmt::print("Worker {} has stopped\n", id);
}

Task<> shutdown(Channel<Stop> stop, WaitGroup& wg, Database& database) {
  fmt::print("Shutting down\n");
  stop.close();
  co_await wg.wait();
  database.open = false;
  fmt::print("All workers have exited, the database is closed\n");
}

Task<> app() {
  Database database;
  Channel<Stop> stop;
  WaitGroup wg;
  for (int i = 1; i <= 3; ++i) wg.go(worker, i, std::cref(database), stop);

  co_await sleep_for(50ms);
  co_await shutdown(stop, wg, database);
}

int main() { return ringo::run(app); }
