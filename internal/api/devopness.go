package api

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"cibridge/bridge"
)

// everyPipeline is the id that stands for all pipelines.
const everyPipeline = "*"

var shortPipelineID = regexp.MustCompile(`^pl_[0-9a-hjkmnp-tv-z]{24}$`)

// samePipeline compares two names of pipelines, each a short id, a canonical
// name or "*".
func samePipeline(a, b string) bool { return shortPipeline(a) == shortPipeline(b) }

func shortPipeline(name string) string {
	if strings.Contains(name, "/") {
		return bridge.PipelineID(name)
	}
	return name
}

// checkPipeline refuses an {id} that cannot name a pipeline. A canonical name
// is good before the pipeline's first run.
func (s *Server) checkPipeline(id string) error {
	if id == everyPipeline || shortPipelineID.MatchString(id) {
		return nil
	}
	source, rest, ok := strings.Cut(id, "/")
	if !ok || rest == "" {
		return problemf(codeNotFound, `there is no pipeline %q; use its short id ("pl_…"), its name ("<source>/<pipeline id>", percent-encoded) or "*"`, id)
	}
	if sources := s.lookup().sources; sources[source].ID == "" {
		return problemf(codeNotFound, "there is no pipeline %q: there is no source %q%s", id, source, didYouMean(source, sortedKeys(sources)))
	}
	return nil
}

// hookType reads {type}: incoming or outgoing.
func hookType(c *gin.Context) (incoming bool, err error) {
	switch t := param(c, "type"); t {
	case "outgoing":
		return false, nil
	case "incoming":
		return true, nil
	default:
		return false, problemf(codeNotFound, "a hook is incoming or outgoing, not %q", t)
	}
}

// createHook is POST /pipelines/{id}/hooks/outgoing.
func (s *Server) createHook(c *gin.Context) error {
	incoming, err := hookType(c)
	if err != nil {
		return err
	}
	if incoming {
		return invalid("type", "incoming hooks do not exist yet: a CI tool posts to its mapping's route or to /in/<source>, and outgoing hooks call the source provider")
	}
	pipeline := param(c, "id")
	if err := s.checkPipeline(pipeline); err != nil {
		return err
	}
	in, err := s.readHook(c)
	if err != nil {
		return err
	}
	now := s.cfg.Now().UnixMilli()
	h := bridge.Hook{
		ID: uuid.NewString(), Pipeline: pipeline, ActionType: "deploy", Active: true, VerifySSL: true,
		CreatedAt: now, UpdatedAt: now,
	}
	e := fieldErrors{}
	in.apply(&h, e)
	shown := newSecret(&h, in, e)
	if err := s.checkHook(c, h, e); err != nil {
		return err
	}
	if err := s.cfg.Registry.PutHook(c.Request.Context(), h); err != nil {
		return err
	}
	c.Header("Location", "/hooks/outgoing/"+h.ID)
	created := createdHook{hookShape: shapeHook(h, shown)}
	if s.cfg.HookWarnings != nil {
		created.Warnings = s.cfg.HookWarnings(append(s.hooks(), h), h.ID)
	}
	writeJSON(c, http.StatusCreated, "application/json", created)
	return nil
}

func (s *Server) readHook(c *gin.Context) (hookInput, error) {
	var in hookInput
	raw, err := s.readAdmin(c)
	if err != nil {
		return in, err
	}
	return in, decodeJSON(raw, &in, false)
}

// minHookSecret is the least length of a secret that a client chooses itself.
const minHookSecret = 16

// newSecret gives h the secret that was sent, or makes one if h needs one and
// has none. It returns the secret if the client does not know it yet.
func newSecret(h *bridge.Hook, in hookInput, e fieldErrors) (made string) {
	switch {
	case !h.RequiresSecret:
		h.Secret = ""
		if in.Secret != nil && *in.Secret != "" {
			e.add("secret", "the secret signs nothing: set requires_secret, secret_algorithm and secret_header_name too")
		}
	case in.Secret != nil && strings.Trim(*in.Secret, "*") != "":
		if len(*in.Secret) < minHookSecret {
			e.add("secret", "the secret has %d bytes; at least %d are needed", len(*in.Secret), minHookSecret)
		}
		h.Secret = bridge.Secret(*in.Secret)
		made = *in.Secret
	case h.Secret == "":
		made = strings.ReplaceAll(uuid.NewString()+uuid.NewString(), "-", "")
		h.Secret = bridge.Secret(made)
	}
	return made
}

