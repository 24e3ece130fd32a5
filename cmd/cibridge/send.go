package main

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cibridge/internal/mapping"
	"cibridge/mappings"
)

// sendFlags are what both kinds of sending share.
type sendFlags struct {
	client clientFlags
	source string
	secret string
	header []string
}

func newSend() *cobra.Command {
	f := &sendFlags{}
	cmd := &cobra.Command{Use: "send", Short: "post an event as a CI tool would: sample, file", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	f.client.register(cmd)
	p := cmd.PersistentFlags()
	p.StringVar(&f.source, "source", "", "source to send as (default: the one named like the mapping)")
	p.StringVar(&f.secret, "secret", "", "API key or secret of the source (CIBRIDGE_SEND_SECRET; else that of the dev server started in this directory)")
	p.StringSliceVarP(&f.header, "header", "H", nil, "another header, \"Name: value\" (repeatable)")
	cmd.AddCommand(sendSample(f), sendFile(f))
	return cmd
}

func sendSample(f *sendFlags) *cobra.Command {
	var run, only string
	cmd := &cobra.Command{
		Use: "sample MAPPING", Short: "post the events of one made-up run, in order", Args: cobra.ExactArgs(1), ValidArgs: mappings.Sampled(),
		Example: "  cibridge send sample codenow\n  cibridge send sample github-actions --source gh --secret \"$SECRET\" --only 01-requested",
		RunE: func(cmd *cobra.Command, args []string) error {
			if run == "" {
				run = fmt.Sprint(time.Now().UnixMilli())
			}
			samples, err := mappings.Samples(args[0], run)
			if err != nil {
				return err
			}
			sent := 0
			// As if the run had just ended: a later run of a commit is the newer.
			for _, s := range mappings.At(samples, time.Now().Add(-mappings.SampleSpan)) {
				if only != "" && s.Name != only {
					continue
				}
				sent++
				if err := f.post(cmd, args[0], s); err != nil {
					return err
				}
			}
			if sent == 0 {
				return fmt.Errorf("--only %q: there is no such sample; there are %s", only, sampleNames(samples))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "native id of the run (default: a new one)")
	cmd.Flags().StringVar(&only, "only", "", "post only the sample of this name")
	return cmd
}

func sampleNames(samples []mappings.Sample) string {
	var names []string
	for _, s := range samples {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

func sendFile(f *sendFlags) *cobra.Command {
	var name, route string
	cmd := &cobra.Command{
		Use: "file FILE", Short: "post the contents of a file (- is standard input)", Args: cobra.ExactArgs(1),
		Example: "  cibridge send file payload.json --mapping codenow\n  cibridge send file push.json --mapping github-actions --source gh -H 'X-GitHub-Event: ping'",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := readInput(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			return f.post(cmd, name, mappings.Sample{Name: filepath.Base(args[0]), Path: route, Header: map[string]string{"Content-Type": "application/json"}, Body: body})
		},
	}
	cmd.Flags().StringVar(&name, "mapping", "", "mapping that takes the event")
	cmd.Flags().StringVar(&route, "route", "", "route to post to (default: the mapping's first, else /in/<source>)")
	markRequired(cmd, "mapping")
	return cmd
}

// post sends one request with the authentication that its mapping wants and
// prints the answer.
func (f *sendFlags) post(cmd *cobra.Command, name string, s mappings.Sample) error {
	m, err := shipped(name)
	if err != nil {
		return err
	}
	source := cmp.Or(f.source, name)
	c := f.client.client()
	secret := cmp.Or(f.secret, os.Getenv("CIBRIDGE_SEND_SECRET"), devCredentialsFor(c.server).Keys[source])
	path := s.Path
	if path == "" && len(m.Routes()) > 0 {
		path = m.Routes()[0].Path
	}
	if path == "" {
		path = "/in/" + url.PathEscape(source)
	}
	req, err := http.NewRequestWithContext(cmd.Context(), http.MethodPost, c.server+path, bytes.NewReader(s.Body))
	if err != nil {
		return err
	}
	for k, v := range s.Header {
		req.Header.Set(k, v)
	}
	for _, h := range f.header {
		k, v, ok := strings.Cut(h, ":")
		if !ok {
			return fmt.Errorf("-H %q: want \"Name: value\"", h)
		}
		req.Header.Set(strings.TrimSpace(k), strings.TrimSpace(v))
	}
	if err := authenticate(req, m.Auth()[0], secret, s.Body); err != nil {
		return err
	}
	return f.print(cmd, c, req, s.Name)
}

// print shows the answer on one line; a refusal is an exit code.
func (f *sendFlags) print(cmd *cobra.Command, c *client, req *http.Request, name string) error {
	answer, status, err := answerOf(c, req)
	if err != nil {
		return failed(exitServer, fmt.Errorf("no answer from %s: %w; start one with \"cibridge dev\", or name it with --server", c.server, errors.Unwrap(err)))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%-18s %d %s\n", name, status, strings.TrimSpace(answer))
	if status >= 300 {
		return failed(exitServer, fmt.Errorf("%s was refused", name))
	}
	return nil
}

func answerOf(c *client, req *http.Request) (string, int, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return string(answer), res.StatusCode, err
}

// authenticate adds what the mapping's authentication wants.
func authenticate(req *http.Request, auth mapping.AuthSpec, secret string, body []byte) error {
	add, ok := authenticators[auth.Kind]
	if !ok {
		return fmt.Errorf("send cannot sign %q requests", auth.Kind)
	}
	if secret == "" && auth.Kind != "none" {
		return errors.New("give the API key or secret of the source with --secret or CIBRIDGE_SEND_SECRET")
	}
	add(req, auth, secret, body)
	return nil
}

var authenticators = map[string]func(req *http.Request, auth mapping.AuthSpec, secret string, body []byte){
	"none": func(*http.Request, mapping.AuthSpec, string, []byte) {},
	"key": func(req *http.Request, _ mapping.AuthSpec, secret string, _ []byte) {
		req.Header.Set("Authorization", "Bearer "+secret)
	},
	"token": func(req *http.Request, auth mapping.AuthSpec, secret string, _ []byte) {
		if auth.Header != "" {
			req.Header.Set(auth.Header, secret)
			return
		}
		q := req.URL.Query()
		q.Set(auth.Query, secret)
		req.URL.RawQuery = q.Encode()
	},
	"basic": func(req *http.Request, _ mapping.AuthSpec, secret string, _ []byte) {
		user, password, _ := strings.Cut(secret, ":")
		req.SetBasicAuth(user, password)
	},
	"hmac": func(req *http.Request, auth mapping.AuthSpec, secret string, body []byte) {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		req.Header.Set(auth.Header, auth.Prefix+hex.EncodeToString(mac.Sum(nil)))
	},
}

// shipped returns a mapping that ships with the program.
func shipped(name string) (*mapping.Mapping, error) {
	set, problems := mapping.Load(shippedFiles())
	if errs := problems.Errors(); len(errs) > 0 {
		return nil, errs
	}
	if m := set.Get(name); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("there is no mapping %q; there are %s", name, strings.Join(set.Names(), ", "))
}

// shippedFiles are the mappings in the program, without their tests.
func shippedFiles() []mapping.File {
	var files []mapping.File
	for _, f := range mappings.Files() {
		if !strings.HasSuffix(f.Name, "_test.yaml") {
			files = append(files, mapping.File{Name: f.Name, Data: f.Data, ReadOnly: true})
		}
	}
	return files
}
