// What Go's leak profile is tested with first: each primitive with a goroutine that waits for ever
// (simple), and the ways in which goroutines are commonly lost (commonpatterns, of "Unveiling and
// Vanquishing Goroutine Leaks in Enterprise Microservices"), and that a task_group loses none.
#include <memory>
#include <stdexcept>
#include <vector>

#include <ringo/task_group.hpp>

#include "goker.hpp"
#include "runtime/report_text.hpp"

using namespace ringo;
using namespace ringo::test;
using namespace std::chrono_literals;

// --- every kind of wait -------------------------------------------------------------------------

namespace {

Task<> receives_nil(Variant v) {
  Channel<int> ch = v.fixed ? Channel<int>(1) : Channel<int>::nil();
  if (v.fixed) ch.close();
  co_await ch.recv();
}
Task<> sends_nil(Variant v) {
  Channel<int> ch = v.fixed ? Channel<int>(1) : Channel<int>::nil();
  co_await ch.send(1);
}
Task<> receives(Variant v) {
  Channel<int> ch;
  if (v.fixed) ch.close();
  co_await ch.recv();
}
Task<> sends(Variant v) {
  Channel<int> ch(v.fixed ? 1 : 0);
  co_await ch.send(1);
}
Task<> selects(Variant v) {
  Channel<int> a;
  Channel<int> b(v.fixed ? 1 : 0);
  co_await select_any{a.recv(), b.send(1)};
}
Task<> selects_nothing(Variant v) {
  if (v.fixed) co_return;
  co_await select_any{};
}
Task<> waits_for_group(Variant v) {
  WaitGroup group;
  group.add(1);
  if (v.fixed) group.done();
  co_await group.wait();
}
Task<> locks_twice(Variant v) {
  Mutex mu;
  auto first = co_await mu.lock();
  if (v.fixed) first.unlock();
  auto second = co_await mu.lock();
}
Task<> reads_while_it_writes(Variant v) {
  SharedMutex mu;
  auto writing = co_await mu.lock();
  if (v.fixed) writing.unlock();
  auto reading = co_await mu.lock_shared();
}
Task<> writes_while_it_reads(Variant v) {
  SharedMutex mu;
  auto reading = co_await mu.lock_shared();
  if (v.fixed) reading.unlock();
  auto writing = co_await mu.lock();
}
Task<> acquires_too_much(Variant v) {
  Semaphore places(v.fixed ? 2 : 1);
  co_await places.acquire();
  co_await places.acquire();
}
Task<> waits_for_context(Variant v) {
  auto [ctx, cancel] = with_cancel(this_context());
  if (v.fixed) cancel();
  co_await ctx.done();
}

// The other half of each of these waits, too.
struct Meeting {
  Mutex mu;
  Cond cond{mu};
  bool open = false;
};
Task<> opens(std::shared_ptr<Meeting> m) {
  auto guard = co_await m->mu.lock();
  m->open = true;
  m->cond.signal();
}
Task<> waits_for_signal(Variant v) {
  auto m = std::make_shared<Meeting>();
  if (v.fixed) v.go(opens, m);
  auto guard = co_await m->mu.lock();
  co_await m->cond.wait(guard, [&] { return m->open; });
}
Task<> initialises(std::shared_ptr<Once> once, Channel<> ready) {
  co_await once->call([&]() -> Task<> { co_await ready.recv(); });
}
Task<> waits_for_once(Variant v) {
  auto once = std::make_shared<Once>();
  Channel<> ready;
  if (v.fixed) ready.close();
  v.go(initialises, once, ready);
  co_await v.others();
  co_await once->call([] {});
}
Task<> joins(Variant v) {
  auto handle = v.go(receives, v);
  co_await handle;
}
Task<> sends_in_group(std::shared_ptr<WaitGroup> group, Channel<int> ch) {
  Defer done{[&] { group->done(); }};
  co_await ch.send(1);
}
Task<> waits_before_it_receives(Variant v) {
  auto group = std::make_shared<WaitGroup>();
  Channel<int> ch(v.fixed ? 1 : 0);
  group->add(1);
  v.go(sends_in_group, group, ch);
  co_await group->wait();
  co_await ch.recv();
}

}  // namespace

