#include <ringo/net/address.hpp>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

using ringo::Result;
using ringo::net::Address;

namespace {

std::string read_back(const char* text) {
  const Result<Address> address = Address::parse(text);
  return address ? address->to_string() : "error: " + address.error().message();
}

}  // namespace

TEST_CASE("addresses are read and written") {
  CHECK_EQ(read_back("127.0.0.1:80"), "127.0.0.1:80");
  CHECK_EQ(read_back("0.0.0.0:0"), "0.0.0.0:0");
  CHECK_EQ(read_back("255.255.255.255:65535"), "255.255.255.255:65535");
  CHECK_EQ(read_back("[::1]:443"), "[::1]:443");
  CHECK_EQ(read_back("[::]:7"), "[::]:7");
  CHECK_EQ(read_back("[2001:DB8:0::5]:7"), "[2001:db8::5]:7");
  CHECK_EQ(read_back("[::ffff:1.2.3.4]:7"), "[::ffff:1.2.3.4]:7");
  CHECK_EQ(read_back("[fe80::1%lo]:7"), "[fe80::1%lo]:7");
  CHECK_EQ(Address().to_string(), "");
}

TEST_CASE("a port alone means any address") {
  const Result<Address> any = Address::parse(":8080");
  REQUIRE(any);
  CHECK(any->is_any());
  CHECK_EQ(any->port(), 8080);
  CHECK_EQ(*any, Address::any(8080));
}

TEST_CASE("what is no address is an error that names the text") {
  for (const char* text :
       {"", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
        "127.0.0.1:0x50", "127.0.0.1: 80", " 127.0.0.1:80", "127.0.0.1:80 ", "127.0.0.1:000080",
        "127.0.0:80", "127.0.0.256:80", "localhost:80", "::1:80", "[::1]", "[::1]80", "[::1:80",
        "::1]:80", "[127.0.0.1]:80", "[]:80", "[:::]:80", "[fe80::1%nosuchlink]:80",
        "1.2.3.4:http"}) {
    const Result<Address> address = Address::parse(text);
    CHECK_MESSAGE(!address, text);
    CHECK_NE(address.error().message().find(text), std::string::npos);
  }
  const std::string endless(10000, '1');
  CHECK(!Address::parse(endless + ":80"));
}

TEST_CASE("addresses go to the system and come back") {
  for (const char* text : {"1.2.3.4:5", "[1:2:3:4:5:6:7:8]:9", "[fe80::1%lo]:7"}) {
    sockaddr_in6 storage;
    const Address address = *Address::parse(text);
    CHECK_EQ(address.to_system(&storage),
             address.is_v4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    CHECK_EQ(Address::from_system(reinterpret_cast<sockaddr*>(&storage)), address);
  }
}

TEST_CASE("addresses compare") {
  CHECK_EQ(*Address::parse("127.0.0.1:80"), Address::loopback(80));
  CHECK_NE(Address::loopback(80), Address::loopback(81));
  CHECK_LT(Address::loopback(80), Address::loopback(81));
  CHECK_NE(*Address::parse("[::]:80"), *Address::parse("0.0.0.0:80"));
  CHECK(Address::loopback(1).is_loopback());
  CHECK(Address::parse("[::1]:1")->is_loopback());
  CHECK_FALSE(Address::parse("10.0.0.1:1")->is_loopback());
}
