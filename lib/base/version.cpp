#include <ringo/version.hpp>

namespace ringo {

// Compiled into the library, so it names the library's version whatever headers
// the caller was compiled with.
const char* version() noexcept { return RINGO_VERSION; }

}  // namespace ringo
