// select, in the order in which it happens: try all cases while registered nowhere; if none can
// proceed, register them, the channels before their locks are dropped; wait; leave all queues.
//
// That no channel can proceed is found out at one instant, with the locks of all. One that can is
// found with its own lock alone: the cases have no order, and it could at that instant. (Go takes
// all locks always, runtime/select.go.) Only select_first needs the instant for that, too.
#include <ringo/select.hpp>

#include <array>
#include <functional>
#include <utility>
#include <vector>

#include <ringo/detail/channel_core.hpp>
#include <ringo/detail/lock_check.hpp>
#include <ringo/panic.hpp>

#include "runtime/worker.hpp"

namespace ringo::detail {

namespace {

ChannelCase* as_channel(CaseBase* one) noexcept {
  return one->node.kind != CaseKind::other ? static_cast<ChannelCase*>(one) : nullptr;
}

}  // namespace

/// What a select needs on the stack while it tries: the order in which cases are looked at, and
/// the locks of its channels.
class SelectBase::Scratch {
 public:
  Scratch(CaseBase** cases, std::uint32_t count, bool top_first) : count(count) {
    if (count > inline_size) {
      more_.resize(count);
      more_locks_.resize(count);
      order = more_.data();
      locks_ = more_locks_.data();
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      CaseBase* one = cases[i];
      // The default and nil channels are never tried.
      if (one == nullptr) continue;
      if (ChannelCase* channel = as_channel(one)) {
        if (channel->core() == nullptr) continue;
        if (top_first) channel->check_runtime();
        ++channels;
      } else {
        ++others;
      }
      order[used++] = i;
    }
    if (!top_first && used > 1) {
      Random& random = Worker::current()->random();
      for (std::uint32_t i = used - 1; i > 0; --i) {
        std::swap(order[i], order[random.below(i + 1)]);
      }
    }
  }

  /// Takes the locks of all channels in address order, each once (one may be in several cases).
  void lock(CaseBase** cases) const noexcept {
    if (!threaded()) return;
    std::uint32_t n = 0;
    for (std::uint32_t k = 0; k < used; ++k) {
      ChannelCase* channel = as_channel(cases[order[k]]);
      if (channel == nullptr) continue;
      ChannelCore* core = channel->core();
      std::uint32_t at = n;
      while (at > 0 && std::less<>()(core, locks_[at - 1])) --at;
      if (at > 0 && locks_[at - 1] == core) continue;
      for (std::uint32_t i = n; i > at; --i) locks_[i] = locks_[i - 1];
      locks_[at] = core;
      ++n;
    }
    for (std::uint32_t i = 0; i < n; ++i) ChannelLocks::lock(locks_[i]);
    locked_ = n;
  }
  void unlock() const noexcept {
    while (locked_ > 0) ChannelLocks::unlock(locks_[--locked_]);
  }

  static constexpr std::uint32_t inline_size = 8;

 private:
  std::uint32_t inline_[inline_size];

 public:
  std::uint32_t count;
  std::uint32_t used = 0;
  std::uint32_t channels = 0;
  std::uint32_t others = 0;
  std::uint32_t* order = inline_;

