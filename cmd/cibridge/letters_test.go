package main

import (
	"net/url"
	"testing"
	"time"

	"cibridge/internal/config"
	"cibridge/internal/provider"
	"cibridge/internal/store"
)

func TestLimits(t *testing.T) {
	of := limitsOf(append(config.Default().Dispatch.Limits, config.Limit{Origin: "http://Git.acme.example:3000/", Concurrent: 2}))
	for text, want := range map[string]store.Limit{
		"https://api.github.com/repos/acme/shop/statuses/1": {Every: time.Second, Burst: 20},
		"https://gitlab.com/api/v4/projects/1/statuses/1":   {Every: time.Minute / 1800, Burst: 200},
		"https://api.bitbucket.org/2.0/x":                   {Every: 4500 * time.Millisecond, Burst: 200},
		"http://git.acme.example:3000/api/v1/x":             {PerBucket: 2},
		"https://git.acme.example/api/v1/x":                 {},
		"https://api.github.com.evil.example/":              {},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := of(provider.Origin(u) + "|application:a"); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}
