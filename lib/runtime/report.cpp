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
#include <ringo/protect.hpp>

#include "runtime/chain.hpp"
#include "runtime/throw_trace.hpp"

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
    text += ':';
    text += std::to_string(panic->where().line());
    text += ']';
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

}  // namespace

void last_words(const std::string& text) noexcept {
  std::fflush(stdout);
  DescriptorSink(STDERR_FILENO) << text;
  ::_exit(2);
}

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

bool ended_by_goexit(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const Goexit&) {
    return true;
  } catch (...) {
    return false;
  }
}

void report_unseen(Goroutine* g) noexcept {
  if (ended_quietly(g->root->error)) return;
  StringSink out;
  out << "panic: " << describe(g->root->error) << "\n\n";
  write_thrown(out, *g);
  last_words(out.text);
}

void report_uncaught(Goroutine* g) noexcept {
  if (ended_quietly(g->root->error)) {
    last_words("fatal error: main was cancelled\n");
  }
  report_unseen(g);
}

void fatal(const char* what) noexcept {
  StringSink out;
  out << "fatal error: " << what << "\n";
  if (const Goroutine* g = current_goroutine()) {
    out << "\n";
    write_goroutine(out, *g, Activity::running, 0);
  }
  last_words(out.text);
}

}  // namespace ringo::detail

namespace ringo {

void detail::throw_no_value() { panic("an Outcome without a value needs an exception"); }

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
