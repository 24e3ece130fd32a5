package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseFault(t *testing.T) {
	for _, s := range []string{"503", "503x1", "503x1:pending", "500%15", "timeout", "drop:success", "resetx2", "late%5:pending", "429x3%50"} {
		f, err := ParseFault(s)
		if err != nil || f.String() != s {
			t.Errorf("%s: got %s, %v", s, f, err)
		}
	}
	for s, want := range map[string]string{
		"":        `fault "": "" is neither a status code nor timeout, drop, reset or late; write 503, 503x1, 503x1:pending, 500%15, timeout, drop, reset or late`,
		"slow":    `"slow" is neither a status code`,
		"200":     `200 is not a status from 400 to 599`,
		"503x0":   `"0" is not a number of attempts from 1 on`,
		"503x":    `"" is not a number of attempts from 1 on`,
		"503%0":   `"0" is not a percentage from 1 to 100`,
		"503%101": `"101" is not a percentage`,
		"503:":    `the state after : is missing`,
	} {
		if _, err := ParseFault(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", s, err, want)
		}
	}
	if _, err := ParseFaults([]string{"503", "x"}); err == nil {
		t.Error("a bad fault in a list was accepted")
	}
}

func faults(t *testing.T, list ...string) []Fault {
	t.Helper()
	out, err := ParseFaults(list)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The first attempt of every pending of every context of every commit fails.
func TestFaultFirstAttempts(t *testing.T) {
	r := start(t, Config{Faults: faults(t, "503x1:pending")})
	for _, path := range []string{ghPath, "/repos/acme/shop/statuses/" + otherSH, gtPath} {
		for _, ctx := range []string{"a", "b"} {
			body := func(state string) string { return `{"state":"` + state + `","context":"` + ctx + `"}` }
			for i, want := range []int{503, 201, 201} {
				if code, _, _ := r.send(path, body("pending")); code != want {
					t.Errorf("%s %s: attempt %d got %d, want %d", path, ctx, i+1, code, want)
				}
			}
			if code, _, _ := r.send(path, body("success")); code != 201 {
				t.Errorf("%s %s: success got %d", path, ctx, code)
			}
		}
	}
	for _, q := range r.Requests() {
		if (q.Status == 503) != (q.Fault == "503x1:pending") || q.Applied == (q.Status == 503) {
			t.Errorf("journal: %+v", q)
		}
	}
	r.Reset()
	if code, _, _ := r.send(ghPath, `{"state":"pending","context":"a"}`); code != 503 || len(r.Requests()) != 1 {
		t.Errorf("after Reset: got %d, %d requests", code, len(r.Requests()))
	}
	r.SetFaults()
	if code, _, _ := r.send(ghPath, `{"state":"pending","context":"z"}`); code != 201 {
		t.Errorf("without faults: got %d", code)
	}
}

func TestFaultBodies(t *testing.T) {
	tests := []struct {
		path, fault, want, retryAfter string
	}{
		{ghPath, "403", `…secondary rate limit`, "7"},
		{ghPath, "429", `…secondary rate limit`, "7"},
		{ghPath, "422", `…No commit found for SHA: ` + sha, ""},
		{ghPath, "503", `…Service unavailable`, ""},
		{ghPath, "418", `…I'm a teapot`, ""},
		{glPath, "429", `Retry later`, "7"},
		{glPath, "409", `{"message":"Another update to this commit status is in progress"}`, ""},
		{glPath, "404", `{"message":"404 Commit Not Found"}`, ""},
		{glPath, "502", `…GitLab is not responding`, ""},
		{glPath, "507", `{"message":"507 Insufficient Storage"}`, ""},
		{gtPath, "403", `…required scope(s): [write:repository]`, "7"},
		{gtPath, "405", ``, ""},
		{gtPath, "500", `…object does not exist`, ""},
		{gtPath, "503", `…Service Unavailable`, ""},
	}
	for _, tt := range tests {
		r := start(t, Config{Faults: faults(t, tt.fault), RetryAfter: 7 * time.Second})
		code, head, got := r.send(tt.path, `{"state":"success"}`)
		part, isPart := strings.CutPrefix(tt.want, "…")
		if fmt.Sprint(code) != tt.fault || isPart && !strings.Contains(got, part) || !isPart && got != tt.want || head.Get("Retry-After") != tt.retryAfter {
			t.Errorf("%s %s: got %d, Retry-After %q, %s", tt.path, tt.fault, code, head.Get("Retry-After"), got)
		}
	}
}

// hangs runs one request in a bubble of virtual time and returns when it was
// settled; leave is when its client gives up, 0 for never.
func hangs(t *testing.T, fault string, leave time.Duration) (settled time.Duration, q Request, shown string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := New(Config{Faults: faults(t, fault), Late: 3 * time.Second, Hang: time.Minute})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		req := httptest.NewRequestWithContext(ctx, http.MethodPost, ghPath, strings.NewReader(`{"state":"pending","context":"ci"}`))
		req.Header.Set("Authorization", "Bearer x")
		req.Header.Set("User-Agent", "x")
		begin := time.Now()
		done := make(chan error)
		go func() {
			defer func() { err, _ := recover().(error); done <- err }()
			f.ServeHTTP(httptest.NewRecorder(), req)
		}()
		if leave > 0 {
			time.AfterFunc(leave, cancel)
		}
		if err := <-done; !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("the connection is not cut: %v", err)
		}
		settled, q, shown = time.Since(begin), f.Requests()[0], f.Status(GitHub, "acme/shop", sha)["ci"]
	})
	return settled, q, shown
}

