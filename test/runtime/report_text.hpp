// Looking through reports for what must be in them.
#pragma once

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace ringo::test {

/// Checks that each part stands somewhere after the one before it.
inline void expect_in_order(const std::string& text, std::initializer_list<std::string> parts) {
  std::size_t at = 0;
  for (const std::string& part : parts) {
    const std::size_t found = text.find(part, at);
    CHECK_MESSAGE(found != std::string::npos, "expected, in this order: ", part, "\nin:\n", text);
    if (found == std::string::npos) return;
    at = found + part.size();
  }
}

/// How a frame's place ends in a report.
inline std::string at_line(std::string_view file, int line) {
  return std::string(file) + ":" + std::to_string(line) + "\n";
}

/// How often a text contains another.
inline int count_of(std::string_view part, std::string_view text) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

}  // namespace ringo::test
