package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"cibridge/bridge"
	"cibridge/internal/config"
	"cibridge/internal/diag"
	"cibridge/internal/hook"
	"cibridge/internal/mapping"
	"cibridge/internal/provider"
	"cibridge/mappings"
)

// reloader reads mappings and hooks from files: at the start, and again when
// they change. New ones come into use together, when all of them are right;
// until then those of before stay. One goroutine uses it, but for tests and
// reasons, which anyone may ask for.
type reloader struct {
	mappings config.Mappings
	hooks    config.Hooks
	profiles *provider.Profiles
	log      *slog.Logger
	poll     time.Duration // how often files are read without an event

	// What takes over new ones, and learns why newer ones cannot be used.
	useMappings  func(*mapping.Set) (generation int64)
	keepMappings func(diag.Problems) (generation int64)
	unusable     func(*mapping.Set) map[string]string // sources without a mapping
	useHooks     func(fileHooks)

	triedMappings, triedHooks digest
	names                     []string // of the mappings in use

	mu           sync.Mutex
	files        []mapping.File // of the mappings in use, with their tests
	tests        map[string]int // how many each mapping has; nil until somebody asks
	hookProblems diag.Problems  // of the newest hook files
}

// digest tells files from others. The zero one is that of none.
type digest [sha256.Size]byte

// fileHooks are the hooks of files, and the file of each by its id.
type fileHooks struct {
	hooks []bridge.Hook
	files map[string]string
}

// firstMappings compiles those that ship and those in the configured
// directories.
func (r *reloader) firstMappings() (*mapping.Set, []mapping.File, diag.Problems) {
	files, problems := r.mappingFiles()
	r.triedMappings = digestOf(files, problems)
	set, problems := compileMappings(files, problems)
	if set != nil {
		r.inUse(set, files)
	}
	return set, files, problems
}

// firstHooks reads the hooks in the configured directories.
func (r *reloader) firstHooks() (fileHooks, []mapping.File, diag.Problems) {
	files, problems := readTree(r.hooks.Dirs, false)
	r.triedHooks = digestOf(files, problems)
	hooks, problems := compileHooks(files, problems, r.profiles)
	return hooks, files, problems
}

// watch reads the files again when they change, and when a signal comes, until
// ctx ends.
func (r *reloader) watch(ctx context.Context, hup <-chan os.Signal) {
	var roots []string
	if r.mappings.Watch {
		roots = append(roots, r.mappings.Dirs...)
	}
	if r.hooks.Watch {
		roots = append(roots, r.hooks.Dirs...)
	}
	var w *watcher
	defer func() { w.close() }()
	for ctx.Err() == nil {
		var events <-chan struct{}
		var poll <-chan time.Time
		if len(roots) > 0 {
			// The new one watches before the files are read, and the old one
			// until then: nothing is missed in between.
			next, err := newWatcher(roots)
			if err != nil {
				r.log.Warn("changes of files are noticed late", "every", r.poll, "err", err)
			} else {
				events = next.changed
			}
			w.close()
			w, poll = next, time.After(r.poll)
			r.readAgain(false)
		}
		select {
		case <-ctx.Done():
		case <-hup:
			r.readAgain(true)
		case <-events:
			settle(ctx, events, quietTime, longestWait)
		case <-poll:
		}
	}
}

// readAgain reads the files that are watched and uses them if they are others
// than the last time; forced, it reads and uses all of them in any case.
func (r *reloader) readAgain(forced bool) {
	if forced || len(r.mappings.Dirs) > 0 && r.mappings.Watch {
		r.mappingsAgain(forced)
	}
	if len(r.hooks.Dirs) > 0 && (forced || r.hooks.Watch) {
		r.hooksAgain(forced)
	}
}

func (r *reloader) mappingsAgain(forced bool) {
	began := time.Now()
	files, problems := r.mappingFiles()
	tried := digestOf(files, problems)
	if tried == r.triedMappings && !forced {
		return
	}
	r.triedMappings = tried
	set, problems := compileMappings(files, problems)
	if set == nil {
		generation := r.keepMappings(problems)
		r.log.Error("the mapping files cannot be used; those of before stay in use", "generation", generation, "problems", len(problems))
		r.report(problems)
		return
	}
	before := r.names
	r.inUse(set, files)
	generation := r.useMappings(set)
	r.log.Info("mappings loaded", "generation", generation, "mappings", len(r.names),
		"added", without(r.names, before), "removed", without(before, r.names), "ms", time.Since(began).Milliseconds())
	r.lost(set)
}