func TestFaultTiming(t *testing.T) {
	tests := []struct {
		fault   string
		leave   time.Duration
		settled time.Duration
		applied bool
	}{
		{"drop", 0, 0, false},
		{"reset", 0, 0, true},
		{"timeout", 5 * time.Second, 5 * time.Second, false},
		{"timeout", 0, time.Minute, false},
		{"late", 5 * time.Second, 8 * time.Second, true},
		{"late", 0, time.Minute + 3*time.Second, true},
	}
	for _, tt := range tests {
		settled, q, shown := hangs(t, tt.fault, tt.leave)
		if settled != tt.settled || q.Status != 0 || q.Applied != tt.applied || q.Fault != tt.fault || (shown == "pending") != tt.applied {
			t.Errorf("%s, client leaves after %v: settled after %v, %+v, shows %q", tt.fault, tt.leave, settled, q, shown)
		}
	}
}

// Over a real connection the client sees an error, never an answer.
func TestFaultConnections(t *testing.T) {
	for _, fault := range []string{"drop", "reset", "timeout", "late"} {
		r := start(t, Config{Faults: faults(t, fault), Late: time.Millisecond, Hang: time.Millisecond})
		if code, _, got := r.send(ghPath, `{"state":"pending"}`); code != 0 {
			t.Errorf("%s: got %d %s", fault, code, got)
		}
	}
}

// A late write lands after a newer one, and wins: that is what a sender has to
// live with.
func TestLateWriteOverwrites(t *testing.T) {
	r := start(t, Config{Faults: faults(t, "latex1:pending"), Late: 50 * time.Millisecond, Hang: time.Millisecond})
	if code, _, _ := r.send(ghPath, `{"state":"pending","context":"ci"}`); code != 0 {
		t.Fatalf("a late request was answered with %d", code)
	}
	if got := r.Status(GitHub, "acme/shop", sha)["ci"]; got != "pending" {
		t.Errorf("shows %q, want pending", got)
	}
}

func TestPercentIsRepeatable(t *testing.T) {
	count := func() (codes string, failed int) {
		r := start(t, Config{Faults: faults(t, "500%20")})
		for i := range 300 {
			code, _, _ := r.send(ghPath, fmt.Sprintf(`{"state":"success","context":"c%d"}`, i))
			codes += fmt.Sprint(code)
			if code == 500 {
				failed++
			}
		}
		return codes, failed
	}
	first, n := count()
	second, _ := count()
	if first != second {
		t.Error("two rehearsals differ")
	}
	if n < 30 || n > 90 {
		t.Errorf("%d of 300 failed, want about 60", n)
	}
}

// Percentages of several faults do not get into each other's way.
func TestPercentagesAreIndependent(t *testing.T) {
	r := start(t, Config{Faults: faults(t, "500%15", "502%10", "504%5")})
	count := map[int]int{}
	const posts = 1000
	for i := range posts {
		code, _, _ := r.send(ghPath, fmt.Sprintf(`{"state":"success","context":"c%d"}`, i))
		count[code]++
	}
	// each of what those before it in the list leave
	for code, want := range map[int]int{500: 150, 502: 85, 504: 38} {
		if got := count[code]; got < want/2 || got > want*2 {
			t.Errorf("%d was answered %d times in %d, want about %d", code, got, posts, want)
		}
	}
}
