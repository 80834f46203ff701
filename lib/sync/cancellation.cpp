#include <ringo/cancellation.hpp>

#include "runtime/cancel_node.hpp"

namespace ringo::detail {

void ContextScope::enter(Goroutine* g) {
  ContextNode* node = ContextAccess::bound(context_);
  g_ = g;
  Context before = ContextAccess::wrap(g->context);
  if (g->context != nullptr) g->context->retain();
  node->retain();
  enter_context(g, node);
  context_ = std::move(before);
  shielded_before_ = g->shielded;
  g->shielded = g->shielded || shield_;
}

void ContextScope::leave() noexcept {
  g_->shielded = shielded_before_;
  enter_context(g_, ContextAccess::unwrap(std::move(context_)));
}

}  // namespace ringo::detail
