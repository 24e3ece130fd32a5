package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

type options struct {
	binary   string
	duration time.Duration
	clients  []int
	profile  string
	only     string
	away     time.Duration
}

// adminToken is the operator's in this run only.
const adminToken = "bench-admin-token-0123456789abcdef"

// bed is one server on one Redis.
type bed struct {
	dir    string
	redis  *process
	db     *redis.Client
	server *process
	key    map[string]string // source -> API key
}

func bench(ctx context.Context, o options) error {
	fmt.Printf("%s, %d cores, load generator included; %s a row\n", runtime.Version(), runtime.NumCPU(), o.duration)
	if o.profile != "" {
		o.clients = o.clients[len(o.clients)-1:]
		return throughput(ctx, o, "strict", 0)
	}
	for _, part := range []struct {
		name string
		do   func(context.Context, options) error
	}{{"throughput", throughputs}, {"latency", latency}, {"memory", memory}, {"delivery", delivery}} {
		if o.only != "" && o.only != part.name {
			continue
		}
		if err := part.do(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// throughputs prints a table: every load under both durabilities.
func throughputs(ctx context.Context, o options) error {
	fmt.Printf("\n%-9s %-28s %8s %10s %10s %10s %8s\n", "", "", "clients", "events/s", "p50", "p99", "of floor")
	for _, durability := range []string{"strict", "relaxed"} {
		for load := range 2 {
			if err := throughput(ctx, o, durability, load); err != nil {
				return err
			}
		}
	}
	fmt.Println()
	return nil
}

var fsyncOf = map[string]string{"strict": "always", "relaxed": "everysec"}

// setUp starts Redis and the server, with a key for each seed source and a
// GitHub source. More is added to the server's environment.
func setUp(ctx context.Context, o options, durability string, more ...string) (*bed, error) {
	dir, err := os.MkdirTemp("", "cbench")
	if err != nil {
		return nil, err
	}
	b := &bed{dir: dir, key: map[string]string{}}
	if b.redis, b.db, err = startRedis(ctx, dir, fsyncOf[durability]); err != nil {
		b.close()
		return nil, err
	}
	ring := make([]byte, 32)
	rand.Read(ring)
	env := []string{
		"CIBRIDGE_REDIS_URL=" + b.redis.url, "CIBRIDGE_DURABILITY=" + durability, "CIBRIDGE_ADMIN_TOKEN=" + adminToken,
		"CIBRIDGE_ENCRYPTION_KEYS=bench:" + base64.StdEncoding.EncodeToString(ring), "CIBRIDGE_LISTEN=127.0.0.1:0", "CIBRIDGE_EGRESS_ALLOW=127.0.0.0/8",
		"CIBRIDGE_LOG_LEVEL=error",
	}
	env = append(env, more...)
	args := []string{"serve"}
	if o.profile != "" {
		args = append(args, "--cpuprofile", o.profile)
	}
	if b.server, err = start(ctx, env, o.binary, args...); err != nil {
		b.close()
		return nil, err
	}
	for _, source := range []string{"codenow", "harness-sei"} {
		var got struct{ Key string }
		if err := b.admin("POST", "/api/v1/keys", map[string]any{"source": source, "account": true, "name": "bench"}, &got); err != nil {
			b.close()
			return nil, err
		}
		b.key[source] = got.Key
	}
	if err := b.admin("POST", "/api/v1/sources", map[string]any{"id": "gh", "mapping": "github-actions", "secrets": []string{githubSecret}}, nil); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bed) close() {
	for _, p := range []*process{b.server, b.redis} {
		if p != nil {
			p.stop()
		}
	}
	_ = os.RemoveAll(b.dir) // in the system's temporary directory
}

func (b *bed) admin(method, path string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, b.server.url+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s %w", method, path, res.StatusCode, answer, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

func (b *bed) loads() ([]load, error) {
	sei, err := seiLoad(b.key["harness-sei"])
	if err != nil {
		return nil, err
	}
	github, err := githubLoad()
	return []load{sei, github}, err
}

// throughput prints the rows of the nth load, on a fresh Redis.
func throughput(ctx context.Context, o options, durability string, nth int) error {
	b, err := setUp(ctx, o, durability)
	if err != nil {
		return err
	}
	defer b.close()
	loads, err := b.loads()
	if err != nil {
		return err
	}
	return besideFloor(ctx, o, b, loads[nth], durability)
}

// besideFloor prints a row for each number of clients, with the ratio to a
// floor that writes as many bytes to the same Redis.
func besideFloor(ctx context.Context, o options, b *bed, l load, durability string) error {
	var n atomic.Int64
	written, err := bytesWritten(ctx, b, l, &n)
	if err != nil {
		return err
	}
	floor, err := start(ctx, nil, os.Args[0], "-floor", b.redis.url, "-floor-bytes", strconv.Itoa(written))
	if err != nil {
		return err
	}
	defer floor.stop()
	for _, clients := range o.clients {
		var bases, gots []result
		for range rounds {
			base, err := measure(ctx, floor.url, l, clients, o.duration/rounds, &n)
			if err != nil {
				return err
			}
			got, err := measure(ctx, b.server.url, l, clients, o.duration/rounds, &n)
			if err != nil {
				return err
			}
			bases, gots = append(bases, base), append(gots, got)
		}
		base, got := median(bases), median(gots)
		row(durability, "floor: "+strconv.Itoa(written)+" bytes", clients, base, "")
		row(durability, l.name, clients, got, fmt.Sprintf("%.2f", got.rate/base.rate))
	}
	return nil
}

// rounds of floor and server take turns, because a machine that others use is
// not equally fast for long; the round with the median rate counts.
const rounds = 3

func median(rs []result) result {
	slices.SortFunc(rs, func(a, b result) int { return cmp.Compare(a.rate, b.rate) })
	return rs[len(rs)/2]
}

func row(durability, name string, clients int, r result, ratio string) {
	fmt.Printf("%-9s %-28s %8d %10.0f %10s %10s %8s\n", durability, name, clients, r.rate,
		r.p50.Round(10*time.Microsecond), r.p99.Round(10*time.Microsecond), ratio)
}

var aofSize = regexp.MustCompile(`aof_current_size:(\d+)`)

// bytesWritten posts some events and returns how much the append-only file
// grew for each.
func bytesWritten(ctx context.Context, b *bed, l load, n *atomic.Int64) (int, error) {
	size := func() (int, error) {
		info, err := b.db.Info(ctx, "persistence").Result()
		m := aofSize.FindStringSubmatch(info)
		if err != nil || m == nil {
			return 0, fmt.Errorf("INFO persistence: %w", err)
		}
		return strconv.Atoi(m[1])
	}
	before, err := size()
	if err != nil {
		return 0, err
	}
	r, err := measure(ctx, b.server.url, l, 4, 500*time.Millisecond, n)
	if err != nil {
		return 0, err
	}
	after, err := size()
	if err != nil {
		return 0, err
	}
	return (after - before) / int(r.events), nil
}

// latency prints how long after its commit was acknowledged a delivery of an
// idle server arrives.
func latency(ctx context.Context, o options) error {
	b, err := setUp(ctx, o, "strict")
	if err != nil {
		return err
	}
	defer b.close()
	arrived := make(chan time.Time, 16)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	sink := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- time.Now()
		w.WriteHeader(http.StatusCreated)
	})}
	go func() { _ = sink.Serve(l) }()
	defer sink.Close()
	hook := map[string]any{"name": "bench", "target_url": "http://" + l.Addr().String() + "/{{ run.id }}",
		"settings": map[string]any{"request_body": map[string]any{"status": "{{ run.status }}"}}, "trigger_when": map[string]any{"events": []string{"action.completed"}}}
	if err := b.admin("POST", "/pipelines/*/hooks/outgoing", hook, nil); err != nil {
		return err
	}
	sei, err := seiLoad(b.key["harness-sei"])
	if err != nil {
		return err
	}
	const count = 300
	var took []time.Duration
	for n := range int64(count) {
		if _, err := send(ctx, http.DefaultClient, b.server.url, sei.post(n)); err != nil {
			return err
		}
		acknowledged := time.Now()
		select {
		case at := <-arrived:
			took = append(took, max(0, at.Sub(acknowledged)))
		case <-time.After(10 * time.Second):
			return fmt.Errorf("delivery %d did not arrive within 10 s", n)
		}
		time.Sleep(5 * time.Millisecond) // back to idle
	}
	slices.Sort(took)
	fmt.Printf("delivery after its commit, idle: p50 %s, p99 %s (%d deliveries)\n", took[count/2].Round(10*time.Microsecond), took[count*99/100].Round(10*time.Microsecond), count)
	return nil
}

// memory prints the bytes of Redis that a finished run takes, raw events,
// indexes and dedupe ids included, before retention.
func memory(ctx context.Context, o options) error {
	for _, of := range []struct {
		name   string
		events int64
		load   func(b *bed) (load, error)
	}{
		{"GitHub", 3, func(*bed) (load, error) { return githubLoad() }},
		{"CodeNOW", 5, func(b *bed) (load, error) { return codenowLoad(b.key["codenow"]) }},
		{"SEI", 1, func(b *bed) (load, error) { return seiLoad(b.key["harness-sei"]) }},
	} {
		b, err := setUp(ctx, o, "relaxed")
		if err != nil {
			return err
		}
		perRun, err := bytesPerRun(ctx, b, of.events, of.load)
		b.close()
		if err != nil {
			return err
		}
		fmt.Printf("Redis memory of a finished %s run of %d events: %d bytes\n", of.name, of.events, perRun)
	}
	return nil
}

func bytesPerRun(ctx context.Context, b *bed, events int64, loadOf func(*bed) (load, error)) (int64, error) {
	const warm, runs = 100, 2000
	l, err := loadOf(b)
	if err != nil {
		return 0, err
	}
	used := func() (int64, error) {
		m, err := b.db.InfoMap(ctx, "memory").Result()
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(m["Memory"]["used_memory"], 10, 64)
	}
	var before int64
	for n := range (warm + runs) * events {
		if n == warm*events {
			if before, err = used(); err != nil {
				return 0, err
			}
		}
		if _, err := send(ctx, http.DefaultClient, b.server.url, l.post(n)); err != nil {
			return 0, err
		}
	}
	after, err := used()
	return (after - before) / runs, err
}
