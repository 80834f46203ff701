// An echo server as one writes it in Go: a goroutine for each connection, which reads and writes as
// if that blocked. Measured beside ringo's.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func echo(conn net.Conn, size int) {
	defer conn.Close()
	buffer := make([]byte, size)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func serve(listener net.Listener, size int) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			// Out of descriptors, say: whoever is in the backlog stays there for a moment.
			fmt.Fprintln(os.Stderr, "go-echo:", err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go echo(conn, size)
	}
}

func main() {
	port := flag.Uint("port", 0, "listen there; 0: a free one, which is printed")
	threads := flag.Int("threads", 1, "that run goroutines (GOMAXPROCS)")
	buffer := flag.Int("buffer", 64<<10, "bytes to receive at a time")
	flag.Parse()
	if flag.NArg() > 0 || *threads < 1 || *buffer < 1 {
		fmt.Fprintln(os.Stderr, "go-echo: no other arguments, and numbers above 0")
		flag.Usage()
		os.Exit(2)
	}
	runtime.GOMAXPROCS(*threads)

	// Before the line below, whose reader may send the signal at once.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-echo:", err)
		os.Exit(1)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	go serve(listener, *buffer)
	<-interrupts
}
