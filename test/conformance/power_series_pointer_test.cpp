// powser2: power series as in powser1, with everything handed on in another way: coefficients are
// pointers, streams are objects behind pointers, and each goroutine is a function with arguments,
// which go() must have copied before its caller ends.
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rational.hpp"
#include "support.hpp"

using namespace ringo;
using test::Rational;

namespace {

using Value = std::shared_ptr<const Rational>;

Value make(Rational r) { return std::make_shared<const Rational>(r); }
Value finish() { return make(Rational::finish()); }

struct Stream {
  Channel<int> request;
  Channel<Value> data;
};
using Series = std::shared_ptr<Stream>;
using Pair = std::array<Series, 2>;

Series make_series() { return std::make_shared<Stream>(); }
Pair make_pair() { return {make_series(), make_series()}; }

Task<Value> get(Series in) {
  co_await in->request.send(0);
  co_return (co_await in->data.recv()).value();
}

Task<> put(Value value, Series out) {
  co_await out->request.recv();
  co_await out->data.send(std::move(value));
}

Task<> copy(Series in, Series out) {
  for (bool end = false; !end;) {
    co_await out->request.recv();
    Value value = co_await get(in);
    end = value->is_end();
    co_await out->data.send(std::move(value));
  }
}

/// Asks both at once; the answers come in any order.
Task<std::array<Value, 2>> get_both(Series u, Series v) {
  std::array<Value, 2> values;
  auto fetch = [](Series from) -> Task<Value> { co_return co_await get(from); };
  auto left = go(fetch, u);
  values[1] = co_await get(v);
  values[0] = co_await left;
  co_return values;
}

/// One coefficient for both, the next one by a goroutine that waits until this one has been given
/// to whoever is behind.
Task<> do_split(Series in, Pair out, Channel<> turn) {
  bool both = false;
  std::size_t first = 0;
  co_await select_any{on(out[0]->request.recv(), [] {}), on(turn.recv(), [&] { both = true; })};
  if (both) {
    co_await select_any{on(out[0]->request.recv(), [] {}),
                        on(out[1]->request.recv(), [&] { first = 1; })};
  }
  if (first == 1) std::swap(out[0], out[1]);
  co_await in->request.send(0);
  Channel<> release;
  go(do_split, in, out, release);
  Value value = (co_await in->data.recv()).value();
  co_await out[0]->data.send(value);
  if (!both) co_await turn.recv();
  co_await out[1]->request.recv();
  co_await out[1]->data.send(value);
  co_await release.send();
}

Task<> start_split(Series in, Pair out) {
  Channel<> turn;
  go(do_split, in, out, turn);
  co_await turn.send();
}

Pair split(Series in) {
  Pair out = make_pair();
  go(start_split, in, out);
  return out;
}

Task<> repeat(Value value, Series z) {
  for (;;) co_await put(value, z);
}
Series constant(Rational c) {
  Series z = make_series();
  go(repeat, make(c), z);
  return z;
}

Task<> do_add(Series u, Series v, Series z) {
  for (;;) {
    co_await z->request.recv();
    auto [a, b] = co_await get_both(u, v);
    if (a->is_end() || b->is_end()) {
      Value last = a->is_end() ? b : a;
      co_await z->data.send(std::move(last));
      if (!a->is_end()) co_await copy(u, z);
      if (!b->is_end()) co_await copy(v, z);
      co_return;
    }
    co_await z->data.send(make(*a + *b));
  }
}
Series add(Series u, Series v) {
  Series z = make_series();
  go(do_add, u, v, z);
  return z;
}

Task<> do_scale(Value c, Series u, Series z) {
  for (bool end = false; !end;) {
    co_await z->request.recv();
    Value value = co_await get(u);
    end = value->is_end();
    if (!end) value = make(*c * *value);
    co_await z->data.send(std::move(value));
  }
}
Series scale(Rational c, Series u) {
  Series z = make_series();
  go(do_scale, make(c), u, z);
  return z;
}

Task<> do_multiply(Series u, Series v, Series z) {
  co_await z->request.recv();
  auto [a, b] = co_await get_both(u, v);
  if (a->is_end() || b->is_end()) {
    co_await z->data.send(finish());
    co_return;
  }
  co_await z->data.send(make(*a * *b));
  Pair uu = split(u);
  Pair vv = split(v);
  Series w = add(scale(*a, vv[0]), scale(*b, uu[0]));
  co_await z->request.recv();
  Value second = co_await get(w);
  co_await z->data.send(std::move(second));
  Series rest = make_series();
  go(do_multiply, uu[1], vv[1], rest);
  co_await copy(add(w, rest), z);
}
Series multiply(Series u, Series v) {
  Series z = make_series();
  go(do_multiply, u, v, z);
  return z;
}

Task<> do_differentiate(Series u, Series z) {
  co_await z->request.recv();
  Value value = co_await get(u);
  for (int i = 1; !value->is_end(); ++i) {
    value = co_await get(u);
    if (value->is_end()) break;
    co_await z->data.send(make(Rational(i) * *value));
    co_await z->request.recv();
  }
  co_await z->data.send(finish());
}
Series differentiate(Series u) {
  Series z = make_series();
  go(do_differentiate, u, z);
  return z;
}

Task<> do_integrate(Value c, Series u, Series z) {
  co_await put(std::move(c), z);
  for (int i = 1;; ++i) {
    co_await z->request.recv();
    Value value = co_await get(u);
    const bool end = value->is_end();
    if (!end) value = make(*value * Rational(1, i));
    co_await z->data.send(std::move(value));
    if (end) co_return;
  }
}
Series integrate(Rational c, Series u) {
  Series z = make_series();
  go(do_integrate, make(c), u, z);
  return z;
}

/// A feedback loop: the integral of itself times the derivative.
Series exponential(Series u) {
  Pair zz = make_pair();
  go(start_split, integrate(1, multiply(zz[0], differentiate(u))), zz);
  return zz[1];
}

Task<> give_list(std::vector<Rational> coefficients, Series z) {
  for (Rational one : coefficients) co_await put(make(one), z);
  co_await put(finish(), z);
}
Series polynomial(std::vector<Rational> coefficients) {
  Series z = make_series();
  go(give_list, std::move(coefficients), z);
  return z;
}

Task<std::string> print(Series u, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    Value value = co_await get(u);
    if (value->is_end()) {
      text += "end";
      break;
    }
    text += to_text(*value) + " ";
  }
  co_return text;
}

}  // namespace

