// Cancels a scenario at its first suspension, then at its second one, and so on until none is left.
//
//   cancel_everywhere([](Attempt& attempt) -> Task<> {
//     Mutex mu;
//     co_await attempt.run([&]() -> Task<> { auto guard = co_await mu.lock(); ... });
//     CHECK(mu.try_lock());
//   });
//
// What run() is given runs in a goroutine with a Context of its own; it, and what inherits that
// Context, is what is watched and cancelled. Everything else in the body keeps the scenario going
// and checks afterwards that nothing is lost, doubled or held. Between the attempts no goroutine
// and no descriptor may be left.
//
// One worker, whose environment is ours: before each resumption of a goroutine it is asked which
// one is next, and looks then whether a wait has been opened that it has not seen. So an attempt
// is the same each time, but for what the kernel does, and no suspension is missed that lasts to
// the next resumption of anybody. Run on both drivers, in the order of the ready queue and with
// several random orders.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <unordered_map>
#include <vector>

#include <ringo/context.hpp>
#include <ringo/run.hpp>

#include "driver/driver.hpp"
#include "matrix.hpp"
#include "net/net_fixture.hpp"
#include "runtime/environment.hpp"
#include "runtime/records.hpp"
#include "runtime/runtime.hpp"

namespace ringo::test {

/// How what was run has ended.
enum class Ran { to_its_end, canceled, failed };

class Attempt final : public detail::Environment {
 public:
  /// Cancels at the `at`-th suspension (from 1). `order` 0: first come, first served.
  Attempt(DriverKind driver, int at, unsigned order)
      : driver_(driver), at_(at), order_(order), random_(order * 0x9e3779b97f4a7c15ULL + 1) {}

  /// Runs body() where it is cancelled; returns when it has ended.
  template <class F>
  Task<Ran> run(F body) {
    auto [ctx, cancel] = with_cancel(background());
    cancel_ = &cancel;
    over_ = false;
    // So that there is always something to choose from, and the choice is always asked for.
    auto spin = [this]() -> Task<> {
      while (!over_) co_await yield();
    };
    auto first = go(spin);
    auto second = go(spin);
    auto subject = ctx.go(std::move(body));
    Ran ran = Ran::to_its_end;
    try {
      co_await subject;
    } catch (const JoinCanceled&) { ran = Ran::canceled; } catch (const std::exception&) {
      ran = Ran::failed;
    }
    cancel_ = nullptr;
    over_ = true;
    co_await first;
    co_await second;
    co_return ran;
  }

  int suspensions() const noexcept { return seen_; }
  /// Has it come to the suspension at which it is cancelled?
  bool canceled() const noexcept { return seen_ >= at_; }

 private:
  std::int64_t now() override { return detail::steady_now(); }
  std::uint64_t seed(unsigned worker) override { return 77 + worker + order_; }
  std::size_t pick_ready(std::size_t count) override {
    look();
    if (order_ == 0) return 0;
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return static_cast<std::size_t>(random_ % count);
  }
  std::unique_ptr<detail::Driver> make_driver(unsigned) override {
    detail::DriverFailure failure;
    return driver_ == DriverKind::epoll ? detail::make_epoll_driver(failure)
                                        : detail::make_uring_driver(failure);
  }

  void look() {
    if (cancel_ == nullptr || seen_ >= at_) return;
    const std::uint32_t runtime = detail::current_runtime()->id();
    detail::RecordPool::instance().for_each([&](detail::Goroutine& g) {
      if (g.runtime_id != runtime || !g.guarded || !g.attached.load()) return;
      const std::uint64_t word = g.claim.load();
      if ((word & detail::claim_open) == 0 || (word & detail::claim_claimed) != 0) return;
      std::uint64_t& last = waits_[g.id];
      if (last == (word & ~detail::claim_bits)) return;
      last = word & ~detail::claim_bits;
      ++seen_;
    });
    if (seen_ >= at_) (*cancel_)();
  }

  const DriverKind driver_;
  const int at_;
  const unsigned order_;
  std::uint64_t random_;
  CancelFunc* cancel_ = nullptr;
  bool over_ = false;
  int seen_ = 0;
  std::unordered_map<std::uint64_t, std::uint64_t> waits_;  // by goroutine: the last one seen
};

/// Runs body(attempt), a coroutine function, again and again as said above. `least`: so many
/// suspensions there must have been, or the scenario shows nothing.
template <class F>
void cancel_everywhere(F body, int least = 1) {
  for_each_setting([&](const Setting& setting) {
    if (setting.workers != 1) return;
    for (unsigned order : {0u, 1u, 2u}) {
      for (int at = 1;; ++at) {
        REQUIRE(at < 300);
        const std::size_t descriptors = open_descriptors();
        bool over = false;
        int seen = 0;
        {
          Attempt attempt(setting.driver, at, order);
          std::exception_ptr error;
          auto main = [&]() -> Task<> {
            try {
              co_await body(attempt);
              CHECK_MESSAGE(num_goroutines() == 1, "goroutines left, cancelled at ", at);
            } catch (...) { error = std::current_exception(); }
          };
          Options options;
          options.workers = 1;
          detail::Runtime runtime(options, &attempt);
          runtime.run(main());
          if (error) std::rethrow_exception(error);
          over = !attempt.canceled();
          seen = attempt.suspensions();
        }
        CHECK_MESSAGE(open_descriptors() == descriptors, "descriptors left, cancelled at ", at);
        if (over) {
          CHECK(seen >= least);
          break;
        }
      }
    }
  });
}

}  // namespace ringo::test
