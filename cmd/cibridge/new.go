package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"cibridge/internal/mapping"
)

func newNew() *cobra.Command {
	var name string
	var from, headers []string
	cmd := &cobra.Command{
		Use: "new --from FILE...", Short: "write a first mapping from payloads",
		Example: "  cibridge new --from build.json --name acme > acme.yaml\n  cibridge new --from started.json --from finished.json -H 'X-Acme-Event: build' > acme.yaml",
		Long: `new looks at requests of a tool that cibridge does not know and prints a first mapping for them, with a test
for each payload. It loads and its tests pass. What is only guessed, by names and looks, is marked with
"# guess:"; delete the comments that are right.

Several payloads make an event each; those that nothing tells apart make one event with several tests.
Values of members that look like secrets are left out, and so are headers that prove who sends: they only
say how the mapping authenticates.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if from = append(from, args...); len(from) == 0 {
				return errors.New("say where the payload is: --from payload.json, or --from - for standard input")
			}
			header, err := parseHeaders(headers)
			if err != nil {
				return err
			}
			if name == "" {
				name = nameOf(from[0])
			}
			payloads, err := readPayloads(cmd.InOrStdin(), from, header)
			if err != nil {
				return err
			}
			text, err := mapping.Draft(name, payloads)
			if err != nil {
				return failed(exitFindings, err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().StringArrayVar(&from, "from", nil, "a `FILE` with the JSON of one request, - for standard input; may be repeated")
	cmd.Flags().StringVar(&name, "name", "", "of the mapping; default that of the first file")
	cmd.Flags().StringArrayVarP(&headers, "header", "H", nil, "a `HEADER` of the requests, as in curl: 'X-Event: build'; may be repeated")
	return cmd
}

// parseHeaders reads headers as curl takes them.
func parseHeaders(lines []string) (map[string]string, error) {
	out := map[string]string{}
	for _, l := range lines {
		name, value, ok := strings.Cut(l, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("-H %q: want 'Name: value'", l)
		}
		out[name] = strings.TrimSpace(value)
	}
	return out, nil
}

func readPayloads(stdin io.Reader, from []string, header map[string]string) ([]mapping.Payload, error) {
	var out []mapping.Payload
	for _, file := range from {
		p := mapping.Payload{Name: strings.TrimSuffix(filepath.Base(file), ".json"), File: filepath.ToSlash(file), Header: header}
		var err error
		if file == "-" {
			p.Name, p.File = "payload", ""
			p.Body, err = io.ReadAll(stdin)
		} else {
			p.Body, err = os.ReadFile(file)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// nameOf makes the name of a mapping from that of a file: Build 7.json is
// build-7.
func nameOf(file string) string {
	base, _, _ := strings.Cut(filepath.Base(file), ".")
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(base), "-"), "-")
	if name == "" {
		return "tool"
	}
	return name
}
