// The main function of every test program: runs doctest's cases.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

int main(int argc, char** argv) {
  doctest::Context context;
  // A name repeated across files is a mistake in the report; ordering by name
  // shows it and keeps runs comparable whatever the link order.
  context.setOption("order-by", "name");
  context.applyCommandLine(argc, argv);
  return context.run();
}
