package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/store/storetest"
)

// BenchmarkCommit commits events of new runs with the SEI sample as body, each
// with one delivery, under durability strict.
func BenchmarkCommit(b *testing.B) {
	body, err := os.ReadFile(filepath.Join("testdata", "sei.json"))
	if err != nil {
		b.Fatal(err)
	}
	for _, clients := range []int{1, 16, 64} {
		for _, hooks := range []bool{false, true} {
			b.Run(fmt.Sprintf("clients=%d/hooks=%v", clients, hooks), func(b *testing.B) {
				server := storetest.Redis(b)
				cfg := Config{URL: server.URL(), Ring: newRing(b), MaxConnections: 64}
				if hooks {
					cfg.Planner = plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
						if f == nil {
							return nil
						}
						return []bridge.Delivery{deliveryFor(run, *f, run.Key, bridge.Latest)}
					})
				}
				s, err := Open(b.Context(), cfg)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				var n atomic.Int64
				took := make([]time.Duration, b.N)
				b.ResetTimer()
				work := make(chan int, b.N)
				for i := range b.N {
					work <- i
				}
				close(work)
				done := make(chan error, clients)
				for range clients {
					go func() {
						for i := range work {
							key := fmt.Sprint(n.Add(1))
							sub := event(key, "end", bridge.Succeeded)
							sub.Request.Body = body
							start := time.Now()
							if _, err := s.Commit(b.Context(), sub); err != nil {
								done <- err
								return
							}
							took[i] = time.Since(start)
						}
						done <- nil
					}()
				}
				for range clients {
					if err := <-done; err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				slices.Sort(took)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}
