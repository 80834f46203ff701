#include "histogram.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <random>

using bench::Histogram;

TEST_CASE("an empty histogram answers 0") {
  Histogram h;
  CHECK(h.count() == 0);
  CHECK(h.max() == 0);
  CHECK(h.at(0.5) == 0);
}

TEST_CASE("values below 256 are exact") {
  Histogram h;
  for (std::uint64_t v = 0; v < 256; ++v) h.record(v);
  CHECK(h.count() == 256);
  CHECK(h.max() == 255);
  CHECK(h.at(0.0) == 0);
  CHECK(h.at(0.5) == 127);
  CHECK(h.at(1.0) == 255);
  for (std::uint64_t v = 0; v < 256; ++v) { CHECK(h.at(static_cast<double>(v + 1) / 256) == v); }
}

TEST_CASE("any value is found again to within 1/128, and never too low") {
  std::mt19937_64 random{20240229};
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t v = random() >> (random() % 64);
    Histogram h;
    h.record(v);
    h.record(std::numeric_limits<std::uint64_t>::max());  // or the maximum would hide the bucket
    const std::uint64_t found = h.at(0.5);
    CHECK(found >= v);
    CHECK(found - v <= v / 128);
  }
}

TEST_CASE("neighbouring values at each power of two land in order") {
  for (int bit = 1; bit < 64; ++bit) {
    const std::uint64_t edge = std::uint64_t{1} << bit;
    Histogram h;
    h.record(edge - 1);
    h.record(edge);
    h.record(std::numeric_limits<std::uint64_t>::max());
    CHECK(h.at(0.3) == edge - 1);
    CHECK(h.at(0.6) >= edge);
    CHECK(h.at(0.6) <= edge + edge / 128);
  }
}

TEST_CASE("quantiles of 1 to 100000") {
  Histogram h;
  for (std::uint64_t v = 1; v <= 100000; ++v) h.record(v);
  const auto near = [](std::uint64_t found, std::uint64_t v) {
    return found >= v && found - v <= v / 128;
  };
  CHECK(near(h.at(0.5), 50000));
  CHECK(near(h.at(0.99), 99000));
  CHECK(near(h.at(0.999), 99900));
  CHECK(h.at(1.0) == 100000);
}

TEST_CASE("one slow value in a thousand is seen by p99.9 and not by p99") {
  Histogram h;
  h.record(100, 998);
  h.record(1'000'000, 2);
  CHECK(h.count() == 1000);
  CHECK(h.at(0.99) == 100);
  CHECK(h.at(0.999) == 1'000'000);
}

TEST_CASE("merge adds, clear forgets") {
  Histogram a;
  Histogram b;
  a.record(10, 3);
  b.record(200, 1);
  a.merge(b);
  CHECK(a.count() == 4);
  CHECK(a.max() == 200);
  CHECK(a.at(0.75) == 10);
  CHECK(a.at(0.76) == 200);
  a.clear();
  CHECK(a.count() == 0);
  CHECK(a.at(0.5) == 0);
}
