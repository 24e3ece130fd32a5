//go:build chaos

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// node is a redis-server on loopback that is one of several.
type node struct {
	t    *testing.T
	dir  string
	port int
	cmd  *exec.Cmd
	*redis.Client
}

// freePorts returns ports that were free a moment ago.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all are held until all are known
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// startNode runs a redis-server, or a sentinel, until the test ends.
func startNode(t *testing.T, port int, args ...string) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "cb")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, dir: dir, port: port, Client: redis.NewClient(&redis.Options{Addr: fmt.Sprint("127.0.0.1:", port), MaxRetries: -1, DisableIdentity: true})}
	n.cmd = exec.Command("redis-server", args...)
	n.cmd.Dir = dir
	if args[0] == "sentinel.conf" {
		if err := os.WriteFile(filepath.Join(dir, args[0]), []byte(args[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		n.cmd = exec.Command("redis-server", args[0], "--sentinel")
		n.cmd.Dir = dir
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.Close()
		n.kill()
		os.RemoveAll(dir)
	})
	eventually(t, 30*time.Second, func() error { return n.Ping(t.Context()).Err() })
	return n
}

// strictNode is startNode with what durability strict needs.
func strictNode(t *testing.T, port int, more ...string) *node {
	t.Helper()
	return startNode(t, port, append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
		"--appendfsync", "always", "--maxmemory-policy", "noeviction", "--logfile", "log", "--repl-diskless-sync-delay", "0"}, more...)...)
}

// kill is kill -9.
func (n *node) kill() {
	n.cmd.Process.Kill()
	n.cmd.Wait()
}

// do fails the test when a command fails.
func (n *node) do(args ...any) any {
	n.t.Helper()
	v, err := n.Do(context.WithoutCancel(n.t.Context()), args...).Result()
	if err != nil {
		n.t.Fatalf("%v: %v", args, err)
	}
	return v
}

// newCluster starts three primaries with a replica each and returns them,
// primaries first.
func newCluster(t *testing.T) []*node {
	t.Helper()
	ports := freePorts(t, 12)
	var nodes []*node
	for i := range 6 {
		nodes = append(nodes, strictNode(t, ports[i], "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(ports[6+i]),
			"--cluster-node-timeout", "2000", "--cluster-replica-validity-factor", "0"))
	}
	for i, n := range nodes {
		if i < 3 {
			n.do("CLUSTER", "ADDSLOTSRANGE", i*16384/3, (i+1)*16384/3-1)
		}
		if i > 0 {
			n.do("CLUSTER", "MEET", "127.0.0.1", ports[0], ports[6])
		}
	}
	for i, n := range nodes {
		eventually(t, 60*time.Second, func() error {
			if text := fmt.Sprint(n.do("CLUSTER", "NODES")); strings.Count(text, "connected\n")+strings.Count(text, "connected ") < 6 || strings.Contains(text, "handshake") {
				return fmt.Errorf("node %d knows only\n%s", i, text)
			}
			return nil
		})
		if i >= 3 {
			n.do("CLUSTER", "REPLICATE", nodes[i-3].do("CLUSTER", "MYID"))
		}
	}
	for i, n := range nodes {
		eventually(t, 60*time.Second, func() error {
			info := fmt.Sprint(n.do("CLUSTER", "INFO"))
			if !strings.Contains(info, "cluster_state:ok") || i >= 3 && !strings.Contains(fmt.Sprint(n.do("INFO", "replication")), "master_link_status:up") {
				return fmt.Errorf("node %d is not ready: %s", i, info)
			}
			return nil
		})
	}
	return nodes
}

func addresses(nodes []*node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, fmt.Sprint("127.0.0.1:", n.port))
	}
	return strings.Join(all, ",")
}

// busiest returns the primary that holds most keys.
func busiest(primaries []*node) *node {
	most := primaries[0]
	for _, n := range primaries[1:] {
		if n.do("DBSIZE").(int64) > most.do("DBSIZE").(int64) {
			most = n
		}
	}
	return most
}

// chaosCluster runs on a Redis Cluster and kills the primary that has the runs.
func chaosCluster(t *testing.T, rd round) {
	nodes := newCluster(t)
	r := newRig(t, setting{redisURL: "cluster://" + addresses(nodes), faults: []string{"503x1:pending"}})
	r.failover(rd, func() {
		primary := busiest(nodes[:3])
		primary.do("WAIT", 1, 10_000)
		primary.kill()
	})
}

// newSentinels starts a primary with a replica and three sentinels.
func newSentinels(t *testing.T) (primary *node, sentinels []*node) {
	t.Helper()
	ports := freePorts(t, 5)
	primary = strictNode(t, ports[0])
	replica := strictNode(t, ports[1], "--replicaof", fmt.Sprint("127.0.0.1 ", ports[0]))
	eventually(t, 60*time.Second, func() error {
		if info := fmt.Sprint(replica.do("INFO", "replication")); !strings.Contains(info, "master_link_status:up") {
			return fmt.Errorf("the replica is not ready: %s", info)
		}
		return nil
	})
	for _, port := range ports[2:] {
		sentinels = append(sentinels, startNode(t, port, "sentinel.conf", fmt.Sprintf(`port %d
bind 127.0.0.1
logfile log
sentinel monitor cb 127.0.0.1 %d 2
sentinel down-after-milliseconds cb 2000
sentinel failover-timeout cb 10000
`, port, ports[0])))
	}
	for _, s := range sentinels {
		eventually(t, 60*time.Second, func() error {
			if info := fmt.Sprint(s.do("INFO", "sentinel")); !strings.Contains(info, "slaves=1,sentinels=3") {
				return fmt.Errorf("the sentinels do not know each other: %s", info)
			}
			return nil
		})
	}
	return primary, sentinels
}

// chaosSentinel kills a primary that sentinels watch.
func chaosSentinel(t *testing.T, rd round) {
	primary, sentinels := newSentinels(t)
	r := newRig(t, setting{redisURL: "sentinel://" + addresses(sentinels) + "/cb", faults: []string{"503x1:pending"}})
	r.failover(rd, func() {
		primary.do("WAIT", 1, 10_000)
		primary.kill()
	})
}

// failover sends builds, kills a primary when all that was acknowledged is on
// its replica, and sends more while the replica takes over. What was not
// replicated can be lost in a failover, no setting of Redis rules that out; so
// the second half of the test is what must not be.
func (r *rig) failover(rd round, kill func()) {
	r.t.Helper()
	r.statuses()
	count := 60 * rd.scale
	builds := interleave(codenowBuilds(r.key("codenow"), rd.seed, count), githubBuilds(r.t, rd.seed, count))
	ctx, l := atMost(r.t, 30*time.Minute), load{r: r, urls: r.urls(), clients: 16}
	<-l.pour(ctx, builds[:count])
	kill()
	r.kills++
	<-l.pour(ctx, builds[count:])
	f := r.check(builds)
	f.report(r.t)
	f.intact(r.t)
	if log := r.serve.log.String(); strings.Contains(log, "CROSSSLOT") {
		r.t.Errorf("a script touches keys of several slots:\n%s", tail(log, 4000))
	}
}
