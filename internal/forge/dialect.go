package forge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

// dialect is one provider.
type dialect struct {
	name        string
	foldContext bool // contexts are compared without case
	perUser     bool // statuses of one context are kept apart by user and ref
	routes      []route
	// unwanted is what a path has within its repository, "" for nothing.
	unwanted string
	// auth returns the token of a request, or what it is refused with.
	auth func(f *Forge, r *http.Request) (token string, refused *answer)
	// read makes a status of a request.
	read func(r *http.Request, body []byte, p *post) *answer
	// rules refuses a status that the provider would refuse; f.mu is held.
	rules func(c *commit, p *post) *answer
	// stored is the answer to a status that was applied; known says whether
	// its context had one before.
	stored func(known bool, p post, e Entry) answer
	// list is the answer to a question for statuses.
	list func(kind callKind, c *commit, repo, sha string) any
	// wrongMethod is the answer to a path that is known, but not so.
	wrongMethod answer
	// failed is the answer of the provider when it is not well.
	failed func(code int, p post) answer
}

// dialects is the table of providers; the first route that fits wins.
var dialects = []*dialect{gitHub, gitLab, harnessCode, gitea, bitbucket, bitbucketDC, azureDevOps, gerrit}

// created answers with 201 and the body that of makes.
func created(of func(p post, e Entry) any) func(bool, post, Entry) answer {
	return func(_ bool, p post, e Entry) answer {
		return answer{status: http.StatusCreated, body: of(p, e)}
	}
}

// one reports whether word is one of the words of list.
func one(word, list string) bool { return slices.Contains(strings.Fields(list), word) }

// units counts s as Java and C# do: in units of UTF-16.
func units(s string) int { return len(utf16.Encode([]rune(s))) }

// route is a pattern of an escaped path. Its groups repo and sha are unescaped.
type route struct {
	method  string
	pattern *regexp.Regexp
	kind    callKind
}

type callKind string

const (
	callCreate   callKind = "create"
	callCombined callKind = "combined"
	callList     callKind = "list"
)

// call is what a path asks for.
type call struct {
	kind      callKind
	repo, sha string
}

// route finds what a path asks for. ok is false when the path is not one of d;
// the call has no kind when only the method is wrong.
func (d *dialect) route(method, path string) (c call, ok bool) {
	for _, r := range d.routes {
		m := r.pattern.FindStringSubmatch(path)
		if m == nil {
			continue
		}
		ok = true
		repo, err1 := url.PathUnescape(m[r.pattern.SubexpIndex("repo")])
		sha, err2 := url.PathUnescape(m[r.pattern.SubexpIndex("sha")])
		if r.method == method && err1 == nil && err2 == nil {
			return call{kind: r.kind, repo: d.plain(repo), sha: sha}, true
		}
	}
	return call{}, ok
}

// plain returns the name of a repository as people know it.
func (d *dialect) plain(repo string) string {
	if d.unwanted == "" {
		return repo
	}
	return strings.TrimSuffix(strings.Replace(repo, d.unwanted, "/", 1), "/")
}

// post is a status that someone wants to write.
type post struct {
	provider, repo, sha         string
	context, state              string
	description, targetURL, ref string
	user                        string
	pipeline                    string // that the status is filed under, GitLab only
	id                          int64  // of the record that it moves on; 0: a new one
	also                        []vote // more that one request writes
	silent                      bool   // the request writes nothing that is shown
}

// vote is one more context of a request.
type vote struct{ context, state string }

// answer is a response. body is written as JSON, or as it is when it is a
// string; nil is no body.
type answer struct {
	status int
	header map[string]string
	body   any
}

// message returns what the answer says, for the journal.
func (a answer) message() string {
	switch b := a.body.(type) {
	case string:
		return b
	case map[string]any:
		for _, k := range []string{"message", "error", "errors"} {
			if v, ok := b[k]; ok {
				s, _ := json.Marshal(v)
				return strings.Trim(string(s), `"`)
			}
		}
	}
	return ""
}

// exchange is one request on its way to its answer.
type exchange struct {
	f   *Forge
	req Request
}

func (f *Forge) begin(r *http.Request, d *dialect, c call) *exchange {
	f.mu.Lock()
	f.number++
	n := f.number
	f.mu.Unlock()
	e := &exchange{f: f, req: Request{Number: n, At: f.cfg.Now(), Method: r.Method, Path: r.URL.EscapedPath(), Repo: c.repo, SHA: c.sha}}
	if d != nil {
		e.req.Provider = d.name
	}
	for _, h := range []string{"Idempotency-Key", "Webhook-Id"} {
		if v := r.Header.Get(h); v != "" {
			e.req.ID = v
		}
	}
	return e
}

// finish answers and writes the journal. The journal comes first: who has the
// answer finds the request there.
func (e *exchange) finish(w http.ResponseWriter, a answer) {
	e.req.Status = a.status
	if a.status >= 400 {
		e.req.Message = a.message()
	}
	e.record()
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	text, isText := a.body.(string)
	switch {
	case a.body == nil:
		w.WriteHeader(a.status)
	case isText:
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, text) // the client may be gone
	default:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(a.status)
		_ = json.NewEncoder(w).Encode(a.body) // the client may be gone
	}
}

func (e *exchange) record() {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	e.f.journal.add(e.req)
	e.f.wake()
}

// maxBody is far more than any status has.
const maxBody = 1 << 20

