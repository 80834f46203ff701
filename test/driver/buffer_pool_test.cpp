// The receive buffers, with this test in the place of the kernel.
#include "driver/buffer_pool.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <set>

#include "harness.hpp"

using namespace driver_test;

namespace {

// Reads the ring as the kernel does: entries from a head of its own up to the tail.
class Kernel {
 public:
  explicit Kernel(const BufferPool& pool) : pool_(pool) {}

  struct Entry {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t id;
    std::uint16_t tail;
  };

  unsigned offered() const {
    const std::uint16_t tail = entries()[0].tail;
    return static_cast<std::uint16_t>(tail - head_);
  }
  Entry next() {
    REQUIRE(offered() != 0);
    return entries()[head_++ % pool_.count()];
  }

 private:
  const Entry* entries() const { return static_cast<const Entry*>(pool_.ring()); }
  const BufferPool& pool_;
  std::uint16_t head_ = 0;
};

TEST_CASE("every buffer is offered once, with its own memory") {
  for (const unsigned count : {1u, 2u, 32u, 64u, 1024u}) {
    CAPTURE(count);
    BufferPool pool;
    REQUIRE(pool.open(count, 256) == 0);
    CHECK(pool.available() == count);
    Kernel kernel(pool);
    std::set<unsigned> ids;
    std::vector<ReceivedBuffer> out;
    for (unsigned i = 0; i < count; ++i) {
      if (kernel.offered() == 0) pool.ran_out();
      const Kernel::Entry entry = kernel.next();
      CHECK(entry.length == 256);
      CHECK(ids.insert(entry.id).second);
      out.push_back(pool.take(entry.id, 200));
      CHECK(reinterpret_cast<std::uint64_t>(out.back().data) == entry.address);
      CHECK(out.back().size == 200);
      std::memset(out.back().data, static_cast<int>(i), 200);
    }
    CHECK(pool.available() == 0);
    CHECK(kernel.offered() == 0);
    pool.ran_out();
    CHECK(kernel.offered() == 0);
    for (unsigned i = 0; i < count; ++i) {
      CHECK(out[i].data[0] == static_cast<std::byte>(i));
      CHECK(out[i].data[199] == static_cast<std::byte>(i));
      pool.give_back(out[i]);
    }
    CHECK(pool.available() == count);
  }
}

TEST_CASE("few buffers go round while few are needed") {
  BufferPool pool;
  REQUIRE(pool.open(256, 64) == 0);
  Kernel kernel(pool);
  std::set<unsigned> ids;
  std::deque<ReceivedBuffer> out;
  // 70000 rounds: the tail has 16 bits and goes round too.
  for (int i = 0; i < 70'000; ++i) {
    const Kernel::Entry entry = kernel.next();
    ids.insert(entry.id);
    out.push_back(pool.take(entry.id, 64));
    if (out.size() == 8) {
      pool.give_back(out.front());
      out.pop_front();
    }
    CHECK(pool.available() + out.size() == 256);
  }
  CHECK(ids.size() <= 48);
  while (!out.empty()) {
    pool.give_back(out.front());
    out.pop_front();
  }

  // When the kernel runs out, it is given more.
  const auto take_all = [&] {
    unsigned taken = 0;
    for (; kernel.offered() != 0; ++taken) out.push_back(pool.take(kernel.next().id, 64));
    return taken;
  };
  CHECK(take_all() == 256);  // what is taken is replaced while there is any left
  for (const ReceivedBuffer& buffer : out) pool.give_back(buffer);
  out.clear();
  const unsigned before = kernel.offered();
  CHECK(before < 256);
  pool.ran_out();
  CHECK(kernel.offered() == 2 * before);
  for (int i = 0; i < 10; ++i) pool.ran_out();
  CHECK(kernel.offered() == 256);
}

TEST_CASE("spare blocks are kept for the next time, within reason") {
  BufferPool pool;
  REQUIRE(pool.open(4, 100) == 0);
  std::vector<ReceivedBuffer> out;
  for (int i = 0; i < 200; ++i) {
    out.push_back(pool.spare());
    REQUIRE(out.back().data != nullptr);
    CHECK(out.back().size == 100);
    std::memset(out.back().data, 1, out.back().size);
  }
  for (const ReceivedBuffer& buffer : out) pool.give_back(buffer);
  CHECK(pool.available() == 4);
  const ReceivedBuffer again = pool.spare();
  CHECK(std::any_of(out.begin(), out.end(),
                    [&](const ReceivedBuffer& buffer) { return buffer.data == again.data; }));
  pool.give_back(again);

  BufferPool large;
  REQUIRE(large.open(4, 65536) == 0);
  const ReceivedBuffer spare = large.spare();
  CHECK(spare.size < 65536);
  std::memset(spare.data, 1, spare.size);
  large.give_back(spare);
}

}  // namespace
