package mapping

import (
	"cmp"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"cibridge/bridge"
)

// draftStatus is a guess at where the status is.
type draftStatus struct {
	literal bridge.Status // from the name of the event; then nothing else is set
	paths   []string
	words   []draftWant // that the table does not have, and what they stand for
	note    string      // of the literal
}

// guess fills in the draft from what the payloads look like.
func (d *draft) guess() {
	d.guessAuth()
	inline := 0
	for _, p := range d.payloads {
		d.hide(p.root)
		if inline += len(p.body); inline > 8*maxInline {
			p.aside = true
		}
	}
	d.group()
	for _, e := range d.events {
		e.guess()
	}
}

// guessAuth looks for a header that proves who sends. Its value goes nowhere.
func (d *draft) guessAuth() {
	d.auth, d.authNote = "{token: {header: "+headerOf(d.name)+"}}", "a fixed token; else key, basic, hmac, standard-webhooks or none"
	for _, p := range d.payloads {
		for _, name := range slices.Sorted(maps.Keys(p.header)) {
			for _, proof := range proofs {
				if proof.name.MatchString(name) {
					d.auth, d.authNote = proof.auth(name, p.header[name]), proof.note
					delete(p.header, name)
					break
				}
			}
		}
	}
}

// headerOf is the header that a tool may well have for its token.
func headerOf(name string) string {
	header := "X"
	for _, word := range wordsOf(name) {
		header += "-" + strings.ToUpper(word[:1]) + word[1:]
	}
	return header + "-Token"
}

// hide leaves out the values of members that look like secrets, and the
// passwords in addresses.
func (d *draft) hide(n *jsonNode) {
	for _, m := range n.members {
		if m.value.kind != jsonText {
			d.hide(m.value)
			continue
		}
		shown := credentials.ReplaceAllString(m.value.text, "://")
		if shown != "" && secretNames.MatchString(strings.Join(wordsOf(m.name), " ")) {
			shown = "left out"
		}
		if shown != m.value.text && !slices.Contains(d.hidden, m.name) {
			d.hidden = append(d.hidden, m.name)
		}
		m.value.text = shown
	}
	for _, item := range n.items {
		item.text = credentials.ReplaceAllString(item.text, "://")
		d.hide(item)
	}
}

// group makes an event of each kind of payload.
func (d *draft) group() {
	by := d.discriminator()
	names := map[string]bool{}
	for _, p := range d.payloads {
		e := &draftEvent{name: slug(p.name)}
		for _, name := range slices.Sorted(maps.Keys(p.header)) {
			if v := p.header[name]; headerNames.MatchString(name) && name != "content-type" && usable(v) {
				e.header, e.name = append(e.header, draftWant{name, v}), slug(v)
			}
		}
		if v, ok := by.valueIn(p); ok {
			e.body, e.name = []draftWant{{by.path, v}}, slug(v)
		}
		i := slices.IndexFunc(d.events, func(o *draftEvent) bool {
			return slices.Equal(o.header, e.header) && slices.Equal(o.body, e.body)
		})
		if i < 0 {
			e.name = unique(names, e.name)
			if len(e.header)+len(e.body) > 0 {
				e.note = "what tells it from other requests"
			}
			i, d.events = len(d.events), append(d.events, e)
		}
		d.events[i].payloads = append(d.events[i].payloads, p)
	}
	// What takes every request comes last, what asks for more comes first.
	slices.SortStableFunc(d.events, func(a, b *draftEvent) int {
		return cmp.Compare(len(b.header)+len(b.body), len(a.header)+len(a.body))
	})
}

// usable reports whether a text can tell requests apart.
func usable(text string) bool {
	return text != "" && len(text) <= 80 && !strings.ContainsAny(text, "\n\r*") && statusOfWord(text) == "" && !slices.Contains(overWords, strings.ToLower(text))
}

// discriminator is the leaf that tells the payloads apart: the one that most of
// them have, of those the one with the best name. A header tells single kinds
// apart already. The leaf is nil when there is none.
func (d *draft) discriminator() *leaf {
	byHeader := slices.ContainsFunc(d.payloads, func(p *payload) bool {
		return slices.ContainsFunc(slices.Collect(maps.Keys(p.header)), func(name string) bool { return headerNames.MatchString(name) && name != "content-type" })
	})
	if byHeader && len(d.payloads) == 1 {
		return nil
	}
	var best *leaf
	var score []int
	for _, l := range leavesOf(d.payloads) {
		rank, ok := l.rank(discriminatorNames, nil, "")
		if !ok || l.inList || l.depth > 2 || !l.some(func(n *jsonNode) bool { return n.kind == jsonText && usable(n.text) }) {
			continue
		}
		if s := []int{-len(l.values), l.depth, rank}; best == nil || slices.Compare(s, score) < 0 {
			best, score = l, s
		}
	}
	return best
}