// checkHook collects everything that is wrong with h.
func (s *Server) checkHook(c *gin.Context, h bridge.Hook, e fieldErrors) error {
	for field, texts := range s.cfg.CheckHook(h) {
		e[field] = append(e[field], texts...)
	}
	checkCredentials(h, e)
	if o := targetOrigin(h.TargetURL); strings.HasPrefix(o, "http") && len(e["target_url"]) == 0 {
		if err := s.cfg.CheckURL(c.Request.Context(), o+"/"); err != nil {
			e.add("target_url", "%v", err)
		}
	}
	return e.err()
}

// targetOrigin returns the text of a target URL up to its path: scheme and
// host, or the placeholder that stands for them.
func targetOrigin(target string) string {
	target = strings.TrimSpace(target)
	if strings.HasPrefix(target, "{{") {
		if before, _, ok := strings.Cut(target, "}}"); ok {
			return strings.Join(strings.Fields(before), "") + "}}"
		}
		return target
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return strings.ToLower(scheme + "://" + rest)
}

// findHook returns the hook of the path; change asks for one that may be
// changed.
func (s *Server) findHook(c *gin.Context, change bool) (bridge.Hook, error) {
	incoming, err := hookType(c)
	if err != nil {
		return bridge.Hook{}, err
	}
	id, ix := param(c, "id"), s.lookup()
	h, ok := ix.hooks[id]
	if !ok || incoming {
		return h, problemf(codeNotFound, "there is no %s hook %q", param(c, "type"), id)
	}
	if change {
		if p := ix.readOnly("hook", id, h.ReadOnly); p != nil {
			return h, p
		}
	}
	return h, nil
}

func (s *Server) getHook(c *gin.Context) error {
	h, err := s.findHook(c, false)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, "application/json", shapeHook(h, ""))
	return nil
}

