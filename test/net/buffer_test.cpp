// Bytes that recv() lends, small transfers and large ones.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "base/sanitizers.hpp"
#include "net_fixture.hpp"

namespace ringo::test {

RINGO_TEST("recv lends bytes without a copy, to whichever worker") {
  Pair pair = co_await connected();
  constexpr std::uint64_t total = 2'000'000;
  auto writer = go([&]() -> Task<> {
    for (std::uint64_t at = 0; at < total; at += 1000) {
      REQUIRE(co_await pair.a.write(pattern(at, 1000)));
    }
    CHECK(pair.a.shutdown_write());
  });
  Channel<net::Buffer> elsewhere(16);
  auto checker = go([&]() -> Task<> {
    std::uint64_t at = 0;
    while (std::optional<net::Buffer> buffer = co_await elsewhere.recv()) {
      const auto* data = reinterpret_cast<const std::uint8_t*>(buffer->data());
      REQUIRE_EQ(first_wrong(data, buffer->size(), at), buffer->size());
      at += buffer->size();
      if (at % 3 == 0) co_await yield();
    }
    CHECK_EQ(at, total);
  });
  for (;;) {
    Result<net::Buffer> buffer = co_await pair.b.recv();
    if (!buffer) {
      CHECK(buffer.error() == Errc::eof);
      break;
    }
    CHECK_FALSE(buffer->empty());
    co_await elsewhere.send(std::move(*buffer));
  }
  elsewhere.close();
  co_await checker;
  co_await writer;
}

RINGO_TEST("recv and read take turns on one stream") {
  Pair pair = co_await connected();
  constexpr std::uint64_t total = 1'000'000;
  auto writer = go([&]() -> Task<> {
    REQUIRE(co_await pair.a.write(pattern(0, total)));
    CHECK(pair.a.shutdown_write());
  });
  Dice dice(7);
  std::uint64_t at = 0;
  std::vector<std::uint8_t> memory(40'000);
  while (at < total) {
    if (dice.below(2) == 0) {
      Result<net::Buffer> buffer = co_await pair.b.recv();
      REQUIRE(buffer);
      const auto* data = reinterpret_cast<const std::uint8_t*>(buffer->data());
      REQUIRE_EQ(first_wrong(data, buffer->size(), at), buffer->size());
      at += buffer->size();
    } else {
      const std::size_t size = 1 + dice.below(static_cast<std::uint32_t>(memory.size()));
      const Result<std::size_t> n = co_await pair.b.read(memory.data(), size);
      REQUIRE(n);
      REQUIRE_EQ(first_wrong(memory.data(), *n, at), *n);
      at += *n;
    }
  }
  co_await writer;
}

RINGO_TEST("a large transfer comes in large buffers, small messages in small ones again") {
  Pair pair = co_await connected();
  std::uint64_t at = 0;
  for (int round = 0; round < 3; ++round) {
    constexpr std::size_t large = 4'000'000;
    auto writer = go([&, at]() -> Task<> { CHECK(co_await pair.a.write(pattern(at, large))); });
    std::size_t largest = 0;
    for (const std::uint64_t end = at + large; at < end;) {
      const Result<net::Buffer> buffer = co_await pair.b.recv();
      REQUIRE(buffer);
      const auto* data = reinterpret_cast<const std::uint8_t*>(buffer->data());
      REQUIRE_EQ(first_wrong(data, buffer->size(), at), buffer->size());
      at += buffer->size();
      largest = std::max(largest, buffer->size());
      if (largest <= 16 * 1024) co_await sleep_for(100us);  // the writer gets ahead
    }
    CHECK_GT(largest, 16 * 1024);
    co_await writer;
    for (int i = 0; i < 50; ++i) {
      REQUIRE(co_await pair.a.write(pattern(at, 100)));
      const Result<net::Buffer> buffer = co_await pair.b.recv();
      REQUIRE(buffer);
      REQUIRE_EQ(buffer->size(), 100);
      at += 100;
    }
  }
}

#if !RINGO_ASAN  // which never gives out memory again so soon

RINGO_TEST_PINNED("in large transfers one block after the other is filled and dealt with") {
  constexpr std::size_t connections = 8;
  constexpr std::size_t message = 64 * 1024;
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < connections; ++i) pairs.push_back(co_await connected());
  std::set<const std::byte*> blocks;  // of one round
  Channel<> dealt_with(connections);
  std::vector<JoinHandle<>> readers;
  for (Pair& pair : pairs) {
    readers.push_back(go_on(0, [&]() -> Task<> {
      for (std::size_t have = 0;;) {
        {
          const Result<net::Buffer> buffer = co_await pair.b.recv();
          if (!buffer) break;
          blocks.insert(buffer->data());
          have += buffer->size();
        }
        if (have % message == 0) co_await dealt_with.send();
      }
    }));
  }
  // The first messages tell that these are large transfers; a later one may arrive in parts.
  std::size_t fewest = connections;
  const std::vector<std::uint8_t> bytes = pattern(0, message);
  for (int round = 0; round < 100 && fewest > 2; ++round) {
    blocks.clear();
    for (Pair& pair : pairs) REQUIRE(co_await pair.a.write(bytes));
    for (std::size_t i = 0; i < connections; ++i) co_await dealt_with.recv();
    fewest = std::min(fewest, blocks.size());
  }
  CHECK_LE(fewest, 2);
  for (Pair& pair : pairs) CHECK(pair.a.close());
  for (auto& reader : readers) co_await reader;
}

#endif

RINGO_TEST("messages of all sizes: from small to large transfers and back") {
  for (const bool lends : {false, true}) {
    Pair pair = co_await connected();
    auto echo = go([&]() -> Task<> {
      std::vector<char> buffer(64 * 1024);
      for (;;) {
        if (lends) {
          const Result<net::Buffer> lent = co_await pair.b.recv();
          if (!lent || !co_await pair.b.write(lent->data(), lent->size())) break;
        } else {
          const Result<std::size_t> n = co_await pair.b.read(buffer);
          if (!n || !co_await pair.b.write(buffer.data(), *n)) break;
        }
      }
    });
    std::uint64_t at = 0;
    for (std::size_t size :
         {1,  64, 4095, 4096, 4097, 65536, 200'000, 65536, 65536,   10, 10,        10, 10,
          10, 10, 10,   10,   10,   10,    10,      4096,  100'000, 3,  1'000'000, 1}) {
      const std::vector<std::uint8_t> sent = pattern(at, size);
      auto writer = go([&]() -> Task<> { CHECK(co_await pair.a.write(sent)); });
      std::vector<std::uint8_t> back(size);
      REQUIRE((co_await pair.a.read_exact(std::as_writable_bytes(std::span(back)))));
      REQUIRE_EQ(first_wrong(back.data(), size, at), size);
      co_await writer;
      at += size;
    }
    CHECK(pair.a.close());
    co_await echo;
  }
}

}  // namespace ringo::test
