package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"cibridge/bridge"
)

// Time limits of one exchange with Redis. They add up to less than the two
// seconds within which a sender has to hear that nothing was stored.
const (
	dialTimeout = time.Second
	ioTimeout   = 1500 * time.Millisecond
	poolTimeout = time.Second
)

// clusterReload is how old the known layout of a cluster gets while it is used.
// go-redis looks again by itself only when a server that is still there says
// that slots have moved; of a primary that died it would hear after a minute.
const clusterReload = time.Second

// newClient connects to what the URL names. It never retries by itself: a
// script that may have run is tried again only where that is known to be safe.
func newClient(raw string, connections int) (redis.UniversalClient, error) {
	scheme, _, _ := strings.Cut(raw, "://")
	switch scheme {
	case "redis", "rediss", "unix":
		o, err := redis.ParseURL(raw)
		if err != nil {
			return nil, fmt.Errorf("redis URL: %w", errors.New(strings.ReplaceAll(err.Error(), raw, redacted(raw))))
		}
		o.MaxRetries, o.DialTimeout, o.PoolTimeout = -1, dialTimeout, poolTimeout
		o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = ioTimeout, ioTimeout, true
		o.PoolSize, o.DisableIdentity, o.DialerRetries = connections, true, 1
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		return redis.NewClient(o), nil
	case "sentinel", "sentinels", "cluster", "clusters":
		o, err := parseMany(raw)
		if err != nil {
			return nil, fmt.Errorf("redis URL: %w", err)
		}
		o.MaxRetries, o.DialTimeout, o.PoolTimeout = -1, dialTimeout, poolTimeout
		o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = ioTimeout, ioTimeout, true
		o.PoolSize, o.DisableIdentity, o.DialerRetries = connections, true, 1
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		if o.IsClusterMode {
			many := o.Cluster()
			many.ClusterStateReloadInterval = clusterReload
			return redis.NewClusterClient(many), nil
		}
		return redis.NewUniversalClient(o), nil
	}
	return nil, fmt.Errorf("redis URL: the scheme %q is not one of redis, rediss, unix, sentinel, sentinels, cluster, clusters", scheme)
}

// parseMany reads the URLs of more than one server: hosts separated by commas,
// for sentinels the name of the primary as path.
func parseMany(raw string) (*redis.UniversalOptions, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("it cannot be parsed: want sentinel://host:port,host:port/primary?db=0 or cluster://host:port,host:port")
	}
	o := &redis.UniversalOptions{Addrs: strings.Split(u.Host, ",")}
	for i, addr := range o.Addrs {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("server %d of %s has no port: want host:port,host:port", i+1, u.Host)
		}
	}
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	if strings.HasSuffix(u.Scheme, "s") {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	primary := strings.Trim(u.Path, "/")
	if strings.HasPrefix(u.Scheme, "cluster") {
		if primary != "" {
			return nil, errors.New("a cluster has only database 0: remove the path")
		}
		o.IsClusterMode = true
		return o, nil
	}
	if primary == "" {
		return nil, errors.New("the name of the primary is missing: want sentinel://host:port,host:port/primary")
	}
	o.MasterName = primary
	if db := u.Query().Get("db"); db != "" {
		if o.DB, err = strconv.Atoi(db); err != nil {
			return nil, fmt.Errorf("db=%s is not a number", db)
		}
	}
	return o, nil
}

// redacted removes the credentials from a URL, also from one that does not
// parse.
func redacted(raw string) string {
	scheme, rest, _ := strings.Cut(raw, "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "***@" + rest[at+1:]
	}
	return scheme + "://" + rest
}

// unavailable wraps an error of Redis: whatever it was, nothing is known to be
// stored and the client should try again.
func unavailable(doing string, err error) error {
	var known *bridge.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &bridge.Error{Code: bridge.CodeUnavailable, Message: "Redis cannot do this now, try again", Err: fmt.Errorf("%s: %w", doing, err)}
}

// notSent reports that a command never reached Redis or that its answer never
// came: worth another try for what is idempotent. Errors that Redis itself
// answered (LOADING, READONLY, OOM, MISCONF, CLUSTERDOWN, …) are not.
func notSent(err error) bool {
	var answer redis.Error
	return err != nil && !errors.As(err, &answer)
}

// guard makes callers fail at once while Redis is known to be away, so that
// they do not pile up.
type guard struct {
	mu    sync.Mutex
	fails int
	until time.Time
}

const (
	guardFails = 3
	guardPause = 500 * time.Millisecond
)

var errAway = errors.New("not connected: the last tries failed, the next one is in less than a second")

func (g *guard) allow() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Now().Before(g.until) {
		return errAway
	}
	return nil
}

// saw tells the guard how an exchange ended.
func (g *guard) saw(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled):
		// the caller went away: that says nothing of Redis
	case !notSent(err):
		g.fails, g.until = 0, time.Time{}
	case g.fails+1 < guardFails:
		g.fails++
	default:
		g.fails, g.until = guardFails, time.Now().Add(guardPause)
	}
}
