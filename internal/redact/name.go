package redact

import (
	"slices"
	"strings"
)

// secretWords are last words of names whose values are secret.
var secretWords = []string{
	"password", "passwords", "passwd", "pwd", "passphrase", "passcode", "secret", "secrets", "token", "tokens", "authorization", "auth",
	"credential", "credentials", "apikey", "apikeys", "privatekey", "secretkey", "accesskey", "cookie", "cookies", "jwt", "bearer",
	"sig", "signature", "otp", "pat", "sessionid",
}

// secretEnds are ends of words that were written together: dbpassword.
var secretEnds = []string{"password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey", "credentials"}

// secretPairs are last two words of such names: what a key or an id is for
// decides whether it is secret.
var secretPairs = map[string][]string{
	"key":    {"api", "private", "access", "secret", "signing", "encryption", "ssh", "deploy", "auth", "master", "account", "session", "storage", "service", "license"},
	"keys":   {"api", "private", "access", "secret", "signing", "encryption", "ssh", "deploy", "auth"},
	"id":     {"session", "secret"},
	"string": {"connection"},
	"value":  {"secret", "token", "password"},
}

// Name reports whether the name of a member, parameter, variable or header
// says that its value is secret: DB_PASSWORD, accessToken, X-Api-Key, but not
// token_type, author or key.
func Name(name string) bool {
	if len(name) < 3 || len(name) > maxName {
		return false
	}
	last, before := lastWords(name)
	if len(last) < 2 {
		return false
	}
	if slices.Contains(secretWords, last) || slices.Contains(secretPairs[last], before) {
		return true
	}
	return slices.ContainsFunc(secretEnds, func(end string) bool { return strings.HasSuffix(last, end) })
}

// maxName bounds what is taken for a name.
const maxName = 128

// lastWords returns the last two words of a name, in lower case: of camelCase,
// snake_case, kebab-case and dotted names, without numbers at their end.
func lastWords(name string) (last, before string) {
	name = strings.TrimRight(name, "0123456789_-.]")
	start := wordStart(name)
	rest := strings.TrimRight(name[:start], "_-. [:$/")
	return strings.ToLower(name[start:]), strings.ToLower(rest[wordStart(rest):])
}

// wordStart returns where the last word of name begins.
func wordStart(name string) int {
	i := len(name)
	for i > 0 && isLetter(name[i-1]) {
		// A capital begins a word behind a small letter, and before one at
		// the end of capitals: dbPassword, APIToken.
		if i < len(name) && isUpper(name[i]) && !isUpper(name[i-1]) {
			return i
		}
		if i+1 < len(name) && isUpper(name[i-1]) && isUpper(name[i]) && !isUpper(name[i+1]) && isLetter(name[i+1]) {
			return i
		}
		i--
	}
	return i
}

func isUpper(c byte) bool  { return 'A' <= c && c <= 'Z' }
func isLetter(c byte) bool { return isUpper(c) || 'a' <= c && c <= 'z' }

// isName reports whether c may be part of a name in a text.
func isName(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}
