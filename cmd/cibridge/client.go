package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// defaultServer is where dev and serve listen unless told otherwise.
const defaultServer = "http://127.0.0.1:8080"

// client calls the API of a running server.
type client struct {
	server string
	token  string
	http   *http.Client
}

// clientFlags are the flags of every verb that talks to a server.
type clientFlags struct {
	server, token string
	json          bool
}

func (f *clientFlags) register(cmd *cobra.Command) {
	p := cmd.PersistentFlags()
	p.StringVar(&f.server, "server", "", "URL of the server (CIBRIDGE_SERVER; else the dev server started in this directory, else "+defaultServer+")")
	p.StringVar(&f.token, "token", "", "admin token (CIBRIDGE_TOKEN; else that of the dev server started in this directory)")
	p.BoolVar(&f.json, "json", false, "print JSON, as the API answers it")
}

// client finds the server: flags, then environment, then what dev left in the
// data directory here. A file in the working directory may be anybody's, so
// it never decides where a token goes that was given another way, and dev's
// token goes to dev's server only.
func (f *clientFlags) client() *client {
	server := strings.TrimSuffix(cmp.Or(f.server, os.Getenv("CIBRIDGE_SERVER")), "/")
	token := cmp.Or(f.token, os.Getenv("CIBRIDGE_TOKEN"))
	dev := devCredentialsFor(server)
	if token == "" {
		server, token = cmp.Or(server, dev.Server), dev.Token
	}
	return &client{server: cmp.Or(server, defaultServer), token: token, http: &http.Client{Timeout: 30 * time.Second}}
}

// devCredentialsFor returns what dev left here for a server; "" is dev's own.
// They are empty when they belong to another one.
func devCredentialsFor(server string) credentials {
	dev := readCredentials(filepath.Join(defaultDataDir, credentialsFile))
	if !onLoopback(dev.Server) || server != "" && server != dev.Server {
		return credentials{}
	}
	return dev
}

// onLoopback reports whether a URL leads to this machine: dev's always does.
func onLoopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback()
}

// credentials are what dev leaves for the other commands in its data
// directory, readable by the owner only.
type credentials struct {
	Server string            `json:"server"`
	Token  string            `json:"token"`
	Keys   map[string]string `json:"keys"` // source -> API key or secret
}

const credentialsFile = "dev.json"

// readCredentials returns empty credentials when no dev server left any here.
func readCredentials(file string) credentials {
	var c credentials
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &c) // a broken file is as good as none: the server then refuses with the reason
	}
	return c
}

// call sends in as JSON (nil: no body) and reads the answer into out (nil:
// ignored). A server that is away or refuses is an exit code of its own.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.server+path, body)
	if err != nil {
		return fmt.Errorf("--server %q: %w", c.server, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return failed(exitServer, fmt.Errorf("no answer from %s: %w; start one with \"cibridge dev\", or name it with --server", c.server, errors.Unwrap(err)))
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return failed(exitServer, fmt.Errorf("read the answer of %s: %w", c.server, err))
	}
	if res.StatusCode >= 300 {
		return failed(exitServer, refusal(c, res, data))
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return failed(exitServer, fmt.Errorf("%s does not answer like a cibridge server: %w", c.server, err))
	}
	return nil
}

// refusal turns an error answer (problem+json, or the shape of Devopness) into
// one readable error.
func refusal(c *client, res *http.Response, data []byte) error {
	var p struct {
		Title, Detail, Message string
		Errors                 map[string][]string
	}
	_ = json.Unmarshal(data, &p) // whatever is not JSON is shown by its status
	text := cmp.Or(p.Detail, p.Title, p.Message, res.Status)
	for field, messages := range p.Errors {
		text += fmt.Sprintf("\n  %s: %s", field, strings.Join(messages, "; "))
	}
	if res.StatusCode == http.StatusUnauthorized && c.token == "" {
		text += "; give the admin token with --token or CIBRIDGE_TOKEN"
	}
	return fmt.Errorf("%s answered %d: %s", c.server, res.StatusCode, text)
}

// list is the shape of every list of the API.
type list[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}
