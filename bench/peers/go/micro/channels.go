package main

import "sync"

func answer(in <-chan int64, out chan<- int64) {
	for x := range in {
		out <- x + 1
	}
}

func chanUnbufPingpong() measured {
	count := 1_000_000 / divisor
	there := make(chan int64)
	back := make(chan int64)
	go answer(there, back)
	var x int64
	for i := int64(0); i < count; i++ {
		there <- x
		x = <-back
	}
	close(there)
	return measured{operations: count, right: x == count}
}

func produce(out chan<- int64, count int64) {
	for i := int64(1); i <= count; i++ {
		out <- i
	}
}

func chanBuf() measured {
	count := 10_000_000 / divisor
	items := make(chan int64, 128)
	go func() {
		defer close(items)
		produce(items, count)
	}()
	var sum int64
	for x := range items {
		sum += x
	}
	return measured{operations: count, right: sum == count*(count+1)/2}
}

func consume(in <-chan int64, sums chan<- int64) {
	var sum int64
	for x := range in {
		sum += x
	}
	sums <- sum
}

// Sends 1 to each through the channel from every producer, and has the consumers add up.
func manyToMany(producers, consumers, each int64, capacity int) measured {
	items := make(chan int64, capacity)
	sums := make(chan int64, consumers)
	var group sync.WaitGroup
	for i := int64(0); i < consumers; i++ {
		go consume(items, sums)
	}
	group.Add(int(producers))
	for i := int64(0); i < producers; i++ {
		go func() {
			defer group.Done()
			produce(items, each)
		}()
	}
	group.Wait()
	close(items)
	var sum int64
	for i := int64(0); i < consumers; i++ {
		sum += <-sums
	}
	return measured{
		operations: producers * each,
		right:      sum == producers*(each*(each+1)/2),
	}
}

func chanMpmc() measured { return manyToMany(4, 4, 1_000_000/divisor, 128) }

func chanPopular() measured { return manyToMany(1, 1000, 1_000_000/divisor, 0) }

func generate(out chan<- int64) {
	for i := int64(2); ; i++ {
		out <- i
	}
}

func filter(in <-chan int64, out chan<- int64, prime int64) {
	for {
		if x := <-in; x%prime != 0 {
			out <- x
		}
	}
}

// The filters stay behind, blocked, until the program ends.
func sieve() measured {
	count, last := int64(2000), int64(17389)
	if divisor > 1 {
		count, last = 20, 71
	}
	in := make(chan int64)
	go generate(in)
	var prime int64
	for i := int64(0); i < count; i++ {
		prime = <-in
		out := make(chan int64)
		go filter(in, out, prime)
		in = out
	}
	return measured{operations: count, right: prime == last}
}
