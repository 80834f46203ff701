// go processLogs(): work in the background. A channel brings it the lines, and closing the channel
// tells it that there are no more. The handle that go() returns, which Go does not have, is awaited
// for the result.
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <string>

using namespace ringo;

Task<int> process_logs(Receiver<std::string> lines) {
  int errors = 0;
  while (auto line = co_await lines.recv()) {
    if (line->starts_with("ERROR")) ++errors;
  }
  co_return errors;
}

Task<> app() {
  Channel<std::string> lines(16);
  auto logs = go(process_logs, lines);

  for (const char* line : {"INFO start", "ERROR disk full", "INFO retry", "ERROR disk full"}) {
    co_await lines.send(line);
  }
  lines.close();
  fmt::print("Main goes on\n");
  int errors = co_await logs;
  fmt::print("{} errors in the logs\n", errors);
}

int main() { return ringo::run(app); }
