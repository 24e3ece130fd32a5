package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"
	"time"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/lang"
	"cibridge/internal/provider"
)

// maxAnswer is how much of an answer's body a delivered_when expression sees,
// in bytes.
const maxAnswer = 4 << 10

// answerScope is what delivered_when sees of an answer.
var answerScope = lang.NewScope(map[string]lang.Shape{
	"status": lang.Leaf(), // number
	"header": lang.Any(),  // lower-case names, first value
	"body":   lang.Any(),  // decoded when it is JSON, else text
	"text":   lang.Leaf(), // the body as it came
})

func compileAnswer(src string) (*lang.Expr, diag.Problems) {
	source := strings.TrimPrefix(strings.TrimSpace(src), "=")
	e, err := lang.Compile(source, answerScope)
	var ps diag.Problems
	for _, le := range lang.List(err) {
		ps = append(ps, diag.Problem{Line: le.Line, Col: le.Col + len(src) - len(strings.TrimLeft(src, " =")), Width: le.Width, Code: le.Code,
			Message: le.Message, Help: le.Help, Severity: diag.SeverityError})
	}
	return e, ps
}

// Answers evaluates delivered_when expressions. It is safe for concurrent use.
type Answers struct {
	mu       sync.Mutex
	compiled map[string]*lang.Expr
}

// maxCompiled bounds the expressions that are kept compiled.
const maxCompiled = 1000

// NewAnswers returns an Answers.
func NewAnswers() *Answers { return &Answers{compiled: map[string]*lang.Expr{}} }

// Delivered reports whether the expression src says that a is a delivered
// one. The error says why src could not be evaluated; the answer's class then
// decides.
func (as *Answers) Delivered(src string, a provider.Answer) (bool, error) {
	e, err := as.compile(src)
	if err != nil {
		return false, err
	}
	text := string(a.Body[:min(len(a.Body), maxAnswer)])
	var body any = text
	if lang.Scan([]byte(text), lang.MaxDepth, lang.MaxTokens) == nil {
		if v, err := lang.Decode([]byte(text)); err == nil {
			body = v
		}
	}
	header := map[string]any{}
	for name, values := range a.Header {
		if len(values) > 0 {
			header[strings.ToLower(name)] = values[0]
		}
	}
	v, err := e.Run(map[string]any{"status": int64(a.Status), "header": header, "body": body, "text": text}, time.Time{})
	if err != nil {
		return false, fmt.Errorf("evaluate delivered_when: %w", err)
	}
	ok, _ := v.(bool)
	return ok, nil
}

func (as *Answers) compile(src string) (*lang.Expr, error) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if e := as.compiled[src]; e != nil {
		return e, nil
	}
	e, ps := compileAnswer(src)
	if err := ps.Err(); err != nil {
		return nil, fmt.Errorf("compile delivered_when: %w", err)
	}
	if len(as.compiled) >= maxCompiled {
		clear(as.compiled)
	}
	as.compiled[src] = e
	return e, nil
}

// SignatureRef is the reference of the HMAC of a delivery's body with the
// secret of a hook: "hook:<id>:hmac:sha256".
func SignatureRef(hook, algorithm string) string { return "hook:" + hook + ":hmac:" + algorithm }

// TokenRef is the reference of the access token of an application's source
// provider.
func TokenRef(application string) string { return "application:" + application + ":access_token" }

var hashes = map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New}

// Sign resolves a [SignatureRef]: it returns the HMAC of body in lower-case
// hex. The header that has it says the algorithm before it: "sha256=…".
func Sign(ref string, secret bridge.Secret, body []byte) (string, error) {
	_, algorithm, _ := strings.Cut(ref, ":hmac:")
	newHash := hashes[algorithm]
	if newHash == nil {
		return "", fmt.Errorf("sign delivery: %q is no signature", ref)
	}
	if secret == "" {
		return "", fmt.Errorf("sign delivery: the secret of %q is empty", ref)
	}
	m := hmac.New(newHash, []byte(secret.Reveal()))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil)), nil
}

func itoa(i int) string { return strconv.Itoa(i) }
