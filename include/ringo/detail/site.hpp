// Where an await stands in the program.
#pragma once

#include <bit>
#include <source_location>

namespace ringo::detail {

/// What compilers make a std::source_location of: a pointer to a constant. The default argument of
/// an await is of this type because GCC keeps one of class type in the coroutine's frame, 8 bytes
/// for each await.
using Site = decltype(__builtin_source_location());

inline std::source_location location_of(Site site) noexcept {
  return std::bit_cast<std::source_location>(site);
}

}  // namespace ringo::detail
