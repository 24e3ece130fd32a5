package main

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// The part of JUnit's XML that GitLab, Jenkins and GitHub's report actions
// read: a suite for each mapping, a case for each test.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Time     string       `xml:"time,attr"` // seconds
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		Classname string        `xml:"classname,attr"`
		File      string        `xml:"file,attr"`
		Line      int           `xml:"line,attr"`
		Time      string        `xml:"time,attr"`
		Failure   *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"` // the first one
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"` // all of them
	}
)

func junitReport(all []tested) ([]byte, error) {
	var out junitSuites
	var took time.Duration
	for _, t := range all {
		s := junitSuite{Name: t.mapping.Name, Tests: len(t.results), Time: junitTime(t.took)}
		for _, r := range t.results {
			c := junitCase{Name: r.Name, Classname: r.Mapping, File: r.File, Line: r.Line, Time: junitTime(r.Took)}
			if !r.Passed() {
				s.Failures++
				c.Failure = &junitFailure{Message: r.Failures[0], Type: "failure", Text: strings.Join(r.Failures, "\n")}
			}
			s.Cases = append(s.Cases, c)
		}
		out.Suites = append(out.Suites, s)
		out.Tests += s.Tests
		out.Failures += s.Failures
		took += t.took
	}
	out.Time = junitTime(took)
	text, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the JUnit report: %w", err)
	}
	return []byte(xml.Header + string(text) + "\n"), nil
}

func junitTime(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
