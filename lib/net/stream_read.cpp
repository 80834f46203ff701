// The reading side of a connection; stream_socket.hpp tells the rules.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "driver/sys.hpp"
#include "net/stream_socket.hpp"
#include "runtime/external.hpp"

namespace ringo::detail {

namespace {

// A socket holds at most about this much for a reader who is behind.
constexpr std::size_t ahead_bytes_limit = 16 * 1024;
constexpr std::size_t ahead_chunks_limit = 4;

// A reader with this much room who finds that much waiting is in a large transfer.
constexpr std::size_t large_span = 16 * 1024;
constexpr std::size_t large_backlog = 8 * 1024;
// One who gets this much at once is, too: the kernel receives for some 20 connections in one
// io_uring_enter(2), and that much for each is more than a core's cache holds.
constexpr std::size_t large_chunk = 32 * 1024;
// A large transfer is over after so many reads in a row that brought less than large_backlog.
constexpr std::uint8_t small_reads_limit = 8;

constexpr std::size_t lease_block = 16 * 1024;
constexpr std::size_t large_lease_block = 64 * 1024;  // after one that was filled
constexpr std::size_t scratch_size = 64 * 1024;

bool has_room(const ReadWaiter& waiter) noexcept {
  return waiter.lease || waiter.span.size >= large_span;
}

/// Where bytes go whose reader must be claimed first. One per thread, never across a suspension.
[[gnu::noinline]] std::byte* scratch() {
  thread_local const std::unique_ptr<std::byte[]> memory(new std::byte[scratch_size]);
  return memory.get();
}

Chunk chunk_of(const ReceivedBuffer& buffer) noexcept {
  Chunk chunk;
  chunk.data = buffer.data;
  chunk.end = buffer.size;
  chunk.id = buffer.id;
  return chunk;
}

ReceivedBuffer buffer_of(const Chunk& chunk) noexcept { return {chunk.data, chunk.end, chunk.id}; }

Chunk own_block(std::size_t capacity) {
  Chunk chunk;
  chunk.data = static_cast<std::byte*>(frame_allocate(capacity));
  chunk.capacity = static_cast<std::uint32_t>(capacity);
  return chunk;
}

void free_block(const Chunk& chunk) noexcept { frame_free(chunk.data, chunk.capacity); }

Chunk own_copy(const std::byte* data, std::size_t size) {
  Chunk chunk = own_block(size);
  std::memcpy(chunk.data, data, size);
  chunk.end = static_cast<std::uint32_t>(size);
  return chunk;
}

}  // namespace

StreamSocket::~StreamSocket() {
  while (!ahead_.empty()) {
    const Chunk chunk = ahead_.pop_front();
    if (chunk.capacity != 0) free_block(chunk);
  }
}

// --- what a reader does -------------------------------------------------------------------------

bool StreamSocket::can_read_now(const ReadWaiter& waiter) const noexcept {
  return !ahead_.empty() || read_end_ != 0 || closed_ || in_.expired() ||
         (!waiter.lease && waiter.span.size == 0);
}

bool StreamSocket::try_read_locked(ReadWaiter& waiter) noexcept {
  if (closed_) {
    waiter.status = status_closed;
  } else if (in_.expired()) {
    waiter.status = ETIMEDOUT;
  } else if (!waiter.lease && waiter.span.size == 0) {
    // Nothing was asked for, and that is there.
  } else if (!ahead_.empty()) {
    take_ahead(waiter);
  } else if (read_end_ != 0) {
    waiter.status = read_end_;
  } else {
    if (more_ && !live_ && !receives() && readers_.empty() && receive_directly(waiter)) return true;
    look_out();
    return false;
  }
  return true;
}

/// Sees to it that bytes are noticed when they come, though perhaps nobody is going to wait: a
/// select with a default must find them the next time. Free of cost where a receive is armed.
void StreamSocket::look_out() noexcept {
  if (receives() && armed_) return;
  if (at_home()) {
    arm_read();
  } else {
    ask(wish_in);
  }
}

bool StreamSocket::try_read(ReadWaiter& waiter) noexcept {
  SpinGuard guard(in_.lock);
  return try_read_locked(waiter);
}

bool StreamSocket::looks_readable() noexcept {
  SpinGuard guard(in_.lock);
  if (can_read_now(ReadWaiter())) return true;
  std::byte byte;
  if (more_ && !live_ && !receives() && readers_.empty() &&
      sys::recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0) {
    return true;
  }
  look_out();
  return false;
}

void StreamSocket::wait_to_read(WaitNode& node) noexcept {
  readers_.push_back(node);
  watch_deadline(in_);
  look_out();
}

void StreamSocket::withdraw_reader(WaitNode& node) noexcept {
  SpinGuard guard(in_.lock);
  if (node.linked.load(std::memory_order_relaxed)) readers_.remove(node);
}

void StreamSocket::take_ahead(ReadWaiter& waiter) noexcept {
  if (!direct_ && ahead_.bytes() >= large_backlog && has_room(waiter) && driver_receives_) {
    go_direct();
  }
  if (waiter.lease) {
    waiter.chunk = ahead_.pop_front();
    return;
  }
  ReadWaiter::Span& span = waiter.span;
  while (!ahead_.empty() && span.done < span.size) {
    const Chunk& chunk = ahead_.front();
    const std::size_t n = std::min<std::size_t>(chunk.size(), span.size - span.done);
    std::memcpy(span.data + span.done, chunk.data + chunk.begin, n);
    span.done += n;
    if (n < chunk.size()) return ahead_.drop_bytes(n);
    drop_chunk(ahead_.pop_front());
  }
}

/// Bytes from the kernel, without waiting. 0, status_eof, EAGAIN or another errno.
int StreamSocket::receive_into(void* data, std::size_t size, std::size_t& got) noexcept {
  for (;;) {
    const ssize_t n = sys::recv(fd, data, size, MSG_DONTWAIT);
    if (n > 0) {
      got = static_cast<std::size_t>(n);
      return 0;
    }
    if (n == 0) return status_eof;
    if (errno != EINTR) return errno == EWOULDBLOCK ? EAGAIN : errno;
  }
}

/// After recv(2): is there more, as far as we know, and is this still a large transfer?
void StreamSocket::note_direct(std::size_t got, std::size_t asked) noexcept {
  const bool here = Worker::current() == &home();
  more_ = got == asked || (here && hangup);
  if (!more_ && here) home_driver().used_up(*this, Direction::in);
  if (!driver_receives_) return;
  if (got >= large_backlog) {
    small_reads_ = 0;
  } else if ((!more_ || asked < large_span) && ++small_reads_ >= small_reads_limit) {
    direct_ = false;
  }
}

/// recv(2) for a waiter that is ours alone. False: nothing there.
bool StreamSocket::receive_directly(ReadWaiter& waiter) noexcept {
  Chunk block;
  if (waiter.lease) block = own_block(large_ ? large_lease_block : lease_block);
  std::byte* const data = waiter.lease ? block.data : waiter.span.data;
  const std::size_t size = waiter.lease ? block.capacity : waiter.span.size;
  std::size_t got = 0;
  const int status = receive_into(data, size, got);
  if (status == 0) {
    note_direct(got, size);
    large_ = got >= lease_block;
    if (waiter.lease) {
      block.end = static_cast<std::uint32_t>(got);
      waiter.chunk = block;
    } else {
      waiter.span.done = got;
    }
    return true;
  }
  if (waiter.lease) free_block(block);
  if (status == EAGAIN) {
    more_ = false;
    if (Worker::current() == &home()) home_driver().used_up(*this, Direction::in);
    return false;
  }
  read_end_ = status;
  waiter.status = status;
  return true;
}

// --- at home ------------------------------------------------------------------------------------

/// Has the kernel tell us of bytes.
void StreamSocket::arm_read() noexcept {
  if (closed_) return;
  Driver& driver = home_driver();
  driver_receives_ = driver.has_receive();
  if (receives()) {
    if (armed_) return;
    armed_ = live_ = true;
    driver.receive(*this);
  } else if (!live_) {
    driver.want(*this, Direction::in);
  }
  // Else the last callback of the receive goes on from here.
}

void StreamSocket::pause_receive() noexcept {
  armed_ = false;
  if (at_home()) {
    home_driver().stop_receive(*this);
  } else {
    ask(wish_stop_receive);
  }
}

/// From here on readers call recv(2).
void StreamSocket::go_direct() noexcept {
  direct_ = true;
  more_ = true;
  small_reads_ = 0;
  if (armed_) pause_receive();
}

void StreamSocket::drop_chunk(const Chunk& chunk) noexcept {
  if (chunk.capacity != 0) return free_block(chunk);
  if (at_home()) return home_driver().give_back(buffer_of(chunk));
  returned_.push_back(chunk);
  ask(wish_return);
}

void StreamSocket::take_back(const Chunk& chunk) noexcept {
  if (chunk.capacity != 0) return free_block(chunk);
  // At home the driver is this thread's own, and needs no lock.
  if (is_home(Worker::current())) return home_driver().give_back(buffer_of(chunk));
  in_own_runtime([&] {
    SpinGuard guard(in_.lock);
    drop_chunk(chunk);
  });
}

void StreamSocket::fail_readers(int status, Wakes& wake) noexcept {
  while (WaitNode* node = readers_.pop_claimed()) {
    static_cast<ReadWaiter*>(node->slot)->status = status;
    wake.push(*node);
  }
}

void StreamSocket::end_reading(int status, Wakes& wake) noexcept {
  read_end_ = status;
  fail_readers(status, wake);
}

/// Copies bytes to those who wait. Returns how many were taken.
std::size_t StreamSocket::hand_out(const std::byte* data, std::size_t size, Wakes& wake) noexcept {
  std::size_t used = 0;
  while (used < size) {
    WaitNode* const node = readers_.pop_claimed();
    if (node == nullptr) break;
    auto& waiter = *static_cast<ReadWaiter*>(node->slot);
    if (waiter.lease) {
      waiter.chunk = own_copy(data + used, size - used);
      used = size;
    } else {
      waiter.span.done = std::min(size - used, waiter.span.size);
      std::memcpy(waiter.span.data, data + used, waiter.span.done);
      used += waiter.span.done;
    }
    wake.push(*node);
  }
  return used;
}

void StreamSocket::on_received(ReceivedBuffer buffer, int error, bool more) {
  Wakes wake;
  {
    SpinGuard guard(in_.lock);
    if (!more) armed_ = live_ = false;
    if (stopping() || closed_) [[unlikely]] {
      if (buffer.data != nullptr) home_driver().give_back(buffer);
    } else if (buffer.data != nullptr) {
      Chunk chunk = chunk_of(buffer);
      const WaitNode* const first = readers_.front();
      if (armed_ && chunk.size() >= large_chunk && first != nullptr &&
          has_room(*static_cast<const ReadWaiter*>(first->slot))) {
        go_direct();
        large_ = true;
      }
      while (chunk.size() != 0) {
        WaitNode* const node = readers_.pop_claimed();
        if (node == nullptr) break;
        auto& waiter = *static_cast<ReadWaiter*>(node->slot);
        if (waiter.lease) {
          waiter.chunk = chunk;
        } else {
          ReadWaiter::Span& span = waiter.span;
          span.done = std::min<std::size_t>(chunk.size(), span.size);
          std::memcpy(span.data, chunk.data + chunk.begin, span.done);
          chunk.begin += static_cast<std::uint32_t>(span.done);
        }
        const bool lent = waiter.lease;
        wake.push(*node);
        if (lent) {
          chunk.data = nullptr;
          break;
        }
      }
      if (chunk.data == nullptr) {
        // Lent to a reader.
      } else if (chunk.size() == 0) {
        home_driver().give_back(buffer);
      } else {
        ahead_.push_back(chunk);
        if (armed_ && (ahead_.bytes() >= ahead_bytes_limit || ahead_.count() >= ahead_chunks_limit)) {
          pause_receive();
        }
      }
    } else if (error == 0) {
      end_reading(status_eof, wake);
    } else if (error != ECANCELED) {
      end_reading(error, wake);
    }
    if (!more && read_end_ == 0 && !readers_.empty() && !stopping()) arm_read();
  }
  wake.complete_all();
  end_callback();
}

/// In a large transfer to a goroutine that waits for nothing else: it is woken to receive by itself
/// (see put_off()), for what it does with the bytes then finds them in the cache. Were all received
/// at once that are ready in this round, each into memory of its own, none would.
bool StreamSocket::wake_to_receive(Wakes& wake) noexcept {
  WaitNode* const node = readers_.front();
  if (!large_ || node->next != nullptr || node->seq != 0) return false;
  readers_.remove(*node);
  more_ = true;
  node->g->budget = budget_put_off;
  wake.push(*node);
  return true;
}

void StreamSocket::read_ready(int error, Wakes& wake) noexcept {
  if (closed_ || stopping()) return;
  if (error != 0) {
    if (error != ECANCELED) fail_readers(error, wake);
    return;
  }
  if (readers_.empty()) {
    more_ = true;
    return;
  }
  if (wake_to_receive(wake)) return;
  while (WaitNode* const node = readers_.front()) {
    if (node->seq == 0) {
      auto& waiter = *static_cast<ReadWaiter*>(node->slot);
      if (receive_directly(waiter)) {
        readers_.remove(*node);
        wake.push(*node);
        if (read_end_ != 0) return fail_readers(read_end_, wake);
        if (!more_) break;
        continue;
      }
      break;
    }
    std::byte* const memory = scratch();
    std::size_t got = 0;
    const int status = receive_into(memory, scratch_size, got);
    if (status == 0) {
      note_direct(got, scratch_size);
      const std::size_t used = hand_out(memory, got, wake);
      if (used < got) ahead_.push_back(own_copy(memory + used, got - used));
      if (!more_) break;
      continue;
    }
    if (status != EAGAIN) return end_reading(status, wake);
    more_ = false;
    home_driver().used_up(*this, Direction::in);
    break;
  }
  if (!readers_.empty()) arm_read();
}

}  // namespace ringo::detail
