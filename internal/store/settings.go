package store

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// The stored forms. They differ from the bridge's in one thing: a
// bridge.Secret shows itself as ***, here it has to be written as it is. They
// are sealed as a whole.

type storedSource struct {
	bridge.Source
	Secrets []string `json:"secrets,omitempty"`
}

func sourceTo(v bridge.Source) storedSource {
	st := storedSource{Source: v}
	st.Source.Secrets, st.Source.ReadOnly = nil, false
	for _, secret := range v.Secrets {
		st.Secrets = append(st.Secrets, secret.Reveal())
	}
	return st
}

func sourceFrom(st storedSource) bridge.Source {
	v := st.Source
	v.Secrets = nil
	for _, secret := range st.Secrets {
		v.Secrets = append(v.Secrets, bridge.Secret(secret))
	}
	v.Vars, _ = whole(v.Vars).(map[string]any)
	return v
}

func keyTo(v bridge.Key) bridge.Key {
	v.LastUsed = 0
	return v
}

func keyFrom(v bridge.Key) bridge.Key { return v }

type storedApplication struct {
	bridge.Application
	AccessToken string `json:"access_token,omitempty"`
}

func applicationTo(v bridge.Application) storedApplication {
	st := storedApplication{v, v.SourceProvider.AccessToken.Reveal()}
	st.SourceProvider.AccessToken, st.ReadOnly = "", false
	return st
}

func applicationFrom(st storedApplication) bridge.Application {
	v := st.Application
	v.SourceProvider.AccessToken = bridge.Secret(st.AccessToken)
	return v
}

type storedHook struct {
	bridge.Hook
	Secret string `json:"secret,omitempty"`
}

func hookTo(v bridge.Hook) storedHook {
	st := storedHook{v, v.Secret.Reveal()}
	st.Hook.Secret, st.ReadOnly = "", false
	return st
}

func hookFrom(st storedHook) bridge.Hook {
	v := st.Hook
	v.Secret = bridge.Secret(st.Secret)
	v.Settings.RequestBody = whole(v.Settings.RequestBody)
	for i := range v.TriggerWhen.Conditions {
		v.TriggerWhen.Conditions[i].AcceptedValues, _ = whole(v.TriggerWhen.Conditions[i].AcceptedValues).([]any)
	}
	return v
}

// unmarshal keeps the digits of numbers until [whole] has seen them.
func unmarshal(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

// whole turns the numbers of a JSON tree into int64 where they are whole.
func whole(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case map[string]any:
		for k, sub := range v {
			v[k] = whole(sub)
		}
	case []any:
		for i, sub := range v {
			v[i] = whole(sub)
		}
	}
	return v
}

func sourcesOf(s *Snapshot) *[]bridge.Source           { return &s.Sources }
func keysOf(s *Snapshot) *[]bridge.Key                 { return &s.Keys }
func applicationsOf(s *Snapshot) *[]bridge.Application { return &s.Applications }
func hooksOf(s *Snapshot) *[]bridge.Hook               { return &s.Hooks }

func sourceID(v bridge.Source) string           { return v.ID }
func keyID(v bridge.Key) string                 { return v.ID }
func applicationID(v bridge.Application) string { return v.ID }
func hookID(v bridge.Hook) string               { return v.ID }

// PutSource stores a source, in place of one with the same id.
func (s *Store) PutSource(ctx context.Context, v bridge.Source) error {
	return put(ctx, s, kindSource, v.ID, v, sourceTo, sourceFrom, sourcesOf, sourceID)
}

// DeleteSource deletes a source; CodeNotFound when there is none.
func (s *Store) DeleteSource(ctx context.Context, id string) error {
	return drop(ctx, s, kindSource, id, sourcesOf, sourceID)
}

// PutKey stores an API key, in place of one with the same id.
func (s *Store) PutKey(ctx context.Context, v bridge.Key) error {
	return put(ctx, s, kindKey, v.ID, v, keyTo, keyFrom, keysOf, keyID)
}

// DeleteKey deletes an API key; CodeNotFound when there is none.
func (s *Store) DeleteKey(ctx context.Context, id string) error {
	if err := drop(ctx, s, kindKey, id, keysOf, keyID); err != nil {
		return err
	}
	return s.read(ctx, "forget the use of a key", func(p redis.Pipeliner) { p.HDel(ctx, s.keyspace.used(), id) })
}

// PutApplication stores an application, in place of one with the same id.
func (s *Store) PutApplication(ctx context.Context, v bridge.Application) error {
	return put(ctx, s, kindApplication, v.ID, v, applicationTo, applicationFrom, applicationsOf, applicationID)
}

// DeleteApplication deletes an application; CodeNotFound when there is none.
func (s *Store) DeleteApplication(ctx context.Context, id string) error {
	return drop(ctx, s, kindApplication, id, applicationsOf, applicationID)
}

// PutHook stores a hook, in place of one with the same id.
func (s *Store) PutHook(ctx context.Context, v bridge.Hook) error {
	return put(ctx, s, kindHook, v.ID, v, hookTo, hookFrom, hooksOf, hookID)
}

// DeleteHook deletes a hook; CodeNotFound when there is none. What it has
// already caused is still delivered.
func (s *Store) DeleteHook(ctx context.Context, id string) error {
	return drop(ctx, s, kindHook, id, hooksOf, hookID)
}

// touchEvery bounds how often the use of one key is written.
const touchEvery = time.Minute

// TouchKey notes that a key was used. It writes at most once a minute for each
// key and process, and is cheap otherwise.
func (s *Store) TouchKey(ctx context.Context, id string, now time.Time) error {
	m := s.meta
	m.mu.Lock()
	if now.Sub(m.touched[id]) < touchEvery {
		m.mu.Unlock()
		return nil
	}
	m.touched[id] = now
	m.mu.Unlock()
	return s.read(ctx, "note the use of a key", func(p redis.Pipeliner) { p.HSet(ctx, s.keyspace.used(), id, now.UnixMilli()) })
}

// KeysUsed returns when each API key was last used, epoch ms; absent for one
// that never was.
func (s *Store) KeysUsed(ctx context.Context) (map[string]int64, error) {
	var cmd *redis.MapStringStringCmd
	if err := s.read(ctx, "read the use of keys", func(p redis.Pipeliner) { cmd = p.HGetAll(ctx, s.keyspace.used()) }); err != nil {
		return nil, err
	}
	used := make(map[string]int64, len(cmd.Val()))
	for id, text := range cmd.Val() {
		used[id], _ = strconv.ParseInt(text, 10, 64)
	}
	return used, nil
}
