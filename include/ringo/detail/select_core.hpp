// A wait with several cases, without their types.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>

#include <ringo/detail/wait.hpp>

namespace ringo::detail {

[[noreturn]] void unreachable_without_cases();

/// Tries the cases, registers them, waits. `cases` has one entry per case, null for the default;
/// it is filled before start() and lives as long as the wait.
class SelectBase : public CaseBase {
 protected:
  SelectBase(Goroutine* g, CaseBase** cases, std::size_t count, bool has_default,
             bool top_first) noexcept
      : cases_(cases),
        count_(static_cast<std::uint32_t>(count)),
        has_default_(has_default),
        top_first_(top_first) {
    node.g = g;
  }
  ~SelectBase();

  /// True: suspend.
  bool start(std::coroutine_handle<> frame);

  /// After the wait: leaves all queues, and gives the index of the case that took place (that of
  /// the null entry for the default). Throws Canceled.
  std::size_t finish();

 private:
  class Scratch;
  enum class Tried : std::uint8_t { none, taken, registered };

  /// The cases as they are seen without a lock.
  struct Glance {
    static constexpr std::uint32_t size = 64;
    std::uint32_t channels;
    std::uint32_t others;
    std::uint32_t other;  // the last of them
    std::uint32_t ready_count;
    std::uint32_t ready[size];  // channel cases; none if there are more cases than places
  };

  bool try_quickly();
  bool try_thoroughly();
  void look(Glance& glance);
  bool try_ready(Glance& glance);
  std::uint32_t random_below(std::uint32_t bound) const noexcept;
  bool try_others(const Scratch& scratch);
  Tried try_channels(const Scratch& scratch, std::uint32_t end, bool enlist, std::uint64_t seq);
  bool try_in_order(const Scratch& scratch);
  bool try_all(const Scratch& scratch);
  bool arm(const Scratch& scratch);

  // As the wait of its goroutine (for cancellation): leaves all queues.
  void withdraw() noexcept final;
  bool try_take() final { return false; }
  Enlist enlist() final { return Enlist::waiting; }
  bool looks_ready() final { return false; }
  bool ends_from_outside() const noexcept final;

  static constexpr std::uint32_t undecided = 0xfffffffeu;

  CaseBase** cases_;
  std::uint32_t count_;
  std::uint32_t winner_ = undecided;
  bool has_default_;
  bool top_first_;
  bool others_first_ = false;  // than the channels
};

}  // namespace ringo::detail
