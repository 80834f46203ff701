// Command lines of the sample servers: `--port 7000`, `--port=7000`.
#pragma once

#include <fmt/core.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ringo/run.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace samples {

/// What all servers understand, and whatever numbers one adds.
class Flags {
 public:
  std::string host = "127.0.0.1";
  unsigned port;
  ringo::Options options;

  Flags(const char* program, const char* about, unsigned default_port)
      : port(default_port), program_(program), about_(about) {
    number("port", "port to listen on; 0 picks a free one", port, 0, 65535);
    number("workers", "event loops; by default one for each core", options.workers, 1, 256);
  }
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  /// Another flag with a number from `least` to `most`; `target` holds the default.
  void number(const char* name, const char* meaning, unsigned& target, unsigned least,
              unsigned most) {
    numbers_.push_back({name, meaning, &target, target, least, most});
  }

  /// Reads the command line. --help prints the usage and ends the program with status 0; what is
  /// not understood does so on standard error, with status 2.
  void parse(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      std::string_view argument = argv[i];
      if (argument == "--help" || argument == "-h") {
        print_usage(stdout);
        std::exit(0);
      }
      if (!argument.starts_with("--")) fail(fmt::format("'{}' is not a flag", argument));
      std::string_view name = argument.substr(2);
      std::string_view value;
      if (std::size_t sign = name.find('='); sign != std::string_view::npos) {
        value = name.substr(sign + 1);
        name = name.substr(0, sign);
        take(name, value);
      } else if (!known(name)) {
        fail(fmt::format("there is no flag --{}", name));
      } else if (i + 1 == argc) {
        fail(fmt::format("--{} needs a value", name));
      } else {
        take(name, argv[++i]);
      }
    }
  }

  /// "host:port", for TcpListener::listen.
  std::string address() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                               : fmt::format("[{}]:{}", host, port);
  }

 private:
  struct Number {
    const char* name;
    const char* meaning;
    unsigned* target;
    unsigned initial;
    unsigned least, most;
  };

  bool known(std::string_view name) const {
    if (name == "host" || name == "driver") return true;
    for (const Number& number : numbers_) {
      if (name == number.name) return true;
    }
    return false;
  }

  void take(std::string_view name, std::string_view value) {
    if (name == "host") {
      host = value;
      return;
    }
    if (name == "driver") {
      auto kind = ringo::parse_driver(value);
      if (!kind) fail(fmt::format("--driver {}: not one of uring, epoll, auto", value));
      options.driver = *kind;
      return;
    }
    for (const Number& number : numbers_) {
      if (name != number.name) continue;
      unsigned read = 0;
      const char* end = value.data() + value.size();
      auto [stop, error] = std::from_chars(value.data(), end, read);
      if (error != std::errc{} || stop != end || read < number.least || read > number.most) {
        fail(fmt::format("--{} {}: not a number from {} to {}", name, value, number.least,
                         number.most));
      }
      *number.target = read;
      return;
    }
    fail(fmt::format("there is no flag --{}", name));
  }

  [[noreturn]] void fail(const std::string& why) const {
    std::fflush(stdout);
    fmt::print(stderr, "{}: {}\n", program_, why);
    print_usage(stderr);
    std::exit(2);
  }

  void print_usage(std::FILE* to) const {
    fmt::print(to, "usage: {} [flags]\n{}\n\n", program_, about_);
    for (const Number& number : numbers_) {
      fmt::print(to, "  --{:<14} {}", fmt::format("{} N", number.name), number.meaning);
      if (number.initial >= number.least) fmt::print(to, " (default {})", number.initial);
      fmt::print(to, "\n");
    }
    fmt::print(to, "  --{:<14} {} (default 127.0.0.1)\n", "host ADDRESS", "address to listen on");
    fmt::print(to, "  --{:<14} {}\n", "driver NAME", "uring, epoll or auto (default auto)");
  }

  const char* program_;
  const char* about_;
  std::vector<Number> numbers_;
};

}  // namespace samples
