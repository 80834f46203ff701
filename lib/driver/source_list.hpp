// A list of sources, linked through SourceLink: a ring with a sentinel, so that a source leaves in
// O(1) without knowing which list it is in.
#pragma once

#include "driver/driver.hpp"

namespace ringo::detail {

inline bool is_linked(const IoSource& source) noexcept { return source.next != nullptr; }

/// Takes the source out of the list it is in.
inline void unlink(IoSource& source) noexcept {
  source.prev->next = source.next;
  source.next->prev = source.prev;
  source.next = source.prev = nullptr;
}

class SourceList {
 public:
  SourceList() noexcept { clear(); }
  SourceList(const SourceList&) = delete;
  SourceList& operator=(const SourceList&) = delete;

  bool empty() const noexcept { return head_.next == &head_; }

  /// The source must be in no list.
  void push_back(IoSource& source) noexcept {
    source.prev = head_.prev;
    source.next = &head_;
    head_.prev->next = &source;
    head_.prev = &source;
  }

  IoSource& front() noexcept { return *static_cast<IoSource*>(head_.next); }

  IoSource* pop_front() noexcept {
    if (empty()) return nullptr;
    IoSource& source = front();
    unlink(source);
    return &source;
  }

  /// Puts all of `other` in front of what is here.
  void prepend(SourceList& other) noexcept {
    if (other.empty()) return;
    SourceLink* const first = other.head_.next;
    SourceLink* const last = other.head_.prev;
    other.clear();
    first->prev = &head_;
    last->next = head_.next;
    head_.next->prev = last;
    head_.next = first;
  }

 private:
  void clear() noexcept { head_.next = head_.prev = &head_; }

  SourceLink head_;
};

}  // namespace ringo::detail