// valueIn is the text of the leaf in a payload.
func (l *leaf) valueIn(p *payload) (string, bool) {
	if l == nil {
		return "", false
	}
	for _, o := range leavesOf([]*payload{p}) {
		if v := o.values[0]; o.path == l.path && v.kind == jsonText && v.text != "" {
			return v.text, true
		}
	}
	return "", false
}

// rank says which of the names the end of l's path is. What stands before it
// must be none of not; the object that has the run's key is the run itself,
// whatever it is called.
func (l *leaf) rank(names, not []string, beside string) (rank int, ok bool) {
	from := 0
	if l.parent == beside {
		from = len(l.words) - len(strings.Fields(l.key))
	}
	for i, name := range names {
		if n := len(l.words); name != "*" && (n == 0 || !strings.HasSuffix(name, l.words[n-1])) {
			continue // most of them
		}
		if exact, ok := strings.CutPrefix(name, "="); ok {
			name = exact
			if l.key != name {
				continue
			}
		}
		end := strings.Fields(name)
		if name == "*" {
			end = nil
		}
		before := len(l.words) - len(end)
		if before < 0 || !slices.Equal(l.words[before:], end) {
			continue
		}
		if !slices.ContainsFunc(l.words[min(from, before):before], func(w string) bool { return slices.Contains(not, w) }) {
			return i, true
		}
	}
	return 0, false
}

// pick returns the leaf that fits a guess best: by its name, then beside the
// run's key, then by its depth; nil when none fits.
func pick(leaves []*leaf, g guess, beside string, used map[string]bool) *leaf {
	var best *leaf
	var score []int
	for _, l := range leaves {
		rank, ok := l.rank(g.names, g.not, beside)
		if !ok || used[l.path] || l.inList && !g.inList || !l.some(g.looks) || l.key == "" {
			continue
		}
		if rank == len(g.names)-1 && g.names[rank] == "*" && !l.some(func(n *jsonNode) bool { return len(n.text) == 40 }) {
			continue // by its looks alone: it has to be unmistakable
		}
		apart := 1
		if l.parent == beside {
			apart = 0
		}
		if s := []int{rank, apart, l.depth}; best == nil || slices.Compare(s, score) < 0 {
			best, score = l, s
		}
	}
	return best
}

// guess fills in an event from its payloads.
func (e *draftEvent) guess() {
	leaves := leavesOf(e.payloads)
	used, beside := map[string]bool{}, ""
	if id := e.guessRunKey(leaves); id != nil {
		used[id.path], beside = len(e.runKey) == 1, id.parent
	}
	e.status = e.guessStatus(leaves, beside)
	for _, g := range []struct {
		guess
		into **draftField
	}{{attemptGuess, &e.attempt}, {atGuess, &e.at}} {
		if l := pick(leaves, g.guess, beside, nil); l != nil {
			*g.into = &draftField{g.field, yamlText(l.path), g.note}
		}
	}
	e.fields = []draftField{{"kind", "{value: " + e.kind() + "}", "ci builds, cd deploys"}}
	for _, g := range fieldGuesses {
		l := pick(leaves, g, beside, used)
		if l == nil || g.when != nil && !g.when(e) {
			continue
		}
		used[l.path] = true
		yaml := yamlText(l.path)
		if g.yaml != nil {
			yaml = g.yaml(l)
		}
		e.fields = append(e.fields, draftField{g.field, yaml, g.note})
	}
}

// kind is ci or cd, by what the event and its key are called.
func (e *draftEvent) kind() string {
	if slices.ContainsFunc(append(wordsOf(strings.Join(e.runKey, " ")), wordsOf(e.name)...), func(w string) bool { return strings.HasPrefix(w, "deploy") }) {
		return "cd"
	}
	return "ci"
}

// guessRunKey finds which run an event belongs to. It returns the id or the
// number that says so, nil when there is none.
func (e *draftEvent) guessRunKey(leaves []*leaf) *leaf {
	e.keyNote = "which run it is: the same in all its requests, and in no other run"
	leaves = slices.DeleteFunc(slices.Clone(leaves), func(l *leaf) bool { return !l.everywhere(len(e.payloads)) })
	var l *leaf
	for _, not := range [][]string{runKeyNot, ofJobs} {
		if l := pick(leaves, guess{names: runKeyNames, not: not, looks: looksLikeID}, "", nil); l != nil && !isNumberOnly(l) {
			e.runKey = []string{yamlText(l.path)}
			return l
		}
		if l = pick(leaves, guess{names: append(slices.Clone(runNumberNames), "=build", "=run", "=execution"), not: not, looks: looksWhole}, "", nil); l != nil {
			break
		}
	}
	if l == nil {
		e.runKey, e.keyNote = []string{eachRequest}, "nothing looks like the id of a run, so each request is a run of its own"
		return nil
	}
	e.runKey = []string{yamlText(l.path)}
	for _, g := range fieldGuesses[:2] { // a number alone is that of several pipelines
		if of := pick(leaves, g, l.parent, map[string]bool{l.path: true}); of != nil {
			e.runKey = []string{yamlText(of.path), yamlText(l.path)}
			break
		}
	}
	return l
}

