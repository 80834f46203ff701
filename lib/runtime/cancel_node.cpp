#include "runtime/cancel_node.hpp"

#include <utility>

#include <ringo/detail/duration.hpp>
#include <ringo/go.hpp>

#include "runtime/external.hpp"
#include "runtime/goroutine_extra.hpp"
#include "runtime/worker.hpp"

namespace ringo::detail {

// --- functions ----------------------------------------------------------------------------------

CancelFunction::CancelFunction(Task<> task, ContextNode* inherited,
                               std::source_location site) noexcept
    : context(inherited), task_(std::move(task)), site_(site) {
  if (context != nullptr) context->retain();
}

CancelFunction::~CancelFunction() { ContextNode::release(context); }

void CancelFunction::start() noexcept {
  if (!on_worker_thread()) return;  // its runtime has ended
  SpawnAccess::start(std::move(task_), nullptr, Placement(-1, context), site_);
}

// --- the tree -----------------------------------------------------------------------------------

namespace {

std::int64_t earlier(const CancelNode* above, std::int64_t deadline) noexcept {
  return above != nullptr && above->deadline() < deadline ? above->deadline() : deadline;
}

}  // namespace

CancelNode::CancelNode(ContextNode* parent, std::int64_t deadline, const Error& late_cause) noexcept
    : ContextNode(Kind::cancel, parent, this),
      above_(parent->canceler()),
      top_(above_ != nullptr ? above_->top_ : this),
      deadline_(earlier(above_, deadline)),
      own_deadline_(deadline != never && deadline_ == deadline),
      late_cause_(late_cause) {}

/// What a cancellation leaves to do when it holds no lock of the tree any more.
struct CancelNode::Ending {
  explicit Ending(Remains& r) noexcept : remains(r) {}

  WakeList wake;
  CancelFunction* functions = nullptr;
  CancelFunction** last_function = &functions;
  Remains& remains;

