#include <ringo/select_dyn.hpp>

#include <ringo/panic.hpp>

namespace ringo::detail {

SelectList::SelectList(std::size_t count) {
  if (count > 65536) panic("select_dyn: too many cases (at most 65536)");
  list_.resize(count);
}

void SelectList::set(std::size_t index, CaseBase* one) {
  if (one == nullptr) {
    if (has_default_) panic("select_dyn: more than one otherwise()");
    has_default_ = true;
  }
  list_[index] = one;
}

void throw_case_used() {
  panic("select_dyn: this case's operation was used up by a select before");
}

}  // namespace ringo::detail
