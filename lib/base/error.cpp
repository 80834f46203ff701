#include <ringo/error.hpp>

#include <netdb.h>

#include <cstring>
#include <ringo/result.hpp>

namespace ringo {

namespace {

class RingoCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "ringo"; }
  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::eof: return "end of file";
      case Errc::closed: return "use of closed connection";
      case Errc::no_runtime: return "no runtime is running";
    }
    return "unknown error " + std::to_string(code);
  }
};

class LookupCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "lookup"; }
  std::string message(int code) const override { return ::gai_strerror(code); }
};

}  // namespace

const std::error_category& ringo_category() noexcept {
  static const RingoCategory category;
  return category;
}

const std::error_category& lookup_category() noexcept {
  static const LookupCategory category;
  return category;
}

Error::Error(std::error_code code, const char* op, std::string_view detail) noexcept
    : code_(code), op_(op) {
  if (detail.size() < detail_size) {
    std::memcpy(detail_, detail.data(), detail.size());
  } else {
    std::memcpy(detail_, detail.data(), detail_size - 4);
    std::memcpy(detail_ + detail_size - 4, "...", 4);
  }
}

std::string Error::message() const {
  std::string text = op_;
  if (detail_[0] != '\0') {
    if (!text.empty()) text += ' ';
    text += detail_;
  }
  if (!text.empty()) text += ": ";
  return text + code_.message();
}

BadResult::BadResult(const Error& error)
    : std::system_error(error.code()), error_(error), what_(error.message()) {}

void detail::throw_bad_result(const Error& error) { throw BadResult(error); }

}  // namespace ringo