// isNumberOnly reports whether l is called run or build and is a small number:
// the number of a run, not its id.
func isNumberOnly(l *leaf) bool {
	_, ok := l.rank([]string{"=run", "=build", "=execution"}, nil, "")
	return ok && l.some(func(n *jsonNode) bool { return looksWhole(n) && len(n.text) < 8 })
}

// guessStatus finds the status: a word that is known, beside the run's key, by
// its name. Without one the name of the event may say it; nil when it does not.
func (e *draftEvent) guessStatus(leaves []*leaf, beside string) *draftStatus {
	var best *leaf
	var score []int
	not := slices.Concat(older, people, requests, []string{"commit", "stage", "step", "job", "environment", "mergeable"})
	for _, l := range leaves {
		rank, ok := l.rank(statusNames, not, beside)
		if !ok || l.inList || !l.some(looksLikeWord) {
			continue
		}
		unknown, apart := 1, 1
		if l.some(func(n *jsonNode) bool { return n.kind == jsonBool || statusOfWord(n.text) != "" }) {
			unknown = 0
		}
		if l.parent == beside {
			apart = 0
		}
		if s := []int{unknown, apart, rank, l.depth}; best == nil || slices.Compare(s, score) < 0 {
			best, score = l, s
		}
	}
	if best == nil {
		return e.statusOfName()
	}
	s := &draftStatus{paths: []string{best.path}}
	of := []*leaf{best}
	if other := partner(leaves, best); other != nil {
		of = append(of, other)
		slices.SortStableFunc(of, func(a, b *leaf) int { return cmp.Compare(isFinal(b), isFinal(a)) })
		s.paths = []string{of[0].path, of[1].path}
	}
	for _, l := range of {
		s.addWords(l, len(of) > 1 && isFinal(l) == 0)
	}
	return s
}

// addWords adds the words of l that the table does not have. When another
// status says how it ended, this one need not.
func (s *draftStatus) addWords(l *leaf, goes bool) {
	for _, v := range l.values {
		word := draftWant{v.text, string(statusOfWord(v.text))}
		switch {
		case v.kind == jsonBool:
			word.value = map[string]string{"true": string(bridge.Succeeded), "false": string(bridge.Failed)}[v.text]
		case v.kind != jsonText || v.text == "" || inStatusTable(v.text) || goes && slices.Contains(overWords, strings.ToLower(v.text)):
			continue
		case word.value == "":
			word.value = string(bridge.Unknown)
		}
		if !slices.ContainsFunc(s.words, func(w draftWant) bool { return strings.EqualFold(w.name, word.name) }) {
			s.words = append(s.words, word)
		}
	}
}

// partner is the other one of two statuses in one object: one is there in the
// end only, the other says how it goes.
func partner(leaves []*leaf, l *leaf) *leaf {
	for _, o := range leaves {
		word := func(n *jsonNode) bool { return n.kind == jsonNull || n.kind == jsonText && looksLikeWord(n) }
		_, named := o.rank(statusNames, nil, "")
		if o != l && o.parent == l.parent && named && isFinal(o) != isFinal(l) && !slices.ContainsFunc(o.values, func(n *jsonNode) bool { return !word(n) }) {
			return o
		}
	}
	return nil
}

// isFinal is 1 for a status that is there in the end only.
func isFinal(l *leaf) int {
	if _, ok := l.rank(finalNames, nil, ""); ok {
		return 1
	}
	return 0
}

// statusOfName reads the status out of what tells the event apart:
// build.started.
func (e *draftEvent) statusOfName() *draftStatus {
	for _, w := range slices.Concat(e.body, e.header) {
		for _, word := range wordsOf(w.value) {
			if status := statusOfWord(word); status != "" {
				return &draftStatus{literal: status, note: "by " + quote(w.value)}
			}
		}
	}
	return nil
}

var notInNames = regexp.MustCompile(`[^\p{L}\p{N}._-]+`)

// slug makes the name of an event.
func slug(s string) string {
	s = strings.Trim(notInNames.ReplaceAllString(strings.TrimSuffix(path.Base("/"+s), ".json"), "-"), "-.")
	if s == "" {
		return "event"
	}
	return clip(s, 60)
}
