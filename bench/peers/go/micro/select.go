package main

import "time"

func selectOverFour(capacity int) measured {
	each := 500_000 / divisor
	var channels [4]chan int64
	for i := range channels {
		channels[i] = make(chan int64, capacity)
		go produce(channels[i], each)
	}
	a, b, c, d := channels[0], channels[1], channels[2], channels[3]
	var sum int64
	for i := int64(0); i < 4*each; i++ {
		select {
		case x := <-a:
			sum += x
		case x := <-b:
			sum += x
		case x := <-c:
			sum += x
		case x := <-d:
			sum += x
		}
	}
	return measured{operations: 4 * each, right: sum == 4*(each*(each+1)/2)}
}

// With a timer that is stopped rather than time.After, whose timers would all stay for their
// second.
func selectTimeout() measured {
	count := 1_000_000 / divisor
	ready := make(chan int64, 1)
	var sum, timeouts int64
	for i := int64(0); i < count; i++ {
		ready <- 1
		timer := time.NewTimer(time.Second)
		select {
		case x := <-ready:
			sum += x
		case <-timer.C:
			timeouts++
		}
		timer.Stop()
	}
	return measured{operations: count, right: sum == count && timeouts == 0}
}
