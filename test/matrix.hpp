// Runs test cases on every driver and with several numbers of workers.
//
//   RINGO_TEST("CH-14: a closed channel gives nothing") {
//     Channel<int> ch;
//     ch.close();
//     CHECK(!co_await ch.recv());
//   }
//
// The body is a coroutine (it must say co_await or co_return somewhere) and runs as main's
// goroutine once for each combination of driver (uring, epoll) and workers (1, 2, 4). A failure or
// exception leaves main, and fails the case; the combination is printed below it. Other goroutines
// use CHECK, or are joined: an exception out of a detached one ends the process, as it does
// everywhere.
//
// doctest's assertions may be used on any worker; its INFO and CAPTURE belong to a thread, hence
// not around a co_await.
//
//   RINGO_TEST_DRIVERS=epoll        only these (comma-separated)
//   RINGO_TEST_WORKERS=1,4          only these
//   RINGO_TEST_TRACE=1              names each combination before it runs
//   RINGO_TEST_TIMEOUT=100          seconds after which a combination counts as hung; 0: never
//   RINGO_TEST_SEED=7               the workers' random numbers (which ready case a select takes,
//                                   whom an idle worker robs) begin there instead of at the clock's
//                                   time: at 7 in the first combination, 8 in the second, ...; not
//                                   in cases that call ringo::run themselves
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <ringo/go.hpp>
#include <ringo/run.hpp>
#include <ringo/task.hpp>

#include "driver/driver.hpp"
#include "runtime/runtime.hpp"
#include "runtime/worker.hpp"