TEST_CASE("DL-10: each kind of wait by its name (simple)") {
  check_program(&receives_nil, Leak::always, {"receives_nil [chan receive (nil chan)]"});
  check_program(&sends_nil, Leak::always, {"sends_nil [chan send (nil chan)]"});
  check_program(&receives, Leak::always, {"receives [chan receive]"});
  check_program(&sends, Leak::always, {"sends [chan send]"});
  check_program(&selects, Leak::always, {"selects [select]"});
  check_program(&selects_nothing, Leak::always, {"selects_nothing [select (no cases)]"});
  check_program(&waits_for_group, Leak::always, {"waits_for_group [sync.WaitGroup.Wait]"});
  check_program(&locks_twice, Leak::always, {"locks_twice [sync.Mutex.Lock]"});
  check_program(&reads_while_it_writes, Leak::always,
                {"reads_while_it_writes [sync.RWMutex.RLock]"});
  check_program(&writes_while_it_reads, Leak::always,
                {"writes_while_it_reads [sync.RWMutex.Lock]"});
  check_program(&waits_for_signal, Leak::always, {"waits_for_signal [sync.Cond.Wait]"});
}
TEST_CASE("DL-10: kinds of wait that Go has outside of its runtime, or not at all") {
  check_program(&acquires_too_much, Leak::always, {"acquires_too_much [semacquire]"});
  check_program(&waits_for_context, Leak::always, {"waits_for_context [context done]"});
  check_program(&waits_for_once, Leak::by_order,
                {"initialises [chan receive]", "waits_for_once [sync.Once.Do]"});
  check_program(&joins, Leak::always, {"joins [join]", "receives [chan receive]"});
}
TEST_CASE("DL-10: two primitives that wait for each other (simple: Mixed)") {
  check_program(&waits_before_it_receives, Leak::always,
                {"sends_in_group [chan send]", "waits_before_it_receives [sync.WaitGroup.Wait]"});
}

// --- how goroutines get lost --------------------------------------------------------------------

namespace {

// NoCloseRange: the workers wait for more work, or there are no workers.
Task<> works(Channel<int> jobs) {
  while (auto job = co_await jobs.recv()) CHECK_GE(*job, 0);
}
Task<> distributes(Variant v, int workers) {
  Channel<int> jobs;
  for (int i = 0; i < (v.fixed ? 1 : workers); ++i) v.go(works, jobs);
  for (int job = 0; job < 3; ++job) co_await jobs.send(job);
  if (v.fixed) jobs.close();
}
Task<> no_close_range(Variant v) {
  for (int workers : {0, 2}) v.go(distributes, v, workers);
  co_return;
}

// MethodContractViolation: what was started must be stopped, and is not.
struct Machine {
  Channel<int> input;
  Channel<> done;
};
Task<> runs_machine(std::shared_ptr<Machine> machine) {
  for (;;) {
    auto got = co_await select_any{machine->input.recv(), machine->done.recv()};
    if (got.index() == 1) co_return;
  }
}
Task<> method_contract(Variant v) {
  auto machine = std::make_shared<Machine>();
  v.go(runs_machine, machine);
  co_await machine->input.send(1);
  if (v.fixed) machine->done.close();
}

// DoubleSend: having sent its failure, it goes on to send a result.
Task<> answers(Variant v, Channel<int> result, bool fails) {
  if (fails) {
    co_await result.send(-1);
    if (v.fixed) co_return;
  }
  co_await result.send(1);
}
Task<> double_send(Variant v) {
  Channel<int> result;
  for (bool fails : {false, true}) {
    v.go(answers, v, result, fails);
    auto got = co_await result.recv();
    CHECK(got == (fails ? -1 : 1));
  }
}

// EarlyReturn: there is something wrong, so nobody comes to receive.
Task<> computes(Channel<int> result) { co_await result.send(1); }
Task<> early_return(Variant v) {
  Channel<int> result(v.fixed ? 1 : 0);
  v.go(computes, result);
  const bool wrong = true;
  if (wrong) co_return;
  co_await result.recv();
}

// NCastLeak: the first of several answers is enough, and of none it waits for the first.
Task<> asks(Variant v, int sources) {
  Channel<int> answer(v.fixed ? sources : 0);
  for (int i = 0; i < sources; ++i) v.go(computes, answer);
  if (v.fixed && sources == 0) co_return;
  co_await answer.recv();
}
Task<> n_cast(Variant v) {
  for (int sources : {0, 4}) v.go(asks, v, sources);
  co_return;
}

// Timeout: the Context ends before there is a result.
Task<> timeout(Variant v) {
  Channel<int> result(v.fixed ? 1 : 0);
  auto [ctx, cancel] = with_cancel(this_context());
  cancel();
  auto got = co_await select_first{ctx.done(), result.recv()};
  CHECK_EQ(got.index(), 0);
  v.go(computes, result);
}

}  // namespace

