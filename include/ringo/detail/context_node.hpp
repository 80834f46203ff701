// The layers of a Context.
#pragma once

#include <atomic>
#include <cstdint>

#include <ringo/detail/reference_count.hpp>

namespace ringo::detail {

class CancelNode;

/// One layer: a Context names the innermost one. A layer keeps the one it was made from, never
/// changes its place, and goes with its last reference. What can be cancelled is a CancelNode
/// (lib/runtime/cancel_node.hpp).
class ContextNode {
 public:
  enum class Kind : std::uint8_t { background, todo, value, cancel, without_cancel };

  ContextNode(const ContextNode&) = delete;
  ContextNode& operator=(const ContextNode&) = delete;

  void retain() noexcept { add_reference(references_); }

  /// Drops a reference. In a loop, since chains may be long.
  static void release(ContextNode* node) noexcept {
    while (node != nullptr && drop_reference(node->references_)) {
      ContextNode* parent = node->parent_;
      node->destroy();
      node = parent;
    }
  }

  Kind kind() const noexcept { return kind_; }
  ContextNode* parent() const noexcept { return parent_; }
  /// The innermost layer, this one or below, that can be cancelled; null if there is none.
  CancelNode* canceler() const noexcept { return canceler_; }

 protected:
  /// Takes a reference of the parent, which may be null.
  ContextNode(Kind kind, ContextNode* parent, CancelNode* canceler) noexcept
      : parent_(parent), canceler_(canceler), kind_(kind) {
    if (parent != nullptr) parent->retain();
  }
  virtual ~ContextNode() = default;

 private:
  virtual void destroy() noexcept { delete this; }

  std::atomic<std::uint32_t> references_{1};
  ContextNode* const parent_;
  CancelNode* const canceler_;
  const Kind kind_;
};

/// A layer that carries a value.
class ContextValue : public ContextNode {
 public:
  const void* key() const noexcept { return key_; }
  const char* name() const noexcept { return name_; }
  virtual const void* value() const noexcept = 0;

 protected:
  ContextValue(ContextNode* parent, const void* key, const char* name) noexcept
      : ContextNode(Kind::value, parent, parent->canceler()), key_(key), name_(name) {}

 private:
  const void* key_;
  const char* name_;
};

}  // namespace ringo::detail
