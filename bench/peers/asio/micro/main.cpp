// What one operation of Asio's C++20 coroutines costs: the twin of ringo-micro, with the same
// benches. Their headers are parts of this one source: in Debian 12's Asio no two sources may
// include its channels.
#include "channels.hpp"
#include "common/micro.hpp"
#include "select.hpp"
#include "system.hpp"
#include "tasks.hpp"
#include "waiting.hpp"

namespace {

template <auto one>
peers::Measured on_one(unsigned) {
  return run<OneThread, one>();
}

template <auto one, auto two>
peers::Measured on_two(unsigned threads) {
  return threads == 1 ? run<OneThread, one>() : run<TwoThreads, two>();
}

// The same bench with the channels for one thread and for two.
#define BOTH(bench) on_two<bench<OneThread>, bench<TwoThreads>>

constexpr peers::Bench benches[] = {
    {"spawn_join", "batches of 1000", BOTH(spawn_join), 2},
    {"spawn_seq", "", on_two<spawn_seq, spawn_seq>, 2},
    {"await_call", "not inlined", on_one<await_call>, 1},
    {"chan_unbuf_pingpong", "round trips", BOTH(chan_unbuf_pingpong), 2},
    {"chan_buf", "1:1 capacity 128", BOTH(chan_buf), 2},
    {"chan_mpmc", "4:4 capacity 128", BOTH(chan_mpmc), 2},
    {"chan_popular", "1:1000 unbuffered", BOTH(chan_popular), 2},
    {"select4", "unbuffered; parallel_group", on_one<select4>, 1},
    {"select4_buf", "capacity 128; parallel_group", on_one<select4_buf>, 1},
    {"select_timeout", "ready channel and a timer of 1 s; parallel_group", on_one<select_timeout>,
     1},
    {"yield", "2 goroutines; post", BOTH(yields), 2},
    {"timers", "sleeps of 1 to 1000 ms", BOTH(timers), 2},
    {"mem_tasks", "blocked on a channel", BOTH(mem_tasks), 2},
    {"skynet", "leaves by join handles; completion handlers", BOTH(skynet), 2},
    {"skynet_chan", "leaves by unbuffered channels", BOTH(skynet_chan), 2},
    {"sieve", "primes by unbuffered channels", BOTH(sieve), 2},
    {"ctx_cancel", "waiting goroutines; a cancellation_signal each", on_one<ctx_cancel>, 1},
};

}  // namespace

int main(int argc, char** argv) { return peers::micro_main("asio", benches, argc, argv); }
