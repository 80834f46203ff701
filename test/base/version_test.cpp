#include <doctest/doctest.h>

#include <ringo/version.hpp>

#include <string>

TEST_CASE("the library and the headers are of one version") {
  CHECK(std::string(ringo::version()) == RINGO_VERSION);
}

TEST_CASE("the version's parts make up its text and its number") {
  CHECK(std::to_string(RINGO_VERSION_MAJOR) + "." + std::to_string(RINGO_VERSION_MINOR) + "." +
            std::to_string(RINGO_VERSION_PATCH) ==
        RINGO_VERSION);
  CHECK(RINGO_VERSION_NUMBER / 10000 == RINGO_VERSION_MAJOR);
  CHECK(RINGO_VERSION_NUMBER / 100 % 100 == RINGO_VERSION_MINOR);
  CHECK(RINGO_VERSION_NUMBER % 100 == RINGO_VERSION_PATCH);
}
