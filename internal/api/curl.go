package api

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"cibridge/bridge"
)

// curlOf returns the command that sends a delivery by hand: what its hook says
// of it, without the headers that cibridge adds. Secrets are shell variables,
// whose names follow from what they are: $TOKEN is an application's token.
func curlOf(d bridge.Delivery) string {
	// No globbing: brackets in a URL are what they are.
	words := []string{"curl", "-g", "-X", quoted(d.Method), shellText(maskedURL(d.URL))}
	typed := false
	for _, h := range d.Headers {
		typed = typed || strings.EqualFold(h.Name, "Content-Type")
		words = append(words, "-H", shellText(headerPieces(h)))
	}
	if d.Body == "" {
		return strings.Join(words, " ")
	}
	if !typed {
		words = append(words, "-H", shellText([]piece{{text: "Content-Type: application/json"}}))
	}
	if strings.ContainsRune(d.Body, 0) { // no argument can hold one
		return "printf '%b' " + quoted(octal(d.Body)) + " | " + strings.Join(append(words, "--data-binary", "@-"), " ")
	}
	return strings.Join(append(words, "--data-raw", quoted(d.Body)), " ")
}

// piece is text, or the name of a shell variable.
type piece struct{ text, variable string }

// headerPieces is a header with its secrets as variables: references, and the
// literal value of a header that holds a credential.
func headerPieces(h bridge.Header) []piece {
	out, value := []piece{{text: h.Name + ": "}}, ""
	for _, part := range h.Parts {
		if part.Ref != "" {
			value += maskedToken
			out = append(out, piece{variable: variableOf(part.Ref)})
			continue
		}
		value += part.Text
		out = append(out, piece{text: part.Text})
	}
	shown := maskHeaders(map[string]string{h.Name: value})[h.Name]
	switch {
	case value == "":
		return []piece{{text: h.Name + ";"}} // how curl writes a header without a value
	case shown != value:
		return []piece{{text: h.Name + ": " + strings.TrimSuffix(shown, maskedToken)}, {variable: shellName(h.Name)}}
	}
	return out
}

// maskedURL is a URL with the values of those parameters as variables that
// hold credentials.
func maskedURL(text string) []piece {
	base, query, ok := strings.Cut(text, "?")
	if !ok {
		return []piece{{text: text}}
	}
	out, sep := []piece{{text: base}}, "?"
	for _, pair := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || !secretParameter(name) {
			out = append(out, piece{text: sep + pair})
		} else {
			out = append(out, piece{text: sep + name + "="}, piece{variable: shellName(name)})
		}
		sep = "&"
	}
	return out
}

// shownURL is a URL as operators see it.
func shownURL(text string) string {
	var out strings.Builder
	for _, p := range maskedURL(text) {
		if p.variable != "" {
			out.WriteString(maskedToken)
		}
		out.WriteString(p.text)
	}
	return out.String()
}

var secretParameters = regexp.MustCompile(`(?i)token|secret|passw|auth|key|signature|credential|session|^sig$`)

func secretParameter(name string) bool {
	plain, err := url.QueryUnescape(name)
	return err != nil || secretParameters.MatchString(plain)
}

// variableOf names the variable of a reference: "application:<id>:access_token"
// is TOKEN, "hook:<id>:hmac:sha256" is HMAC_SHA256.
func variableOf(ref string) string {
	kind, rest, _ := strings.Cut(ref, ":")
	_, name, _ := strings.Cut(rest, ":")
	if name = shellName(strings.TrimPrefix(name, "access_")); name == "_" {
		return shellName(kind)
	}
	return name
}

var notInNames = regexp.MustCompile(`[^A-Z0-9]+`)

// shellName makes the name of a variable of any text.
func shellName(text string) string {
	name := notInNames.ReplaceAllString(strings.ToUpper(text), "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	return name
}

var plainText = regexp.MustCompile(`^[A-Za-z0-9 :;,./_=+@%&?~-]*$`)

// shellText is one word of a shell command. Variables stand in double quotes,
// text that a shell might read in another way in single ones.
func shellText(pieces []piece) string {
	var all, word strings.Builder
	plain, secret := true, false
	for _, p := range pieces {
		if p.variable != "" {
			secret = true
			fmt.Fprintf(&all, "${%s}", p.variable)
			fmt.Fprintf(&word, `"${%s}"`, p.variable)
			continue
		}
		plain = plain && plainText.MatchString(p.text)
		all.WriteString(p.text)
		word.WriteString(quoted(p.text))
	}
	if !secret || !plain {
		return word.String()
	}
	return `"` + bracesWhereNeeded(all.String()) + `"`
}

var lastVariable = regexp.MustCompile(`\$\{(\w+)\}(\W|$)`)

// bracesWhereNeeded writes ${TOKEN} as $TOKEN where nothing follows that could
// belong to the name.
func bracesWhereNeeded(s string) string { return lastVariable.ReplaceAllString(s, "$$$1$2") }

var bareWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+-]+$`)

// quoted is text as one word of a shell: in single quotes where it needs some.
func quoted(text string) string {
	if bareWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// octal writes every byte as printf's %b reads it.
func octal(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		fmt.Fprintf(&out, `\0%03o`, b)
	}
	return out.String()
}
