package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

func TestSettings(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s, replica := b.open(), b.open()
		changes := make(chan int64, 100)
		replica.OnChange(func(sn *Snapshot) { changes <- sn.Version })
		<-changes // the present one
		ctx := t.Context()
		source := bridge.Source{ID: "gh", Mapping: "github-actions", Secrets: []bridge.Secret{"s3cret-s3cret"}, Vars: map[string]any{"n": int64(4487150517), "s": "x"}}
		key := bridge.Key{ID: "k1", Name: "ci", Source: "codenow", Components: []string{"shop"}, Hash: []byte{1, 2, 3}, CreatedAt: 5}
		app := bridge.Application{ID: "a1", Name: "Shop", Repositories: []string{"acme/shop"}, SourceProvider: bridge.SourceProvider{Name: "github", BaseURL: "https://api.github.com", AccessToken: "t0ken-t0ken"}}
		hook := bridge.Hook{ID: "h1", Name: "CI(build)", Pipeline: "*", Secret: "hm4c-hm4c", Settings: bridge.HookSettings{RequestBody: map[string]any{"id": int64(9007199254740993), "x": 1.5, "l": []any{int64(1), nil}}},
			TriggerWhen: bridge.TriggerWhen{Events: []bridge.Trigger{bridge.ActionStarted}, Conditions: []bridge.Condition{{Path: "run.number", AcceptedValues: []any{int64(123), "a"}}}}}
		for _, err := range []error{s.PutSource(ctx, source), s.PutKey(ctx, key), s.PutApplication(ctx, app), s.PutHook(ctx, hook)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		want := &Snapshot{Version: 4, Sources: []bridge.Source{source}, Keys: []bridge.Key{key}, Applications: []bridge.Application{app}, Hooks: []bridge.Hook{hook}}
		if got := s.Snapshot(); !reflect.DeepEqual(got, want) {
			t.Errorf("here:\n got %#v\nwant %#v", got, want)
		}
		for v := int64(0); v < 4; {
			select {
			case v = <-changes:
			case <-time.After(10 * time.Second):
				t.Fatal("another replica does not hear of the changes")
			}
		}
		if got := replica.Snapshot(); !reflect.DeepEqual(got, want) {
			t.Errorf("on another replica:\n got %#v\nwant %#v", got, want)
		}
		if shown, _ := json.Marshal(replica.Snapshot()); strings.Contains(string(shown), "t0ken") {
			t.Errorf("a snapshot shows secrets: %s", shown)
		}
		// Changes of two replicas in turn, each seen by its maker at once.
		for i := range 6 {
			maker := []*Store{s, replica}[i%2]
			id := fmt.Sprintf("h%d", i+2)
			if err := maker.PutHook(ctx, bridge.Hook{ID: id}); err != nil {
				t.Fatal(err)
			}
			if hooks := maker.Snapshot().Hooks; len(hooks) != i+2 {
				t.Errorf("after %d hooks the maker sees %d", i+2, len(hooks))
			}
		}
		if err := s.DeleteHook(ctx, "h1"); err != nil {
			t.Fatal(err)
		}
		var known *bridge.Error
		if err := s.DeleteHook(ctx, "h1"); !errors.As(err, &known) || known.Code != bridge.CodeNotFound {
			t.Errorf("deleting what is not there: got %v, want not found", err)
		}
		for _, err := range []error{s.DeleteSource(ctx, "gh"), s.DeleteKey(ctx, "k1"), s.DeleteApplication(ctx, "a1")} {
			if err != nil {
				t.Error(err)
			}
		}
		if got := s.Snapshot(); len(got.Sources)+len(got.Keys)+len(got.Applications) != 0 || len(got.Hooks) != 6 {
			t.Errorf("after deleting: got %+v", got)
		}
	})
}

func TestTouchKey(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open()
		now := time.UnixMilli(1_700_000_000_000)
		for _, after := range []time.Duration{0, 30 * time.Second, 59 * time.Second} {
			if err := s.TouchKey(t.Context(), "k", now.Add(after)); err != nil {
				t.Fatal(err)
			}
		}
		used, err := s.KeysUsed(t.Context())
		if err != nil || used["k"] != now.UnixMilli() {
			t.Errorf("within a minute: got %v, %v; want the first use only", used, err)
		}
		s.TouchKey(t.Context(), "k", now.Add(61*time.Second))
		if used, _ := s.KeysUsed(t.Context()); used["k"] != now.Add(61*time.Second).UnixMilli() {
			t.Errorf("after a minute: got %v", used)
		}
	})
}

func TestURLs(t *testing.T) {
	tests := map[string]string{ // URL -> a part of the error, "" for none
		"redis://localhost:6379/1":                                "",
		"rediss://user:pw@localhost:6379":                         "",
		"unix:///tmp/redis.sock":                                  "",
		"sentinel://:pw@a:26379,b:26379/main?db=1":                "",
		"cluster://a:6379,b:6379":                                 "",
		"http://localhost":                                        `the scheme "http" is not one of redis`,
		"sentinel://a:26379":                                      "the name of the primary is missing",
		"sentinel://a/main":                                       "has no port",
		"cluster://a:1/0":                                         "only database 0",
		"redis://user:s3cretpw@loca lhost:6379":                   "redis URL",
		"sentinel://user:s3cretpw@a:26379,b:26379/main?db=second": "db=second is not a number",
	}
	for url, want := range tests {
		client, err := newClient(url, 1)
		if client != nil {
			defer client.Close()
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", url, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want an error with %q", url, err, want)
		case err != nil && strings.Contains(err.Error(), "s3cretpw"):
			t.Errorf("the error shows the password: %v", err)
		}
	}
	if got := redacted("redis://user:s3cretpw@host:1"); got != "redis://***@host:1" {
		t.Errorf("redacted: got %s", got)
	}
}

// A primary of a cluster that died is noticed soon, not after the minute that
// go-redis takes.
func TestClusterLayoutIsFresh(t *testing.T) {
	client, err := newClient("cluster://a:6379,b:6379", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	cluster, ok := client.(*redis.ClusterClient)
	if !ok || cluster.Options().ClusterStateReloadInterval > 2*time.Second {
		t.Errorf("got %T, want a client that knows no older layout than of 2 s ago", client)
	}
}
