package main

// What the process has used so far.

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// A size in bytes out of /proc/self/status, by the name of its line.
func memory(name string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, name+": %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	panic("no " + name + " in /proc/self/status")
}

func resident() int64     { return memory("VmRSS") }
func peakResident() int64 { return memory("VmHWM") }