  void carry_out() noexcept {
    wake.complete_all();
    while (functions != nullptr) {
      CancelFunction* function = std::exchange(functions, functions->next);
      function->start();
      function->next = std::exchange(remains.functions_, function);
    }
  }
};

CancelNode::Remains::~Remains() {
  while (functions_ != nullptr) {
    std::exchange(functions_, functions_->next)->release();
  }
  while (let_go_ != nullptr) {
    ContextNode::release(std::exchange(let_go_, let_go_->release_next_));
  }
}

void CancelNode::unlink_child(CancelNode& child) noexcept {
  (child.prev_ != nullptr ? child.prev_->next_ : children_) = child.next_;
  if (child.next_ != nullptr) child.next_->prev_ = child.prev_;
  child.next_ = child.prev_ = nullptr;
  child.listed_ = false;
}

void CancelNode::adopt(Remains& remains) noexcept {
  Ending ending(remains);
  if (above_ != nullptr) {
    SpinGuard guard(above_->lock_);
    if (above_->done()) {
      end_locked(above_->error_, above_->cause_, ending);  // nobody else knows it yet
    } else {
      next_ = above_->children_;
      if (next_ != nullptr) next_->prev_ = this;
      above_->children_ = this;
      listed_ = true;
    }
  }
  if (!own_deadline_ || done()) return;
  if (clock_now() >= deadline_) {
    const Error late(Errc::deadline_exceeded);
    return cancel(late, late_cause_ ? late_cause_ : late, remains);
  }
  SpinGuard guard(lock_);
  arm();
}

/// Under lock_. Without a worker it is done when the tree gets to one.
void CancelNode::arm() noexcept {
  Worker* worker = Worker::current();
  if (worker == nullptr || armed_ || done()) return;
  armed_ = true;
  keep();
  queue_ = &worker->timers;
  when = deadline_;
  claim = &CancelNode::claim_timer;
  fire = &CancelNode::deadline_passed;
  queue_->insert(*this, worker->coarse_now());
}

void CancelNode::deadline_passed(TimerNode* timer) noexcept {
  auto* self = static_cast<CancelNode*>(timer);
  Remains remains;
  bool let_go = false;
  {
    SpinGuard guard(self->lock_);
    self->armed_ = false;
    let_go = self->keep_no_more();
  }
  const Error late(Errc::deadline_exceeded);
  self->cancel(late, self->late_cause_ ? self->late_cause_ : late, remains);
  if (let_go) ContextNode::release(self);
}

/// Under lock_, on a worker.
void CancelNode::keep() noexcept {
  if (kept_) return;
  kept_ = true;
  retain();
  runtime_ = current_runtime();
  runtime_->add_resource(*this);
}

/// Under lock_, on a worker. True: nothing keeps it any more, and its reference is to be released.
bool CancelNode::keep_no_more() noexcept {
  if (!kept_ || armed_ || functions_ != nullptr) return false;
  kept_ = false;
  runtime_->remove_resource(*this);
  return true;
}

/// The workers are gone. Plain threads may be at work on the tree, which exclude each other and us.
void CancelNode::runtime_ended() noexcept {
  Remains remains;
  auto end = [&] {
    if (armed_) queue_->remove(*this);  // the next runtime arms it again
    armed_ = false;
    kept_ = false;
    drop_functions(remains);
  };
  call_on_runtime(
      0, [](void* f) { (*static_cast<decltype(end)*>(f))(); }, &end);
  ContextNode::release(this);
}

/// Functions that no runtime is left for: they will not be started.
void CancelNode::drop_functions(Remains& remains) noexcept {
  while (CancelFunction* function = functions_) {
    functions_ = function->next;
    function->pending = false;
    function->next = std::exchange(remains.functions_, function);
  }
}

void CancelNode::leave_parent() noexcept {
  if (above_ == nullptr) return;
  SpinGuard guard(above_->lock_);
  if (listed_) above_->unlink_child(*this);
}

void CancelNode::destroy() noexcept {
  // No goroutine, child, timer or function is left: each of them holds a reference. The lists of
  // others are not a plain thread's to touch.
  if (above_ != nullptr) {
    with_runtime_of(top_->runtime_id.load(std::memory_order_relaxed), [&] { leave_parent(); });
  }
  delete this;
}

void CancelNode::take_over(Remains& remains) noexcept {
  CancelNode* node = this;
  for (;;) {
    node->waiters_.forget();
    node->goroutines_ = nullptr;
    node->drop_functions(remains);
    if (node->own_deadline_) node->arm();
    if (node->children_ != nullptr) {
      node = node->children_;
      continue;
    }
    while (node != this && node->next_ == nullptr) node = node->above_;
    if (node == this) return;
    node = node->next_;
  }
}

// --- cancelling ---------------------------------------------------------------------------------

/// The node is done from here on: everything that hangs on it, but its children, is told.
void CancelNode::end_locked(const Error& error, const Error& cause, Ending& ending) noexcept {
  error_ = error;
  cause_ = cause;
  done_.store(true, std::memory_order_release);
  while (WaitNode* waiter = waiters_.pop_claimed()) ending.wake.push(*waiter);
  while (Goroutine* g = goroutines_) {
    goroutines_ = g->extra->next;
    if (begin_cancel(g)) {
      g->attached.store(false, std::memory_order_relaxed);
      finish_cancel(g);
    } else {
      g->attached.store(false, std::memory_order_release);
    }
  }
  if (functions_ != nullptr) {
    *ending.last_function = functions_;
    for (CancelFunction* function = functions_; function != nullptr; function = function->next) {
      function->pending = false;
      ending.last_function = &function->next;
    }
    functions_ = nullptr;
  }
  // A plain thread comes here when the runtime has ended: then its timers never fire, and
  // runtime_ended() is about to be called or was.
  if (!on_worker_thread()) return;
  if (armed_ && queue_->remove(*this)) armed_ = false;
  if (keep_no_more()) release_next_ = std::exchange(ending.remains.let_go_, this);
}

void CancelNode::cancel(const Error& error, const Error& cause, Remains& remains) noexcept {
  Ending ending(remains);
  CancelNode* node = this;
  lock_.lock();
  bool first = !done();
  if (first) {
    end_locked(error, cause, ending);
    for (;;) {
      if (CancelNode* child = node->children_) {
        node->unlink_child(*child);
        child->lock_.lock();
        if (!child->done()) {
          child->end_locked(error, cause, ending);
          node = child;
        } else {
          child->lock_.unlock();
        }
        continue;
      }
      if (node == this) break;
      CancelNode* above = node->above_;
      node->lock_.unlock();
      node = above;
    }
  }
  lock_.unlock();
  if (!first) return;
  leave_parent();
  ending.carry_out();
}

bool CancelNode::add(CancelFunction& function) noexcept {
  SpinGuard guard(lock_);
  if (done()) return false;
  function.retain();
  function.pending = true;
  function.prev = nullptr;
  function.next = functions_;
  if (functions_ != nullptr) functions_->prev = &function;
  functions_ = &function;
  keep();
  return true;
}

bool CancelNode::remove(CancelFunction& function) noexcept {
  bool let_go = false;
  {
    SpinGuard guard(lock_);
    if (!function.pending) return false;
    function.pending = false;
    (function.prev != nullptr ? function.prev->next : functions_) = function.next;
    if (function.next != nullptr) function.next->prev = function.prev;
    let_go = keep_no_more();
  }
  function.release();
  if (let_go) ContextNode::release(this);
  return true;
}

// --- goroutines ---------------------------------------------------------------------------------

void CancelNode::attach(Goroutine* g) noexcept {
  SpinGuard guard(lock_);
  if (done()) {
    g->cancel_requested.store(true, std::memory_order_relaxed);
    return;
  }
  g->extra->prev = nullptr;
  g->extra->next = goroutines_;
  if (goroutines_ != nullptr) goroutines_->extra->prev = g;
  goroutines_ = g;
  g->attached.store(true, std::memory_order_relaxed);
}

void CancelNode::detach(Goroutine* g) noexcept {
  if (!g->attached.load(std::memory_order_acquire)) return;
  SpinGuard guard(lock_);
  if (!g->attached.load(std::memory_order_relaxed)) return;
  const GoroutineExtra& links = *g->extra;
  (links.prev != nullptr ? links.prev->extra->next : goroutines_) = links.next;
  if (links.next != nullptr) links.next->extra->prev = links.prev;
  g->attached.store(false, std::memory_order_relaxed);
}

void leave_context(Goroutine* g) noexcept {
  if (context_of(*g) == nullptr) return;
  ContextNode* context = std::exchange(g->extra->context, nullptr);
  if (CancelNode* node = context->canceler()) node->detach(g);
  ContextNode::release(context);
}

void enter_context(Goroutine* g, ContextNode* context) noexcept {
  leave_context(g);
  bool draining = g->worker->runtime().draining() && !g->drain_exempt;
  if (context != nullptr) g->extra->context = context;
  g->guarded = draining;
  g->cancel_requested.store(draining, std::memory_order_relaxed);
  if (context == nullptr || context->canceler() == nullptr) return;
  g->guarded = true;
  context->canceler()->attach(g);
}

}  // namespace ringo::detail
