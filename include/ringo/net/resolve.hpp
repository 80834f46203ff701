// Names to addresses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <ringo/net/address.hpp>
#include <ringo/result.hpp>
#include <ringo/task.hpp>

namespace ringo::net {

/// The addresses that "host:port" stands for, in the order in which to try them; the port may be a
/// service name ("example.org:https"). Numeric addresses take no time; names are looked up with
/// getaddrinfo(3) in a thread of the pool of blocking(). Cancellable: the look-up then goes on
/// unheard. Errors name the text: "lookup nosuch.invalid:80: Name or service not known". In
/// goroutines.
Task<Result<std::vector<Address>>> resolve(std::string target);

}  // namespace ringo::net
