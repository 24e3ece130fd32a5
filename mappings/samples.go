package mappings

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sample is a request as the tool would send it, but for its credentials.
type Sample struct {
	Name string // "01-start"
	// Path is the route of the request; "" stands for /in/<source>.
	Path   string
	Header map[string]string
	Body   []byte
}

// index is samples/index.json: mapping -> its samples.
type index map[string]struct {
	Path    string `json:"path"`
	Run     string `json:"run"`
	Samples []struct {
		File   string            `json:"file"`
		Header map[string]string `json:"headers"`
	} `json:"samples"`
}

// Sampled lists the mappings that have samples, sorted.
func Sampled() []string {
	idx, err := readIndex()
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(idx))
	for name := range idx {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Samples returns the requests of one run, in the order in which the tool
// sends them.
//
// run replaces the native id of the run in every body and header, so that the
// same samples make another run: samples sent twice with one run are
// duplicates. It has to look like the one it replaces, which is what "" keeps:
// digits only where that has digits only.
func Samples(mapping, run string) ([]Sample, error) {
	idx, err := readIndex()
	if err != nil {
		return nil, err
	}
	set, ok := idx[mapping]
	if !ok {
		return nil, fmt.Errorf("there is no sample for %q; there are samples for %s", mapping, strings.Join(Sampled(), ", "))
	}
	if run == "" {
		run = set.Run
	}
	if digits(set.Run) && !digits(run) {
		return nil, fmt.Errorf("a run of %s is numbered: %q needs to be digits, like %s", mapping, run, set.Run)
	}
	own := strings.NewReplacer(set.Run, run)
	var out []Sample
	for _, s := range set.Samples {
		body, err := files.ReadFile(path.Join("samples", mapping, s.File))
		if err != nil {
			return nil, fmt.Errorf("read sample: %w", err)
		}
		header := make(map[string]string, len(s.Header))
		for k, v := range s.Header {
			header[k] = own.Replace(v)
		}
		out = append(out, Sample{
			Name: strings.TrimSuffix(s.File, path.Ext(s.File)), Path: set.Path,
			Header: header, Body: []byte(own.Replace(string(body))),
		})
	}
	return out, nil
}

func readIndex() (index, error) {
	data, err := files.ReadFile("samples/index.json")
	if err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	var idx index
	if err := json.Unmarshal(data, &idx); err != nil {
		return nil, fmt.Errorf("read samples/index.json: %w", err)
	}
	return idx, nil
}

func digits(s string) bool {
	return s != "" && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}

// sampleStart is when the runs of the samples start, as they are written.
var sampleStart = time.Date(2026, 2, 11, 9, 14, 2, 0, time.UTC)

// sampleTimes finds the times in a sample: as text, whatever zone follows, or
// as epoch ms.
var sampleTimes = regexp.MustCompile(`2026-02-11[T ]\d\d:\d\d:\d\d|\b17708\d{8}\b`)

// SampleSpan is how long the longest run of the samples takes.
const SampleSpan = 13 * time.Minute

// At returns the samples with all their times moved, so that the run starts at
// start, in whole seconds. A run that is sent again later is then a later run,
// which matters to whoever has to tell two runs of one commit apart.
func At(samples []Sample, start time.Time) []Sample {
	moved := start.Sub(sampleStart).Truncate(time.Second)
	out := slices.Clone(samples)
	for i, s := range out {
		out[i].Body = sampleTimes.ReplaceAllFunc(s.Body, func(b []byte) []byte { return moveTime(b, moved) })
	}
	return out
}

// moveTime moves one time and keeps its form.
func moveTime(text []byte, by time.Duration) []byte {
	if ms, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return strconv.AppendInt(nil, ms+by.Milliseconds(), 10)
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			return t.Add(by).AppendFormat(nil, layout)
		}
	}
	return text
}
