package diag

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// WriteGitHub writes ps as workflow commands of GitHub Actions, which shows
// each of them at its line of a pull request:
//
//	::error file=a.yaml,line=10,col=7,endColumn=11,title=E101 unknown key::unknown key "mapp"
func WriteGitHub(w io.Writer, ps Problems) error {
	var b bytes.Buffer
	for _, p := range ps {
		fmt.Fprintf(&b, "::%s %s::%s\n", levelOf(p), strings.Join(githubProperties(p), ","), githubData.Replace(p.sentence()))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func githubProperties(p Problem) []string {
	var out []string
	add := func(name string, value any) { out = append(out, name+"="+githubProperty.Replace(fmt.Sprint(value))) }
	if p.File != "" {
		add("file", filepath.ToSlash(p.File))
	}
	if p.Line > 0 {
		add("line", p.Line)
	}
	if p.Line > 0 && p.Col > 0 {
		add("col", p.Col)
		add("endColumn", p.Col+max(p.Width, 1))
	}
	title := p.Code
	if e, ok := Explain(p.Code); ok {
		title += " " + e.Title
	}
	add("title", title)
	return out
}

// The runner ends a message at a line break and a property at a comma or a
// colon, and takes % for the start of an escape.
var (
	githubData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
