// The main function of every test program: runs doctest's cases.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "base/sanitizers.hpp"

#if RINGO_TSAN
// The count of references to an exception is atomic, but lives in libstdc++.so, which is not
// compiled for ThreadSanitizer: of two goroutines that hold the same exception (a task_group's
// child and who waits for the group), the one that frees it last seems to race with all that the
// other one has read of it. It does so in an exception_ptr, or at the end of a handler, whose frame
// (__cxa_end_catch) does not show: there the exception's destructor does.
extern "C" const char* __tsan_default_suppressions() {
  return "race:std::__exception_ptr::exception_ptr::_M_release\n"
         "race:std::runtime_error::~runtime_error\n"
         "race:std::logic_error::~logic_error\n"
         "race:ringo::Panic::~Panic\n";
}
#endif

int main(int argc, char** argv) {
  doctest::Context context;
  // A name repeated across files is a mistake in the report; ordering by name
  // shows it and keeps runs comparable whatever the link order.
  context.setOption("order-by", "name");
  context.applyCommandLine(argc, argv);
  return context.run();
}
