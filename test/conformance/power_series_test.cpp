// powser1: arithmetic on power series as networks of goroutines (McIlroy, "Squinting at power
// series"). A series is a stream of rational coefficients that is produced on demand: each one is
// asked for on one channel and delivered on another. Exercises functions that wait and call each
// other recursively, selects with sends and receives of which some are switched off, and hundreds
// of goroutines that are left waiting in the end.
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rational.hpp"
#include "support.hpp"

using namespace ringo;
using test::Rational;

namespace {

/// A series to come.
struct Series {
  Channel<int> request;
  Channel<Rational> data;
};
using Pair = std::array<Series, 2>;

Task<Rational> get(Series in) {
  co_await in.request.send(0);
  co_return (co_await in.data.recv()).value();
}

Task<> put(Rational value, Series out) {
  co_await out.request.recv();
  co_await out.data.send(value);
}

/// Both next coefficients, asked for at once and taken as they come: four cases, each switched off
/// when it has happened.
Task<std::array<Rational, 2>> get_both(Series a, Series b) {
  std::array<Rational, 2> values;
  std::array<Channel<int>, 2> request{a.request, b.request};
  std::array<Channel<Rational>, 2> data{Channel<Rational>::nil(), Channel<Rational>::nil()};
  for (int n = 0; n < 4; ++n) {
    auto asked = [&](std::size_t i, const Series& from) {
      data[i] = from.data;
      request[i] = Channel<int>::nil();
    };
    auto got = [&](std::size_t i, std::optional<Rational> value) {
      values[i] = value.value();
      data[i] = Channel<Rational>::nil();
    };
    co_await select_any{
        on(request[0].send(0), [&] { asked(0, a); }),
        on(request[1].send(0), [&] { asked(1, b); }),
        on(data[0].recv(), [&](std::optional<Rational> value) { got(0, value); }),
        on(data[1].recv(), [&](std::optional<Rational> value) { got(1, value); }),
    };
  }
  co_return values;
}

Task<> copy(Series in, Series out) {
  for (;;) {
    co_await out.request.recv();
    Rational value = co_await get(in);
    co_await out.data.send(value);
    if (value.is_end()) co_return;
  }
}

/// One coefficient for both readers, who may be at different places. Of several generations the
/// newest serves the reader that is ahead, which is renamed out[0]; the oldest serves the other
/// one, and releases the next generation when it has.
Task<> do_split(Series in, Pair out, Channel<int> wait) {
  bool both = false;
  co_await select_any{on(out[0].request.recv(), [] {}), on(wait.recv(), [&] { both = true; })};
  if (both) {
    co_await select_any{on(out[0].request.recv(), [] {}),
                        on(out[1].request.recv(), [&] { std::swap(out[0], out[1]); })};
  }
  co_await in.request.send(0);
  Channel<int> release;
  go(do_split, in, out, release);
  Rational value = (co_await in.data.recv()).value();
  co_await out[0].data.send(value);
  if (!both) co_await wait.recv();
  co_await out[1].request.recv();
  co_await out[1].data.send(value);
  co_await release.send(0);
}

void split(Series in, const Pair& out) {
  go([in, out]() -> Task<> {
    Channel<int> release;
    go(do_split, in, out, release);
    co_await release.send(0);
  });
}
Pair split(Series in) {
  Pair out;
  split(in, out);
  return out;
}

Series constant(Rational c) {
  Series z;
  go([=]() -> Task<> {
    for (;;) co_await put(c, z);
  });
  return z;
}
Series ones() { return constant(1); }

Series add(Series u, Series v) {
  Series z;
  go([=]() -> Task<> {
    for (;;) {
      co_await z.request.recv();
      auto [a, b] = co_await get_both(u, v);
      if (a.is_end() || b.is_end()) {
        co_await z.data.send(a.is_end() ? b : a);
        if (!a.is_end()) co_await copy(u, z);
        if (!b.is_end()) co_await copy(v, z);
        co_return;
      }
      co_await z.data.send(a + b);
    }
  });
  return z;
}

Series scale(Rational c, Series u) {
  Series z;
  go([=]() -> Task<> {
    for (;;) {
      co_await z.request.recv();
      Rational value = co_await get(u);
      co_await z.data.send(value.is_end() ? value : c * value);
      if (value.is_end()) co_return;
    }
  });
  return z;
}
Series subtract(Series u, Series v) { return add(u, scale(-1, v)); }

/// c + x u
Series shift(Rational c, Series u) {
  Series z;
  go([=]() -> Task<> {
    co_await put(c, z);
    co_await copy(u, z);
  });
  return z;
}

Series multiply(Series u, Series v) {
  Series z;
  go([=]() -> Task<> {
    co_await z.request.recv();
    auto [a, b] = co_await get_both(u, v);
    if (a.is_end() || b.is_end()) {
      co_await z.data.send(Rational::finish());
      co_return;
    }
    co_await z.data.send(a * b);
    Pair uu = split(u);
    Pair vv = split(v);
    Series w = add(scale(a, vv[0]), scale(b, uu[0]));
    co_await z.request.recv();
    Rational second = co_await get(w);
    co_await z.data.send(second);
    co_await copy(add(w, multiply(uu[1], vv[1])), z);
  });
  return z;
}

Series differentiate(Series u) {
  Series z;
  go([=]() -> Task<> {
    co_await z.request.recv();
    Rational value = co_await get(u);
    for (int i = 1; !value.is_end(); ++i) {
      value = co_await get(u);
      if (value.is_end()) break;
      co_await z.data.send(Rational(i) * value);
      co_await z.request.recv();
    }
    co_await z.data.send(Rational::finish());
  });
  return z;
}

Series integrate(Rational c, Series u) {
  Series z;
  go([=]() -> Task<> {
    co_await put(c, z);
    for (int i = 1;; ++i) {
      co_await z.request.recv();
      Rational value = co_await get(u);
      co_await z.data.send(value.is_end() ? value : value * Rational(1, i));
      if (value.is_end()) co_return;
    }
  });
  return z;
}

/// 1 / u
Series reciprocal(Series u) {
  Series z;
  go([=]() -> Task<> {
    Pair zz;
    co_await z.request.recv();
    Rational first = inverse(co_await get(u));
    co_await z.data.send(first);
    split(multiply(scale(-first, u), shift(first, zz[0])), zz);
    co_await copy(zz[1], z);
  });
  return z;
}

/// exp(u), for a u whose constant term is ignored: a feedback loop.
Series exponential(Series u) {
  Pair zz;
  split(integrate(1, multiply(zz[0], differentiate(u))), zz);
  return zz[1];
}

/// u(v(x)), v without constant term.
Series substitute(Series u, Series v) {
  Series z;
  go([=]() -> Task<> {
    Pair vv = split(v);
    co_await z.request.recv();
    Rational value = co_await get(u);
    co_await z.data.send(value);
    if (value.is_end()) co_return;
    Rational first = co_await get(vv[0]);
    if (first.is_end()) {
      co_await put(Rational::finish(), z);
    } else {
      co_await copy(multiply(vv[0], substitute(u, vv[1])), z);
    }
  });
  return z;
}

/// u(c x^n)
Series substitute_monomial(Series u, Rational c, int n) {
  Series z;
  go([=]() -> Task<> {
    Rational power = 1;
    for (;;) {
      co_await z.request.recv();
      Rational value = co_await get(u);
      co_await z.data.send(value.is_end() ? value : value * power);
      if (value.is_end()) co_return;
      power = power * c;
      for (int i = 1; i < n; ++i) co_await put(0, z);
    }
  });
  return z;
}

Series arctangent() { return integrate(0, substitute_monomial(ones(), -1, 2)); }

Task<std::string> print(std::string name, Series u, int count = 10) {
  std::string text = name + ": ";
  for (int i = 0; i < count; ++i) text += to_text(co_await get(u)) + " ";
  co_return text + "\n";
}

Task<> check(const char* name, Series u, std::vector<Rational> expected) {
  int place = 0;
  for (Rational value : expected) {
    Rational got = co_await get(u);
    CHECK_MESSAGE(got == value, name, " at ", place, ": ", to_text(got));
    ++place;
  }
}

}  // namespace

