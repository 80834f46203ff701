package main

// Very many goroutines that wait.

import (
	"context"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"time"
)

// The CPU time of a sleeper, from its start to its end.
func timers() measured {
	count := 1_000_000 / divisor
	random := rand.New(rand.NewSource(1))
	var longest time.Duration
	var woken int64
	var group sync.WaitGroup
	group.Add(int(count))
	start, cpuStart := time.Now(), cpuTime()
	for i := int64(0); i < count; i++ {
		d := time.Duration(1+random.Intn(1000)) * time.Millisecond
		if d > longest {
			longest = d
		}
		go func() {
			time.Sleep(d)
			atomic.AddInt64(&woken, 1)
			group.Done()
		}()
	}
	group.Wait()
	elapsed := time.Since(start)
	each := float64((cpuTime() - cpuStart).Nanoseconds()) / float64(count)
	return measured{
		operations: count,
		right:      woken == count && elapsed >= longest,
		elapsed:    elapsed,
		nsPerOp:    &each,
		extra:      fmt.Sprintf("wall=%.3fs rss=%dMB", elapsed.Seconds()-1, peakResident()>>20),
	}
}

// The resident memory of a goroutine that waits to receive.
func memTasks() measured {
	count := 1_000_000 / divisor
	before := resident()
	never := make(chan int64)
	var started, group sync.WaitGroup
	var ended int64
	started.Add(int(count))
	group.Add(int(count))
	start := time.Now()
	for i := int64(0); i < count; i++ {
		go func() {
			started.Done()
			if _, ok := <-never; !ok {
				atomic.AddInt64(&ended, 1)
			}
			group.Done()
		}()
	}
	started.Wait()
	elapsed := time.Since(start)
	each := (resident() - before) / count
	close(never)
	group.Wait()
	var none float64
	return measured{
		operations: count,
		right:      ended == count,
		elapsed:    elapsed,
		nsPerOp:    &none,
		extra:      fmt.Sprintf("bytes=%d", each),
	}
}

// From the cancellation until the last of those that waited for it has ended.
func ctxCancel() measured {
	count := 100_000 / divisor
	ctx, cancel := context.WithCancel(context.Background())
	var started, group sync.WaitGroup
	var ended int64
	started.Add(int(count))
	group.Add(int(count))
	setUp := time.Now()
	for i := int64(0); i < count; i++ {
		go func() {
			started.Done()
			<-ctx.Done()
			if ctx.Err() == context.Canceled {
				atomic.AddInt64(&ended, 1)
			}
			group.Done()
		}()
	}
	started.Wait()
	start := time.Now()
	cancel()
	group.Wait()
	return measured{
		operations: count,
		right:      ended == count,
		elapsed:    time.Since(start),
		extra:      fmt.Sprintf("setup=%.3fs", start.Sub(setUp).Seconds()),
	}
}
