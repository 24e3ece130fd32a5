//go:build chaos

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"cibridge/internal/store/storetest"
)

// network is a proxy between the server and Redis that can be made to fail.
type network struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

func newNetwork(t *testing.T, redis *storetest.Server) *network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "redis", "127.0.0.1:0", overTCP(t, redis.Socket()))
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return &network{t, proxy}
}

// overTCP makes a unix socket reachable over TCP and returns the address: the
// proxy knows no other.
func overTCP(t *testing.T, socket string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", socket)
			if err != nil {
				in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					io.Copy(way[0], way[1])
					way[0].Close()
					way[1].Close()
				}()
			}
		}
	}()
	return l.Addr().String()
}

// disturbance is one way in which the network fails.
type disturbance struct {
	name  string
	toxic string // "" takes the proxy away
	// away: nothing can be stored, so every sender has to hear 503.
	away bool
}

var disturbances = []disturbance{
	{"latency", `{"name":"x","type":"latency","stream":"downstream","attributes":{"latency":100,"jitter":50}}`, false},
	{"slicer", `{"name":"x","type":"slicer","stream":"downstream","attributes":{"average_size":64,"size_variation":32,"delay":100}}`, false},
	{"limit_data", `{"name":"x","type":"limit_data","stream":"downstream","attributes":{"bytes":700}}`, false},
	{"reset_peer", `{"name":"x","type":"reset_peer","stream":"downstream","attributes":{"timeout":0}}`, true},
	{"timeout", `{"name":"x","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`, true},
	{"down", "", true},
}

// begin makes the network fail and returns what mends it.
func (n *network) begin(d disturbance) (end func()) {
	n.t.Helper()
	if d.toxic == "" {
		n.proxy.Stop()
		return func() {
			if err := n.proxy.Start(); err != nil {
				n.t.Fatal(err)
			}
		}
	}
	if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(d.toxic)); err != nil {
		n.t.Fatal(err)
	}
	return func() {
		if err := n.proxy.Toxics.RemoveToxic(context.WithoutCancel(n.t.Context()), "x"); err != nil {
			n.t.Fatal(err)
		}
	}
}

// chaosNetwork lets the network between server and Redis fail in several ways
// under load.
func chaosNetwork(t *testing.T, rd round) {
	server := storetest.Redis(t)
	n := newNetwork(t, server)
	r := newRig(t, setting{redisURL: "redis://" + n.proxy.Listen, faults: []string{"503x1:pending"}})
	r.statuses()
	const each = 60
	builds := codenowBuilds(r.key("codenow"), rd.seed, each*len(disturbances)*rd.scale)
	probes := codenowBuilds(r.key("codenow"), rd.seed+1_000_000, 1)[0].events
	var slowest time.Duration
	unavailable := 0
	load{r: r, urls: r.urls(), clients: 16}.disturb(builds, len(disturbances)*rd.scale, func(i int) {
		d := disturbances[i%len(disturbances)]
		end := n.begin(d)
		least, until := 10, time.Now()
		if d.toxic == "" {
			until = until.Add(min(time.Minute, time.Duration(rd.scale)*3*time.Second))
		}
		refused := 0
		for probe := 0; probe < least || time.Now().Before(until) || d.away && refused < least; probe++ {
			asked := time.Now()
			status, _, answer, err := r.try(t.Context(), r.urls()[0], probes[0])
			if err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable {
				t.Errorf("%s: %d %s %v; want 200 or 503", d.name, status, answer, err)
				break
			}
			if status == http.StatusServiceUnavailable {
				refused++
				unavailable++
				slowest = max(slowest, time.Since(asked))
			}
			time.Sleep(20 * time.Millisecond) // the sender's own pause
		}
		end()
		back := time.Now()
		eventually(t, 60*time.Second, func() error {
			status, _, answer, err := r.try(t.Context(), r.urls()[0], probes[0])
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("after %s: %d %s %w", d.name, status, answer, err)
			}
			return nil
		})
		t.Logf("%s: %d times 503, acknowledged again %s after it ended", d.name, refused, time.Since(back).Round(time.Millisecond))
	})
	f := r.check(builds)
	f.report(t, fmt.Sprintf("%d times 503, the slowest after %s", unavailable, slowest.Round(time.Millisecond)))
	f.intact(t)
}

// chaosIdle counts what a server with nothing to do asks of Redis.
func chaosIdle(t *testing.T, rd round) {
	r := newRig(t, setting{})
	r.statuses()
	<-load{r: r, urls: r.urls(), clients: 1}.pour(atMost(t, time.Minute), githubBuilds(t, rd.seed, 3))
	r.settled(time.Minute)
	begun := time.Now()
	if _, err := r.redis.Do("CONFIG RESETSTAT"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second) // what is counted is what happens in this time
	stats, err := r.redis.Do("INFO commandstats")
	if err != nil {
		t.Fatal(err)
	}
	calls := -1 // the RESETSTAT
	for _, m := range regexp.MustCompile(`calls=(\d+)`).FindAllStringSubmatch(stats, -1) {
		n, _ := strconv.Atoi(m[1])
		calls += n
	}
	perSecond := float64(calls) / time.Since(begun).Seconds()
	t.Logf("%s: %.1f Redis commands a second", t.Name(), perSecond)
	if perSecond >= 10 || calls <= 0 {
		t.Errorf("%d Redis commands, %.1f a second; want some, and fewer than 10 a second:\n%s", calls, perSecond, stats)
	}
}