// updateHook changes what was sent and keeps the rest. A target on another
// host needs the hook's credentials again, so that whoever may change a hook
// cannot read them by calling himself.
func (s *Server) updateHook(c *gin.Context) error {
	h, err := s.findHook(c, true)
	if err != nil {
		return err
	}
	in, err := s.readHook(c)
	if err != nil {
		return err
	}
	e := fieldErrors{}
	switch {
	case in.ID == nil:
		e.add("id", "the id is missing; it is %q, as in the path", h.ID)
	case *in.ID != h.ID:
		e.add("id", "the id is %q in the body and %q in the path", *in.ID, h.ID)
	}
	if in.Name == nil {
		e.add("name", "the name is missing")
	}
	if moves(h, in) {
		forgetCredentials(&h, in, e)
	}
	// The slice belongs to the snapshot and must not change.
	h.Settings.RequestHeaders = slices.Clone(h.Settings.RequestHeaders)
	in.apply(&h, e)
	newSecret(&h, in, e)
	if err := s.checkHook(c, h, e); err != nil {
		return err
	}
	h.UpdatedAt = s.cfg.Now().UnixMilli()
	if err := s.cfg.Registry.PutHook(c.Request.Context(), h); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// forgetCredentials drops what must not follow a hook to another host, and
// asks for what was not sent again.
func forgetCredentials(h *bridge.Hook, in hookInput, e fieldErrors) {
	if h.Secret != "" && (in.Secret == nil || strings.Trim(*in.Secret, "*") == "") && (in.RequiresSecret == nil || *in.RequiresSecret) {
		e.add("secret", "target_url has another host: send the secret again")
	}
	resent := in.Settings != nil && in.Settings.RequestHeaders != nil
	var kept []bridge.HookHeader
	for i, masked := range maskTemplates(h.Settings.RequestHeaders) {
		if masked.Value == h.Settings.RequestHeaders[i].Value {
			kept = append(kept, masked)
		} else if !resent {
			e.add("settings.request_headers", "target_url has another host: send the value of %s again", masked.Name)
		}
	}
	h.Settings.RequestHeaders = kept
}

func (s *Server) deleteHook(c *gin.Context) error {
	h, err := s.findHook(c, true)
	if err != nil {
		return err
	}
	if err := s.cfg.Registry.DeleteHook(c.Request.Context(), h.ID); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// listPipelineHooks lists the hooks of one pipeline; those of "*" are listed
// under "*" only.
func (s *Server) listPipelineHooks(c *gin.Context) error {
	id := param(c, "id")
	if err := s.checkPipeline(id); err != nil {
		return err
	}
	return s.writeHooks(c, func(h bridge.Hook) bool { return samePipeline(h.Pipeline, id) })
}

// listApplicationHooks lists the hooks of the pipelines that an application
// covers.
func (s *Server) listApplicationHooks(c *gin.Context) error {
	a, err := s.findApplication(c, false)
	if err != nil {
		return err
	}
	all := len(a.Pipelines) == 0 || slices.Contains(a.Pipelines, everyPipeline)
	return s.writeHooks(c, func(h bridge.Hook) bool {
		return all || h.Pipeline == everyPipeline || slices.ContainsFunc(a.Pipelines, func(p string) bool { return samePipeline(p, h.Pipeline) })
	})
}

func (s *Server) writeHooks(c *gin.Context, want func(bridge.Hook) bool) error {
	var list []hookRelation
	for _, h := range s.hooks() {
		if want(h) {
			list = append(list, shapeRelation(h))
		}
	}
	page, per, err := devopnessPage(c)
	if err != nil {
		return err
	}
	link(c, page, per, len(list))
	first := min((page-1)*per, len(list))
	writeJSON(c, http.StatusOK, "application/json", nonNil(list[first:min(first+per, len(list))]))
	return nil
}

// hooks lists all hooks, the oldest first.
func (s *Server) hooks() []bridge.Hook {
	list := slices.Clone(s.cfg.Registry.Snapshot().Hooks)
	slices.SortFunc(list, func(a, b bridge.Hook) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// listAllHooks is cibridge's own list of all hooks.
func (s *Server) listAllHooks(c *gin.Context) error {
	var out []hookRelation
	for _, h := range s.hooks() {
		out = append(out, shapeRelation(h))
	}
	return writeList(c, out, "")
}

const (
	defaultPerPage = 20
	maxPerPage     = 100
	maxPage        = 1 << 20
)

// devopnessPage reads page and per_page.
func devopnessPage(c *gin.Context) (page, per int, err error) {
	e := fieldErrors{}
	read := func(name string, def, most int) int {
		v := c.Query(name)
		if v == "" {
			return def
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > most {
			e.add(name, "%s is %q; it is a number from 1 to %d", name, v, most)
			return def
		}
		return n
	}
	page, per = read("page", 1, maxPage), read("per_page", defaultPerPage, maxPerPage)
	return page, per, e.err()
}

// link writes the Link header (RFC 8288). Devopness's SDKs count the pages by
// the page of rel="last".
func link(c *gin.Context, page, per, total int) {
	last := max(1, (total+per-1)/per)
	rels := []struct {
		rel  string
		page int
		is   bool
	}{
		{"first", 1, true}, {"prev", page - 1, page > 1}, {"next", page + 1, page < last}, {"last", last, true},
	}
	var parts []string
	for _, r := range rels {
		if r.is {
			q := c.Request.URL.Query()
			q.Set("page", strconv.Itoa(r.page))
			q.Set("per_page", strconv.Itoa(per))
			parts = append(parts, fmt.Sprintf(`<%s?%s>; rel="%s"`, c.Request.URL.EscapedPath(), q.Encode(), r.rel))
		}
	}
	c.Header("Link", strings.Join(parts, ", "))
}