 private:
  mutable std::array<ChannelCore*, inline_size> inline_locks_;
  ChannelCore** locks_ = inline_locks_.data();
  mutable std::uint32_t locked_ = 0;
  std::vector<std::uint32_t> more_;
  std::vector<ChannelCore*> more_locks_;
};

SelectBase::~SelectBase() = default;

bool SelectBase::start(std::coroutine_handle<> frame) {
  Goroutine* g = node.g;
  g->leaf = frame;
  g->reason.store(count_ == 0 ? WaitReason::select_no_cases : WaitReason::select,
                  std::memory_order_relaxed);
  if (g->guarded && cancellation_pending(g)) [[unlikely]] {
    node.seq = claim_step;
    g->winner = winner_canceled;
    return false;
  }
  if (checks_locks()) [[unlikely]] {
    for (std::uint32_t i = 0; i < count_; ++i) {
      if (cases_[i] != nullptr) cases_[i]->node.of_select = true;
    }
  }
  const bool spent = --g->budget <= 0;
  if (!try_quickly() && !try_thoroughly()) return true;
  // If it has run for long enough, it keeps what it got, and the others go first.
  if (spent) reschedule(g);
  return spent;
}

/// Mostly a channel can proceed: found without putting anything in order.
bool SelectBase::try_quickly() {
  if (top_first_) return false;
  Glance glance;
  look(glance);
  // Each ready case has its share: which kind is tried first is drawn by their numbers.
  others_first_ = glance.others > 0 &&
                  (glance.channels == 0 ||
                   random_below(glance.channels + glance.others) < glance.others);
  if (others_first_) {
    if (glance.others > 1) return false;  // they want an order
    if (cases_[glance.other]->try_take()) {
      winner_ = glance.other;
      return true;
    }
  }
  return try_ready(glance);
}

/// False: it waits.
bool SelectBase::try_thoroughly() {
  Scratch scratch(cases_, count_, top_first_);
  return try_all(scratch) || !arm(scratch);
}

std::uint32_t SelectBase::random_below(std::uint32_t bound) const noexcept {
  return node.g->worker->random().below(bound);
}

void SelectBase::look(Glance& glance) {
  const std::uint32_t count = count_;
  std::uint32_t channels = 0;
  std::uint32_t others = 0;
  std::uint32_t other = 0;
  std::uint32_t ready = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    CaseBase* one = cases_[i];
    if (one == nullptr) continue;
    ChannelCase* channel = as_channel(one);
    if (channel == nullptr) {
      ++others;
      other = i;
    } else if (channel->core() != nullptr) {
      ++channels;
      channel->check_runtime();
      // If there are too many cases, those at the front must not be preferred.
      if (count <= Glance::size && channel->glimpse()) glance.ready[ready++] = i;
    }
  }
  glance.channels = channels;
  glance.others = others;
  glance.other = other;
  glance.ready_count = ready;
}

/// Carries one of the ready channel cases out, any of them, by its own lock alone.
bool SelectBase::try_ready(Glance& glance) {
  while (glance.ready_count > 0) {
    const std::uint32_t at = glance.ready_count > 1 ? random_below(glance.ready_count) : 0;
    const std::uint32_t i = std::exchange(glance.ready[at], glance.ready[glance.ready_count - 1]);
    --glance.ready_count;
    ChannelCase& channel = *as_channel(cases_[i]);
    WaitNode* partner = nullptr;
    ChannelLocks::lock(channel.core());
    const bool taken = channel.try_locked(partner);
    ChannelLocks::unlock(channel.core());
    if (!taken) continue;  // somebody was faster
    winner_ = i;
    if (partner != nullptr) complete(*partner);
    return true;
  }
  return false;
}

/// The cases that are not channels, in order. Registered nowhere, no lock held.
bool SelectBase::try_others(const Scratch& scratch) {
  for (std::uint32_t k = 0; k < scratch.used; ++k) {
    std::uint32_t i = scratch.order[k];
    if (as_channel(cases_[i]) == nullptr && cases_[i]->try_take()) {
      winner_ = i;
      return true;
    }
  }
  return false;
}

/// The channel cases of the first `end` places in the order, at one instant; if none can proceed
/// and `enlist` is set, all of them are registered at that instant.
SelectBase::Tried SelectBase::try_channels(const Scratch& scratch, std::uint32_t end, bool enlist,
                                           std::uint64_t seq) {
  WaitNode* partner = nullptr;
  scratch.lock(cases_);
  for (std::uint32_t k = 0; k < end; ++k) {
    std::uint32_t i = scratch.order[k];
    ChannelCase* channel = as_channel(cases_[i]);
    if (channel == nullptr || !channel->try_locked(partner)) continue;
    scratch.unlock();
    winner_ = i;
    if (partner != nullptr) complete(*partner);
    return Tried::taken;
  }
  if (enlist) {
    for (std::uint32_t k = 0; k < scratch.used; ++k) {
      std::uint32_t i = scratch.order[k];
      ChannelCase* channel = as_channel(cases_[i]);
      if (channel == nullptr) continue;
      channel->node.seq = seq;
      channel->node.index = i;
      channel->enlist_locked();
    }
  }
  scratch.unlock();
  return enlist ? Tried::registered : Tried::none;
}

