// select: waiting for several operations, of which exactly one takes place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <ringo/detail/promise.hpp>
#include <ringo/detail/select_core.hpp>

namespace ringo {

namespace detail {

struct NoHandler {};

/// One case: an operation and what to do with its result.
template <class Op, class Handler>
struct On {
  static constexpr bool is_default = false;
  using Operation = std::remove_cvref_t<Op>;
  On(Op&& o, Handler h) : op(std::forward<Op>(o)), handler(std::move(h)) {}
  Op op;  // Op& for an lvalue, which must outlive the select
  [[no_unique_address]] Handler handler;
};

template <class Handler>
struct Otherwise {
  static constexpr bool is_default = true;
  explicit Otherwise(Handler h) : handler(std::move(h)) {}
  [[no_unique_address]] Handler handler;
};

template <class E>
inline constexpr bool is_entry = false;
template <class Op, class H>
inline constexpr bool is_entry<On<Op, H>> = true;
template <class H>
inline constexpr bool is_entry<Otherwise<H>> = true;

template <class Op>
constexpr void check_case() {
  static_assert(!is_task<Op>,
                "a Task cannot be a case of select: start it with go() and use its JoinHandle, or "
                "use with_timeout");
  static_assert(is_task<Op> || IsOperation<Op>,
                "this cannot be a case of select: writes, file I/O, connect and Cond waits cannot "
                "be taken back once begun; use with_timeout, or go() and a channel");
}

template <class Handler>
constexpr void check_handler() {
  static_assert(std::is_trivially_destructible_v<Handler>,
                "a select handler runs before the select returns: capture by reference ([&]). "
                "GCC 12 destroys captured values twice in an awaited expression");
}

/// What on()'s handler is called with: the result of the operation, or nothing.
template <class Handler, class R>
struct HandlerResult {
  using type = std::invoke_result_t<Handler&, R>;
};
template <class Handler, class R>
  requires(!std::is_invocable_v<Handler&, R>)
struct HandlerResult<Handler, R> {
  using type = std::invoke_result_t<Handler&>;
};
template <class Handler>
struct HandlerResult<Handler, void> {
  using type = std::invoke_result_t<Handler&>;
};
template <class R>
struct HandlerResult<NoHandler, R> {
  using type = void;
};
template <>
struct HandlerResult<NoHandler, void> {
  using type = void;
};

template <class E>
struct EntryTraits;
template <class Op, class H>
struct EntryTraits<On<Op, H>> {
  using Case = typename std::remove_cvref_t<Op>::Case;
  using Result = decltype(std::declval<Case&>().result());
  using Handled = typename HandlerResult<H, Result>::type;
  static constexpr bool has_handler = !std::is_same_v<H, NoHandler>;
};
/// Stands in the tuple of cases at the place of the default.
template <class H>
struct DefaultCase {
  explicit DefaultCase(Otherwise<H>&) noexcept {}
};
template <class H>
struct EntryTraits<Otherwise<H>> {
  using Case = DefaultCase<H>;
  using Result = void;
  using Handled = typename HandlerResult<H, void>::type;
  static constexpr bool has_handler = !std::is_same_v<H, NoHandler>;
};

template <class T>
using NonVoid = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

}  // namespace detail

/// One case of select_any: the operation, and a handler called with its result (or with nothing)
/// if this case is the one. The handler runs in the goroutine, after the operation took effect and
/// outside all locks, before the select returns; so it captures by reference. Handlers that return
/// the same type give the select its result. An operation given as an lvalue must outlive the
/// select.
template <class Op, class Handler>
detail::On<Op, std::decay_t<Handler>> on(Op&& operation, Handler&& handler) {
  detail::check_case<std::remove_cvref_t<Op>>();
  detail::check_handler<std::decay_t<Handler>>();
  return {std::forward<Op>(operation), std::forward<Handler>(handler)};
}

/// Go's `default`: taken if no case is ready, so that the select does not wait.
template <class Handler>
detail::Otherwise<std::decay_t<Handler>> otherwise(Handler&& handler) {
  detail::check_handler<std::decay_t<Handler>>();
  return detail::Otherwise<std::decay_t<Handler>>(std::forward<Handler>(handler));
}
inline detail::Otherwise<detail::NoHandler> otherwise() {
  return detail::Otherwise<detail::NoHandler>(detail::NoHandler{});
}

/// What a select without handlers yields: which case it was (its position, from 0), and its result.
template <class... Results>
class SelectResult {
 public:
  std::size_t index() const noexcept { return value_.index(); }
  /// The result of case I, which must be the one (throws std::bad_variant_access otherwise).
  template <std::size_t I>
  decltype(auto) get() & {
    return std::get<I>(value_);
  }
  template <std::size_t I>
  decltype(auto) get() && {
    return std::get<I>(std::move(value_));
  }

