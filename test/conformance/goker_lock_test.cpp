// Leaks around locks, from the bugs of well-known Go programs that Go's leak profile is tested with
// (GoKer, see goker_channel_test.cpp): a lock is held by one who waits for a channel or a group, or
// is taken twice, or two locks are taken in both orders.
#include <memory>
#include <vector>

#include "goker.hpp"

using namespace ringo;
using test::check_program;
using test::Leak;
using test::Variant;

// --- a lock, held while waiting for something else ----------------------------------------------

namespace {

// cockroach/1055: stopping waits for the tasks before it tells them to stop, with the lock that the
// next task needs.
struct Stopper {
  Mutex mu;
  bool draining = false;
  WaitGroup drain;
  Channel<> stop;
};

Task<> run_task(std::shared_ptr<Stopper> s) {
  {
    auto guard = co_await s->mu.lock();
    if (s->draining) co_return;
    s->drain.add(1);
  }
  Defer done{[&] { s->drain.done(); }};
  co_await s->stop.recv();
}

Task<> stop_tasks(Variant v, std::shared_ptr<Stopper> s, Channel<> done) {
  {
    auto guard = co_await s->mu.lock();
    s->draining = true;
    if (!v.fixed) co_await s->drain.wait();
    s->stop.close();
  }
  co_await s->drain.wait();
  done.close();
}

Task<> cockroach_1055(Variant v) {
  auto s = std::make_shared<Stopper>();
  Channel<> done;
  for (int i = 0; i < 2; ++i) v.go(run_task, s);
  co_await v.others();
  v.go(stop_tasks, v, s, done);
  co_await v.others();
  v.go(run_task, s);
  co_await done.recv();
}

// istio/16224: events are reported under the lock that the receiver of the report takes first.
struct Controller {
  Mutex mu;
  Channel<> events;
  Channel<> handled;
};

Task<> handle_events(Variant v, std::shared_ptr<Controller> c) {
  while (co_await c->events.recv()) {
    auto guard = co_await c->mu.lock();
    if (v.fixed) guard.unlock();
    co_await c->handled.send();
  }
}

Task<> istio_16224(Variant v) {
  auto c = std::make_shared<Controller>();
  v.go(handle_events, v, c);
  co_await c->events.send();
  co_await v.others();
  { auto guard = co_await c->mu.lock(); }
  co_await c->handled.recv();
  c->events.close();
}

// moby/28462: a monitor is told to stop by one who holds the lock that it needs to get there.
struct Container {
  Mutex mu;
  Channel<> result;  // of a probe
  Channel<> stop;
};

Task<> monitor(std::shared_ptr<Container> c) {
  for (;;) {
    auto told = co_await select_any{c->stop.recv(), otherwise()};
    if (told.index() == 0) co_return;
    co_await c->result.recv();
    auto guard = co_await c->mu.lock();
  }
}

Task<> change_state(Variant v, std::shared_ptr<Container> c) {
  auto guard = co_await c->mu.lock();
  co_await c->result.send();
  if (v.fixed) {
    c->stop.close();
  } else {
    co_await c->stop.send();
  }
}

Task<> moby_28462(Variant v) {
  auto c = std::make_shared<Container>();
  v.go(monitor, c);
  v.go(change_state, v, c);
  co_return;
}

}  // namespace

TEST_CASE("DL-10: cockroach/1055: waiting for tasks that nobody has told to stop") {
  check_program(&cockroach_1055, Leak::by_order,
                {"cockroach_1055 [chan receive]", "run_task [chan receive]",
                 "run_task [chan receive]", "run_task [sync.Mutex.Lock]",
                 "stop_tasks [sync.WaitGroup.Wait]"});
}
TEST_CASE("DL-10: istio/16224: a report under the lock of its receiver") {
  check_program(&istio_16224, Leak::by_order,
                {"handle_events [chan send]", "istio_16224 [sync.Mutex.Lock]"});
}
TEST_CASE("DL-10: moby/28462: a stop sign under the lock of the one it is for") {
  check_program(&moby_28462, Leak::always,
                {"change_state [chan send]", "monitor [sync.Mutex.Lock]"});
}

// --- a lock, taken twice ------------------------------------------------------------------------

namespace {

// hugo/5379: a page makes its content under a lock, and the template inside asks for the content.
struct Page {
  Mutex content_mu;
  WaitGroup rendered;
};

Task<> content_of(Variant v, std::shared_ptr<Page> page, int depth) {
  auto guard = co_await page->content_mu.lock();
  if (v.fixed) guard.unlock();
  if (depth > 0) co_await content_of(v, page, depth - 1);
}

Task<> render_page(Variant v, std::shared_ptr<Page> page) {
  Defer done{[&] { page->rendered.done(); }};
  co_await content_of(v, page, 1);
}

Task<> hugo_5379(Variant v) {
  auto page = std::make_shared<Page>();
  page->rendered.add(2);
  for (int i = 0; i < 2; ++i) v.go(render_page, v, page);
  co_await page->rendered.wait();
}

}  // namespace

TEST_CASE("DL-10: hugo/5379: content that contains itself") {
  check_program(&hugo_5379, Leak::always,
                {"hugo_5379 [sync.WaitGroup.Wait]", "render_page [sync.Mutex.Lock]",
                 "render_page [sync.Mutex.Lock]"});
}
