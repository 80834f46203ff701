#include "runtime/report.hpp"

#include <cxxabi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <typeinfo>

#include <ringo/detail/promise.hpp>
#include <ringo/panic.hpp>

namespace ringo::detail {

namespace {

std::string type_name() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "unknown exception";
  int status = 0;
  char* demangled = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
  std::string name = status == 0 ? demangled : type->name();
  std::free(demangled);
  return "exception of type " + name;
}

std::string text_of(const std::exception& error) {
  const auto* panic = dynamic_cast<const Panic*>(&error);
  std::string text = error.what();
  if (panic != nullptr) {
    text += " [";
    text += panic->where().file_name();
    text += ":" + std::to_string(panic->where().line()) + "]";
  }
  return text;
}

void append_chain(const std::exception_ptr& error, std::string& out) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& thrown) {
    const auto* nested = dynamic_cast<const std::nested_exception*>(&thrown);
    if (nested != nullptr && nested->nested_ptr()) {
      append_chain(nested->nested_ptr(), out);
      out += "\n\tpanic: ";
    }
    out += text_of(thrown);
  } catch (...) {
    out += type_name();
  }
}

void append_place(std::string& out, const std::source_location& where) {
  out += "\t";
  out += where.file_name();
  out += ':';
  out += std::to_string(where.line());
  out += '\n';
}

void append_goroutine(std::string& out, const Goroutine* g) {
  out += "\ngoroutine " + std::to_string(g->id) + " [running]:\n";
  if (g->root_promise != nullptr && g->root_promise->site.line() != 0) {
    const std::source_location& site = g->root_promise->site;
    out += site.function_name();
    out += "\n";
    append_place(out, site);
  }
  if (g->is_main) return;
  out += "created by ";
  out += g->spawn_site.function_name();
  out += "\n";
  append_place(out, g->spawn_site);
}

[[noreturn]] void last_words(const std::string& text) noexcept {
  std::fflush(stdout);
  std::size_t written = 0;
  while (written < text.size()) {
    ssize_t n = ::write(STDERR_FILENO, text.data() + written, text.size() - written);
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  ::_exit(2);
}

}  // namespace

std::string describe(const std::exception_ptr& error) {
  std::string out;
  append_chain(error, out);
  return out;
}

bool ended_quietly(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const Canceled&) {
    return true;
  } catch (const Goexit&) {
    return true;
  } catch (...) {
    return false;
  }
}

void report_unseen(Goroutine* g) noexcept {
  if (ended_quietly(g->root_promise->error)) return;
  std::string out = "panic: " + describe(g->root_promise->error) + "\n";
  append_goroutine(out, g);
  last_words(out);
}

void report_uncaught(Goroutine* g) noexcept {
  if (ended_quietly(g->root_promise->error)) {
    last_words("fatal error: main was cancelled or called goexit\n");
  }
  report_unseen(g);
}

void fatal(const char* what) noexcept {
  std::string out = "fatal error: ";
  out += what;
  out += "\n";
  if (const Goroutine* g = current_goroutine()) append_goroutine(out, g);
  last_words(out);
}

}  // namespace ringo::detail

namespace ringo {

struct Panic::Text {
  std::atomic<unsigned> references{1};
  std::string what;
};

Panic::Panic(const char* what, std::source_location where) : text_(new Text), where_(where) {
  text_->what = what;
}
Panic::Panic(const Panic& other) noexcept
    : std::exception(other), text_(other.text_), where_(other.where_) {
  text_->references.fetch_add(1, std::memory_order_relaxed);
}
Panic& Panic::operator=(const Panic& other) noexcept {
  Panic copy(other);
  std::swap(text_, copy.text_);
  where_ = copy.where_;
  return *this;
}
Panic::~Panic() {
  if (text_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete text_;
}
const char* Panic::what() const noexcept { return text_->what.c_str(); }

void panic(const char* what, std::source_location where) { throw Panic(what, where); }

void goexit() {
  if (detail::current_goroutine() == nullptr) panic("goexit: called outside a goroutine");
  throw detail::Goexit{};
}

}  // namespace ringo