  template <std::size_t I, class... Args>
  explicit SelectResult(std::in_place_index_t<I> where, Args&&... args)
      : value_(where, std::forward<Args>(args)...) {}

 private:
  std::variant<detail::NonVoid<Results>...> value_;
};

namespace detail {

template <class First, class...>
struct FirstOf {
  using type = First;
};
template <class... Ts>
inline constexpr bool all_same = true;
template <class T, class... Ts>
inline constexpr bool all_same<T, Ts...> = (std::is_same_v<T, Ts> && ...);

template <class... Entries>
class SelectAwaiter final : public SelectBase {
  static constexpr std::size_t size = sizeof...(Entries);
  static constexpr bool handled = (EntryTraits<Entries>::has_handler || ...);
  static constexpr std::size_t defaults = (std::size_t{Entries::is_default} + ... + 0);
  static_assert(defaults <= 1, "a select has at most one otherwise()");

  static constexpr auto result_type() {
    if constexpr (size == 0) {
      return std::type_identity<void>{};
    } else if constexpr (!handled) {
      return std::type_identity<SelectResult<typename EntryTraits<Entries>::Result...>>{};
    } else if constexpr (all_same<typename EntryTraits<Entries>::Handled...>) {
      return std::type_identity<
          typename FirstOf<typename EntryTraits<Entries>::Handled...>::type>{};
    } else {
      return std::type_identity<void>{};
    }
  }
  static_assert(!handled || (std::is_void_v<typename EntryTraits<Entries>::Handled> || ...) ||
                    all_same<typename EntryTraits<Entries>::Handled...>,
                "the handlers of this select return different types: let all return the same one, "
                "which is then the select's result, or nothing");
  static_assert((!is_task<typename EntryTraits<Entries>::Handled> && ...),
                "a select handler cannot be a coroutine: use the form without handlers and "
                "switch over index()");

 public:
  using Result = typename decltype(result_type())::type;

  SelectAwaiter(Goroutine* g, bool top_first, std::tuple<Entries...>& entries)
      : SelectAwaiter(g, top_first, entries, std::make_index_sequence<size>{}) {}

  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> frame) {
    return start(frame);
  }
  Result await_resume() { return deliver<0>(finish()); }

 private:
  template <std::size_t... I>
  SelectAwaiter(Goroutine* g, bool top_first, std::tuple<Entries...>& entries,
                std::index_sequence<I...>)
      : SelectBase(g, list_, size, defaults > 0, top_first),
        entries_(entries),
        cases_(op_of(std::get<I>(entries))...) {
    ((list_[I] = as_case(std::get<I>(cases_))), ...);
  }

  template <class Op, class H>
  static Op&& op_of(On<Op, H>& entry) noexcept {
    return std::forward<Op>(entry.op);
  }
  template <class H>
  static Otherwise<H>& op_of(Otherwise<H>& entry) noexcept {
    return entry;
  }
  CaseBase* as_case(CaseBase& one) noexcept {
    one.node.g = node.g;
    return &one;
  }
  template <class H>
  CaseBase* as_case(DefaultCase<H>&) noexcept {
    return nullptr;
  }

  template <std::size_t I>
  Result deliver(std::size_t winner) {
    if constexpr (size == 0) {
      unreachable_without_cases();
    } else {
      return deliver_from<I>(winner);
    }
  }

  template <std::size_t I>
  Result deliver_from(std::size_t winner) {
    if constexpr (I + 1 < size) {
      if (winner != I) return deliver_from<I + 1>(winner);
    }
    using Entry = std::tuple_element_t<I, std::tuple<Entries...>>;
    using Traits = EntryTraits<Entry>;
    Entry& entry = std::get<I>(entries_);
    if constexpr (!handled) {
      if constexpr (Entry::is_default) {
        return Result(std::in_place_index<I>);
      } else if constexpr (std::is_void_v<typename Traits::Result>) {
        std::get<I>(cases_).result();
        return Result(std::in_place_index<I>);
      } else {
        return Result(std::in_place_index<I>, std::get<I>(cases_).result());
      }
    } else {
      // A result that the select does not have is dropped here.
      if constexpr (std::is_void_v<Result> && !std::is_void_v<typename Traits::Handled>) {
        (void)call<I>(entry);
      } else {
        return call<I>(entry);
      }
    }
  }