namespace ringo::test {

/// One combination.
struct Setting {
  DriverKind driver;
  const char* driver_name;
  unsigned workers;
  std::uint64_t number = 0;  // among the combinations of this run, added to the seed
};

namespace harness {

/// What the cases have in common.
struct State {
  std::atomic<int> failures{0};  // assertions and uncaught exceptions
  std::atomic<bool> in_child{false};
  int not_run = 0;  // combinations left out because io_uring is refused
  std::string refusal;
  const char* case_name = "";
  int watchdogs = 0;
  char hung[512] = "";  // what the alarm prints
};
inline State state;

/// Hears of every failure, from whichever thread.
class FailureListener final : public doctest::IReporter {
 public:
  explicit FailureListener(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {
    if (state.not_run == 0) return;
    std::printf("[ringo] not run, since io_uring is refused here: %d combinations\n",
                state.not_run);
  }
  void test_case_start(const doctest::TestCaseData& data) override {
    state.case_name = data.m_name;
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override { ++state.failures; }
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData& data) override {
    if (data.m_failed && (data.m_at & doctest::assertType::is_warn) == 0) ++state.failures;
  }
  void log_message(const doctest::MessageData& data) override {
    if ((data.m_severity & doctest::assertType::is_warn) == 0) ++state.failures;
  }
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
inline const int listener_registered =
    doctest::registerReporter<FailureListener>("ringo_failures", 1, false);

inline std::vector<std::string> words(const char* text) {
  std::vector<std::string> list;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::size_t comma = rest.find(',');
    list.emplace_back(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
  }
  return list;
}

inline const char* variable(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != '\0' ? text : nullptr;
}

/// Asks the kernel once whether there is an io_uring for us.
inline bool uring_works() {
  static const bool works = [] {
    ringo::detail::DriverFailure failure;
    if (ringo::detail::make_uring_driver(failure) != nullptr) return true;
    state.refusal = failure.message;
    std::printf("[ringo] io_uring is refused here: %s\n", failure.message.c_str());
    return false;
  }();
  return works;
}

inline unsigned timeout_seconds() {
  const char* text = variable("RINGO_TEST_TIMEOUT");
  return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : 100;
}

inline std::optional<std::uint64_t> seed_of(const Setting& setting) {
  const char* text = variable("RINGO_TEST_SEED");
  if (text == nullptr) return std::nullopt;
  return std::strtoull(text, nullptr, 10) + setting.number;
}

/// As ringo::run(options, body) of a plain thread, with that seed of the workers' random numbers.
template <class F>
void run_seeded(const Options& options, std::optional<std::uint64_t> given, F&& body) {
  if (!given) {
    ringo::run(options, body);
    return;
  }
  ringo::detail::Runtime runtime(options);
  // Near seeds must not begin alike: the multiplier spreads them over all bits.
  const std::uint64_t seed = *given;
  for (std::size_t i = 0; i < runtime.worker_count(); ++i) {
    runtime.worker(i).random() =
        ringo::detail::Random((seed * 256 + i + 1) * 0x9e37'79b9'7f4a'7c15u);
  }
  runtime.run(body());
}

extern "C" inline void ringo_test_hung(int) {
  [[maybe_unused]] ssize_t n = ::write(STDERR_FILENO, state.hung, std::strlen(state.hung));
  ::_exit(124);
}

/// Ends the process, with the name of the case, if this scope takes too long. Inside another one
/// it does nothing.
class Watchdog {
 public:
  explicit Watchdog(const std::string& where) {
    if (state.watchdogs++ != 0) return;
    unsigned seconds = timeout_seconds();
    std::snprintf(state.hung, sizeof state.hung, "[ringo] hung for %u s: %s (%s)\n", seconds,
                  state.case_name, where.c_str());
    struct sigaction action = {};
    action.sa_handler = &ringo_test_hung;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, nullptr);
    ::alarm(seconds);
  }
  ~Watchdog() {
    if (--state.watchdogs == 0) ::alarm(0);
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
};

inline std::string describe(const Setting& setting) {
  std::string text = setting.driver_name;
  text.insert(0, "driver ").append(", ").append(std::to_string(setting.workers));
  text.append(setting.workers == 1 ? " worker" : " workers");
  if (auto seed = seed_of(setting)) text.append(", seed ").append(std::to_string(*seed));
  return text;
}

/// Main's goroutine: checks where it runs, and keeps what is thrown for the outside.
template <class F>
Task<> checked_body(F& body, const Setting& setting, std::exception_ptr& error) {
  try {
    REQUIRE_EQ(std::string(ringo::driver_name()), std::string(setting.driver_name));
    REQUIRE_EQ(ringo::num_workers(), setting.workers);
    if constexpr (ringo::detail::is_task<std::invoke_result_t<F&>>) {
      co_await body();
    } else {
      body();
    }
  } catch (...) { error = std::current_exception(); }
}

}  // namespace harness

/// The combinations to run now.
inline std::vector<Setting> settings() {
  const char* drivers = harness::variable("RINGO_TEST_DRIVERS");
  const char* workers = harness::variable("RINGO_TEST_WORKERS");
  std::vector<Setting> list;
  for (const std::string& driver : harness::words(drivers != nullptr ? drivers : "uring,epoll")) {
    for (const std::string& number : harness::words(workers != nullptr ? workers : "1,2,4")) {
      auto count = static_cast<unsigned>(std::strtoul(number.c_str(), nullptr, 10));
      if ((driver != "uring" && driver != "epoll") || count == 0) {
        FAIL("RINGO_TEST_DRIVERS or RINGO_TEST_WORKERS: ", driver.c_str(), " ", number.c_str());
      }
      if (driver == "epoll") {
        list.push_back({DriverKind::epoll, "epoll", count, list.size()});
      } else if (harness::uring_works()) {
        list.push_back({DriverKind::uring, "uring", count, list.size()});
      } else {
        ++harness::state.not_run;
      }
    }
  }
  return list;
}

/// Options of a combination, the rest as in `base`.
inline Options options_of(const Setting& setting, Options base = {}) {
  base.driver = setting.driver;
  base.workers = setting.workers;
  return base;
}

/// Runs f(setting) on this thread for each combination; for cases that call ringo::run themselves.
template <class F>
void for_each_setting(F&& f) {
  for (const Setting& setting : settings()) {
    std::string where = harness::describe(setting);
    if (harness::variable("RINGO_TEST_TRACE") != nullptr && !harness::state.in_child) {
      std::printf("[ringo] %s (%s)\n", harness::state.case_name, where.c_str());
      std::fflush(stdout);
    }
    int before = harness::state.failures;
    struct Report {
      const std::string& where;
      int before;
      int exceptions = std::uncaught_exceptions();
      ~Report() {
        if (harness::state.failures != before || std::uncaught_exceptions() > exceptions) {
          std::printf("[ringo] the failure above: %s (%s)\n", harness::state.case_name,
                      where.c_str());
        }
      }
    } report{where, before};
    harness::Watchdog watchdog(where);
    f(setting);
  }
}

/// Runs `body`, a function giving Task<> or nothing, as main's goroutine of one combination.
/// Throws what it throws.
template <class F>
void run_setting(const Setting& setting, F&& body, Options base = {}) {
  harness::Watchdog watchdog(harness::describe(setting));
  std::exception_ptr error;
  harness::run_seeded(options_of(setting, base), harness::seed_of(setting),
                      [&] { return harness::checked_body(body, setting, error); });
  if (error) std::rethrow_exception(error);
}

/// Runs `body` under every combination; `base` gives the other options.
template <class F>
void run_matrix(F&& body, Options base = {}) {
  for_each_setting([&](const Setting& setting) { run_setting(setting, body, base); });
}

/// A test case whose body is a coroutine, run under every combination. The name may be followed by
/// doctest's decorators: RINGO_TEST("..." * doctest::test_suite("long")) { ... }
#define RINGO_TEST(...) RINGO_TEST_NAMED_(DOCTEST_ANONYMOUS(ringo_test_), __VA_ARGS__)
#define RINGO_TEST_NAMED_(name, ...)                           \
  static ::ringo::Task<> name();                               \
  TEST_CASE(__VA_ARGS__) { ::ringo::test::run_matrix(&name); } \
  static ::ringo::Task<> name()

/// Lets other goroutines run until condition() is true; fails the case after ten seconds without
/// it. The way to wait for something that has no event of its own.
template <class F>
Task<> eventually(F condition) {
  auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    REQUIRE_MESSAGE(std::chrono::steady_clock::now() < limit, "eventually(): not within 10 s");
    co_await ringo::yield();
  }
}

/// Suspends as often as said, each time behind all that is ready. On one worker, or among
/// goroutines pinned to one by go_on(), everything runnable has then run until it waits.
inline Task<> yields(int times = 2) {
  for (int i = 0; i < times; ++i) co_await ringo::yield();
}

/// Runs `body` (a function giving Task<>) pinned to worker 0, where goroutines that are pinned
/// there too run in the order in which they became ready, whatever the number of workers.
template <class F>
Task<> on_one_worker(F body) {
  std::exception_ptr error;
  auto handle = ringo::go_on(0, [&]() -> Task<> {
    try {
      co_await body();
    } catch (...) { error = std::current_exception(); }
  });
  co_await handle;
  if (error) std::rethrow_exception(error);
}

/// RINGO_TEST whose main part runs as on_one_worker() says: with go_on(0, ...) for the other
/// goroutines, and yields(), the order of everything is known.
#define RINGO_TEST_PINNED(...) RINGO_TEST_PINNED_NAMED_(DOCTEST_ANONYMOUS(ringo_test_), __VA_ARGS__)
#define RINGO_TEST_PINNED_NAMED_(name, ...)                                        \
  static ::ringo::Task<> name();                                                   \
  TEST_CASE(__VA_ARGS__) {                                                         \
    ::ringo::test::run_matrix([] { return ::ringo::test::on_one_worker(&name); }); \
  }                                                                                \
  static ::ringo::Task<> name()

// --- programs that end badly --------------------------------------------------------------------

/// How a child process ended, and what it wrote to standard error.
struct Ended {
  int code = 0;  // exit status; 128 + signal if killed by one
  std::string errors;
};

/// A forked child that runs f(), and what becomes of it.
class Child {
 public:
  /// The child exits with 0 when f returns, with 98 if an assertion failed in it, and with 99 if it
  /// throws. Only while no runtime and no other thread of this process runs.
  template <class F>
  explicit Child(F&& f) {
    int pipe_ends[2];
    REQUIRE_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
    std::fflush(stdout);
    std::fflush(stderr);
    pid_ = ::fork();
    REQUIRE_GE(pid_, 0);
    if (pid_ == 0) {
      ::dup2(pipe_ends[1], STDERR_FILENO);
      ::close(pipe_ends[0]);
      ::close(pipe_ends[1]);
      live_in_child(f);
    }
    ::close(pipe_ends[1]);
    errors_ = pipe_ends[0];
  }

