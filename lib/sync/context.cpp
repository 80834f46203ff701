// Contexts, as users see them: making them, asking them, and the way to the runtime that a tree
// belongs to. How a cancellation spreads is in runtime/cancel_node.cpp.
#include <ringo/context.hpp>

#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include <ringo/panic.hpp>

#include "runtime/cancel_node.hpp"
#include "runtime/goroutine_extra.hpp"
#include "sync/owner.hpp"

namespace ringo::detail {

namespace {

constexpr std::int64_t never = CancelNode::never;

/// background() and todo(): constructed on first use, never destroyed.
class Root final : public ContextNode {
 public:
  explicit Root(Kind kind) noexcept : ContextNode(kind, nullptr, nullptr) {}
};

ContextNode& root(ContextNode::Kind kind) noexcept {
  struct Roots {
    alignas(Root) std::byte memory[2][sizeof(Root)];
    Roots() {
      ::new (static_cast<void*>(memory[0])) Root(ContextNode::Kind::background);
      ::new (static_cast<void*>(memory[1])) Root(ContextNode::Kind::todo);
    }
  };
  static Roots roots;
  return *std::launder(
      reinterpret_cast<Root*>(roots.memory[kind == ContextNode::Kind::todo ? 1 : 0]));
}

class WithoutCancel final : public ContextNode {
 public:
  explicit WithoutCancel(ContextNode* parent) noexcept
      : ContextNode(Kind::without_cancel, parent, nullptr) {}
};

/// Carries out call(remains) on a node's tree where that may be touched.
template <class F>
void at_home_of(CancelNode& node, F&& call) {
  CancelNode& top = node.top();
  CancelNode::Remains remains;
  if (at_home(top.runtime_id)) [[likely]]
    return call(remains);
  call_from_afar(
      top.runtime_id, top.owner_lock, "Context", [&] { top.take_over(remains); },
      [&] { call(remains); });
}

/// Makes the tree one of runtime `id`'s.
void bind(CancelNode& node, std::uint32_t id) {
  CancelNode& top = node.top();
  if (top.runtime_id.load(std::memory_order_relaxed) == id) [[likely]]
    return;
  CancelNode::Remains remains;
  change_owner(top.runtime_id, top.owner_lock, id, "Context", [&] { top.take_over(remains); });
}

void cancel_node(CancelNode& node, const Error& error, const Error& cause) {
  at_home_of(node, [&](CancelNode::Remains& remains) { node.cancel(error, cause, remains); });
}

/// Is it done? Where no timer is at work (no runtime runs, or its worker is busy), a deadline that
/// has passed is acted upon here.
bool is_done(CancelNode& node) {
  if (node.done()) return true;
  if (node.deadline() == never || clock_now() < node.deadline()) return false;
  CancelNode* late = &node;
  while (late->above() != nullptr && late->above()->deadline() == node.deadline()) {
    late = late->above();
  }
  const Error error(Errc::deadline_exceeded);
  cancel_node(*late, error, late->late_cause() ? late->late_cause() : error);
  return node.done();
}

}  // namespace

Context context_until(const Context& parent, std::int64_t deadline, const Error& cause) {
  Context made = ContextAccess::wrap(
      new CancelNode(ContextAccess::parent(parent), deadline, cause));
  CancelNode& node = *ContextAccess::node(made)->canceler();
  if (&node.top() == &node) node.runtime_id.store(current_runtime_id(), std::memory_order_relaxed);
  at_home_of(node, [&](CancelNode::Remains& remains) { node.adopt(remains); });
  return made;
}

Context context_for(const Context& parent, std::chrono::nanoseconds d, const Error& cause) {
  return context_until(parent, due_in(d), cause);
}

ContextNode* ContextAccess::parent(const Context& context) {
  if (context.node_ == nullptr) panic("cannot create context from nil parent");
  return context.node_;
}

CancelFunction* run_after(const Context& context, Task<> task, std::source_location site) {
  ContextNode* node = ContextAccess::parent(context);
  if (!on_worker_thread()) panic("after_func: called outside a goroutine");
  const Context values = without_cancel(context);
  auto* function = new CancelFunction(std::move(task), ContextAccess::node(values), site);
  CancelNode* canceler = node->canceler();
  if (canceler == nullptr) {
    function->pending = true;  // for ever
    return function;
  }
  try {
    bind(*canceler, current_runtime_id());
  } catch (...) {
    function->release();
    throw;
  }
  is_done(*canceler);
  if (!canceler->add(*function)) function->start();
  return function;
}

ContextDoneCase::ContextDoneCase(ContextDone op) : op_(std::move(op)) {
  if (op_.node_ == nullptr) panic("use of a done() that was moved from");
}

bool ContextDoneCase::looks_ready() {
  CancelNode* node = op_.node_->canceler();
  if (node == nullptr) return false;
  bind(*node, this->node.g->runtime_id);
  return is_done(*node);
}

Enlist ContextDoneCase::enlist() {
  CancelNode* canceler = op_.node_->canceler();
  if (canceler == nullptr) return Enlist::waiting;
  return canceler->enlist(node, [this] { return claim_self(); });
}

void ContextDoneCase::withdraw() noexcept {
  if (CancelNode* canceler = op_.node_->canceler()) canceler->withdraw(node);
}

}  // namespace ringo::detail

