// when_all, when_any: several Tasks at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <ringo/panic.hpp>
#include <ringo/task_group.hpp>

namespace ringo {

namespace detail {

template <class T>
using Held = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
Task<> store(std::optional<Held<T>>& slot, Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    slot.emplace();
  } else {
    slot.emplace(co_await std::move(task));
  }
}

template <class... T, std::size_t... I>
Task<std::tuple<Held<T>...>> all_of(std::tuple<Task<T>...> tasks, std::index_sequence<I...>) {
  std::tuple<std::optional<Held<T>>...> slots;
  bool complete = false;
  co_await task_group([&](TaskGroup& group) -> Task<> {
    (group.go(store<T>(std::get<I>(slots), std::move(std::get<I>(tasks)))), ...);
    co_return;
  });
  complete = (std::get<I>(slots).has_value() && ...);
  if (!complete) throw JoinCanceled();
  co_return std::tuple<Held<T>...>(std::move(*std::get<I>(slots))...);
}

/// Runs one of several Tasks. The first that ends, well or not, decides; what becomes of the others
/// is nobody's business any more.
template <class T, class Keep>
Task<> race(const TaskGroup& group, std::atomic<bool>& decided, Task<T> task, Keep keep) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(task);
      if (!decided.exchange(true)) keep(std::monostate{});
    } else {
      T value = co_await std::move(task);
      if (!decided.exchange(true)) keep(std::move(value));
    }
  } catch (const Canceled&) {
    throw;
  } catch (const Goexit&) {
    throw;
  } catch (...) {
    if (!decided.exchange(true)) throw;
  }
  group.cancel();
}

template <class... T, std::size_t... I>
Task<std::variant<Held<T>...>> any_of(std::tuple<Task<T>...> tasks, std::index_sequence<I...>) {
  std::optional<std::variant<Held<T>...>> winner;
  std::atomic<bool> decided{false};
  co_await task_group([&](TaskGroup& group) -> Task<> {
    (group.go(race(group, decided, std::move(std::get<I>(tasks)),
                   [&winner](Held<T> value) {
                     winner.emplace(std::in_place_index<I>, std::move(value));
                   })),
     ...);
    co_return;
  });
  if (!winner) throw JoinCanceled();
  co_return std::move(*winner);
}

}  // namespace detail

/// Runs Tasks at once, each in a goroutine of its own, and yields a tuple of their results
/// (std::monostate for void). The first that throws cancels the others and is rethrown when they
/// have unwound, as in task_group(). JoinCanceled if one of them ended without a result.
template <class... T>
  requires(sizeof...(T) > 0)
Task<std::tuple<detail::Held<T>...>> when_all(Task<T>... tasks) {
  return detail::all_of<T...>(std::tuple<Task<T>...>(std::move(tasks)...),
                              std::index_sequence_for<T...>{});
}

/// ... for any number of the same type: the results in the order of the Tasks.
template <class T>
Task<std::vector<detail::Held<T>>> when_all(std::vector<Task<T>> tasks) {
  std::vector<std::optional<detail::Held<T>>> slots(tasks.size());
  co_await task_group([&](TaskGroup& group) -> Task<> {
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      group.go(detail::store<T>(slots[i], std::move(tasks[i])));
    }
    co_return;
  });
  std::vector<detail::Held<T>> results;
  results.reserve(slots.size());
  for (auto& slot : slots) {
    if (!slot) throw JoinCanceled();
    results.push_back(std::move(*slot));
  }
  co_return results;
}

/// Runs Tasks at once and yields the result of the first that ends, as a variant whose index() says
/// which; if that one throws, its exception. The others are cancelled, and this returns when they
/// have unwound. For operations (channels, timers, reads) take select_any, which starts nothing.
template <class... T>
  requires(sizeof...(T) > 0)
Task<std::variant<detail::Held<T>...>> when_any(Task<T>... tasks) {
  return detail::any_of<T...>(std::tuple<Task<T>...>(std::move(tasks)...),
                              std::index_sequence_for<T...>{});
}

/// ... for any number of the same type: the position of the first that ends, and its result. Throws
/// Panic if there is none.
template <class T>
Task<std::pair<std::size_t, detail::Held<T>>> when_any(std::vector<Task<T>> tasks) {
  if (tasks.empty()) panic("when_any: no Tasks");
  std::optional<std::pair<std::size_t, detail::Held<T>>> winner;
  std::atomic<bool> decided{false};
  co_await task_group([&](TaskGroup& group) -> Task<> {
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      group.go(detail::race(
          group, decided, std::move(tasks[i]),
          [&winner, i](detail::Held<T> value) { winner.emplace(i, std::move(value)); }));
    }
    co_return;
  });
  if (!winner) throw JoinCanceled();
  co_return std::move(*winner);
}

}  // namespace ringo
