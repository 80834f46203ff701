// Fractions, the coefficients of power series.
#pragma once

#include <cstdint>
#include <numeric>
#include <string>

namespace ringo::test {

/// A reduced fraction; denominator 0 marks the end of a series.
struct Rational {
  std::int64_t num = 0;
  std::int64_t den = 1;

  Rational() = default;
  Rational(std::int64_t n, std::int64_t d = 1) {
    std::int64_t g = std::gcd(n, d);
    if (d < 0) g = -g;
    num = g == 0 ? n : n / g;
    den = g == 0 ? d : d / g;
  }
  static Rational finish() {
    Rational end;
    end.num = 1;
    end.den = 0;
    return end;
  }
  bool is_end() const { return den == 0; }
  bool operator==(const Rational&) const = default;
};

inline Rational operator+(Rational a, Rational b) {
  std::int64_t g = std::gcd(a.den, b.den);
  return {a.num * (b.den / g) + b.num * (a.den / g), a.den * (b.den / g)};
}
inline Rational operator-(Rational a) { return {-a.num, a.den}; }
inline Rational operator*(Rational a, Rational b) {
  std::int64_t g1 = std::gcd(a.num, b.den);
  std::int64_t g2 = std::gcd(b.num, a.den);
  if (g1 == 0) g1 = 1;
  if (g2 == 0) g2 = 1;
  return {(a.num / g1) * (b.num / g2), (a.den / g2) * (b.den / g1)};
}
inline Rational inverse(Rational a) { return {a.den, a.num}; }

inline std::string to_text(Rational r) {
  return r.den == 1 ? std::to_string(r.num) : std::to_string(r.num) + "/" + std::to_string(r.den);
}

}  // namespace ringo::test
