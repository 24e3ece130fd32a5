package api

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"cibridge/internal/redact"
)

// handler answers a request, or returns the error to answer with.
type handler func(s *Server, c *gin.Context) error

// route is a row of the table.
type route struct {
	method string
	path   string
	open   guard
	do     handler
}

// guard says who may call a route and in which style its errors are.
type guard int

const (
	public    guard = iota // anybody
	operator               // the admin token; errors are problem+json
	devopness              // the admin token; errors are Devopness's {"message","errors"}
)

// table lists the fixed routes. Everything else is looked up in the routes
// that the mappings declare: POST /ci/webhook, POST /v1/custom-cicd, …
func table() []route {
	return []route{
		// every CI tool that has no route of its own
		{"POST", "/in/:source", public, (*Server).receiveSource},

		// load balancers, orchestrators, Prometheus
		{"GET", "/healthz", public, (*Server).healthz},
		{"HEAD", "/healthz", public, (*Server).healthz},
		{"GET", "/readyz", public, (*Server).readyz},
		{"HEAD", "/readyz", public, (*Server).readyz},
		{"GET", "/metrics", public, (*Server).showMetrics},

		// Devopness clients and SDKs
		{"POST", "/pipelines/:id/hooks/:type", devopness, (*Server).createHook},
		{"GET", "/pipelines/:id/hooks", devopness, (*Server).listPipelineHooks},
		{"GET", "/applications/:id/hooks", devopness, (*Server).listApplicationHooks},
		{"GET", "/hooks/:type/:id", devopness, (*Server).getHook},
		{"PUT", "/hooks/:type/:id", devopness, (*Server).updateHook},
		{"DELETE", "/hooks/:type/:id", devopness, (*Server).deleteHook},
		{"GET", "/hooks/:type/:id/requests", devopness, (*Server).listHookRequests},
		{"GET", "/hook-requests/:id", devopness, (*Server).getHookRequest},

		// operators: what happened
		{"GET", "/api/v1/runs", operator, (*Server).listRuns},
		{"GET", "/api/v1/runs/:id", operator, (*Server).getRun},
		{"GET", "/api/v1/runs/:id/events", operator, (*Server).listRunEvents},
		{"GET", "/api/v1/runs/:id/deliveries", operator, (*Server).listRunDeliveries},
		{"GET", "/api/v1/events", operator, (*Server).listEvents},
		{"GET", "/api/v1/events/:id", operator, (*Server).getEvent},
		{"GET", "/api/v1/events/:id/raw", operator, (*Server).getRaw},
		{"GET", "/api/v1/deliveries", operator, (*Server).listDeliveries},
		{"GET", "/api/v1/deliveries/:id", operator, (*Server).getDelivery},
		{"POST", "/api/v1/deliveries/:id/redeliver", operator, (*Server).redeliver},
		{"POST", "/api/v1/deliveries/redeliver", operator, (*Server).redeliverMany},
		{"GET", "/api/v1/pipelines", operator, (*Server).listPipelines},
		{"GET", "/api/v1/mappings", operator, (*Server).listMappings},
		{"GET", "/api/v1/audit", operator, (*Server).listAudit},

		// operators: what is configured
		{"GET", "/api/v1/sources", operator, (*Server).listSources},
		{"POST", "/api/v1/sources", operator, (*Server).createSource},
		{"GET", "/api/v1/sources/:id", operator, (*Server).getSource},
		{"PUT", "/api/v1/sources/:id", operator, (*Server).updateSource},
		{"DELETE", "/api/v1/sources/:id", operator, (*Server).deleteSource},
		{"GET", "/api/v1/keys", operator, (*Server).listKeys},
		{"POST", "/api/v1/keys", operator, (*Server).createKey},
		{"GET", "/api/v1/keys/:id", operator, (*Server).getKey},
		{"DELETE", "/api/v1/keys/:id", operator, (*Server).deleteKey},
		{"POST", "/api/v1/keys/:id/suspend", operator, (*Server).suspendKey},
		{"POST", "/api/v1/keys/:id/resume", operator, (*Server).resumeKey},
		{"GET", "/api/v1/applications", operator, (*Server).listApplications},
		{"POST", "/api/v1/applications", operator, (*Server).createApplication},
		{"GET", "/api/v1/applications/:id", operator, (*Server).getApplication},
		{"PUT", "/api/v1/applications/:id", operator, (*Server).updateApplication},
		{"DELETE", "/api/v1/applications/:id", operator, (*Server).deleteApplication},
		{"GET", "/api/v1/hooks", operator, (*Server).listAllHooks},
	}
}

// reserved are the first segments under which no mapping's route is looked up.
var reserved = []string{"api", "ui", "hooks", "pipelines"}

// routes builds the engine. The path is matched in its escaped form, so that
// a pipeline's name may hold an escaped slash; [param] unescapes.
func (s *Server) routes(of side) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	// The default believes X-Forwarded-For of everybody.
	if err := e.SetTrustedProxies(nil); err != nil {
		panic(err) // nil cannot fail
	}
	e.UseEscapedPath = true
	e.UnescapePathValues = false
	e.RedirectTrailingSlash = false // a redirect loses a webhook's body
	e.HandleMethodNotAllowed = true
	e.Use(s.recover)
	for _, r := range table() {
		if of.serves(r) {
			e.Handle(r.method, r.path, s.serve(r))
		}
	}
	if of == operators {
		e.NoRoute(s.noOperatorRoute)
	} else {
		e.NoRoute(s.noRoute)
	}
	e.NoMethod(func(c *gin.Context) {
		s.fail(c, public, problemf(codeMethod, "%s is not allowed on %s; allowed is %s",
			c.Request.Method, c.Request.URL.Path, c.Writer.Header().Get("Allow")))
	})
	return e
}

