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
  std::byte* data = nullptr;
  std::size_t size = 0;  // 0 with `lease`
  std::size_t done = 0;  // what came
  int status = 0;        // an errno, or a status of socket.hpp
  bool lease = false;    // it wants the block instead
  Chunk chunk;
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
  const std::byte* data = nullptr;
  std::size_t size = 0;
  std::size_t done = 0;  // what the kernel took
  int status = 0;
  int stop_status = 0;  // why it is to end early; 0: it is not
  bool finished = false;
  bool awaited = false;  // once is all
  WriteRequest* next = nullptr;
  WaitNode* waiter = nullptr;
};

}  // namespace ringo::detail
