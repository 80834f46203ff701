// A closed-loop load generator for TCP echo servers: each connection keeps a fixed number of
// messages outstanding, checks every byte that comes back, and sends the next message when one has
// come back whole. One thread, epoll, nothing of ringo.
#include "load.hpp"
#include "options.hpp"

#include <netdb.h>
#include <sched.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using bench::LoadResult;
using bench::LoadSettings;

// Exits with 2 if the connections do not fit.
void allow_descriptors(long connections) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t needed = static_cast<rlim_t>(connections) + 16;
  if (limit.rlim_cur >= needed) return;
  std::fprintf(stderr,
               "echo_load: %ld connections need %llu file descriptors, and the limit is %llu: "
               "raise it (ulimit -n, LimitNOFILE=)\n",
               connections, static_cast<unsigned long long>(needed),
               static_cast<unsigned long long>(limit.rlim_cur));
  std::exit(2);
}

void print_human(const LoadSettings& s, const LoadResult& r) {
  const auto us = [&](double q) { return static_cast<double>(r.latency.at(q)) / 1e3; };
  std::printf("%ld connections, %ld byte messages, %ld outstanding each, %.2f s\n", s.connections,
              s.size, s.pipeline, r.seconds);
  std::printf("requests   %llu (%.0f/s)\n", static_cast<unsigned long long>(r.requests),
              static_cast<double>(r.requests) / r.seconds);
  std::printf("latency    p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n", us(0.5),
              us(0.99), us(0.999), us(1.0));
  const double window = r.seconds * 1e9;
  if (s.server_pid != 0) {
    const double percent = 100.0 * static_cast<double>(r.server_used) / window;
    std::printf(
        "server     %.0f ns of CPU per request, %.1f%% of one core (the %s is the limit), "
        "%.1f%% waiting for a core\n",
        r.requests == 0 ? 0.0
                        : static_cast<double>(r.server_used) / static_cast<double>(r.requests),
        percent, percent >= 98.0 ? "server" : "client",
        100.0 * static_cast<double>(r.server_waited) / window);
  }
  std::printf("client     %.1f%% of one core, %.1f%% waiting for a core\n",
              100.0 * static_cast<double>(r.client_used) / window,
              100.0 * static_cast<double>(r.client_waited) / window);
}

void print_json(const LoadSettings& s, const LoadResult& r) {
  const double window = r.seconds * 1e9;
  const double requests = static_cast<double>(r.requests);
  std::printf(
      "{\"connections\": %ld, \"size\": %ld, \"pipeline\": %ld, \"seconds\": %.6f, "
      "\"requests\": %llu, \"requests_per_second\": %.1f, \"p50_ns\": %llu, "
      "\"p99_ns\": %llu, \"p999_ns\": %llu, \"max_ns\": %llu, ",
      s.connections, s.size, s.pipeline, r.seconds, static_cast<unsigned long long>(r.requests),
      requests / r.seconds, static_cast<unsigned long long>(r.latency.at(0.5)),
      static_cast<unsigned long long>(r.latency.at(0.99)),
      static_cast<unsigned long long>(r.latency.at(0.999)),
      static_cast<unsigned long long>(r.latency.max()));
  if (s.server_pid != 0 && r.requests != 0) {
    std::printf(
        "\"server_ns_per_request\": %.1f, \"server_cpu_percent\": %.2f, "
        "\"server_waiting_percent\": %.2f, ",
        static_cast<double>(r.server_used) / requests,
        100.0 * static_cast<double>(r.server_used) / window,
        100.0 * static_cast<double>(r.server_waited) / window);
  }
  std::printf("\"client_cpu_percent\": %.2f, \"client_waiting_percent\": %.2f}\n",
              100.0 * static_cast<double>(r.client_used) / window,
              100.0 * static_cast<double>(r.client_waited) / window);
}

}  // namespace

int main(int argc, char** argv) {
  LoadSettings s;
  std::string host = "127.0.0.1";
  long port = 0;
  long cpu = -1;
  bool json = false;
  bench::Options options(
      "Keeps a TCP echo server busy, checks every byte it sends back, and "
      "measures both sides.");
  options.text("--host", host, "name or address of the server");
  options.number("--port", port, 1, 65535, "its port");
  options.number("--connections", s.connections, 1, 1'000'000, "how many to open");
  options.number("--size", s.size, 1, 16 << 20, "bytes in a message");
  options.number("--pipeline", s.pipeline, 1, 4096, "messages outstanding on each connection");
  options.seconds("--seconds", s.seconds, 0.001, 3600, "to measure");
  options.seconds("--warmup", s.warmup, 0, 3600, "to run before that");
  options.seconds("--patience", s.patience, 0.1, 3600, "without any answer, then give up");
  options.seconds("--spin", s.spin, 0, 1, "to look for answers before sleeping");
  options.number("--server-pid", s.server_pid, 1, 1L << 31, "read the CPU time of this process");
  options.number("--cpu", cpu, 0, CPU_SETSIZE - 1, "run on this core only");
  options.toggle("--json", json, "print one line of JSON");
  options.parse(argc, argv);
  if (port == 0) options.fail("--port is missing");
  allow_descriptors(s.connections);
  if (cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
      options.fail("cannot run on core " + std::to_string(cpu) + ": " + std::strerror(errno));
    }
  }

  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* address = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &address);
  if (error != 0) bench::give_up("cannot resolve %s: %s", host.c_str(), gai_strerror(error));

  const LoadResult result = bench::Load(s, *address, host + ":" + std::to_string(port)).run();
  freeaddrinfo(address);
  if (json) {
    print_json(s, result);
  } else {
    print_human(s, result);
  }
  return 0;
}
