package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
)

// floorScript writes one value and one index entry: the least that keeps an
// event.
var floorScript = redis.NewScript(`redis.call('SET', KEYS[1], ARGV[1]) redis.call('ZADD', KEYS[2], ARGV[2], KEYS[1]) return 1`)

// serveFloor is the fastest server that gin and Redis allow: read the body,
// run one script that writes size bytes, answer.
func serveFloor(ctx context.Context, redisURL string, size int) error {
	opt, err := redis.ParseURL(redisURL)
	if err != nil {
		return err
	}
	opt.PoolSize = 64
	db := redis.NewClient(opt)
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	value := strings.Repeat("x", size)
	var n atomic.Int64
	e.NoRoute(func(c *gin.Context) {
		if _, err := io.Copy(io.Discard, c.Request.Body); err != nil {
			c.Status(http.StatusBadRequest)
			return
		}
		id := strconv.FormatInt(n.Add(1), 36)
		if err := floorScript.Run(c, db, []string{"{f}" + id, "{f}index"}, value, time.Now().UnixMilli()).Err(); err != nil {
			c.String(http.StatusServiceUnavailable, err.Error())
			return
		}
		c.JSON(http.StatusAccepted, gin.H{"event": id})
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	s := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}
