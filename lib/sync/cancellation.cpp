#include <ringo/cancellation.hpp>

#include "runtime/cancel_node.hpp"
#include "runtime/goroutine_extra.hpp"

namespace ringo::detail {

void ContextScope::enter(Goroutine* g) {
  ContextNode* node = ContextAccess::bound(context_);
  g_ = g;
  ContextNode* outer = extra_of(*g).context;
  Context before = ContextAccess::wrap(outer);
  if (outer != nullptr) outer->retain();
  node->retain();
  exempt_before_ = g->drain_exempt;
  g->drain_exempt = exempt_before_ || shield_;
  enter_context(g, node);
  context_ = std::move(before);
}

void ContextScope::leave() noexcept {
  g_->drain_exempt = exempt_before_;
  enter_context(g_, ContextAccess::unwrap(std::move(context_)));
}

}  // namespace ringo::detail