func (f *Forge) serve(w http.ResponseWriter, r *http.Request, d *dialect, c call) {
	e := f.begin(r, d, c)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		e.finish(w, answer{status: http.StatusRequestEntityTooLarge, body: map[string]any{"message": "the body could not be read: " + err.Error()}})
		return
	}
	if c.kind == "" {
		e.finish(w, d.wrongMethod)
		return
	}
	token, refused := d.auth(f, r)
	if refused != nil {
		e.finish(w, *refused)
		return
	}
	if c.kind != callCreate {
		f.mu.Lock()
		found := f.commits.get(d.name, c.repo, c.sha)
		out := d.list(c.kind, found, c.repo, c.sha)
		f.mu.Unlock()
		e.finish(w, answer{status: http.StatusOK, body: out})
		return
	}
	p := post{provider: d.name, repo: c.repo, sha: c.sha, user: fingerprint(token)}
	refused = d.read(r, body, &p)
	e.req.Context, e.req.State = p.context, p.state
	if refused != nil {
		e.finish(w, *refused)
		return
	}
	if fault, hit := f.pick(p); hit {
		f.fail(w, r, d, e, p, fault)
		return
	}
	e.finish(w, f.apply(d, e, p))
}

// fail lets a request go wrong.
func (f *Forge) fail(w http.ResponseWriter, r *http.Request, d *dialect, e *exchange, p post, fault Fault) {
	e.req.Fault = fault.String()
	switch fault.kind {
	case faultCode:
		a := d.failed(fault.code, p)
		if retryAfter[fault.code] {
			if a.header == nil {
				a.header = map[string]string{}
			}
			a.header["Retry-After"] = fmt.Sprint(max(1, int(f.cfg.RetryAfter/time.Second)))
		}
		e.finish(w, a)
		return
	case faultTimeout:
		f.hang(r)
	case faultReset:
		f.apply(d, e, p)
	case faultLate:
		f.hang(r)
		time.Sleep(f.cfg.Late) // what a slow provider does, not synchronisation
		f.apply(d, e, p)
	}
	e.record()
	panic(http.ErrAbortHandler) // net/http cuts the connection
}

// hang holds a request until its client gives up.
func (f *Forge) hang(r *http.Request) {
	t := time.NewTimer(f.cfg.Hang)
	defer t.Stop()
	select {
	case <-r.Context().Done():
	case <-t.C:
	}
}

// apply writes a status, or refuses it by the rules of the provider.
func (f *Forge) apply(d *dialect, e *exchange, p post) answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.commits.get(p.provider, p.repo, p.sha)
	if c == nil {
		c = &commit{d: d}
	}
	if refused := d.rules(c, &p); refused != nil {
		return *refused
	}
	known := len(c.of(p.context)) > 0
	if p.silent {
		return d.stored(known, p, Entry{})
	}
	var first Entry
	for i, v := range append([]vote{{p.context, p.state}}, p.also...) {
		f.sequence++
		id := p.id
		if id == 0 {
			id = f.sequence
		}
		entry := Entry{
			Number: e.req.Number, Sequence: f.sequence, At: f.cfg.Now(), Context: v.context, State: v.state,
			Description: p.description, TargetURL: p.targetURL, Ref: p.ref, user: p.user, pipeline: p.pipeline, id: id,
		}
		f.commits.add(f.commits.at(d, p), entry)
		if i == 0 {
			first = entry
		}
	}
	e.req.Applied = true
	return d.stored(known, p, first)
}

// fingerprint tells tokens apart without keeping them.
func fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:4])
}

// accepts reports whether a token is good.
func (f *Forge) accepts(token string) bool {
	return token != "" && (f.cfg.Token == "" || token == f.cfg.Token)
}

// bearer returns the credentials of an Authorization header with one of the
// schemes, compared without case.
func bearer(r *http.Request, schemes ...string) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for _, s := range schemes {
		if strings.EqualFold(scheme, s) {
			return strings.TrimSpace(token)
		}
	}
	return ""
}

// credentials returns the token of a request that takes it as Bearer or as the
// password of Basic, "" when it is not good.
func (f *Forge) credentials(r *http.Request) string {
	token := bearer(r, "Bearer")
	if user, password, ok := r.BasicAuth(); ok {
		if token = password; user != "" && f.cfg.Token == user+":"+password {
			token = f.cfg.Token
		}
	}
	if !f.accepts(token) {
		return ""
	}
	return token
}

// members reads a JSON object.
func members(body []byte) (map[string]any, error) {
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("an object is expected")
	}
	return m, nil
}

// newestFirst makes a list of what of returns for the newest entry of each
// context.
func newestFirst(c *commit, of func(Entry) any) []any {
	all := []any{}
	if c == nil {
		return all
	}
	for _, s := range c.shown() {
		all = append(all, of(s.Entry))
	}
	slices.Reverse(all)
	return all
}

var wholeSHA = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

// isWeb reports whether s is an http or https address in plain ASCII. That the
// providers want ASCII is unchecked.
func isWeb(s string) bool {
	u, err := url.Parse(s)
	beyond := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"<>\^{|}`+"`", r) })
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !beyond
}

// text returns a member of a JSON object as text; absent and null are "". ok
// is false when it is something else.
func text(m map[string]any, name string) (s string, ok bool) {
	v, there := m[name]
	if !there || v == nil {
		return "", true
	}
	s, ok = v.(string)
	return s, ok
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