/// The topmost ready case. A case that is no channel is first looked at without effect, because
/// channels above it have the preference and its own lock must not be taken under theirs.
bool SelectBase::try_in_order(const Scratch& scratch) {
  std::uint32_t skip = 0;
  for (;;) {
    std::uint32_t first_ready = scratch.used;
    for (std::uint32_t k = skip; k < scratch.used; ++k) {
      CaseBase* one = cases_[scratch.order[k]];
      if (as_channel(one) == nullptr && one->looks_ready()) {
        first_ready = k;
        break;
      }
    }
    if (scratch.channels > 0 &&
        try_channels(scratch, first_ready, false, 0) == Tried::taken) {
      return true;
    }
    if (first_ready == scratch.used) return false;
    if (cases_[scratch.order[first_ready]]->try_take()) {
      winner_ = scratch.order[first_ready];
      return true;
    }
    skip = first_ready + 1;  // somebody was faster
  }
}

/// After try_quickly(). True if it was decided without waiting.
bool SelectBase::try_all(const Scratch& scratch) {
  if (top_first_) {
    if (try_in_order(scratch)) return true;
  } else {
    // More channels than try_quickly() takes on, or those that it left to the others.
    const auto try_any_channel = [&] {
      if (count_ > Glance::size) return try_channels(scratch, scratch.used, false, 0) == Tried::taken;
      Glance glance;
      look(glance);
      return try_ready(glance);
    };
    if (!others_first_ && count_ > Glance::size && try_any_channel()) return true;
    if (scratch.others > 0 && try_others(scratch)) return true;
    if (others_first_ && try_any_channel()) return true;
  }
  if (!has_default_) return false;
  if (!top_first_ && scratch.channels > 0 &&
      try_channels(scratch, scratch.used, false, 0) == Tried::taken) {
    return true;
  }
  for (winner_ = 0; cases_[winner_] != nullptr; ++winner_) {
  }
  return true;
}

/// Registers and waits. True: suspend. After the last line of the claim word nothing of the frame
/// is touched, since it may run elsewhere.
bool SelectBase::arm(const Scratch& scratch) {
  Goroutine* g = node.g;
  std::uint64_t seq = begin_wait(g);
  node.seq = seq;
  g->wait = this;
  if (scratch.channels > 0 &&
      try_channels(scratch, scratch.used, true, seq) == Tried::taken) {
    return false;
  }
  if (scratch.others > 0) {
    for (std::uint32_t k = 0; k < scratch.used; ++k) {
      std::uint32_t i = scratch.order[k];
      CaseBase* one = cases_[i];
      if (as_channel(one) != nullptr) continue;
      one->node.seq = seq;
      one->node.index = i;
      Enlist enlisted = one->enlist();
      if (enlisted == Enlist::waiting) continue;
      if (enlisted == Enlist::taken) {
        winner_ = i;
        return false;
      }
      break;  // a case registered before has won; its completer is at work
    }
  }
  if (g->guarded && publish_wait(g, seq)) [[unlikely]]
    return false;
  return (claim_set(g, claim_armed) & claim_complete) == 0;
}

std::size_t SelectBase::finish() {
  Goroutine* g = node.g;
  if (node.seq != 0) {
    withdraw();
    if (winner_ == undecided) {
      if (g->winner == winner_canceled) throw Canceled{};
      winner_ = g->winner;
    }
  }
  return winner_;
}

void SelectBase::withdraw() noexcept {
  for (std::uint32_t i = 0; i < count_; ++i) {
    CaseBase* one = cases_[i];
    if (one != nullptr && one->node.linked.load(std::memory_order_acquire)) one->withdraw();
  }
}

bool SelectBase::ends_from_outside() const noexcept {
  for (std::uint32_t i = 0; i < count_; ++i) {
    if (cases_[i] != nullptr && cases_[i]->ends_from_outside()) return true;
  }
  return false;
}

void unreachable_without_cases() { fatal("a select without cases went on"); }

}  // namespace ringo::detail