  /// Waits for its end. To be called once.
  Ended end() {
    Ended ended;
    char buffer[4096];
    for (;;) {
      ssize_t n = ::read(errors_, buffer, sizeof buffer);
      if (n > 0) {
        ended.errors.append(buffer, static_cast<std::size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        break;
      }
    }
    ::close(errors_);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
    ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ended;
  }

 private:
  template <class F>
  [[noreturn]] static void live_in_child(F& f) {
    ::signal(SIGQUIT, SIG_DFL);  // a shell without job control starts what runs beside it deaf
    harness::state.in_child = true;
    harness::state.watchdogs = 0;  // an alarm is not inherited
    int before = harness::state.failures;
    harness::Watchdog watchdog("in a child");
    int code = 0;
    try {
      f();
      if (harness::state.failures != before) code = 98;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "exception out of the child: %s\n", error.what());
      code = 99;
    } catch (...) {
      std::fprintf(stderr, "exception out of the child\n");
      code = harness::state.failures != before ? 98 : 99;
    }
    std::fflush(stdout);
    std::fflush(stderr);
    ::_exit(code);
  }

  pid_t pid_ = -1;
  int errors_ = -1;
};

/// Runs f() in a Child, to its end.
template <class F>
Ended in_child(F&& f) {
  return Child(f).end();
}

/// for_each_setting() for cases that sleep most of the time: each combination in a Child of its
/// own, all at once. Nothing that f changes is seen outside.
template <class F>
void for_each_setting_at_once(F&& f) {
  const std::vector<Setting> list = settings();
  std::vector<Child> children;
  children.reserve(list.size());
  for (const Setting& setting : list) {
    children.emplace_back([&] { f(setting); });
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Ended ended = children[i].end();
    CHECK_MESSAGE(ended.code == 0, harness::describe(list[i]), ": ", ended.errors);
  }
}

/// Checks that f() ends its process with that exit status, and that standard error then contains
/// the text ("" for any).
template <class F>
void expect_exit(int code, std::string_view text, F&& f) {
  Ended ended = in_child(std::forward<F>(f));
  CHECK_EQ(ended.code, code);
  CHECK_MESSAGE(ended.errors.find(text) != std::string::npos,
                "expected on stderr: ", std::string(text), "\ngot: ", ended.errors);
}

/// The same for a coroutine function that runs as main's goroutine, under every combination.
template <class F>
void expect_exit_matrix(int code, std::string_view text, F&& body, Options base = {}) {
  for_each_setting([&](const Setting& setting) {
    expect_exit(code, text, [&] { run_setting(setting, body, base); });
  });
}

}  // namespace ringo::test
