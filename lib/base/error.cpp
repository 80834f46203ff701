#include <ringo/error.hpp>

#include <netdb.h>

#include <cassert>
#include <cerrno>
#include <cstring>

namespace ringo {

namespace {

class RingoCategory final : public std::error_category {
 public:
  constexpr RingoCategory() noexcept = default;
  const char* name() const noexcept override { return "ringo"; }
  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::eof:
        return "end of file";
      case Errc::closed:
        return "use of closed connection";
      case Errc::timeout:
        return "timeout";
      case Errc::canceled:
        return "context canceled";
      case Errc::deadline_exceeded:
        return "context deadline exceeded";
    }
    return "unknown error " + std::to_string(code);
  }
  std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<Errc>(code)) {
      case Errc::timeout:
      case Errc::deadline_exceeded:
        return std::errc::timed_out;
      case Errc::canceled:
        return std::errc::operation_canceled;
      default:
        return {code, *this};
    }
  }
};

class LookupCategory final : public std::error_category {
 public:
  constexpr LookupCategory() noexcept = default;
  const char* name() const noexcept override { return "lookup"; }
  std::string message(int code) const override { return ::gai_strerror(code); }
};

// Constant-initialised and never destroyed: errors are made and compared before main and by
// destructors of static objects.
template <class Category>
union Immortal {
  Category category;
  constexpr Immortal() noexcept : category() {}
  ~Immortal() {}
};
constinit const Immortal<RingoCategory> ringo_errors;
constinit const Immortal<LookupCategory> lookup_errors;

std::string subject(const Error& error) {
  std::string text = error.op();
  if (!error.detail().empty()) {
    if (!text.empty()) text += ' ';
    text += error.detail();
  }
  return text;
}

}  // namespace

const std::error_category& ringo_category() noexcept { return ringo_errors.category; }

const std::error_category& lookup_category() noexcept { return lookup_errors.category; }

Error::Error(std::error_code code, const char* op, std::string_view detail) noexcept
    : code_(code), op_(op) {
  assert(op != nullptr);
  if (detail.size() < detail_size) {
    detail.copy(detail_, detail.size());
    return;
  }
  constexpr std::string_view dots = "...";
  std::size_t kept = detail_size - 1 - dots.size();
  // Not in the middle of a UTF-8 character.
  while (kept > 0 && (static_cast<unsigned char>(detail[kept]) & 0xC0) == 0x80) --kept;
  detail.copy(detail_, kept);
  dots.copy(detail_ + kept, dots.size());
}

Error Error::from_lookup(int code, const char* op, std::string_view detail) noexcept {
  if (code == EAI_SYSTEM) return from_errno(errno, op, detail);
  return Error(std::error_code(code, lookup_category()), op, detail);
}

std::string Error::message() const {
  const std::string text = subject(*this);
  return text.empty() ? code_.message() : text + ": " + code_.message();
}

// std::system_error puts the code's message behind the text, as message() does.
BadResult::BadResult(const Error& error)
    : std::system_error(subject(error).empty() ? std::system_error(error.code())
                                               : std::system_error(error.code(), subject(error))),
      error_(error) {}

void detail::throw_bad_result(const Error& error) { throw BadResult(error); }

}  // namespace ringo
