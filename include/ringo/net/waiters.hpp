// What an operation on a socket and the socket tell each other. The library's own affair.
#pragma once

#include <cstddef>
#include <cstdint>

#include <ringo/detail/wait.hpp>
#include <ringo/net/address.hpp>
#include <ringo/net/buffer.hpp>

namespace ringo::detail {

/// Where a reader wants its bytes; lies in its case, and node.slot points to it.
struct ReadWaiter {
  struct Span {
    std::byte* data;
    std::size_t size;
    std::size_t done;  // what came
  };

  /// Wants a block lent.
  ReadWaiter() noexcept : lease(true), chunk() {}
  ReadWaiter(std::byte* data, std::size_t size) noexcept : lease(false), span{data, size, 0} {}

  int status = 0;  // an errno, or a status of socket.hpp
  const bool lease;
  union {
    Chunk chunk;  // of a lease: what came
    Span span;    // or else where bytes are to go
  };
};

/// What an accepter gets; lies in its case, and node.slot points to it.
struct AcceptWaiter {
  int fd = -1;
  int status = 0;
  net::Address peer;
};

/// One write; lies in the frame that waits for it, whose end it does not survive, and stays where it
/// is from the await on.
struct WriteRequest {
  enum class Begun : std::uint8_t { no, goes_on, at_once };

  const std::byte* data = nullptr;
  std::size_t size = 0;
  std::size_t done = 0;          // what the kernel took
  std::int16_t status = 0;       // an errno, or a status of socket.hpp
  std::int16_t stop_status = 0;  // why it is to end early; 0: it is not
  bool finished = false;
  // The writer's alone.
  Begun begun = Begun::no;  // at_once: it has finished, too
  bool awaited = false;     // once is all
  bool by_task = false;     // a Task waits for it
  WriteRequest* next = nullptr;
  WaitNode* waiter = nullptr;
};

}  // namespace ringo::detail
