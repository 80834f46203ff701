// Where a driver cannot be had: what its failure says. What a whole runtime does then is tested in
// test/runtime/refusal_test.cpp.
#include "refusal.hpp"

#include <sys/wait.h>

#include "base/log.hpp"
#include "harness.hpp"

using namespace driver_test;
using ringo::test::become_nobody;
using ringo::test::filter_uring;
using ringo::test::rings_count_as_locked;
using sys::Call;

namespace {

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Lines logged since the last clear, one a line.
std::string lines;
void remember(LogLevel, std::string_view text) { lines += std::string(text) + "\n"; }

class WithLog {
 public:
  WithLog() : before_(set_log_hook(remember)) { lines.clear(); }
  ~WithLog() { set_log_hook(before_); }

 private:
  LogHook before_;
};

// Runs the body in a forked child, whose report is compared: a child has no doctest.
std::string in_child(const std::function<std::string()>& body) {
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  const Fd in(fds[0]);
  Fd out(fds[1]);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    set_log_hook(remember);
    lines.clear();
    const std::string report = body();
    const ssize_t written = ::write(out.get(), report.data(), report.size());
    ::_exit(written == static_cast<ssize_t>(report.size()) ? 0 : 1);
  }
  out.close();
  std::string report;
  char chunk[1024];
  for (ssize_t n; (n = ::read(in.get(), chunk, sizeof chunk)) > 0;) {
    report.append(chunk, static_cast<std::size_t>(n));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CAPTURE(report);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return report;
}

// Whether a driver does what it is for: a byte goes through.
bool works(Driver& driver) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return false;
  struct Waiter final : IoSource {
    int calls = 0;
    void on_ready(Direction, int error) override { calls += error == 0 ? 1 : 100; }
    void on_received(ReceivedBuffer, int, bool) override {}
    void retain() noexcept override {}
    void release() noexcept override {}
  } waiter;
  waiter.fd = fds[0];
  driver.want(waiter, Direction::in);
  if (::write(fds[1], "x", 1) != 1) return false;
  for (int i = 0; i < 100 && waiter.calls == 0; ++i) driver.poll(10 * ms);
  driver.stop(waiter);
  ::close(fds[0]);
  ::close(fds[1]);
  return waiter.calls == 1;
}

// The driver's name, or why there is none.
std::string uring_report() {
  DriverFailure failure;
  const auto driver = make_uring_driver(failure);
  if (driver != nullptr) return works(*driver) ? driver->name() : "does not work";
  return "refused " + std::to_string(failure.error) + ": " + failure.message;
}

TEST_CASE("both drivers work and say their names") {
  DriverFailure failure;
  const auto epoll = make_epoll_driver(failure);
  REQUIRE(epoll != nullptr);
  CHECK(std::string_view(epoll->name()) == "epoll");
  CHECK(works(*epoll));
  if (!make_uring()) return;
  CHECK(uring_report() == "uring");
}

// ---- refused by a hook ------------------------------------------------------------------------

TEST_CASE("io_uring refused at any step: the failure names the cause") {
  struct Refusal {
    Call call;
    int error;
    const char* words;
  };
  const Refusal refusals[] = {
      {Call::uring_setup, EPERM, "seccomp profile of a container"},
      {Call::uring_setup, ENOSYS, "does not exist here"},
      {Call::uring_setup, EINVAL, "came with Linux 6.1"},
      {Call::uring_setup, ENOMEM, "RLIMIT_MEMLOCK is"},
      {Call::uring_setup, EMFILE, "RLIMIT_NOFILE"},
      {Call::uring_enter, EPERM, "io_uring_enter: operation not permitted"},
      {Call::uring_enter, EINVAL, "io_uring_enter"},
      {Call::uring_register, EPERM, "io_uring_register: operation not permitted"},
      {Call::uring_register, EINVAL, "io_uring_register"},
      {Call::uring_register, ENOMEM, "RLIMIT_MEMLOCK is"},
      {Call::uring_entry, ENOSPC, "io_uring"},
  };
  for (const Refusal& refusal : refusals) {
    CAPTURE(std::string(refusal.words));
    const std::string report = in_child([&] {
      FailCall fault(refusal.call, refusal.error, 1'000'000);
      sys::set_faults(&fault);
      return uring_report();
    });
    CAPTURE(report);
    CHECK(report.rfind("refused ", 0) == 0);
    CHECK(contains(report, ": io_uring"));
    CHECK(contains(report, refusal.words));
  }
}

TEST_CASE("no room for the registered descriptor of the ring: it works without") {
  FailCall fault(Call::uring_register, EINVAL);  // the first of them
  const WithFaults installed(fault);
  const auto driver = make_uring();
  if (!driver) return;
  CHECK(fault.failed() == 1);
  CHECK(works(*driver));
}

