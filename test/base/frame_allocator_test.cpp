#include <doctest/doctest.h>
#include <ringo/detail/frame_allocator.hpp>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "base/sanitizers.hpp"

#if RINGO_ASAN
#include <sanitizer/asan_interface.h>
constexpr bool from_heap = true;
#else
constexpr bool from_heap = false;
#endif

using ringo::detail::frame_allocate;
using ringo::detail::frame_free;
using ringo::detail::frame_stats;

namespace {

// A frame filled with a pattern of its own, to notice overlapping blocks.
struct Filled {
  std::size_t size;
  unsigned char* bytes;
  unsigned char pattern;

  explicit Filled(std::size_t n, unsigned char p)
      : size(n), bytes(static_cast<unsigned char*>(frame_allocate(n))), pattern(p) {
    std::memset(bytes, pattern, size);
  }
  bool intact() const {
    for (std::size_t i = 0; i < size; ++i)
      if (bytes[i] != pattern) return false;
    return true;
  }
  void free() { frame_free(bytes, size); }
};

// Allocated before main, freed by a test.
void* const before_main = frame_allocate(200);

}  // namespace

TEST_CASE("frames of every size are aligned, disjoint and usable to the last byte") {
  const auto live = frame_stats().live;
  std::vector<Filled> frames;
  std::vector<std::size_t> sizes;
  for (std::size_t size = 1; size <= 5000; ++size) sizes.push_back(size);
  for (std::size_t size = 5001; size <= 17'000; size += 61) sizes.push_back(size);
  for (std::size_t size = 17'001; size <= 70'000; size += 1021) sizes.push_back(size);
  for (std::size_t size : sizes) frames.emplace_back(size, static_cast<unsigned char>(size * 7));
  CHECK(frame_stats().live == live + sizes.size());
  bool aligned = true;
  bool intact = true;
  for (const Filled& frame : frames) {
    aligned = aligned && reinterpret_cast<std::uintptr_t>(frame.bytes) % 16 == 0;
    intact = intact && frame.intact();
  }
  CHECK(aligned);
  CHECK(intact);
  for (Filled& frame : frames) frame.free();
  CHECK(frame_stats().live == live);
  CHECK(frame_stats().live_large == (from_heap ? live : 0));
}

TEST_CASE("a freed frame is the next one of its size class") {
  if (from_heap) return;  // there the quarantine keeps it
  for (std::size_t size :
       {24u, 64u, 100u, 512u, 513u, 1000u, 4096u, 4097u, 16384u, 16385u, 65536u}) {
    void* a = frame_allocate(size);
    void* b = frame_allocate(size);
    frame_free(a, size);
    frame_free(b, size);
    CHECK(frame_allocate(size) == b);
    CHECK(frame_allocate(size) == a);
    frame_free(a, size);
    frame_free(b, size);
  }
}

TEST_CASE("freed frames are used again instead of new memory") {
  if (from_heap) return;
  constexpr std::size_t size = 304;
  std::vector<void*> frames(10'000);
  for (void*& frame : frames) frame = frame_allocate(size);
  for (void* frame : frames) frame_free(frame, size);
  const auto before = frame_stats();
  CHECK(before.cached >= 10'000);
  for (int round = 0; round < 20; ++round) {
    for (void*& frame : frames) frame = frame_allocate(size);
    CHECK(frame_stats().cached <= before.cached - 10'000);
    for (void* frame : frames) frame_free(frame, size);
  }
  CHECK(frame_stats().chunk_bytes == before.chunk_bytes);
  CHECK(frame_stats().cached == before.cached);
}

TEST_CASE("a thread gives its free frames back when it ends") {
  if (from_heap) return;
  constexpr std::size_t size = 720;
  auto use = [] {
    // Enough for full lists, a spare and a partial list.
    std::vector<void*> frames(1'001);
    for (void*& frame : frames) frame = frame_allocate(size);
    for (void* frame : frames) frame_free(frame, size);
  };
  std::thread(use).join();
  const auto before = frame_stats();
  for (int i = 0; i < 50; ++i) std::thread(use).join();
  const auto after = frame_stats();
  CHECK(after.chunk_bytes == before.chunk_bytes);
  CHECK(after.cached == before.cached);
  CHECK(after.live == before.live);
}

TEST_CASE("frames freed on another thread come back") {
  if (from_heap) return;
  constexpr std::size_t size = 176;
  constexpr int total = 500'000;
  constexpr std::size_t window = 1'000;
  std::mutex mutex;
  std::deque<void*> queue;
  const auto before = frame_stats();
  std::thread consumer([&] {
    for (int taken = 0; taken < total;) {
      std::deque<void*> mine;
      {
        std::lock_guard lock(mutex);
        mine.swap(queue);
      }
      if (mine.empty()) std::this_thread::yield();
      for (void* frame : mine) frame_free(frame, size);
      taken += static_cast<int>(mine.size());
    }
  });
  for (int made = 0; made < total;) {
    std::unique_lock lock(mutex);
    if (queue.size() >= window) {
      lock.unlock();
      std::this_thread::yield();
      continue;
    }
    void* frame = frame_allocate(size);
    std::memset(frame, made, size);
    queue.push_back(frame);
    ++made;
  }
  consumer.join();
  const auto after = frame_stats();
  CHECK(after.live == before.live);
  // 500'000 frames are 88 MB; what was alive at any one time is below 1 MB.
  CHECK(after.chunk_bytes - before.chunk_bytes <= 1u << 20);
}

TEST_CASE("free blocks of the smallest sizes leave their neighbours alone") {
  for (std::size_t size : {1u, 16u, 17u, 32u, 33u}) {
    std::vector<Filled> frames;
    for (int i = 0; i < 1'000; ++i) frames.emplace_back(size, static_cast<unsigned char>(i));
    // Free every other one through the lists of another thread and through the
    // shared ones, so that all bookkeeping within free blocks is written.
    std::thread([&] {
      for (std::size_t i = 1; i < frames.size(); i += 2) frames[i].free();
    }).join();
    bool intact = true;
    for (std::size_t i = 0; i < frames.size(); i += 2) {
      intact = intact && frames[i].intact();
      frames[i].free();
    }
    CHECK(intact);
  }
}

namespace {

// A size of its own, so that the lists hold only what LateUser does.
constexpr std::size_t late_size = 112;

// Constructed before the thread's first allocation, hence destroyed after the
// thread's cache.
struct LateUser {
  void* early = nullptr;
  int count = 0;
  std::atomic<int>* done = nullptr;
  ~LateUser() {
    if (!done) return;
    std::vector<Filled> frames;
    for (int i = 0; i < count; ++i) frames.emplace_back(late_size, static_cast<unsigned char>(i));
    bool good = true;
    for (Filled& frame : frames) good = good && frame.intact();
    for (Filled& frame : frames) frame.free();
    frame_free(early, late_size);
    if (good) *done = 1;
  }
};
thread_local LateUser late_user;

}  // namespace

TEST_CASE("frames can be used after the thread's cache is gone") {
  std::atomic<int> done{0};
  const auto live = frame_stats().live;
  // Batches whose blocks hold old bytes.
  std::thread([] {
    std::vector<Filled> frames;
    for (int i = 0; i < 500; ++i) frames.emplace_back(late_size, static_cast<unsigned char>(0xA5));
    for (Filled& frame : frames) frame.free();
  }).join();
  auto body = [&](int count) {
    late_user.done = &done;
    late_user.count = count;
    late_user.early = frame_allocate(late_size);
  };
  std::thread(body, 3).join();
  CHECK(done == 1);
  CHECK(frame_stats().live == live);
  const auto before = frame_stats();
  for (int i = 0; i < 20; ++i) std::thread(body, i % 2 == 0 ? 3 : 300).join();
  CHECK(frame_stats().chunk_bytes == before.chunk_bytes);
  CHECK(frame_stats().cached == before.cached);
  // The batches that were built block by block are as good as others.
  std::vector<Filled> frames;
  for (int i = 0; i < 1'000; ++i) frames.emplace_back(late_size, static_cast<unsigned char>(i));
  CHECK(frame_stats().live == live + 1'000);
  bool intact = true;
  for (Filled& frame : frames) {
    intact = intact && frame.intact();
    frame.free();
  }
  CHECK(intact);
  CHECK(frame_stats().live == live);
}

TEST_CASE("a frame allocated before main can be freed") {
  const auto live = frame_stats().live;
  std::memset(before_main, 1, 200);
  frame_free(before_main, 200);
  CHECK(frame_stats().live == live - 1);
}

TEST_CASE("threads that allocate, exchange and free frames never see each other's bytes") {
  constexpr int threads = 4;
  constexpr int rounds = 40'000;
  const auto live = frame_stats().live;
  std::mutex mutex;
  std::vector<Filled> exchange;
  std::atomic<int> broken{0};
  auto body = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::vector<Filled> mine;
    auto check_and_free = [&](Filled frame) {
      if (!frame.intact()) ++broken;
      frame.free();
    };
    for (int i = 0; i < rounds; ++i) {
      const auto dice = static_cast<unsigned>(random());
      if (mine.size() < 200 && dice % 8 < 5) {
        mine.emplace_back(32 + random() % (dice % 64 == 0 ? 6000 : 400),
                          static_cast<unsigned char>(random()));
      } else if (!mine.empty() && dice % 8 < 7) {
        std::swap(mine[random() % mine.size()], mine.back());
        check_and_free(mine.back());
        mine.pop_back();
      } else {
        std::lock_guard lock(mutex);
        exchange.swap(mine);
      }
    }
    for (const Filled& frame : mine) check_and_free(frame);
  };
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) pool.emplace_back(body, 100u + static_cast<unsigned>(t));
  for (std::thread& thread : pool) thread.join();
  for (Filled& frame : exchange) {
    if (!frame.intact()) ++broken;
    frame.free();
  }
  CHECK(broken == 0);
  CHECK(frame_stats().live == live);
}

#if RINGO_ASAN
TEST_CASE("AddressSanitizer sees the use of a freed frame") {
  void* frame = frame_allocate(128);
  CHECK(__asan_region_is_poisoned(frame, 128) == nullptr);
  CHECK(__asan_address_is_poisoned(static_cast<char*>(frame) + 128));
  frame_free(frame, 128);
  CHECK(__asan_address_is_poisoned(frame));
}
#endif
