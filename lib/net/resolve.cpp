#include <ringo/net/resolve.hpp>

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include <ringo/blocking.hpp>

namespace ringo::net {

namespace {

struct Lookup {
  int code = 0;
  int error = 0;  // errno
  std::vector<Address> addresses;
};

/// On a thread of the pool.
Lookup look_up(const std::string& host, const std::string& service) {
  Lookup lookup;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  lookup.code =
      ::getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &list);
  lookup.error = errno;
  if (lookup.code != 0) return lookup;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    const Address address = Address::from_system(one->ai_addr);
    if (address.family() != Address::Family::none) lookup.addresses.push_back(address);
  }
  ::freeaddrinfo(list);
  return lookup;
}

}  // namespace

Task<Result<std::vector<Address>>> resolve(std::string target) {
  if (const Result<Address> address = Address::parse(target)) {
    co_return std::vector<Address>{*address};
  }
  const Result<ringo::detail::HostPort> parts = ringo::detail::split_host_port(target);
  if (!parts) co_return Error(parts.error().code(), "lookup", target);
  std::string host(parts->host);
  std::string service(parts->port);
  Lookup lookup = co_await blocking(&look_up, std::move(host), std::move(service));
  if (lookup.code == 0 && lookup.addresses.empty()) lookup.code = EAI_NONAME;
  if (lookup.code != 0) {
    errno = lookup.error;
    co_return Error::from_lookup(lookup.code, "lookup", target);
  }
  co_return std::move(lookup.addresses);
}

}  // namespace ringo::net