// lost warns of each source that nothing can be received from.
func (r *reloader) lost(set *mapping.Set) {
	for id, why := range r.unusable(set) {
		r.log.Warn("a source receives nothing", "source", id, "reason", why)
	}
}

func (r *reloader) hooksAgain(forced bool) {
	files, problems := readTree(r.hooks.Dirs, false)
	tried := digestOf(files, problems)
	if tried == r.triedHooks && !forced {
		return
	}
	r.triedHooks = tried
	hooks, problems := compileHooks(files, problems, r.profiles)
	errs := problems.Errors()
	r.mu.Lock()
	r.hookProblems = errs
	r.mu.Unlock()
	if len(errs) > 0 {
		r.log.Error("the hook files cannot be used; those of before stay in use", "problems", len(errs))
		r.report(errs)
		return
	}
	r.useHooks(hooks)
	r.log.Info("hooks loaded", "hooks", len(hooks.hooks))
}

// report writes a line for each problem.
func (r *reloader) report(problems diag.Problems) {
	for _, p := range problems {
		r.log.Error("a problem in a file", "problem", p.Error(), "help", p.Help)
	}
}

func (r *reloader) inUse(set *mapping.Set, files []mapping.File) {
	r.names = set.Names()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files, r.tests = files, nil
}

// testCounts returns how many tests each mapping in use has. They are compiled
// for that, the first time: nothing else in a server needs them.
func (r *reloader) testCounts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tests == nil {
		set, _ := mapping.Load(r.files) // a wrong test is not in use, and not counted
		r.tests = map[string]int{}
		for _, name := range set.Names() {
			r.tests[name] = len(set.Get(name).Tests())
		}
	}
	return r.tests
}

// reasons says in sentences what the newest hook files suffer from.
func (r *reloader) reasons() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.hookProblems) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("hooks: the newest files have %s, those of before stay in use: %v", counted(len(r.hookProblems), "problem"), r.hookProblems[0])}
}

// mappingFiles reads those that ship and those in the directories, tests
// included.
func (r *reloader) mappingFiles() ([]mapping.File, diag.Problems) {
	var files []mapping.File
	if r.mappings.Builtin {
		for _, f := range mappings.Files() {
			files = append(files, mapping.File{Name: f.Name, Data: f.Data, ReadOnly: true})
		}
	}
	own, problems := readTree(r.mappings.Dirs, true)
	return append(files, own...), problems
}

// compileMappings returns the set of files, without their tests; nil when
// there is an error, and then the problems are errors only.
func compileMappings(files []mapping.File, problems diag.Problems) (*mapping.Set, diag.Problems) {
	var used []mapping.File
	for _, f := range files {
		if !strings.HasSuffix(f.Name, "_test.yaml") && !strings.HasSuffix(f.Name, "_test.yml") {
			used = append(used, f)
		}
	}
	set, found := mapping.Load(used)
	if errs := append(problems, found.Errors()...); len(errs) > 0 {
		return nil, errs
	}
	return set, nil
}

func compileHooks(files []mapping.File, problems diag.Problems, profiles *provider.Profiles) (fileHooks, diag.Problems) {
	out := fileHooks{files: map[string]string{}}
	for _, f := range files {
		hooks, found := hook.Load(f.Name, f.Data, profiles)
		problems = append(problems, found...)
		for _, h := range hooks {
			out.hooks, out.files[h.ID] = append(out.hooks, h), f.Name
		}
	}
	return out, problems
}

func digestOf(files []mapping.File, problems diag.Problems) digest {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%q %d\n", f.Name, len(f.Data))
		h.Write(f.Data)
	}
	fmt.Fprintf(h, "%q", problems.Error())
	return digest(h.Sum(nil))
}

// without returns what is in list and not in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}
