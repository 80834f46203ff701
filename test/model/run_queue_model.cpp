// The real code of RunQueue under Relacy, which runs it in random interleavings
// with the stale reads that the C++ memory model allows, and detects data races.
#include "relacy_std.hpp"

#include "runtime/run_queue.cpp"

namespace {

using ringo::detail::Goroutine;
using ringo::detail::RunQueue;

// An owner, which takes some back, and two thieves, of which the second also robs the
// first. Rings begin with one slot, so that they grow, wrap around and shrink within a
// few steps.
struct Model : rl::test_suite<Model, 3> {
  static constexpr std::uintptr_t count = 9;

  std::unique_ptr<RunQueue> queues[3];
  rl::var<std::uintptr_t> payload[count + 1];
  std::uint64_t positions[count + 1];
  int seen[count + 1];

  void before() {
    for (auto& queue : queues) queue = std::make_unique<RunQueue>(true, 1);
    for (int& each : seen) each = 0;
  }

  void consume(Goroutine* goroutine) {
    const auto i = reinterpret_cast<std::uintptr_t>(goroutine);
    RL_ASSERT(i >= 1 && i <= count);
    RL_ASSERT(payload[i](here) == i);
    ++seen[i];
    RL_ASSERT(seen[i] == 1);
  }

  void pop(unsigned self) {
    if (Goroutine* goroutine = queues[self]->pop()) consume(goroutine);
  }

  void thread(unsigned self) {
    if (self == 0) {
      for (std::uintptr_t i = 1; i <= count; ++i) {
        payload[i](here) = i;
        positions[i] = queues[0]->next_position();
        queues[0]->push(reinterpret_cast<Goroutine*>(i));
        for (unsigned n = i > 4 ? rl::rand(3) : 0; n > 0; --n) pop(0);
        const std::uintptr_t back = i - rl::rand(static_cast<unsigned>(i < 3 ? i : 3));
        if (rl::rand(2) == 0 &&
            queues[0]->take_back(reinterpret_cast<Goroutine*>(back), positions[back])) {
          consume(reinterpret_cast<Goroutine*>(back));
        }
      }
    } else {
      for (int step = 0; step < 8; ++step) {
        const unsigned victim = self == 2 && rl::rand(4) != 0 ? 1 : 0;
        if (Goroutine* goroutine = queues[victim]->steal_into(*queues[self])) consume(goroutine);
        if (rl::rand(4) == 0) pop(self);
      }
    }
  }

  void after() {
    for (unsigned self = 0; self < 3; ++self) {
      queues[self]->drain_to([&](Goroutine* goroutine) { consume(goroutine); });
      RL_ASSERT(queues[self]->empty());
    }
    for (std::uintptr_t i = 1; i <= count; ++i) RL_ASSERT(seen[i] == 1);
    for (auto& queue : queues) queue.reset();
  }
};

}  // namespace

// The number of interleavings may be given.
int main(int argc, char** argv) {
  rl::test_params params;
  params.iteration_count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000;
  params.execution_depth_limit = 20'000;
  params.search_type = rl::random_scheduler_type;
  return rl::simulate<Model>(params) ? 0 : 1;
}
