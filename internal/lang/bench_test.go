package lang

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// payload is as large as a GitHub event, 30 KB: two large objects, the
// interesting members spread over them.
func payload() string {
	object := func(name string) string {
		var b strings.Builder
		for i := range 80 {
			fmt.Fprintf(&b, `"%s_key_%d_url":"https://api.github.com/repos/acme/shop/keys{/key_id}","count_%d":12,"flag_%d":false,`, name, i, i, i)
			if i%10 == 0 {
				fmt.Fprintf(&b, `"user_%d":{"login":"octocat","id":%d,"url":"https://api.github.com/users/octocat"},`, i, i)
			}
		}
		return b.String()
	}
	return `{"workflow_run":{` + object("run") + `"id":4487150517,"head_branch":"main","status":"completed","actor":{"login":"x"}},` +
		`"repository":{` + object("repo") + `"full_name":"acme/shop","flag":true},"sender":{"login":"x"}}`
}

func BenchmarkScan(b *testing.B) {
	src := []byte(payload())
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			if err := Scan(src, 0, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gjson", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			if !gjson.ValidBytes(src) {
				b.Fatal("not valid")
			}
		}
	})
}

func BenchmarkPaths(b *testing.B) {
	src := payload()
	var paths []*Path
	for _, s := range []string{"workflow_run.id", "workflow_run.head_branch", "workflow_run.status", "workflow_run.actor.login", "workflow_run.none", "repository.full_name", "none", "repository.none", "repository.count_79", "repository.flag"} {
		p, err := CompilePath(s)
		if err != nil {
			b.Fatal(err)
		}
		paths = append(paths, p)
	}
	b.Run("document", func(b *testing.B) {
		for b.Loop() {
			d := NewDoc(src)
			for _, p := range paths {
				p.Find(d).Value()
			}
		}
	})
	b.Run("text", func(b *testing.B) {
		for b.Loop() {
			for _, p := range paths {
				p.Get(src)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			NewDoc(src).Value()
		}
	})
}

func BenchmarkRun(b *testing.B) {
	for _, src := range []string{`body.type`, `body.type == "end" and body.five > 3`, `"a/" + string(body.id) + "/" + body.type`, `any(body.builds, .status == "failed") ? true : nil`} {
		e, err := Compile(src, testScope())
		if err != nil {
			b.Fatal(err)
		}
		env := map[string]any{"body": NewDoc(sample)}
		b.Run(src, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Run(env, time.Time{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	scope := testScope()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(`any(body.builds, .status == "failed") ? body.deep["a.b"] : nil`, scope); err != nil {
			b.Fatal(err)
		}
	}
}
