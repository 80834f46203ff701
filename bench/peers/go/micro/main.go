// What one operation of Go costs: the twin of ringo-micro, with the same benches.
//
//	go-micro list             the benches, a line each: BENCH THREADS
//	go-micro BENCH THREADS    one line of CSV:
//	                          peer,bench,params,ops,seconds,ns_per_op,extra
//	go-micro --quick          each bench once, briefly: shows that they work
//
// Exits with 2 for a bench or a number of threads that there is not, with 3 if a bench does not
// compute what it should. THREADS is GOMAXPROCS; all other settings are Go's own.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"
)

// Scales the amount of work; 1 in a real run.
var divisor int64 = 1

// What a bench found. Most leave it to measure to take the time.
type measured struct {
	operations int64
	right      bool
	// The part that counts, if not all of it does.
	elapsed time.Duration
	// What stands in for the nanoseconds of elapsed time per operation.
	nsPerOp *float64
	// More to tell, in words of the form name=value.
	extra string
}

type bench struct {
	name   string
	params string
	run    func() measured
}

// What is measured, in ringo-micro's words, and after a semicolon what Go does otherwise. All run
// on one thread and on two.
var benches = []bench{
	{"spawn_join", "batches of 1000", spawnJoin},
	{"spawn_seq", "", spawnSeq},
	{"chan_unbuf_pingpong", "round trips", chanUnbufPingpong},
	{"chan_buf", "1:1 capacity 128", chanBuf},
	{"chan_mpmc", "4:4 capacity 128", chanMpmc},
	{"chan_popular", "1:1000 unbuffered", chanPopular},
	{"select4", "unbuffered", func() measured { return selectOverFour(0) }},
	{"select4_buf", "capacity 128", func() measured { return selectOverFour(128) }},
	{"select_timeout", "ready channel and a timer of 1 s", selectTimeout},
	{"mutex", "4 goroutines", lockOften},
	{"yield", "2 goroutines", yields},
	{"timers", "sleeps of 1 to 1000 ms", timers},
	{"mem_tasks", "blocked on a channel", memTasks},
	{"skynet", "leaves by join handles; WaitGroup", skynet},
	{"skynet_chan", "leaves by unbuffered channels", skynetChan},
	{"sieve", "primes by unbuffered channels", sieve},
	{"ctx_cancel", "waiting goroutines", ctxCancel},
}

const mostThreads = 2

func list(to io.Writer) {
	for _, b := range benches {
		for threads := 1; threads <= mostThreads; threads++ {
			fmt.Fprintln(to, b.name, threads)
		}
	}
}

// Returns the status to exit with.
func measure(b bench, threads int) int {
	runtime.GOMAXPROCS(threads)
	start := time.Now()
	found := b.run()
	if found.elapsed == 0 {
		found.elapsed = time.Since(start)
	}
	seconds := found.elapsed.Seconds()
	nsPerOp := seconds * 1e9 / float64(found.operations)
	if found.nsPerOp != nil {
		nsPerOp = *found.nsPerOp
	}
	extra := fmt.Sprintf("threads=%d", threads)
	if found.extra != "" {
		extra += " " + found.extra
	}
	fmt.Printf("go,%s,%s,%d,%.6f,%.2f,%s\n", b.name, b.params, found.operations, seconds, nsPerOp,
		extra)
	if found.right {
		return 0
	}
	fmt.Fprintf(os.Stderr, "go-micro: %s computed a wrong result\n", b.name)
	return 3
}

func quick() int {
	divisor = 1000
	worst := 0
	for _, b := range benches {
		for threads := 1; threads <= mostThreads; threads++ {
			if status := measure(b, threads); status > worst {
				worst = status
			}
		}
	}
	return worst
}

func usage() int {
	fmt.Fprintln(os.Stderr, "usage: go-micro list | --quick | BENCH THREADS")
	list(os.Stderr)
	return 2
}

func run(args []string) int {
	if len(args) == 1 && args[0] == "list" {
		list(os.Stdout)
		return 0
	}
	if len(args) == 1 && args[0] == "--quick" {
		return quick()
	}
	if len(args) != 2 {
		return usage()
	}
	threads, err := strconv.Atoi(args[1])
	if err != nil || threads < 1 || threads > mostThreads {
		return usage()
	}
	for _, b := range benches {
		if b.name == args[0] {
			return measure(b, threads)
		}
	}
	return usage()
}

func main() {
	os.Exit(run(os.Args[1:]))
}
