package mapping

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"cibridge/internal/yamldoc"
)

// unreachable warns when an earlier event takes everything that e takes. The
// events before e are in l.m.
func (l *loader) unreachable(n *yamldoc.Node, e *event) {
	for _, before := range l.m.events {
		if before.cont || !before.match.covers(e.match) {
			continue
		}
		help := "move it before " + quote(before.name)
		if before.ignore == "" && before.confirm == nil {
			help += ", or give that one continue: true"
		}
		l.warnf(n.Get("name"), codeUnreachable, help, "the event %s is never tried: %s in line %d takes every request that it takes", quote(e.name), quote(before.name), before.place.line)
		return
	}
}

// covers reports whether m takes every request that o takes. It may say no
// where that takes running an expression.
func (m match) covers(o match) bool {
	if len(m.path) > 0 && (len(o.path) == 0 || !coversAll(m.path, o.path)) {
		return false
	}
	for _, w := range m.body {
		met := slices.ContainsFunc(o.body, func(x wantPath) bool {
			return x.path.String() == w.path.String() && coversAll(w.patterns, x.patterns)
		})
		if !met {
			return false
		}
	}
	for _, e := range m.all {
		if !slices.ContainsFunc(o.all, func(x *expression) bool { return x.e.String() == e.e.String() }) {
			return false
		}
	}
	return coversWants(m.header, o.header) && coversWants(m.query, o.query)
}

func coversWants(wants, others []want) bool {
	for _, w := range wants {
		if !slices.ContainsFunc(others, func(x want) bool { return x.name == w.name && coversAll(w.patterns, x.patterns) }) {
			return false
		}
	}
	return true
}

// coversAll reports whether every text that fits one of others fits one of
// patterns. A star of the other side is taken for a character: only a star
// fits it.
func coversAll(patterns, others []string) bool {
	return !slices.ContainsFunc(others, func(o string) bool { return !fits(patterns, o) })
}

// keeps are the fields whose text is stored, shown and sent on as it is.
var keeps = regexp.MustCompile(`^(params|variables|labels)(\.|$)|(^|\.)url$`)

// secretWords are what the names of secrets end with.
var secretWords = []string{
	"password", "passwd", "pwd", "passphrase", "secret", "secrets", "token", "tokens", "authorization", "credential", "credentials", "cookie",
	"api key", "private key", "access key", "secret key", "signing key", "apikey",
}

// secret warns when the value v of a field keeps what looks like a secret.
func (l *loader) secret(p yamldoc.Pair, v *value) {
	if v == nil || !keeps.MatchString(p.Key.Text) {
		return
	}
	names := v.reads()
	if _, own, ok := strings.Cut(p.Key.Text, "."); ok {
		names = append(names, own)
	}
	for _, name := range names {
		if looksSecret(name) {
			l.warnf(p.Key, codeSecret, "", "%s keeps %s, which looks like a secret: it would be stored, shown and sent on", p.Key.Text, name)
			return
		}
	}
}

// reads lists the paths and members that v reads.
func (v *value) reads() []string {
	if v == nil {
		return nil
	}
	var out []string
	if v.path != nil {
		out = append(out, v.path.String())
	}
	if v.expr != nil {
		out = append(out, v.expr.e.Reads()...)
	}
	for _, sub := range slices.Concat(v.firstOf, v.of, []*value{v.els, v.def}) {
		out = append(out, sub.reads()...)
	}
	return out
}

// looksSecret reports whether a name in a path ends with a secret word:
// auth.apiToken, but not token_count.
func looksSecret(path string) bool {
	for name := range strings.SplitSeq(path, ".") {
		words := " " + strings.Join(nameWords(name), " ")
		if slices.ContainsFunc(secretWords, func(w string) bool { return strings.HasSuffix(words, " "+w) }) {
			return true
		}
	}
	return false
}

// nameWords takes a name apart: apiToken, API_TOKEN and api-token are api and
// token.
func nameWords(name string) []string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			b.WriteByte(' ')
		case unicode.IsUpper(r) && lower:
			b.WriteString(" " + string(unicode.ToLower(r)))
		default:
			b.WriteRune(unicode.ToLower(r))
		}
		lower = unicode.IsLower(r)
	}
	return strings.Fields(b.String())
}
