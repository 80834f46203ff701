// Where the items come from that channels and selects are measured with.
#pragma once

#include <cstdint>

#include <ringo/channel.hpp>
#include <ringo/task.hpp>

namespace micro {

/// Sends 1 to count.
inline ringo::Task<> produce(ringo::Channel<std::int64_t> out, std::int64_t count, bool close) {
  for (std::int64_t i = 1; i <= count; ++i) co_await out.send(i);
  if (close) out.close();
}

}  // namespace micro
