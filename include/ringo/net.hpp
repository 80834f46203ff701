// All of ringo::net.
#pragma once

#include <ringo/net/address.hpp>
#include <ringo/net/buffer.hpp>
#include <ringo/net/resolve.hpp>
#include <ringo/net/tcp.hpp>