// serve wraps a row's handler with its guard, its error style and its count.
func (s *Server) serve(r route) gin.HandlerFunc {
	return func(c *gin.Context) {
		if r.open == public {
			if err := r.do(s, c); err != nil {
				s.fail(c, r.open, err)
			}
			return
		}
		id := "req_" + uuid.NewString()
		c.Header("Cache-Control", "no-store")
		c.Header("X-Request-Id", id)
		if r.method == http.MethodGet { // other answers may show a secret once, to who has made it
			c.Writer = &redactedWriter{c.Writer, redact.Redactor{Known: s.known()}}
		}
		actor, err := s.admit(c.Request)
		if p := s.tooMany(c.Request); p != nil {
			err = p
		}
		if err == nil {
			err = r.do(s, c)
		}
		if err != nil {
			s.fail(c, r.open, err)
		}
		s.metrics.admin.WithLabelValues(r.method+" "+r.path, fmt.Sprint(c.Writer.Status())).Inc()
		if !reads(c.Request) {
			s.audit(c, id, actor)
		}
	}
}

// fail answers with err in the style of the route.
func (s *Server) fail(c *gin.Context, style guard, err error) {
	p := asProblem(err)
	if p.Status >= http.StatusInternalServerError {
		s.cfg.Log.Error("request failed", "request", c.Writer.Header().Get("X-Request-Id"), "method", c.Request.Method, "path", c.Request.URL.Path,
			"status", p.Status, "code", p.Code, "err", err)
	}
	if style == devopness {
		writeDevopness(c, p)
		return
	}
	p.write(c)
}

// recover answers 500 after a panic and logs the stack, never the request: it
// may hold credentials.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		s.cfg.Log.Error("panic", "method", c.Request.Method, "path", c.Request.URL.Path,
			"panic", fmt.Sprint(v), slog.String("stack", string(debug.Stack())))
		c.Abort()
		if !c.Writer.Written() {
			problemf(codeInternal, "the request was not handled; the log has the reason").write(c)
		}
	}()
	c.Next()
}

func (s *Server) noOperatorRoute(c *gin.Context) {
	s.fail(c, public, problemf(codeNoRoute, "%s %s is not a route of operators, whose address this is", c.Request.Method, c.Request.URL.Path))
}

// noRoute serves the routes that mappings declare.
func (s *Server) noRoute(c *gin.Context) {
	c.Status(http.StatusOK) // gin has set 404
	path := c.Request.URL.Path
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for _, r := range reserved {
		if first == r {
			p := problemf(codeNoRoute, "%s %s is not a route", c.Request.Method, path)
			if first == "pipelines" {
				p.Detail += "; a slash in the name of a pipeline is written %2F"
			}
			s.fail(c, public, p)
			return
		}
	}
	m, ok := s.mappings.Load().Match(c.Request.Method, path)
	if !ok {
		s.fail(c, public, s.noMapping(c.Request.Method, path))
		return
	}
	s.receiveRoute(c, m)
}

// methods are tried to tell a wrong method from a wrong path.
var methods = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodGet, http.MethodDelete}

func (s *Server) noMapping(method, path string) *problem {
	var allowed []string
	for _, m := range methods {
		if _, ok := s.mappings.Load().Match(m, path); ok {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) == 0 {
		return problemf(codeNoRoute, "%s %s is not a route; a source without a route of its own posts to /in/<source>", method, path)
	}
	allow := strings.Join(allowed, ", ")
	return problemf(codeMethod, "%s is not allowed on %s; allowed is %s", method, path, allow).with("Allow", allow)
}

// param returns a part of the path, unescaped. gin's own unescaping would turn
// a plus into a space.
func param(c *gin.Context, name string) string {
	raw := c.Param(name)
	if v, err := url.PathUnescape(raw); err == nil {
		return v
	}
	return raw
}

func (s *Server) healthz(c *gin.Context) error {
	writeJSON(c, http.StatusOK, "application/json", gin.H{"status": "ok"})
	return nil
}

// readyz answers 503 while the server must not get requests, with the reasons.
func (s *Server) readyz(c *gin.Context) error {
	h := s.cfg.Health(c.Request.Context())
	if s.draining.Load() {
		h.Ready, h.Reasons = false, append([]string{"the server is shutting down"}, h.Reasons...)
	}
	_, state := s.mappingsNow()
	h.Reasons = append(nonNil(h.Reasons), state.reasons()...)
	status := http.StatusOK
	if !h.Ready {
		status = http.StatusServiceUnavailable
		c.Header("Retry-After", retryAfter(retryUnavailable))
	}
	writeJSON(c, status, "application/json", struct {
		Health
		Mappings mappingsState `json:"mappings"`
	}{h, state})
	return nil
}

func (s *Server) showMetrics(c *gin.Context) error {
	promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{Timeout: 5 * time.Second}).ServeHTTP(c.Writer, c.Request)
	return nil
}
