package main

// Starting goroutines, ending them, and taking turns.

import (
	"runtime"
	"sync"
)

// The runtime never inlines what a go statement calls, so these cost a goroutine each.
func finish(group *sync.WaitGroup, sum *int64, i int64) {
	if i&1 != 0 {
		*sum++
	}
	group.Done()
}

func spawnJoin() measured {
	batches := 1000 / divisor
	var group sync.WaitGroup
	var sum int64
	for batch := int64(0); batch < batches; batch++ {
		group.Add(1000)
		for i := 0; i < 1000; i++ {
			go finish(&group, &sum, 0)
		}
		group.Wait()
	}
	return measured{operations: batches * 1000, right: sum == 0}
}

func addOne(x int64, result chan<- int64) {
	result <- x + 1
}

// Go has no handle to take a result from: a channel is the way.
func spawnSeq() measured {
	count := 1_000_000 / divisor
	result := make(chan int64)
	var x int64
	for i := int64(0); i < count; i++ {
		go addOne(x, result)
		x = <-result
	}
	return measured{operations: count, right: x == count}
}

func lockOften() measured {
	each := 1_000_000 / divisor
	var mutex sync.Mutex
	var counter int64
	var group sync.WaitGroup
	group.Add(4)
	for i := 0; i < 4; i++ {
		go func() {
			defer group.Done()
			for i := int64(0); i < each; i++ {
				mutex.Lock()
				counter++
				mutex.Unlock()
			}
		}()
	}
	group.Wait()
	return measured{operations: 4 * each, right: counter == 4*each}
}

func yields() measured {
	each := 5_000_000 / divisor
	var group sync.WaitGroup
	group.Add(2)
	for i := 0; i < 2; i++ {
		go func() {
			defer group.Done()
			for i := int64(0); i < each; i++ {
				runtime.Gosched()
			}
		}()
	}
	group.Wait()
	return measured{operations: 2 * each, right: true}
}

// A tree in which each goroutine starts ten, down to the leaves, and adds up their numbers.
func skynetNode(group *sync.WaitGroup, result *int64, number, leaves int64) {
	defer group.Done()
	if leaves == 1 {
		*result = number
		return
	}
	var children sync.WaitGroup
	var results [10]int64
	children.Add(10)
	for i := range results {
		go skynetNode(&children, &results[i], number+int64(i)*leaves/10, leaves/10)
	}
	children.Wait()
	for _, x := range results {
		*result += x
	}
}

func skynet() measured {
	leaves := 1_000_000 / divisor
	var root sync.WaitGroup
	var sum int64
	root.Add(1)
	go skynetNode(&root, &sum, 0, leaves)
	root.Wait()
	return measured{operations: leaves, right: sum == leaves*(leaves-1)/2}
}

func skynetChanNode(result chan<- int64, number, leaves int64) {
	if leaves == 1 {
		result <- number
		return
	}
	results := make(chan int64)
	for i := int64(0); i < 10; i++ {
		go skynetChanNode(results, number+i*leaves/10, leaves/10)
	}
	var sum int64
	for i := 0; i < 10; i++ {
		sum += <-results
	}
	result <- sum
}

func skynetChan() measured {
	leaves := 1_000_000 / divisor
	result := make(chan int64)
	go skynetChanNode(result, 0, leaves)
	return measured{operations: leaves, right: <-result == leaves*(leaves-1)/2}
}