TEST_CASE("DL-10: a range over a channel that nobody closes (NoCloseRange)") {
  check_program(&no_close_range, Leak::always,
                {"distributes [chan send]", "works [chan receive]", "works [chan receive]"});
}
TEST_CASE("DL-10: nobody calls stop (MethodContractViolation)") {
  check_program(&method_contract, Leak::always, {"runs_machine [select]"});
}
TEST_CASE("DL-10: one send too many (DoubleSend)") {
  check_program(&double_send, Leak::always, {"answers [chan send]"});
}
TEST_CASE("DL-10: the receiver returns early (EarlyReturn)") {
  check_program(&early_return, Leak::always, {"computes [chan send]"});
}
TEST_CASE("DL-10: only the first answer is taken (NCastLeak)") {
  check_program(&n_cast, Leak::always,
                {"asks [chan receive]", "computes [chan send]", "computes [chan send]",
                 "computes [chan send]"});
}
TEST_CASE("DL-10: the result comes after the end (Timeout)") {
  check_program(&timeout, Leak::always, {"computes [chan send]"});
}

// --- the same in a task_group -------------------------------------------------------------------

RINGO_TEST("DL-10: early return and failure out of a task_group leave nobody") {
  LeakCheck check;
  for (bool fails : {false, true}) {
    bool thrown = false;
    try {
      co_await task_group([&](TaskGroup& group) -> Task<> {
        Channel<int> result;
        group.go(computes, result);
        if (fails) throw std::runtime_error("wrong");
        group.cancel();
        co_return;
      });
    } catch (const std::runtime_error&) { thrown = true; }
    CHECK_EQ(thrown, fails);
    CHECK_EQ(test::count_of("computes(...)", check.leaks_now()), 0);
  }
  CHECK_EQ(co_await check.leaks(), "");
}

RINGO_TEST("DL-10: the first answer in a task_group leaves no other source") {
  LeakCheck check;
  const int first = co_await task_group([](TaskGroup& group) -> Task<int> {
    Channel<int> answer;
    for (int i = 0; i < 4; ++i) group.go(computes, answer);
    const int got = (co_await answer.recv()).value();
    group.cancel();
    co_return got;
  });
  CHECK_EQ(first, 1);
  CHECK_EQ(test::count_of("computes(...)", check.leaks_now()), 0);
  CHECK_EQ(co_await check.leaks(), "");
}

RINGO_TEST("DL-10: workers in a task_group whose channel nobody closes") {
  LeakCheck check;
  co_await task_group([](TaskGroup& group) -> Task<> {
    Channel<int> jobs;
    for (int i = 0; i < 3; ++i) group.go(works, jobs);
    for (int job = 0; job < 10; ++job) co_await jobs.send(job);
    group.cancel();
  });
  CHECK_EQ(test::count_of("works(...)", check.leaks_now()), 0);
  CHECK_EQ(co_await check.leaks(), "");
}