namespace ringo {

using detail::CancelNode;
using detail::ContextAccess;
using detail::ContextNode;

namespace {

ContextNode& node_of(const Context& context) {
  ContextNode* node = ContextAccess::node(context);
  if (node == nullptr) panic("use of an empty Context");
  return *node;
}

Context reference_to(ContextNode& node) noexcept {
  node.retain();
  return ContextAccess::wrap(&node);
}

}  // namespace

Context background() noexcept {
  return reference_to(detail::root(ContextNode::Kind::background));
}
Context todo() noexcept { return reference_to(detail::root(ContextNode::Kind::todo)); }

Context this_context() noexcept {
  detail::Goroutine* g = detail::current_goroutine();
  ContextNode* context = g != nullptr ? detail::context_of(*g) : nullptr;
  return context != nullptr ? reference_to(*context) : background();
}

ContextDone Context::done() const { return ContextDone(&node_of(*this)); }

Error Context::err() const {
  CancelNode* node = node_of(*this).canceler();
  return node != nullptr && detail::is_done(*node) ? node->error() : Error();
}

Error Context::cause() const {
  CancelNode* node = node_of(*this).canceler();
  return node != nullptr && detail::is_done(*node) ? node->cause() : Error();
}

std::optional<std::chrono::steady_clock::time_point> Context::deadline() const {
  CancelNode* node = node_of(*this).canceler();
  if (node == nullptr || node->deadline() == CancelNode::never) return std::nullopt;
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(node->deadline()));
}

const void* Context::find(const void* key) const {
  for (ContextNode* node = &node_of(*this); node != nullptr; node = node->parent()) {
    if (node->kind() != ContextNode::Kind::value) continue;
    auto* layer = static_cast<detail::ContextValue*>(node);
    if (layer->key() == key) return layer->value();
  }
  return nullptr;
}

detail::ContextNode* Context::bound_node() const {
  ContextNode& node = node_of(*this);
  if (node.canceler() != nullptr) {
    if (!detail::on_worker_thread()) panic("Context::go: called outside a goroutine");
    detail::bind(*node.canceler(), detail::current_runtime_id());
  }
  return &node;
}

std::string to_string(const Context& context) {
  std::vector<std::string> layers;
  for (ContextNode* node = ContextAccess::node(context); node != nullptr; node = node->parent()) {
    std::string& layer = layers.emplace_back();
    switch (node->kind()) {
      case ContextNode::Kind::background:
        layer = "context.Background";
        break;
      case ContextNode::Kind::todo:
        layer = "context.TODO";
        break;
      case ContextNode::Kind::value:
        layer = ".WithValue(";
        layer += static_cast<detail::ContextValue*>(node)->name();
        layer += ')';
        break;
      case ContextNode::Kind::without_cancel:
        layer = ".WithoutCancel";
        break;
      case ContextNode::Kind::cancel:
        layer = ".WithCancel";
        if (CancelNode* self = node->canceler(); self->has_own_deadline()) {
          char left[64];
          std::snprintf(left, sizeof left, ".WithDeadline([%.3fs])",
                        1e-9 * static_cast<double>(self->deadline() - detail::clock_now()));
          layer = left;
        }
        break;
    }
  }
  std::string text;
  while (!layers.empty()) {
    text += layers.back();
    layers.pop_back();
  }
  return text;
}

void CancelFunc::cancel(const Error& cause) const {
  // Held: whoever this wakes may destroy us at once.
  const Context context = context_;
  if (context.empty()) return;  // detached, or moved from
  CancelNode* node = ContextAccess::node(context)->canceler();
  const Error error(Errc::canceled);
  if (!node->done()) detail::cancel_node(*node, error, cause ? cause : error);
}

void CancelFunc::end() const noexcept {
  try {
    cancel(Error());
  } catch (const Panic& misuse) { detail::fatal(misuse.what()); }
}

Cancelable<CancelFunc> with_cancel(const Context& parent) {
  return {detail::context_until(parent, CancelNode::never, Error())};
}
Cancelable<CancelCauseFunc> with_cancel_cause(const Context& parent) {
  return {detail::context_until(parent, CancelNode::never, Error())};
}
Cancelable<CancelFunc> with_deadline(const Context& parent,
                                     std::chrono::steady_clock::time_point deadline) {
  return with_deadline_cause(parent, deadline, Error());
}
Cancelable<CancelFunc> with_deadline_cause(const Context& parent,
                                           std::chrono::steady_clock::time_point deadline,
                                           const Error& cause) {
  return {detail::context_until(
      parent, std::chrono::nanoseconds(deadline.time_since_epoch()).count(), cause)};
}

Context without_cancel(const Context& parent) {
  return ContextAccess::wrap(new detail::WithoutCancel(ContextAccess::parent(parent)));
}

ContextFunc::~ContextFunc() {
  if (function_ != nullptr) function_->release();
}

bool ContextFunc::stop() {
  CancelNode* node = node_of(context_).canceler();
  if (node == nullptr) return std::exchange(function_->pending, false);
  bool stopped = false;
  detail::at_home_of(*node, [&](auto&) { stopped = node->remove(*function_); });
  return stopped;
}

}  // namespace ringo
