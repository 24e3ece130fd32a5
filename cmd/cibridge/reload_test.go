package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cibridge/internal/config"
	"cibridge/internal/diag"
	"cibridge/internal/mapping"
	"cibridge/internal/provider"
)

// watched is a reloader on a directory of its own, and what it did.
type watched struct {
	t    *testing.T
	dir  string // of the mappings
	hups chan os.Signal
	did  chan string // "used acme, shop", "kept <first problem>", "hooks ci"
	log  *logBuffer
}

func acme(name string) string {
	return "version: 1\nname: " + name + "\nreceive: {auth: [none]}\nrun_key: id\nevents: [{name: build, status: {value: failed}}]\n"
}

// watchDir starts a reloader on <dir>/mappings, which has acme.yaml, and on
// <dir>/hooks. change edits it before.
func watchDir(t *testing.T, change func(dir string, r *reloader)) *watched {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{t: t, dir: filepath.Join(dir, "mappings"), hups: make(chan os.Signal), did: make(chan string, 100), log: &logBuffer{}}
	w.write("acme.yaml", acme("acme"))
	profiles, err := provider.Load()
	if err != nil {
		t.Fatal(err)
	}
	generation := int64(1)
	r := &reloader{
		mappings: config.Mappings{Dirs: []string{w.dir}, Watch: true}, hooks: config.Hooks{Watch: true},
		profiles: profiles, log: slog.New(slog.NewTextHandler(w.log, nil)), poll: time.Hour,
		useMappings: func(set *mapping.Set) int64 {
			generation++
			w.did <- "used " + strings.Join(set.Names(), ", ")
			return generation
		},
		keepMappings: func(problems diag.Problems) int64 {
			w.did <- "kept " + strings.ReplaceAll(problems[0].Error(), dir+"/", "")
			return generation
		},
		unusable: func(set *mapping.Set) map[string]string {
			if set.Get("acme") == nil {
				return map[string]string{"acme-ci": "mapping \"acme\" is not loaded"}
			}
			return nil
		},
		useHooks: func(f fileHooks) {
			var names []string
			for _, h := range f.hooks {
				names = append(names, h.Name+" of "+strings.TrimPrefix(f.files[h.ID], dir+"/"))
			}
			w.did <- "hooks " + strings.Join(names, ", ")
		},
	}
	if change != nil {
		change(dir, r)
	}
	if _, _, problems := r.firstMappings(); len(problems) > 0 {
		t.Fatal(problems)
	}
	if _, _, problems := r.firstHooks(); len(problems) > 0 {
		t.Fatal(problems)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { r.watch(ctx, w.hups); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return w
}

// write puts a file in place, as programs that save safely do.
func (w *watched) write(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	w.must(os.MkdirAll(filepath.Dir(file), 0o755))
	w.must(os.WriteFile(file+".new", []byte(text), 0o644))
	w.must(os.Rename(file+".new", file))
}

func (w *watched) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// want waits for what the reloader does next.
func (w *watched) want(want string) {
	w.t.Helper()
	select {
	case got := <-w.did:
		if got != want {
			w.t.Fatalf("it %s, want it %s\n%s", got, want, w.log)
		}
	case <-time.After(20 * time.Second):
		w.t.Fatalf("it did nothing, want it %s\n%s", want, w.log)
	}
}

// ends waits until the reloader has done want: before that it may have seen a
// file that was half written.
func (w *watched) ends(want string) {
	w.t.Helper()
	for {
		select {
		case got := <-w.did:
			if got == want {
				return
			}
			if !strings.HasPrefix(got, "kept ") {
				w.t.Fatalf("it %s, want it %s\n%s", got, want, w.log)
			}
		case <-time.After(20 * time.Second):
			w.t.Fatalf("it did nothing more, want it %s\n%s", want, w.log)
		}
	}
}

func TestReload(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(w *watched)
	}{
		{"a new file", func(w *watched) {
			w.write("shop.yaml", acme("shop"))
			w.want("used acme, shop")
		}},
		{"a file that is written in place", func(w *watched) {
			w.must(os.WriteFile(filepath.Join(w.dir, "acme.yaml"), []byte(acme("acme2")), 0o644))
			w.ends("used acme2")
		}},
		{"a file that is renamed", func(w *watched) {
			w.must(os.Rename(filepath.Join(w.dir, "acme.yaml"), filepath.Join(w.dir, "other.yaml")))
			w.want("used acme")
		}},
		{"a file that is deleted", func(w *watched) {
			w.write("shop.yaml", acme("shop"))
			w.want("used acme, shop")
			w.must(os.Remove(filepath.Join(w.dir, "acme.yaml")))
			w.want("used shop")
		}},
		{"a mistake, and its end", func(w *watched) {
			w.write("acme.yaml", strings.Replace(acme("acme"), "run_key", "runkey", 1))
			w.want(`kept mappings/acme.yaml:4:1: unknown key "runkey" in a mapping [E101]`)
			w.write("acme.yaml", acme("acme"))
			w.want("used acme")
		}},
		{"a name that is taken", func(w *watched) {
			w.write("again.yaml", acme("acme"))
			w.want(`kept mappings/again.yaml:2:7: the name "acme" is taken by mappings/acme.yaml [E105]`)
		}},
		{"a directory that comes with a file", func(w *watched) {
			w.write("team/shop.yaml", acme("shop"))
			w.want("used acme, shop")
			w.write("team/shop.yaml", acme("cart"))
			w.want("used acme, cart")
		}},
		{"a directory that goes and comes", func(w *watched) {
			w.must(os.RemoveAll(w.dir))
			w.want("kept mappings: there is no such file or directory [E103]")
			w.must(os.Mkdir(w.dir, 0o755))
			w.want("kept mappings: there are no .yaml files in it [E103]")
			w.write("shop.yaml", acme("shop"))
			w.want("used shop")
			w.write("shop.yaml", acme("cart"))
			w.want("used cart")
		}},
		{"a directory in the place of another", func(w *watched) {
			next := &watched{t: w.t, dir: filepath.Join(filepath.Dir(w.dir), "next")}
			next.write("shop.yaml", acme("shop"))
			w.must(os.Rename(w.dir, w.dir+".old"))
			w.must(os.Rename(next.dir, w.dir))
			w.want("used shop")
			w.write("shop.yaml", acme("cart"))
			w.want("used cart")
		}},
		{"what editors leave behind", func(w *watched) {
			w.must(os.Symlink("me@host.1234", filepath.Join(w.dir, ".#acme.yaml")))
			w.write(".acme.yaml.swp", "b0VIM")
			w.write(".hidden.yaml", "{")
			w.write("acme.yaml~", "{")
			w.write(".git/config.yaml", "{")
			w.write("shop.yaml", acme("shop"))
			w.want("used acme, shop")
		}},
		{"the same again", func(w *watched) {
			w.write("acme.yaml", acme("acme"))
			w.must(os.Chtimes(filepath.Join(w.dir, "acme.yaml"), time.Time{}, time.Unix(1, 0)))
			w.hups <- syscall.SIGHUP // which counts in any case
			w.want("used acme")
			w.write("acme.yaml", acme("acme2"))
			w.want("used acme2")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := watchDir(t, nil)
			tc.do(w)
			if rest := len(w.did); rest != 0 {
				t.Errorf("it did more: %s", <-w.did)
			}
		})
	}
}

// TestReloadConfigMap: Kubernetes swaps the link ..data, through which all
// files of a ConfigMap lead.
func TestReloadConfigMap(t *testing.T) {
	version := func(w *watched, name, file, mapping string) {
		w.t.Helper()
		dir := filepath.Join(w.dir, name)
		w.must(os.MkdirAll(dir, 0o755))
		w.must(os.WriteFile(filepath.Join(dir, file), []byte(acme(mapping)), 0o644))
		w.must(os.Symlink(name, filepath.Join(w.dir, "..data_tmp")))
		w.must(os.Rename(filepath.Join(w.dir, "..data_tmp"), filepath.Join(w.dir, "..data")))
	}
	w := watchDir(t, func(dir string, _ *reloader) {
		w := &watched{t: t, dir: filepath.Join(dir, "mappings")}
		w.must(os.Remove(filepath.Join(w.dir, "acme.yaml")))
		version(w, "..2026_01", "acme.yaml", "one")
		w.must(os.Symlink("..data/acme.yaml", filepath.Join(w.dir, "acme.yaml")))
	})
	version(w, "..2026_02", "acme.yaml", "two")
	w.must(os.RemoveAll(filepath.Join(w.dir, "..2026_01")))
	w.want("used two")
	// A key of the ConfigMap is renamed: for a moment a link leads nowhere.
	w.must(os.Symlink("..data/shop.yaml", filepath.Join(w.dir, "shop.yaml")))
	version(w, "..2026_03", "shop.yaml", "three")
	w.want("used three")
}

// TestReloadLinks: the directory is a link, or a file is one to a file
// elsewhere.
func TestReloadLinks(t *testing.T) {
	other := ""
	w := watchDir(t, func(dir string, r *reloader) {
		link := filepath.Join(dir, "link")
		other = filepath.Join(dir, "elsewhere")
		w := &watched{t: t, dir: other}
		w.write("shop.yaml", acme("shop"))
		w.must(os.Symlink(filepath.Join(dir, "mappings"), link))
		w.must(os.Symlink(filepath.Join(other, "shop.yaml"), filepath.Join(dir, "mappings", "shop.yaml")))
		r.mappings.Dirs = []string{link}
	})
	w.write("acme.yaml", acme("acme2"))
	w.want("used acme2, shop")
	w.must(os.WriteFile(filepath.Join(other, "shop.yaml"), []byte(acme("cart")), 0o644))
	w.want("used acme2, cart")
	link := filepath.Join(filepath.Dir(w.dir), "link")
	w.must(os.Symlink(other, link+".new"))
	w.must(os.Rename(link+".new", link))
	w.want("used cart")
	w.must(os.WriteFile(filepath.Join(other, "shop.yaml"), []byte(acme("till")), 0o644))
	w.want("used till")
}

// TestReloadPolls: a link further up in the path changes, which nobody tells.
func TestReloadPolls(t *testing.T) {
	w := watchDir(t, func(dir string, r *reloader) {
		w := &watched{t: t, dir: filepath.Join(dir, "releases", "2", "mappings")}
		w.write("acme.yaml", acme("acme2"))
		w.must(os.Symlink(dir, filepath.Join(dir, "current")))
		r.mappings.Dirs, r.poll = []string{filepath.Join(dir, "current", "mappings")}, 10*time.Millisecond
	})
	current := filepath.Join(filepath.Dir(w.dir), "current")
	w.must(os.Symlink(filepath.Join(filepath.Dir(w.dir), "releases", "2"), current+".new"))
	w.must(os.Rename(current+".new", current))
	w.want("used acme2")
}

// TestReloadUnwatched: without watching only a signal counts.
func TestReloadUnwatched(t *testing.T) {
	w := watchDir(t, func(_ string, r *reloader) { r.mappings.Watch, r.poll = false, time.Millisecond })
	w.write("acme.yaml", acme("acme2"))
	w.write("shop.yaml", acme("shop"))
	w.hups <- syscall.SIGHUP
	w.want("used acme2, shop")
	w.hups <- syscall.SIGHUP
	w.want("used acme2, shop")
}

// TestReloadSaysSo: the log has a line for each reload, one for each problem,
// and one for each source that lost its mapping.
func TestReloadSaysSo(t *testing.T) {
	w := watchDir(t, nil)
	w.write("acme.yaml", acme("acme2"))
	w.want("used acme2")
	w.write("acme.yaml", "version: 1\nname: acme\nrun_key: id\nreceve: {}\nevents: [{name: build}]\n")
	w.want(`kept mappings/acme.yaml:1:1: a mapping needs receive [E102]`)
	w.hups <- syscall.SIGHUP // it comes after the lines
	w.want(`kept mappings/acme.yaml:1:1: a mapping needs receive [E102]`)
	for _, line := range []string{
		`level=INFO msg="mappings loaded" generation=2 mappings=1 added=[acme2] removed=[acme] ms=`,
		`level=WARN msg="a source receives nothing" source=acme-ci reason="mapping \"acme\" is not loaded"`,
		`level=ERROR msg="the mapping files cannot be used; those of before stay in use" generation=2 problems=2`,
		`level=ERROR msg="a problem in a file" problem="` + w.dir + `/acme.yaml:4:1: unknown key \"receve\" in a mapping [E101]" help="did you mean \"receive\"?"`,
	} {
		if !strings.Contains(w.log.String(), line) {
			t.Errorf("the log lacks %s\n%s", line, w.log)
		}
	}
}

func TestReloadHooks(t *testing.T) {
	hooks := ""
	w := watchDir(t, func(dir string, r *reloader) {
		hooks = filepath.Join(dir, "hooks")
		r.hooks.Dirs = []string{hooks}
		if err := os.Mkdir(hooks, 0o755); err != nil { // a directory without hooks is right
			t.Fatal(err)
		}
	})
	h := &watched{t: t, dir: hooks}
	h.write("ci.yaml", "{pipeline: '*', name: ci, profile: github}\n")
	w.want("hooks ci of hooks/ci.yaml")
	h.write("ci.yaml", "{pipeline: '*', name: ci, profile: githb}\n")
	h.write("cd.yaml", "{pipeline: '*', name: cd, profile: gitlab}\n")
	for range 2 { // at the second it has tried them
		w.hups <- syscall.SIGHUP
		w.want("used acme")
	}
	h.write("ci.yaml", "{pipeline: '*', name: ci2, profile: github}\n")
	w.want("hooks cd of hooks/cd.yaml, ci2 of hooks/ci.yaml")
	if !strings.Contains(w.log.String(), "ci.yaml:1:") || !strings.Contains(w.log.String(), "the hook files cannot be used; those of before stay in use") {
		t.Errorf("the log does not say what is wrong with the hooks:\n%s", w.log)
	}
}

// TestHookReasons: /readyz says what is wrong with hook files, as long as it
// is.
func TestHookReasons(t *testing.T) {
	dir := t.TempDir()
	profiles, err := provider.Load()
	if err != nil {
		t.Fatal(err)
	}
	r := &reloader{hooks: config.Hooks{Dirs: []string{dir}}, profiles: profiles, log: slog.New(slog.DiscardHandler), useHooks: func(fileHooks) {}}
	h := &watched{t: t, dir: dir}
	h.write("ci.yaml", "{pipeline: '*', name: ci, profil: github}\n")
	r.hooksAgain(false)
	if got := fmt.Sprint(r.reasons()); !strings.Contains(got, "hooks: the newest files have 1 problem, those of before stay in use: "+dir+"/ci.yaml:1:27:") {
		t.Errorf("reasons %s", got)
	}
	h.write("ci.yaml", "{pipeline: '*', name: ci, profile: github}\n")
	r.hooksAgain(false)
	if got := r.reasons(); got != nil {
		t.Errorf("reasons %q, want none", got)
	}
}

// TestTestCounts: the tests of a mapping and those beside it; a wrong test
// file hurts nobody.
func TestTestCounts(t *testing.T) {
	dir := t.TempDir()
	w := &watched{t: t, dir: dir}
	w.write("acme.yaml", acme("acme")+"tests: [{name: one, body: {id: 1}, expect: {status: failed}}]\n")
	w.write("acme_test.yaml", "mapping: acme\ntests: [{name: two, body: {id: 1}, expect: {status: failed}}, {name: three, body: {id: 1}, expect: {status: failed}}]\n")
	w.write("shop.yaml", acme("shop"))
	w.write("shop_test.yaml", "{")
	r := &reloader{mappings: config.Mappings{Dirs: []string{dir}}, log: slog.New(slog.DiscardHandler)}
	if _, _, problems := r.firstMappings(); len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := r.testCounts(); got["acme"] != 3 || got["shop"] != 0 {
		t.Errorf("counts %v", got)
	}
}

// TestReadTree: what is read, and what is said about the rest.
func TestReadTree(t *testing.T) {
	dir := t.TempDir()
	w := &watched{t: t, dir: dir}
	w.write("b.yaml", "b")
	w.write("a.yml", "a")
	w.write("c.txt", "c")
	w.write("sub/d.yaml", "d")
	w.write("big.yaml", string(bytes.Repeat([]byte("#"), maxFile+1)))
	w.must(os.Mkdir(filepath.Join(dir, "dir.yaml"), 0o755))
	w.must(os.Symlink(filepath.Join(dir, "sub"), filepath.Join(dir, "link.yaml")))
	w.must(syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o644))
	files, problems := readTree([]string{dir + "/./", filepath.Join(dir, "sub"), filepath.Join(dir, "b.yaml"), filepath.Join(dir, "none")}, true)
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimPrefix(f.Name, dir+"/")+"="+string(f.Data))
	}
	if want := []string{"a.yml=a", "b.yaml=b", "sub/d.yaml=d"}; !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	if got, want := problems.Error(), dir+"/big.yaml: it is larger than 4 MiB [E103]\n"+dir+"/none: there is no such file or directory [E103]"; got != want {
		t.Errorf("problems\n%s\nwant\n%s", got, want)
	}
	if _, problems := readTree([]string{filepath.Join(dir, "dir.yaml")}, true); len(problems) != 1 {
		t.Errorf("an empty directory: %v", problems)
	}
	if _, problems := readTree([]string{filepath.Join(dir, "dir.yaml")}, false); len(problems) != 0 {
		t.Errorf("an empty directory that may be: %v", problems)
	}
}

// TestSettle: files are read when they rest, or when they never do.
func TestSettle(t *testing.T) {
	for name, tc := range map[string]struct {
		every, during, want time.Duration
	}{
		"at rest":       {0, 0, quietTime},
		"for a while":   {50 * time.Millisecond, 500 * time.Millisecond, 500*time.Millisecond + quietTime},
		"without rest":  {50 * time.Millisecond, time.Hour, longestWait},
		"slow, at rest": {150 * time.Millisecond, time.Hour, quietTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, changed := time.Now(), make(chan struct{}, 1)
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				if tc.every == 0 {
					close(ended)
				} else {
					go func() {
						defer close(ended)
						for time.Since(began) < tc.during && ctx.Err() == nil {
							time.Sleep(tc.every)
							select {
							case changed <- struct{}{}:
							default:
							}
						}
					}()
				}
				settle(ctx, changed, quietTime, longestWait)
				if took := time.Since(began); took != tc.want {
					t.Errorf("settled after %s, want %s", took, tc.want)
				}
				stop()
				<-ended
			})
		})
	}
}
