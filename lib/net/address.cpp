#include <ringo/net/address.hpp>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

namespace ringo {

namespace {

Error bad(std::string_view text, std::errc code = std::errc::invalid_argument) noexcept {
  return Error(std::make_error_code(code), "address", text);
}

}  // namespace

namespace detail {

Result<HostPort> split_host_port(std::string_view text) noexcept {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad(text);
  HostPort parts{text.substr(0, colon), text.substr(colon + 1)};
  if (!parts.host.empty() && parts.host.front() == '[') {
    if (parts.host.back() != ']') return bad(text);
    parts.host = parts.host.substr(1, parts.host.size() - 2);
    if (parts.host.find(':') == std::string_view::npos) return bad(text);
  } else if (parts.host.find(':') != std::string_view::npos) {
    return bad(text);  // "::1:80" may mean two things
  }
  return parts;
}

}  // namespace detail

namespace net {

namespace {

/// Decimal digits only, at most 65535.
bool parse_port(std::string_view text, std::uint16_t& port) noexcept {
  if (text.empty() || text.size() > 5) return false;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > 65535) return false;
  port = static_cast<std::uint16_t>(value);
  return true;
}

bool host_has_v6() noexcept {
  const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

/// The name of an interface, or its number.
bool parse_scope(const char* text, std::uint32_t& scope) noexcept {
  scope = ::if_nametoindex(text);
  if (scope != 0) return true;
  const char* last = text + std::strlen(text);
  const auto [end, error] = std::from_chars(text, last, scope);
  return error == std::errc{} && end == last;
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
  const Result<ringo::detail::HostPort> parts = ringo::detail::split_host_port(text);
  if (!parts) return parts.error();
  std::uint16_t port = 0;
  if (!parse_port(parts->port, port)) return bad(text);
  if (text.front() == ':') return any(port);

  char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
  if (parts->host.size() >= sizeof host) return bad(text);
  std::memcpy(host, parts->host.data(), parts->host.size());
  host[parts->host.size()] = '\0';
  Address result;
  result.port_ = port;
  if (text.front() != '[') {
    if (::inet_pton(AF_INET, host, result.bytes_.data()) != 1) return bad(text);
    result.family_ = Family::v4;
    return result;
  }
  if (char* const percent = std::strchr(host, '%')) {
    *percent = '\0';
    if (!parse_scope(percent + 1, result.scope_)) return bad(text, std::errc::no_such_device);
  }
  if (::inet_pton(AF_INET6, host, result.bytes_.data()) != 1) return bad(text);
  result.family_ = Family::v6;
  return result;
}

Address Address::any(std::uint16_t port) noexcept {
  static const bool v6 = host_has_v6();
  Address result;
  result.family_ = v6 ? Family::v6 : Family::v4;
  result.port_ = port;
  return result;
}

Address Address::any_v4(std::uint16_t port) noexcept {
  Address result;
  result.family_ = Family::v4;
  result.port_ = port;
  return result;
}

Address Address::loopback(std::uint16_t port) noexcept {
  Address result = any_v4(port);
  result.bytes_[0] = 127;
  result.bytes_[3] = 1;
  return result;
}

bool Address::is_any() const noexcept {
  return family_ != Family::none && bytes_ == std::array<std::uint8_t, 16>{};
}

bool Address::is_loopback() const noexcept {
  if (family_ == Family::v4) return bytes_[0] == 127;
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  return family_ == Family::v6 && bytes_ == one;
}

std::string Address::host() const {
  if (family_ == Family::none) return {};
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(family_ == Family::v4 ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
  std::string result = text;
  if (scope_ != 0) {
    char name[IF_NAMESIZE];
    result += '%';
    result += ::if_indextoname(scope_, name) != nullptr ? name : std::to_string(scope_);
  }
  return result;
}

std::string Address::to_string() const {
  switch (family_) {
    case Family::none:
      return {};
    case Family::v4:
      return host() + ':' + std::to_string(port_);
    case Family::v6:
      return '[' + host() + "]:" + std::to_string(port_);
  }
  return {};
}

Address Address::from_system(const sockaddr* address) noexcept {
  Address result;
  if (address->sa_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof in);
    result.family_ = Family::v4;
    result.port_ = ntohs(in.sin_port);
    std::memcpy(result.bytes_.data(), &in.sin_addr, 4);
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 in;
    std::memcpy(&in, address, sizeof in);
    result.family_ = Family::v6;
    result.port_ = ntohs(in.sin6_port);
    result.scope_ = in.sin6_scope_id;
    std::memcpy(result.bytes_.data(), &in.sin6_addr, 16);
  }
  return result;
}

unsigned Address::to_system(void* storage) const noexcept {
  if (family_ == Family::v4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port_);
    std::memcpy(&in.sin_addr, bytes_.data(), 4);
    std::memcpy(storage, &in, sizeof in);
    return sizeof in;
  }
  sockaddr_in6 in{};
  in.sin6_family = family_ == Family::v6 ? AF_INET6 : AF_UNSPEC;
  in.sin6_port = htons(port_);
  in.sin6_scope_id = scope_;
  std::memcpy(&in.sin6_addr, bytes_.data(), 16);
  std::memcpy(storage, &in, sizeof in);
  return sizeof in;
}

}  // namespace net
}  // namespace ringo
