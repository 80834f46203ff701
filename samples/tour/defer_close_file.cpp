// file, err := os.Open(...); defer file.Close(): open, check, and defer the closing at once, so
// that no way out of the function can forget it. (A std::ifstream would close itself; what a C
// library opens would not.)
#include <fmt/core.h>
#include <ringo/ringo.hpp>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

using namespace ringo;

void print_first_line(const char* path) {
  std::ifstream file(path);
  if (!file.is_open()) {
    fmt::print("Error: open {}: {}\n", path, std::strerror(errno));
    return;
  }
  Defer close{[&] {
    file.close();
    fmt::print("{} is closed\n", path);
  }};

  std::string line;
  std::getline(file, line);
  fmt::print("{}: {}\n", path, line);
}

int main() {
  print_first_line("/proc/sys/kernel/ostype");
  print_first_line("test.txt");
}