TEST_CASE("short of locked memory: smaller rings are tried before io_uring is given up") {
  if (!make_uring()) return;
  for (const int failures : {1, 2, 4, 7}) {
    CAPTURE(failures);
    const WithLog log;
    FailCall fault(Call::uring_setup, ENOMEM, failures);
    const WithFaults installed(fault);
    const auto driver = make_uring();
    REQUIRE(driver != nullptr);
    CHECK(fault.failed() == failures);
    CHECK(works(*driver));
    CHECK(contains(lines, "RLIMIT_MEMLOCK allows only"));
  }
  // The ring of buffers is refused at its full size only.
  FailCall fault(Call::uring_register, ENOMEM, 4, 1);
  const WithFaults installed(fault);
  const auto driver = make_uring();
  REQUIRE(driver != nullptr);
  CHECK(works(*driver));
}

TEST_CASE("no descriptor left for the driver") {
  DriverFailure failure;
  for (const Call call : {Call::eventfd, Call::epoll_create}) {
    FailCall fault(call, EMFILE, 10);
    const WithFaults installed(fault);
    CHECK(make_epoll_driver(failure) == nullptr);
    CHECK(failure.error == EMFILE);
    CHECK(contains(failure.message, "RLIMIT_NOFILE"));
  }
  if (!make_uring()) return;
  for (const Call call : {Call::eventfd, Call::socketpair}) {
    FailCall fault(call, EMFILE, 10);
    const WithFaults installed(fault);
    CHECK(make_uring_driver(failure) == nullptr);
    CHECK(failure.error == EMFILE);
    CHECK(contains(failure.message, "RLIMIT_NOFILE"));
  }
}

TEST_CASE("kernels without epoll_pwait2: timeouts of whole milliseconds, never too short") {
  for (const int error : {ENOSYS, EPERM}) {
    const std::string report = in_child([&]() -> std::string {
      FailCall fault(Call::epoll_pwait2, error, 1'000'000);
      sys::set_faults(&fault);
      DriverFailure failure;
      const auto driver = make_epoll_driver(failure);
      for (int i = 0; i < 3; ++i) {
        const auto before = Clock::now();
        if (driver->poll(1'200'000) != 0) return "something came";
        if (Clock::now() - before < 1'200us) return "too short";
      }
      if (!works(*driver)) return "does not work";
      // Asked once, then known.
      return fault.failed() == 1 ? "fine" : "asked again";
    });
    CHECK(report == "fine");
  }
}

// ---- refused by the kernel --------------------------------------------------------------------

TEST_CASE("a seccomp filter refuses io_uring, as in a container") {
  for (const int error : {EPERM, ENOSYS}) {
    CAPTURE(error);
    const std::string report = in_child([&]() -> std::string {
      if (!filter_uring(SECCOMP_RET_ERRNO | static_cast<unsigned>(error))) return "no filter";
      return uring_report();
    });
    CAPTURE(report);
    CHECK(report.rfind("refused " + std::to_string(error) + ": io_uring", 0) == 0);
  }
}

TEST_CASE("a seccomp filter kills for io_uring: the epoll driver makes no such call") {
  const std::string report = in_child([]() -> std::string {
    if (!filter_uring(SECCOMP_RET_KILL_PROCESS)) return "no filter";
    DriverFailure failure;
    const auto driver = make_epoll_driver(failure);
    return driver != nullptr && works(*driver) ? "alive" : "no driver";
  });
  CHECK(report == "alive");
}

TEST_CASE("no memory may be locked: io_uring is refused with the limit named") {
  if (!make_uring()) return;
  const std::string report = in_child([]() -> std::string {
    if (!become_nobody(RLIMIT_MEMLOCK, 0)) return "no limit";
    return uring_report();
  });
  CAPTURE(report);
  if (!rings_count_as_locked()) {
    CHECK(report == "uring");
    return;
  }
  CHECK(report.rfind("refused " + std::to_string(ENOMEM) + ": ", 0) == 0);
  CHECK(contains(report, "RLIMIT_MEMLOCK is 0 KiB"));
}

TEST_CASE("little memory may be locked: the rings shrink and work") {
  if (!make_uring()) return;
  const std::string report = in_child([]() -> std::string {
    if (!become_nobody(RLIMIT_MEMLOCK, 64 * 1024)) return "no limit";
    return uring_report() + "\n" + lines;
  });
  CAPTURE(report);
  CHECK(report.rfind("uring\n", 0) == 0);
  CHECK(contains(report, "RLIMIT_MEMLOCK allows only") == rings_count_as_locked());
}

}  // namespace
