// Where reports are written to. Nothing here allocates or locks, so that a report can be written
// from a signal handler.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace ringo::detail {

class TextSink {
 public:
  virtual void write(std::string_view text) noexcept = 0;

  TextSink& operator<<(std::string_view text) noexcept {
    write(text);
    return *this;
  }
  TextSink& operator<<(std::uint64_t number) noexcept {
    char digits[20];
    auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
    static_cast<void>(error);  // 20 digits are enough
    write({digits, static_cast<std::size_t>(end - digits)});
    return *this;
  }

 protected:
  ~TextSink() = default;
};

/// Collects in memory; the one sink that allocates. What does not fit in memory is dropped. Not
/// while the world stands still: a worker that is held by force may hold malloc's lock.
class StringSink final : public TextSink {
 public:
  void write(std::string_view part) noexcept override {
    try {
      text.append(part);
    } catch (...) {
    }
  }
  std::string text;
};

/// Collects in memory that comes straight from the kernel, hence while the world stands still, too.
/// What does not fit in memory is dropped.
class MappedSink final : public TextSink {
 public:
  MappedSink() = default;
  MappedSink(const MappedSink&) = delete;
  MappedSink& operator=(const MappedSink&) = delete;
  ~MappedSink() {
    if (data_ != nullptr) ::munmap(data_, size_);
  }

  void write(std::string_view part) noexcept override {
    if (part.size() > size_ - used_ && !grow(used_ + part.size())) return;
    std::memcpy(data_ + used_, part.data(), part.size());
    used_ += part.size();
  }
  std::string_view text() const noexcept { return {data_, used_}; }

 private:
  bool grow(std::size_t needed) noexcept {
    std::size_t size = size_ == 0 ? 64 * 1024 : 2 * size_;
    while (size < needed) size *= 2;
    void* more = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (more == MAP_FAILED) return false;
    if (data_ != nullptr) {
      std::memcpy(more, data_, used_);
      ::munmap(data_, size_);
    }
    data_ = static_cast<char*>(more);
    size_ = size;
    return true;
  }

  char* data_ = nullptr;
  std::size_t used_ = 0;
  std::size_t size_ = 0;
};

/// Writes to a descriptor through a small buffer of its own.
class DescriptorSink final : public TextSink {
 public:
  explicit DescriptorSink(int descriptor) noexcept : descriptor_(descriptor) {}
  DescriptorSink(const DescriptorSink&) = delete;
  DescriptorSink& operator=(const DescriptorSink&) = delete;
  ~DescriptorSink() { flush(); }

  void write(std::string_view part) noexcept override {
    while (!part.empty()) {
      if (used_ == sizeof buffer_) flush();
      const std::size_t n =
          part.size() < sizeof buffer_ - used_ ? part.size() : sizeof buffer_ - used_;
      std::memcpy(buffer_ + used_, part.data(), n);
      used_ += n;
      part.remove_prefix(n);
    }
  }

  /// A descriptor that takes no more loses the rest.
  void flush() noexcept {
    std::size_t written = 0;
    while (written < used_) {
      const ssize_t n = ::write(descriptor_, buffer_ + written, used_ - written);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      written += static_cast<std::size_t>(n);
    }
    used_ = 0;
  }

 private:
  int descriptor_;
  std::size_t used_ = 0;
  char buffer_[4096];
};

}  // namespace ringo::detail
