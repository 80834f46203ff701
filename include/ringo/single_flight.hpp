// SingleFlight: many ask for the same thing at once, and it is fetched once.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/detail/spin_lock.hpp>
#include <ringo/event.hpp>
#include <ringo/go.hpp>
#include <ringo/panic.hpp>
#include <ringo/task.hpp>

namespace ringo {

/// One call per key at a time (Go's golang.org/x/sync/singleflight): who comes while it is under way
/// waits for it and shares what it gives, value or exception.
///
///     SingleFlight<std::string, Page> pages;
///     Page page = co_await pages.call(url, [url]() { return fetch(url); });
///
/// The call runs in a goroutine of its own, with the values of the first caller's Context but
/// without its end: a caller that is cancelled or times out leaves, and the call goes on for the
/// others. So the function owns what it uses. Once it has ended, the next caller starts a new one;
/// results are not kept.
///
/// T (not void) is copied to each caller. Hash and Equal must not throw. For the goroutines of one
/// runtime; it may be destroyed while calls are under way. Not copyable, not movable.
template <class Key, class T, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class SingleFlight {
  static_assert(std::is_copy_constructible_v<T>, "each caller gets a copy of the result");

 public:
  SingleFlight() : flights_(std::make_shared<Flights>()) {}
  SingleFlight(const SingleFlight&) = delete;
  SingleFlight& operator=(const SingleFlight&) = delete;

  /// What f() gives, called by this caller or by the one whose call is under way. f gives a T or a
  /// Task<T>. Rethrows what it throws, to each who waits for it; JoinCanceled if it was cancelled
  /// (by Options::drain), Panic if it called goexit(). Cancellable: then the call goes on.
  template <class F>
  Task<T> call(Key key, F f) {
    std::shared_ptr<Flight> flight;
    bool first = false;
    std::shared_ptr<Flights> flights = flights_;
    {
      detail::SpinGuard guard(flights->lock);
      std::shared_ptr<Flight>& slot = flights->under_way[key];
      if (slot == nullptr) {
        slot = std::make_shared<Flight>();
        first = true;
      }
      flight = slot;
    }
    if (first) {
      try {
        const Context context = without_cancel(this_context());
        context.go(&fly<F>, flights, std::move(key), flight, std::move(f)).detach();
      } catch (...) {
        land(*flights, key, flight);
        throw;
      }
    }
    co_await flight->landed.wait();
    if (flight->error != nullptr) std::rethrow_exception(flight->error);
    co_return *flight->value;
  }

  /// The next caller starts a call of its own, also while one is under way (Go's Forget).
  void forget(const Key& key) {
    std::shared_ptr<Flight> forgotten;
    detail::SpinGuard guard(flights_->lock);
    auto found = flights_->under_way.find(key);
    if (found == flights_->under_way.end()) return;
    forgotten = std::move(found->second);
    flights_->under_way.erase(found);
  }

  /// Calls under way that have not been forgotten.
  std::size_t size() const {
    detail::SpinGuard guard(flights_->lock);
    return flights_->under_way.size();
  }

 private:
  struct Flight {
    Event landed;
    std::optional<T> value;  // both before landed
    std::exception_ptr error;
  };
  struct Flights {
    detail::SpinLock lock;
    std::unordered_map<Key, std::shared_ptr<Flight>, Hash, Equal> under_way;
  };

  template <class F>
  static Task<> fly(std::shared_ptr<Flights> flights, Key key, std::shared_ptr<Flight> flight,
                    F f) {
    try {
      if constexpr (detail::is_task<std::invoke_result_t<F&>>) {
        flight->value.emplace(co_await f());
      } else {
        flight->value.emplace(f());
      }
    } catch (const Canceled&) {
      flight->error = std::make_exception_ptr(JoinCanceled());
    } catch (const detail::Goexit&) {
      flight->error = std::make_exception_ptr(Panic("SingleFlight: the call used goexit"));
    } catch (...) { flight->error = std::current_exception(); }
    land(*flights, key, flight);
  }

  /// Out of the list first: who comes when the others are told starts anew.
  static void land(Flights& flights, const Key& key, const std::shared_ptr<Flight>& flight) {
    {
      detail::SpinGuard guard(flights.lock);
      auto found = flights.under_way.find(key);
      if (found != flights.under_way.end() && found->second == flight) {
        flights.under_way.erase(found);
      }
    }
    if (!flight->value && flight->error == nullptr) {
      flight->error = std::make_exception_ptr(Panic("SingleFlight: the call could not be started"));
    }
    flight->landed.set();
  }

  std::shared_ptr<Flights> flights_;
};

}  // namespace ringo