RINGO_TEST("powser1: what it prints") {
  std::string text;
  text += co_await print("Ones", ones());
  text += co_await print("Twos", constant(2));
  text += co_await print("Add", add(ones(), constant(2)));
  text += co_await print("Diff", differentiate(ones()));
  text += co_await print("Integ", integrate(0, ones()));
  text += co_await print("CMul", scale(-1, ones()));
  text += co_await print("Sub", subtract(ones(), constant(2)));
  text += co_await print("Mul", multiply(ones(), ones()));
  text += co_await print("Exp", exponential(ones()), 15);
  text += co_await print("MonSubst", substitute_monomial(ones(), -1, 2));
  text += co_await print("ATan", arctangent());
  CHECK(text ==
        "Ones: 1 1 1 1 1 1 1 1 1 1 \n"
        "Twos: 2 2 2 2 2 2 2 2 2 2 \n"
        "Add: 3 3 3 3 3 3 3 3 3 3 \n"
        "Diff: 1 2 3 4 5 6 7 8 9 10 \n"
        "Integ: 0 1 1/2 1/3 1/4 1/5 1/6 1/7 1/8 1/9 \n"
        "CMul: -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 \n"
        "Sub: -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 \n"
        "Mul: 1 2 3 4 5 6 7 8 9 10 \n"
        "Exp: 1 1 3/2 13/6 73/24 167/40 4051/720 37633/5040 43817/4480 4596553/362880 "
        "58941091/3628800 274691047/13305600 12470162233/479001600 202976401213/6227020800 "
        "1178339174801/29059430400 \n"
        "MonSubst: 1 0 -1 0 1 0 -1 0 1 0 \n"
        "ATan: 0 1 0 -1/3 0 1/5 0 -1/7 0 1/9 \n");
}

RINGO_TEST("powser1: identities between series") {
  // Lists are named first: GCC 12 takes no braced list in an expression with co_await.
  using List = std::vector<Rational>;
  const List one{1, 0, 0, 0, 0, 0};
  const List reciprocal_of_ones{1, -1, 0, 0, 0, 0, 0};
  co_await check("1/(1-x) and its reciprocal", reciprocal(ones()), reciprocal_of_ones);
  co_await check("product with the reciprocal", multiply(ones(), reciprocal(ones())), one);
  const List sum{2, 0, 1, 1, 1};
  co_await check("sum", add(ones(), reciprocal(ones())), sum);
  // x is 0 1 and then zeros.
  Series x = shift(0, shift(1, constant(0)));
  const List exp{1, 1, {1, 2}, {1, 6}, {1, 24}, {1, 120}, {1, 720}};
  co_await check("exp", exponential(x), exp);
  // 1/(1-x) at x/(1-x) is (1-x)/(1-2x).
  const List powers{1, 1, 2, 4, 8, 16, 32};
  co_await check("substitution", substitute(ones(), shift(0, ones())), powers);
  // d/dx arctan(x) times 1 + x^2 is 1.
  Series one_and_square = shift(1, shift(0, shift(1, constant(0))));
  co_await check("arctangent", multiply(differentiate(arctangent()), one_and_square), one);
}
