// Addresses: an IP address with a port.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include <ringo/result.hpp>

struct sockaddr;

namespace ringo::net {

/// An IPv4 or IPv6 address and a port. A plain value: 24 bytes, trivially copyable, ordered.
class Address {
 public:
  enum class Family : std::uint8_t { none, v4, v6 };

  /// No address: what a socket has that is connected to nothing.
  Address() noexcept = default;

  /// Reads "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", or ":80", which is that port of any
  /// address. Numbers only; names are for resolve(). The error names the text.
  static Result<Address> parse(std::string_view text);

  /// Any address of this host, IPv6 with IPv4 included ("[::]:80"); where there is no IPv6, IPv4.
  static Address any(std::uint16_t port) noexcept;
  static Address any_v4(std::uint16_t port) noexcept;
  static Address loopback(std::uint16_t port) noexcept;

  Family family() const noexcept { return family_; }
  bool is_v4() const noexcept { return family_ == Family::v4; }
  bool is_v6() const noexcept { return family_ == Family::v6; }
  std::uint16_t port() const noexcept { return port_; }
  void set_port(std::uint16_t port) noexcept { port_ = port; }
  /// The bytes in network order, the first 4 for IPv4.
  const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
  bool is_loopback() const noexcept;
  bool is_any() const noexcept;

  /// "127.0.0.1:80", "[::1]:80"; "" for no address.
  std::string to_string() const;
  /// As to_string(), without the port: "127.0.0.1", "::1".
  std::string host() const;

  friend bool operator==(const Address&, const Address&) noexcept = default;
  friend std::strong_ordering operator<=>(const Address&, const Address&) noexcept = default;

  /// Conversion from and to what the system calls take. `storage` has room for 28 bytes; returns
  /// the number used. An unknown family gives no address.
  static Address from_system(const sockaddr* address) noexcept;
  unsigned to_system(void* storage) const noexcept;

 private:
  Family family_ = Family::none;
  std::uint16_t port_ = 0;
  std::uint32_t scope_ = 0;  // interface of a link-local IPv6 address
  std::array<std::uint8_t, 16> bytes_{};
};

}  // namespace ringo::net

namespace ringo::detail {

/// "host:port" taken apart, brackets removed. The error names the text.
struct HostPort {
  std::string_view host;
  std::string_view port;
};
Result<HostPort> split_host_port(std::string_view text) noexcept;

}  // namespace ringo::detail
