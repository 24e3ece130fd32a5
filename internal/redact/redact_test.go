package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestName(t *testing.T) {
	secret := []string{
		"password", "DB_PASSWORD", "dbPassword", "db-password", "POSTGRES_PASSWORD2", "dbpassword", "pwd", "passphrase", "token", "accessToken", "access_token",
		"ACCESS_TOKEN", "APIToken", "authToken", "X-Gitlab-Token", "private_token", "clientSecret", "client_secret", "secrets", "aws.secretKey",
		"private_key", "privateKey", "api_key", "apiKey", "X-Api-Key", "apikey", "signing_key", "Authorization", "Proxy-Authorization", "_auth",
		"credential", "credentials", "Set-Cookie", "sig", "connection_string", "TOKEN_1", "params.DEPLOY_TOKEN", "secret_id",
	}
	for _, name := range secret {
		if !Name(name) {
			t.Errorf("Name(%q) = false", name)
		}
	}
	open := []string{
		"", "a", "author", "authors", "authored_at", "key", "keys", "public_key", "token_type", "tokenizer", "secret_header_name", "password_file", "monkey",
		"keyword", "cache_key", "issue.key", "id", "run_id", "design", "signed", "compat", "path", "secretary", "passed", "authorization_url", "oauth", strings.Repeat("x", 200) + "token",
	}
	for _, name := range open {
		if Name(name) {
			t.Errorf("Name(%q) = true", name)
		}
	}
}

func masker(secrets ...string) *Masker {
	m := &Masker{}
	for _, s := range secrets {
		m.Add(s)
	}
	return m
}

