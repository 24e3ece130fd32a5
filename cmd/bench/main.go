// Command bench measures the real server over HTTP, beside a floor measured in
// the same run: a bare gin handler that reads the body and runs one script
// which writes as many bytes as cibridge does. Machines are noisy, so the
// ratio to the floor says more than the figures.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

func main() {
	var o options
	var clients string
	flag.StringVar(&o.binary, "cibridge", "bin/cibridge", "the program to measure")
	flag.DurationVar(&o.duration, "duration", 6*time.Second, "of each measurement, in three rounds")
	flag.StringVar(&clients, "clients", "1,16,64", "numbers of clients")
	flag.StringVar(&o.profile, "cpuprofile", "", "only measure the SEI load with the most clients, and write a CPU profile of the server to this file")
	flag.StringVar(&o.only, "only", "", "measure only this: throughput, latency, memory or delivery")
	flag.DurationVar(&o.away, "away", 10*time.Second, "how long Redis is away in the delivery part")
	floorURL := flag.String("floor", "", "run as the floor server on this Redis URL (used by bench itself)")
	floorBytes := flag.Int("floor-bytes", 0, "bytes that the floor writes for each event")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, c := range strings.Split(clients, ",") {
		n, err := strconv.Atoi(c)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "bench: -clients %q: want whole numbers, such as 1,16,64\n", clients)
			os.Exit(2)
		}
		o.clients = append(o.clients, n)
	}
	var err error
	if *floorURL != "" {
		err = serveFloor(ctx, *floorURL, *floorBytes)
	} else {
		err = bench(ctx, o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}
