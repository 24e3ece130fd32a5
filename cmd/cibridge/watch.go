package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quietTime is how long files have to rest before they are read: an editor
	// renames, writes and renames again.
	quietTime = 100 * time.Millisecond
	// longestWait is when they are read although they never rest.
	longestWait = 2 * time.Second
	// pollTime is how often they are read in any case: the events of network
	// file systems and of mounts from another machine do not get here, nor does
	// a link that changes further up in the path.
	pollTime = 30 * time.Second
)

// watcher tells when something below its roots may have changed. It watches
// directories and never files: editors, Kubernetes and git put new files in the
// place of old ones, and a watch on a file would stay with the old one.
type watcher struct {
	changed chan struct{} // has room for one
	events  *fsnotify.Watcher
	roots   []string
	above   map[string]bool // directories that are watched for a root in them
}

// newWatcher watches what is there now. A directory that comes later is
// noticed, but what is in it is watched by the next watcher only. The caller
// closes it.
func newWatcher(roots []string) (*watcher, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{changed: make(chan struct{}, 1), events: events, above: map[string]bool{}}
	for _, root := range roots {
		if abs, err := filepath.Abs(root); err == nil {
			w.roots = append(w.roots, abs)
		}
	}
	for _, dir := range w.dirs() {
		_ = events.Add(dir) // what cannot be watched is found by the poll
	}
	go w.run()
	return w, nil
}

// close ends a watcher; nil is none.
func (w *watcher) close() {
	if w != nil {
		w.events.Close()
	}
}

// run passes on what matters, until close.
func (w *watcher) run() {
	for {
		select {
		case ev, ok := <-w.events.Events:
			if !ok {
				return
			}
			if !w.concerns(ev.Name) {
				continue
			}
		case _, ok := <-w.events.Errors: // an overflow: events are missing
			if !ok {
				return
			}
		}
		select {
		case w.changed <- struct{}{}:
		default: // it is known already
		}
	}
}

// dirs lists the directories to watch: each root with what is below it, the
// directories of files that are links, and what is above a root, to notice when
// it is renamed, comes or goes.
func (w *watcher) dirs() []string {
	var dirs []string
	for _, root := range w.roots {
		parent := above(root)
		w.above[parent] = true
		dirs = append(dirs, parent)
		_ = filepath.WalkDir(withoutLink(root), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil //nolint:nilerr // it went away meanwhile
			case d.IsDir():
				dirs = append(dirs, path)
			case d.Type()&fs.ModeSymlink != 0:
				if target, err := filepath.EvalSymlinks(path); err == nil {
					dirs = append(dirs, filepath.Dir(target))
				}
			}
			return nil
		})
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// withoutLink is where a path leads, since WalkDir does not go through a link.
func withoutLink(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// above returns the nearest directory above path that is there.
func above(path string) string {
	for {
		path = filepath.Dir(path)
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
	}
}

// concerns reports whether a change of the file name may matter. A directory
// above a root may be a busy one, such as the working directory: in it only the
// way to a root counts.
func (w *watcher) concerns(name string) bool {
	for _, root := range w.roots {
		if within(root, name) || within(name, root) {
			return true
		}
	}
	return !w.above[filepath.Dir(name)]
}

// within reports whether name is dir, or somewhere in it.
func within(dir, name string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// settle waits until nothing came for the time quiet, but no longer than
// longest.
func settle(ctx context.Context, changed <-chan struct{}, quiet, longest time.Duration) {
	end := time.NewTimer(longest)
	defer end.Stop()
	rest := time.NewTimer(quiet)
	defer rest.Stop()
	for {
		select {
		case <-changed:
			rest.Reset(quiet)
		case <-rest.C:
			return
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
