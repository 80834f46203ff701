// What a bench is. The table of them all is in main.cpp.
#pragma once

#include <cstdint>

#include <ringo/task.hpp>

namespace micro {

/// What a bench says of itself when it is over.
struct Measured {
  std::int64_t operations;
  bool right;          // it computed what it should
  double seconds = 0;  // that count for ns_per_op; 0: all from its start to its end
  char extra[64] = "";
};

/// Of how many parts of the work only one is done; 1 in a real run.
inline std::int64_t divisor = 1;

// tasks.cpp
ringo::Task<Measured> await_call();
ringo::Task<Measured> spawn_join();
ringo::Task<Measured> spawn_seq();
ringo::Task<Measured> yields();

// channels.cpp
ringo::Task<Measured> chan_unbuf_pingpong();
ringo::Task<Measured> chan_buf();
ringo::Task<Measured> chan_mpmc();

// select.cpp
ringo::Task<Measured> select4();
ringo::Task<Measured> select4_buf();
ringo::Task<Measured> select_timeout();
ringo::Task<Measured> chan_popular();

// mutex.cpp
ringo::Task<Measured> mutex();

// timers.cpp
ringo::Task<Measured> timers();

// memory.cpp
ringo::Task<Measured> mem_tasks();

// skynet.cpp
ringo::Task<Measured> skynet();
ringo::Task<Measured> skynet_chan();

// sieve.cpp
ringo::Task<Measured> sieve();

// context.cpp
ringo::Task<Measured> ctx_cancel();

// echo.cpp
ringo::Task<Measured> echo();

}  // namespace micro