  template <std::size_t I, class Entry>
  decltype(auto) call(Entry& entry) {
    using Traits = EntryTraits<Entry>;
    using H = std::remove_reference_t<decltype(entry.handler)>;
    if constexpr (Entry::is_default) {
      if constexpr (Traits::has_handler) return entry.handler();
    } else if constexpr (!Traits::has_handler) {
      (void)std::get<I>(cases_).result();
    } else if constexpr (std::is_void_v<typename Traits::Result>) {
      std::get<I>(cases_).result();
      return entry.handler();
    } else if constexpr (std::is_invocable_v<H&, typename Traits::Result>) {
      return entry.handler(std::get<I>(cases_).result());
    } else {
      (void)std::get<I>(cases_).result();
      return entry.handler();
    }
  }

  CaseBase* list_[size == 0 ? 1 : size] = {};
  std::tuple<Entries...>& entries_;
  std::tuple<typename EntryTraits<Entries>::Case...> cases_;
};

/// A bare operation as a case: without a handler.
template <class E>
auto as_entry(E&& entry) {
  if constexpr (is_entry<std::remove_cvref_t<E>>) {
    return std::forward<E>(entry);
  } else {
    check_case<std::remove_cvref_t<E>>();
    return On<E, NoHandler>(std::forward<E>(entry), NoHandler{});
  }
}

template <bool top_first, class... Entries>
class SelectStatement {
 public:
  template <class... E>
  explicit SelectStatement(std::in_place_t, E&&... entries)
      : entries_(as_entry(std::forward<E>(entries))...) {}
  SelectStatement(const SelectStatement&) = delete;
  SelectStatement& operator=(const SelectStatement&) = delete;

  SelectAwaiter<Entries...> ringo_await(Goroutine* g) {
    return SelectAwaiter<Entries...>(g, top_first, entries_);
  }

 private:
  std::tuple<Entries...> entries_;
};

}  // namespace detail

/// Waits until one of its cases can proceed, and carries out that one; with otherwise() among them
/// it does not wait. If several are ready, one is chosen at random, each with the same chance
/// (SE-05). Which channels are ready is judged at one instant (SE-06); cases on nil channels are
/// never ready; no case at all waits for ever.
///
///     co_await select_any{
///         on(ch.recv(), [&](auto message) { ... }),
///         on(out.send(x), [&] { ... }),
///         on(after(1s), [&] { ... }),
///         otherwise([&] { ... }),
///     };
///
/// With braces the operands are evaluated in source order, once each; parentheses would leave the
/// order to the compiler. A case that does not win has no effect: no value, lock, byte or
/// connection is taken. Yields the handler's result if all return the same type, or, without
/// handlers, a SelectResult. Cancellable. Handlers' exceptions come out of the co_await.
///
/// Cases: send and recv of channels, after, Timer, Ticker, locks, WaitGroup::wait, JoinHandle,
/// Semaphore::acquire, accept, read, readable, writable. For a number of cases that is known only
/// at run time there is select_dyn (select_dyn.hpp).
template <class... E>
class [[nodiscard("co_await it")]] select_any
    : public detail::SelectStatement<false,
                                     decltype(detail::as_entry(std::declval<E>()))...> {
 public:
  [[nodiscard("co_await it")]] explicit select_any(E&&... entries)
      : detail::SelectStatement<false, decltype(detail::as_entry(std::declval<E>()))...>(
            std::in_place, std::forward<E>(entries)...) {}
};
template <class... E>
select_any(E&&...) -> select_any<E...>;

/// As select_any, but of several ready cases the topmost one is taken.
template <class... E>
class [[nodiscard("co_await it")]] select_first
    : public detail::SelectStatement<true, decltype(detail::as_entry(std::declval<E>()))...> {
 public:
  [[nodiscard("co_await it")]] explicit select_first(E&&... entries)
      : detail::SelectStatement<true, decltype(detail::as_entry(std::declval<E>()))...>(
            std::in_place, std::forward<E>(entries)...) {}
};
template <class... E>
select_first(E&&...) -> select_first<E...>;

}  // namespace ringo
