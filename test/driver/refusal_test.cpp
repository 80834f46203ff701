// Where io_uring cannot be had: what is said, and what runs instead.
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "base/log.hpp"
#include "driver/select_driver.hpp"
#include "harness.hpp"

using namespace driver_test;
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

// "epoll" and what was logged, if that is what `automatic` leads to, three times over.
std::string automatic_report() {
  for (int i = 0; i < 3; ++i) {
    DriverFailure failure;
    const auto driver = make_driver(DriverChoice::automatic, failure);
    if (driver == nullptr) return "none: " + failure.message;
    if (!works(*driver)) return std::string(driver->name()) + " does not work";
    if (std::string_view(driver->name()) != "epoll") return driver->name();
  }
  return "epoll\n" + lines;
}

std::string explicit_report() {
  DriverFailure failure;
  const auto driver = make_driver(DriverChoice::uring, failure);
  if (driver != nullptr) return driver->name();
  return "refused " + std::to_string(failure.error) + ": " + failure.message;
}

// How many lines of a report begin after its first.
long lines_in(const std::string& report) {
  return std::count(report.begin(), report.end(), '\n') - 1;
}

// From here on, in this process, the system calls of io_uring end with this errno (or kill).
bool filter_uring(unsigned action) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_register, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof program / sizeof *program, program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// ---- names ------------------------------------------------------------------------------------

TEST_CASE("the names of the drivers") {
  std::string message;
  for (const DriverChoice choice :
       {DriverChoice::automatic, DriverChoice::uring, DriverChoice::epoll}) {
    CHECK(parse_driver_choice(to_string(choice), message) == choice);
  }
  CHECK(message.empty());
  for (const char* wrong : {"", "URING", "io_uring", "epoll ", "kqueue"}) {
    CHECK_FALSE(parse_driver_choice(wrong, message).has_value());
    CHECK(contains(message, '"' + std::string(wrong) + '"'));
    CHECK(contains(message, "auto, uring or epoll"));
  }
}

TEST_CASE("a choice by name is obeyed") {
  DriverFailure failure;
  const auto epoll = make_driver(DriverChoice::epoll, failure);
  REQUIRE(epoll != nullptr);
  CHECK(std::string_view(epoll->name()) == "epoll");
  CHECK(works(*epoll));
  if (!make_uring()) return;
  for (const DriverChoice choice : {DriverChoice::uring, DriverChoice::automatic}) {
    const auto uring = make_driver(choice, failure);
    REQUIRE(uring != nullptr);
    CHECK(std::string_view(uring->name()) == "uring");
    CHECK(works(*uring));
  }
}

// ---- refused by a hook ------------------------------------------------------------------------

TEST_CASE("io_uring refused at any step: uring fails with the cause, auto runs on epoll") {
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
    CAPTURE(refusal.words);
    const std::string report = in_child([&] {
      FailCall fault(refusal.call, refusal.error, 1'000'000);
      sys::set_faults(&fault);
      return explicit_report() + "\n" + automatic_report();
    });
    CAPTURE(report);
    CHECK(report.rfind("refused ", 0) == 0);
    CHECK(contains(report, refusal.words));
    CHECK(contains(report, "RINGO_DRIVER=epoll"));
    CHECK(contains(report, "\nepoll\n"));
    // The second report: three drivers, one line.
    CHECK(lines_in(report.substr(report.find('\n') + 1)) == 1);
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
      return explicit_report() + "\n" + automatic_report();
    });
    CAPTURE(report);
    CHECK(report.rfind("refused " + std::to_string(error) + ": io_uring", 0) == 0);
    CHECK(contains(report, "\nepoll\nio_uring "));
    CHECK(contains(report, "ringo runs on epoll"));
    CHECK(lines_in(report.substr(report.find('\n') + 1)) == 1);
  }
}

TEST_CASE("a seccomp filter kills for io_uring: epoll by name makes no such call") {
  const std::string report = in_child([]() -> std::string {
    if (!filter_uring(SECCOMP_RET_KILL_PROCESS)) return "no filter";
    DriverFailure failure;
    const auto driver = make_driver(DriverChoice::epoll, failure);
    return driver != nullptr && works(*driver) ? "alive" : "no driver";
  });
  CHECK(report == "alive");
}

// Becomes somebody without privileges, who may lock this much memory.
bool become_nobody(rlim_t memlock) {
  const rlimit limit{memlock, memlock};
  if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
  if (::getuid() != 0) return true;
  return ::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0;
}

// Since Linux 6.14 the memory of rings counts as locked.
bool rings_count_as_locked() {
  utsname name{};
  int major = 0, minor = 0;
  REQUIRE(::uname(&name) == 0);
  REQUIRE(std::sscanf(name.release, "%d.%d", &major, &minor) == 2);
  return major > 6 || (major == 6 && minor >= 14);
}

TEST_CASE("no memory may be locked: io_uring is refused with the limit named") {
  if (!make_uring()) return;
  const std::string report = in_child([]() -> std::string {
    if (!become_nobody(0)) return "no limit";
    return explicit_report() + "\n" + automatic_report();
  });
  CAPTURE(report);
  if (!rings_count_as_locked()) {
    CHECK(report == "uring\nuring");
    return;
  }
  CHECK(report.rfind("refused " + std::to_string(ENOMEM) + ": ", 0) == 0);
  CHECK(contains(report, "RLIMIT_MEMLOCK is 0 KiB"));
  CHECK(contains(report, "\nepoll\n"));
}

TEST_CASE("little memory may be locked: the rings shrink and work") {
  if (!make_uring()) return;
  const std::string report = in_child([]() -> std::string {
    if (!become_nobody(64 * 1024)) return "no limit";
    DriverFailure failure;
    const auto driver = make_driver(DriverChoice::uring, failure);
    if (driver == nullptr) return failure.message;
    return (works(*driver) ? "works\n" : "does not work\n") + lines;
  });
  CAPTURE(report);
  CHECK(report.rfind("works\n", 0) == 0);
  CHECK(contains(report, "RLIMIT_MEMLOCK allows only") == rings_count_as_locked());
}

}  // namespace
