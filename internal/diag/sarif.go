package diag

import (
	"encoding/json"
	"io"
	"net/url"
	"path"
	"strings"
)

// Tool is the program that a SARIF log names as its author.
type Tool struct {
	Name    string
	Version string // "" leaves it out
}

// WriteSARIF writes ps as a SARIF 2.1.0 log with one run. Files keep the names
// they have: relative ones stay relative, as code scanning wants them. Columns
// are counted in characters.
func WriteSARIF(w io.Writer, ps Problems, tool Tool) error {
	run := sarifRun{
		Tool:       sarifTool{Driver: sarifDriver{Name: tool.Name, Version: tool.Version, Rules: []sarifRule{}}},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
	}
	rules := map[string]int{}
	for _, p := range ps {
		index, known := rules[p.Code]
		if !known {
			index = len(run.Tool.Driver.Rules)
			rules[p.Code] = index
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, ruleOf(p))
		}
		run.Results = append(run.Results, resultOf(p, index))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

// The parts of a SARIF log that are written, with the names of the standard.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string           `json:"id"`
		Short   *sarifText       `json:"shortDescription,omitempty"`
		Full    *sarifText       `json:"fullDescription,omitempty"`
		Help    *sarifText       `json:"help,omitempty"`
		Default *sarifRuleConfig `json:"defaultConfiguration,omitempty"`
	}
	sarifRuleConfig struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
		EndColumn   int `json:"endColumn,omitempty"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
)

func ruleOf(p Problem) sarifRule {
	rule := sarifRule{ID: p.Code, Default: &sarifRuleConfig{Level: levelOf(p)}}
	if e, ok := Explain(p.Code); ok {
		first, _, _ := strings.Cut(e.Text, "\n\n")
		rule.Short, rule.Full, rule.Help = &sarifText{e.Title}, &sarifText{first}, &sarifText{e.Text}
	}
	return rule
}

func resultOf(p Problem, rule int) sarifResult {
	out := sarifResult{RuleID: p.Code, RuleIndex: rule, Level: levelOf(p), Message: sarifText{p.sentence()}}
	if p.File == "" {
		return out
	}
	at := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{fileURI(p.File)}}}
	if p.Line > 0 {
		at.Physical.Region = &sarifRegion{StartLine: p.Line}
	}
	if p.Line > 0 && p.Col > 0 {
		at.Physical.Region.StartColumn, at.Physical.Region.EndColumn = p.Col, p.Col+max(p.Width, 1)
	}
	if p.Path != "" {
		at.Logical = []sarifLogical{{p.Path}}
	}
	out.Locations = []sarifLocation{at}
	return out
}

func levelOf(p Problem) string {
	if p.Warning() {
		return string(SeverityWarning)
	}
	return string(SeverityError)
}

// fileURI returns a file name as a URI reference.
func fileURI(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	u := url.URL{Path: path.Clean(name)}
	if path.IsAbs(name) {
		u.Scheme = "file"
	}
	return u.String()
}

// sentence is the message with what to do about it, for formats without a
// place of its own for the help.
func (p Problem) sentence() string {
	if help := p.help(); help != "" {
		return visible(p.Message) + "\nhelp: " + visible(help)
	}
	return visible(p.Message)
}