RINGO_TEST("powser2: the series of powser1") {
  CHECK_EQ(co_await print(add(constant(1), constant(2)), 6), "3 3 3 3 3 3 ");
  CHECK_EQ(co_await print(differentiate(constant(1)), 6), "1 2 3 4 5 6 ");
  CHECK_EQ(co_await print(integrate(0, constant(1)), 6), "0 1 1/2 1/3 1/4 1/5 ");
  CHECK_EQ(co_await print(scale(-1, constant(1)), 4), "-1 -1 -1 -1 ");
  CHECK_EQ(co_await print(multiply(constant(1), constant(1)), 6), "1 2 3 4 5 6 ");
  CHECK_EQ(co_await print(exponential(constant(1)), 10),
           "1 1 3/2 13/6 73/24 167/40 4051/720 37633/5040 43817/4480 4596553/362880 ");
}

RINGO_TEST("powser2: series that end") {
  // Lists are named first: GCC 12 takes no braced list in an expression with co_await.
  const std::vector<Rational> one_two{1, 2};
  const std::vector<Rational> three_terms{5, 0, 3};
  const Rational half(1, 2);
  CHECK_EQ(co_await print(polynomial(one_two), 9), "1 2 end");
  CHECK_EQ(co_await print(add(polynomial(one_two), polynomial(three_terms)), 9), "6 2 3 end");
  CHECK_EQ(co_await print(add(polynomial(three_terms), polynomial(one_two)), 9), "6 2 3 end");
  CHECK_EQ(co_await print(differentiate(polynomial(three_terms)), 9), "0 6 end");
  CHECK_EQ(co_await print(scale(half, polynomial(one_two)), 9), "1/2 1 end");
}
