// How arguments that were stored for a later call are handed to it.
#pragma once

#include <functional>
#include <utility>

namespace ringo::detail {

/// A stored argument is moved into the call; one given as std::ref is passed as the reference.
template <class A>
A&& unwrap_stored(A& stored) noexcept {
  return std::move(stored);
}
template <class A>
A& unwrap_stored(std::reference_wrapper<A>& stored) noexcept {
  return stored.get();
}

}  // namespace ringo::detail
