// When an idle worker spins, by a clock of the test's own.
#include "runtime/spin_policy.hpp"

#include <cstdint>
#include <initializer_list>

#include <doctest/doctest.h>

using ringo::detail::SpinPolicy;
using End = SpinPolicy::End;

namespace {

constexpr std::int64_t brief = SpinPolicy::brief_turn_ns - 1;
constexpr std::int64_t moment = SpinPolicy::spin_max_ns - 1;

/// A worker whose turns and waits take as long as the test says.
struct Idler {
  SpinPolicy policy;
  std::int64_t time = 1'000'000'000;

  bool work(std::int64_t turn) { return policy.end_turn(time += turn); }
  void sleep(std::int64_t wait, bool until_timer = false) {
    const std::int64_t began = time;
    policy.slept(began, time += wait, until_timer);
  }
  void spin(End end) {
    policy.spun(end, time += end == End::time ? SpinPolicy::spin_max_ns : moment);
  }
  /// Its first turn is over, a long one, for it began with the runtime.
  static Idler awake() {
    Idler idler;
    idler.work(0);
    idler.sleep(moment);
    return idler;
  }
  /// Has waited shortly after a brief turn, too, and spins when the next one ends.
  static Idler eager() {
    Idler idler = awake();
    idler.work(brief);
    idler.sleep(moment);
    return idler;
  }
};

}  // namespace

TEST_CASE("spinning begins after a brief turn whose wait was short") {
  Idler idler = Idler::awake();
  CHECK_FALSE(idler.work(brief));
  idler.sleep(moment);
  CHECK(idler.work(brief));
}

TEST_CASE("a long wait does not begin it") {
  Idler idler = Idler::awake();
  CHECK_FALSE(idler.work(brief));
  idler.sleep(SpinPolicy::spin_max_ns);
  CHECK_FALSE(idler.work(brief));
}

TEST_CASE("after a long turn a worker sleeps, and such a wait does not begin it") {
  Idler idler = Idler::awake();
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(idler.work(SpinPolicy::brief_turn_ns));
    idler.sleep(moment);
  }
  CHECK_FALSE(idler.work(brief));
  idler.sleep(moment);
  CHECK(idler.work(brief));
  idler.spin(End::work);
  CHECK_FALSE(idler.work(SpinPolicy::brief_turn_ns));
  idler.sleep(moment);
  CHECK(idler.work(brief));  // it had been worth it
}

TEST_CASE("as long as it finds work and turns are brief it goes on") {
  Idler idler = Idler::eager();
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(idler.work(brief));
    idler.spin(End::work);
  }
}

TEST_CASE("each time in vain it takes twice as many short waits, until it finds work") {
  Idler idler = Idler::eager();
  for (int short_waits : {2, 4, 8}) {
    REQUIRE(idler.work(brief));
    idler.spin(End::time);
    for (int i = 0; i < short_waits; ++i) {
      if (i != 0) REQUIRE_FALSE(idler.work(brief));
      idler.sleep(moment);
    }
  }
  REQUIRE(idler.work(brief));
  idler.spin(End::work);
  CHECK(idler.work(brief));
  idler.spin(End::time);  // from one again
  idler.sleep(moment);
  CHECK_FALSE(idler.work(brief));
  idler.sleep(moment);
  CHECK(idler.work(brief));
}

TEST_CASE("a timer's short wait does not begin it") {
  Idler idler = Idler::awake();
  for (int i = 0; i < 1000; ++i) {
    REQUIRE_FALSE(idler.work(brief));
    idler.sleep(moment, true);
  }
  REQUIRE_FALSE(idler.work(brief));
  idler.sleep(moment);
  CHECK(idler.work(brief));
}

TEST_CASE("a timer ends it until there is other work, which begins it as soon as before") {
  Idler idler = Idler::eager();
  for (int i = 0; i < 100; ++i) {
    REQUIRE(idler.work(brief));
    idler.spin(End::timer);
    REQUIRE_FALSE(idler.work(brief));
    idler.sleep(moment);
  }
  CHECK(idler.work(brief));
}
