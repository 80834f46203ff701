// How often this program has asked for memory: malloc() and its kin, operator new.
#pragma once

namespace ringo::test {

/// Of all threads.
long allocations_so_far() noexcept;

/// While it is on, the first allocation is remembered with its stack, for print_allocation().
void look_for_allocation(bool on) noexcept;

/// To standard error, for addr2line; nothing if there was none.
void print_allocation() noexcept;

}  // namespace ringo::test