func TestText(t *testing.T) {
	strict, prose := &Redactor{Names: true, Known: masker("known-secret-1")}, &Redactor{Names: true, Prose: true}
	tests := []struct{ in, strict, prose string }{
		{"", "", ""},
		{"nothing to see", "", ""},
		{"a known-secret-1 b", "a *** b", "a known-secret-1 b"},
		// URLs
		{"see https://ci:hunter22@host/x?y=1", "see https://***@host/x?y=1", ""},
		{"https://ghp_0123456789@host", "https://***@host", ""},
		{"ssh://git@host/acme/shop.git", "", ""},
		{"http://host:8080/a@b", "", ""},
		{"http://[::1]:8080/a@b", "", ""},
		{"http://user:pa/ss/word@host/x", "http://***@host/x", ""},
		{`http:\/\/user:pw123456@host\/x`, `http:\/\/***@host\/x`, ""},
		{"?next=https%3A%2F%2Fu%3Apw123456%40host%2Fx", "?next=https%3A%2F%2F***%40host%2Fx", ""},
		{"https://h/p?access_token=abc,def;g&page=2", "https://h/p?access_token=***&page=2", ""},
		{"https://h/p?page=2&sig=abc#frag", "https://h/p?page=2&sig=***", "https://h/p?page=2&sig=***"},
		// assignments
		{"export DB_PASSWORD=abc def", "export DB_PASSWORD=*** def", ""},
		{`DB_PASSWORD="abc \" def" x`, `DB_PASSWORD="***" x`, ""},
		{"password: hunter22", "password: ***", "password: hunter22"},
		{"db_password: hunter22", "db_password: ***", ""},
		{"if token == nil {", "if token =*** nil {", "if token == nil {"},
		{"if token== nil, X_TOKEN==abc", "if token=*** nil, X_TOKEN=***", "if token== nil, X_TOKEN=***"},
		{"Fix token: it was wrong", "Fix token: *** was wrong", "Fix token: it was wrong"},
		{`{"password": "a b", "x": 1}`, `{"password": "***", "x": 1}`, ""},
		{`"{\"password\": \"a b\"}"`, `"{\"password\": \"***\"}"`, ""},
		{"curl --token abcdef -v", "curl --token *** -v", ""},
		{"curl --token -v", "", ""},
		// headers and schemes
		{"curl -H 'Authorization: Bearer abc.def' x", "curl -H 'Authorization: Bearer ***' x", ""},
		{"Authorization: Digest username=a, response=b\nHost: h", "Authorization: Digest ***\nHost: h", ""},
		{"sent Bearer abcdefgh12345678 twice", "sent Bearer *** twice", ""},
		{"Basic authentication is wanted", "", ""},
		{"X-Api-Key: 42", "X-Api-Key: ***", ""},
		// keys
		{"use cib_0123456789ab_" + strings.Repeat("x", 43) + "_abcdef now", "use cib_0123456789ab_*** now", ""},
		{"cib_short_x", "", ""},
		{"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n.", "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\n.", ""},
		{"-----BEGIN PRIVATE KEY-----\nMIIE cut", "-----BEGIN PRIVATE KEY-----***", ""},
		{"-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "", ""},
	}
	for _, tt := range tests {
		want := tt.strict
		if want == "" {
			want = tt.in
		}
		if got, _ := strict.Text(tt.in); got != want {
			t.Errorf("strict Text(%q)\n got %q\nwant %q", tt.in, got, want)
		}
		if tt.prose != "" {
			want = tt.prose
		}
		if got, _ := prose.Text(tt.in); got != want {
			t.Errorf("prose Text(%q)\n got %q\nwant %q", tt.in, got, want)
		}
	}
}

func paths(t testing.TB, texts ...string) []Path {
	t.Helper()
	var out []Path
	for _, text := range texts {
		p, err := ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestBody(t *testing.T) {
	r := &Redactor{
		Known: masker("known-secret-1", "12345678901"), Names: true,
		Paths: paths(t, "object_attributes.variables.#.value", "build.parameters", `a\.b.*.c`, "list.#"),
	}
	r.Known.Add("[a,{b]: c-hidden:d}")
	inner := `{"token":"abc","x":"known-secret-1"}`
	b64 := base64.StdEncoding.EncodeToString([]byte(inner))
	b64Out := base64.StdEncoding.EncodeToString([]byte(`{"token":"***","x":"***"}`))
	tests := []struct {
		kind, in, want string
		n              int
	}{
		{"", ``, ``, 0},
		{"", `{"a":1,"b":[true,null,-1.5e3]}`, ``, 0},
		{"", `{"object_attributes":{"variables":[{"key":"A","value":"x"},{"key":"B","value":2}]}}`, `{"object_attributes":{"variables":[{"key":"A","value":"***"},{"key":"B","value":"***"}]}}`, 2},
		{"", `{"build": {"parameters": {"A": "x", "B": [1, {"c": true}], "D": ""}, "number": 7}}`, `{"build": {"parameters": {"A": "***", "B": ["***", {"c": true}], "D": ""}, "number": 7}}`, 2},
		{"", `{"a.b":[{"c":"x","d":"y"},{"c":"z"}]}`, `{"a.b":[{"c":"***","d":"y"},{"c":"***"}]}`, 2},
		{"", `{"list":["x"],"list2":["y"]}`, `{"list":["***"],"list2":["y"]}`, 1},
		{"", `{"password":"x","nested":{"secrets":{"a":"b","n":5},"ok":"c"}}`, `{"password":"***","nested":{"secrets":{"a":"***","n":"***"},"ok":"c"}}`, 3},
		{"", `{"value":"x","name":"DB_PASSWORD"}`, `{"value":"***","name":"DB_PASSWORD"}`, 1},
		{"", `[{"key":"API_TOKEN","value":{"a":[1]}},{"key":"HOST","value":"h"}]`, `[{"key":"API_TOKEN","value":"***"},{"key":"HOST","value":"h"}]`, 1},
		{"", `{"a":"x known-secret-1 y","known-secret-1":12345678901}`, `{"a":"x *** y","***":"***"}`, 3},
		{"", `{"u":"http:\/\/a:bcdefghi@h\/"}`, `{"u":"http://***@h/"}`, 1},
		{"", `{"s":"pass\u0077ord=abc\nnext <b>"}`, `{"s":"password=***\nnext <b>"}`, 1},
		{"", `{"payload":` + quote(inner) + `}`, `{"payload":` + quote(`{"token":"***","x":"***"}`) + `}`, 2},
		{"", `{"data":"` + b64 + `"}`, `{"data":"` + b64Out + `"}`, 2},
		{"", `{"a":"x","b":"[a,{b]: c-hidden:d}","c":"{\"token\": \"cut","d":"[1,"}`, `{"a":"x","b":"***","c":"{\"token\": \"***","d":"[1,"}`, 2},
		{"", `[a,{b]: c-hidden:d} `, `*** `, 1},
		// what is not JSON after all
		{"", `{"password":"cut of`, `{"password":"***"`, 1},
		{"", `{"name":"X_TOKEN","value":"abcdefgh"`, `{"name":"X_TOKEN","value":"***"`, 1},
		{"", `{password: abc, x}`, `{password: abc, x}`, 0},
		{"", strings.Repeat("[", 1001) + `{"password": "abcdefgh"}`, strings.Repeat("[", 1001) + `{"password": "***"}`, 1},
		{"", `]}{"token":"x"}`, ``, 0},
		{"application/x-www-form-urlencoded", `payload=%7B%22token%22%3A%22x%22%7D&ref=main&password=p`, `payload=%7B%22token%22%3A%22***%22%7D&ref=main&password=***`, 2},
		{"", `payload=%7B%22token%22%3A%22x%22%7D`, `payload=%7B%22token%22%3A%22***%22%7D`, 1},
		{"", "callback=https%3A%2F%2Fu%3Apw123456%40h", "callback=https%3A%2F%2F***%40h", 1},
		{"multipart/mixed; boundary=b", "--b\r\nContent-Type: application/json\r\nX-Token: t\r\n\r\n{\"token\":\"x\"}\r\n--b--\r\n", "--b\r\nContent-Type: application/json\r\nX-Token: ***\r\n\r\n{\"token\":\"***\"}\r\n--b--\r\n", 2},
		{"text/plain", "X_TOKEN=abc\nplain", "X_TOKEN=***\nplain", 1},
	}
	for _, tt := range tests {
		want := tt.want
		if want == "" && tt.n == 0 {
			want = tt.in
		}
		if tt.in == `]}{"token":"x"}` { // only begins like nothing: read as text
			want, tt.n = `]}{"token":"***"}`, 1
		}
		got, n := r.Body(tt.kind, []byte(tt.in))
		if got != want || n != tt.n {
			t.Errorf("Body(%q)\n got %s, %d\nwant %s, %d", tt.in, got, n, want, tt.n)
		}
		if json.Valid([]byte(tt.in)) && !json.Valid([]byte(got)) {
			t.Errorf("Body(%q) is no longer JSON: %s", tt.in, got)
		}
	}
	if got, _ := r.Body("", []byte("\xff known-secret-1")); got != "� ***" {
		t.Errorf("not UTF-8: %q", got)
	}
}

func TestParsePath(t *testing.T) {
	for _, text := range []string{"", " ", "a..b", ".a", "a.", "a|b", "a.#(x)", "a.@this", strings.Repeat("a.", 16) + "a"} {
		if _, err := ParsePath(text); err == nil {
			t.Errorf("ParsePath(%q) has no error", text)
		}
	}
}

func TestValue(t *testing.T) {
	r := &Redactor{Names: true, Prose: true, Known: masker("known-secret-1")}
	in := map[string]any{"title": "Fix token: wrong", "DB_TOKEN": "abc", "n": int64(1), "list": []any{"x", "known-secret-1"}, "ok": true, "m": map[string]any{"pin_token": int64(5)}}
	got, n := r.Value("params", in)
	want := map[string]any{"title": "Fix token: wrong", "DB_TOKEN": "***", "n": int64(1), "list": []any{"x", "***"}, "ok": true, "m": map[string]any{"pin_token": "***"}}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if !bytes.Equal(a, b) || n != 3 {
		t.Errorf("got %s, %d, want %s, 3", a, n, b)
	}
	if in["DB_TOKEN"] != "abc" || in["list"].([]any)[1] != "known-secret-1" {
		t.Error("the value that was given has changed")
	}
	if v, n := r.Value("params.X_SECRET", "x"); v != Stars || n != 1 {
		t.Errorf("a secret name: %v, %d", v, n)
	}
	pairs, n := r.Pairs(map[string]string{"x-auth-token": "a", "referer": "https://u:p1234567@h/", "accept": "*/*", "x-empty-token": ""})
	if n != 2 || pairs["x-auth-token"] != Stars || pairs["referer"] != "https://***@h/" || pairs["accept"] != "*/*" || pairs["x-empty-token"] != "" {
		t.Errorf("pairs %v, %d", pairs, n)
	}
	if got := r.URL("https://u:p1234567@h/a?acc%65ss_token=abcdefgh&page=2"); got != "https://***@h/a?access_token=***&page=2" {
		t.Errorf("URL: %s", got)
	}
}

type stringer struct{ text string }

func (s stringer) String() string { return s.text }

func TestLog(t *testing.T) {
	var out bytes.Buffer
	r := &Redactor{Known: masker("known-secret-1"), Names: true, Prose: true}
	log := slog.New(Log(slog.NewJSONHandler(&out, nil), func() *Redactor { return r })).With("with", "known-secret-1").WithGroup("g")
	log.Info("message known-secret-1", "s", "known-secret-1", "list", []string{"a", "known-secret-1"}, "err", &json.SyntaxError{}, "any", stringer{"known-secret-1"},
		slog.Group("in", "s", "known-secret-1"), "n", 7, "d", time.Second, "st", struct{ A string }{"known-secret-1"}, "open", struct{ A string }{"x"})
	text := out.String()
	if strings.Contains(text, "known-secret") || strings.Count(text, Stars) != 7 {
		t.Errorf("log line: %s", text)
	}
	for _, want := range []string{`"n":7`, `"d":1000000000`, `"open":{"A":"x"}`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}

// Texts that are made to make each rule look far: at this length, work that
// grows with the square would not end within the time of a test.
func TestLinear(t *testing.T) {
	r := &Redactor{Names: true, Known: masker(strings.Repeat("k", 40)), Paths: paths(t, "*.*.*", "a.#")}
	for _, unit := range []string{
		"://", "a://b:x/", "a://b:x@", "%3A%2F%2F", "%3A%2F%2F%40", "token:", "token=", "token= ", `"token":"`, "-----BEGIN PRIVATE KEY-----", "cib_a_", "bearer ", "- ",
		"[", "{", `{"a":`, `{"name":"X_TOKEN","value":`, `["`, `\"`, "eyJ", " ", "kkkkkkk", ":", `{"value":[`,
	} {
		text := strings.Repeat(unit, 2<<20/len(unit))
		if out, _ := r.Body("", []byte(text)); len(out) > 3*len(text) {
			t.Errorf("2 MiB of %q became %d bytes", unit, len(out))
		}
	}
}

func BenchmarkBody(b *testing.B) {
	r := &Redactor{Names: true, Known: masker("known-secret-1", "another-secret-of-the-server"), Paths: paths(b, "object_attributes.variables.#.value")}
	item := `{"id":1,"name":"unit tests","url":"https://git.example/acme/shop/-/jobs/1","status":"success","started_at":"2026-03-01T12:00:00Z"},`
	body := []byte(`{"object_attributes":{"id":7,"variables":[{"key":"A","value":"x"}]},"builds":[` + strings.Repeat(item, 60) + `null]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r.Body("", body)
	}
}
