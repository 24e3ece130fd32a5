package config

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"time"

	"cibridge/bridge"
)

// Schema returns the JSON Schema of the configuration file, for editors. It
// follows from the types of [Config]; whether a value makes sense is for the
// server to say.
func Schema() []byte {
	out := objectSchema(reflect.ValueOf(Default()).Elem(), "")
	out["$schema"] = "http://json-schema.org/draft-07/schema#"
	out["title"], out["description"] = "Configuration of cibridge", "The settings of the server; the environment overrides them."
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		panic(err) // it is made of maps, lists and texts
	}
	return b.Bytes()
}

// objectSchema is the schema of a struct whose path ends with a dot, or is "".
func objectSchema(v reflect.Value, path string) map[string]any {
	properties := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := name(f)
		if key == "" {
			continue
		}
		is := valueSchema(v.Field(i), path+key)
		is["description"] = describe(f, path+key)
		properties[key] = is
	}
	return map[string]any{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
}

func describe(f reflect.StructField, path string) string {
	text := settings[path].doc
	if env := f.Tag.Get("env"); env != "" && env != "-" {
		text += "; " + env + " overrides it"
	}
	return text
}

func valueSchema(v reflect.Value, path string) map[string]any {
	if words := settings[path].words; words != nil {
		return map[string]any{"enum": append([]any{nil}, words...), "default": v.Interface()}
	}
	if form, ok := scalarForms[v.Type()]; ok {
		out := map[string]any{"type": append([]string{"null"}, form...)}
		if form, shown := shownAs[v.Type()]; shown {
			out["default"] = form(v.Interface())
		} else if v.Type() != reflect.TypeFor[bridge.Secret]() && v.Type() != reflect.TypeFor[netip.Prefix]() {
			out["default"] = v.Interface()
		}
		return out
	}
	switch v.Kind() {
	case reflect.Struct:
		return objectSchema(v, path+".")
	case reflect.Slice:
		item := valueSchema(reflect.New(v.Type().Elem()).Elem(), path+"[]")
		delete(item, "default")
		return map[string]any{"type": []string{"array", "null"}, "items": item}
	}
	return map[string]any{"type": []string{"object", "null"}} // vars: whatever the mapping asks for
}

// scalarForms are the JSON types that the text of a setting may look like.
var scalarForms = map[reflect.Type][]string{
	reflect.TypeFor[string]():        {"string", "number", "boolean"},
	reflect.TypeFor[bool]():          {"boolean"},
	reflect.TypeFor[int]():           {"integer"},
	reflect.TypeFor[time.Duration](): {"string"},
	reflect.TypeFor[Size]():          {"string", "integer"},
	reflect.TypeFor[Rate]():          {"string"},
	reflect.TypeFor[netip.Prefix]():  {"string"},
	reflect.TypeFor[bridge.Secret](): {"string", "number"},
}

var shownAs = map[reflect.Type]func(any) string{
	reflect.TypeFor[time.Duration](): func(v any) string { return showDuration(v.(time.Duration)) },
	reflect.TypeFor[Size]():          func(v any) string { return v.(Size).String() },
}

// settings are what people read about each setting, and the words that it can
// be where there are few. [] stands for the items of a list.
var settings = map[string]struct {
	doc   string
	words []any
}{
	"public_url":      {doc: "the address of the server from outside, https://ci.example.com: what sources are told to post to"},
	"listen":          {doc: "where CI tools post to: host:port; :8080 is every address of this machine"},
	"admin_token":     {doc: "opens the operators' routes; serve requires it; openssl rand -hex 32 makes one"},
	"read_token":      {doc: "opens the operators' routes to look and not to change anything"},
	"tokens":          {doc: "further tokens, for each person or script its own"},
	"tokens[].name":   {doc: "what the audit log shows"},
	"tokens[].token":  {doc: "at least 16 bytes; ${NAME} and ${file:/path} are references"},
	"tokens[].scope":  {doc: "admin, or read: it may look and not change anything"},
	"admin_listen":    {doc: "where operators are served when that is not listen: host:port"},
	"trusted_proxies": {doc: "proxies before this server that are believed in what X-Forwarded-For says"},
	"encryption_keys": {doc: "seals the secrets that are kept in Redis: id:base64,…; serve requires it"},
	"data_dir":        {doc: "of dev: its Redis and its encryption key"},
	"egress_allow":    {doc: "networks that hooks may reach although they are not public, by http and on any port, too"},

	"redis":                 {doc: "where runs are kept"},
	"redis.url":             {doc: "redis://, rediss://, unix://, sentinel:// or cluster://; serve requires it"},
	"redis.prefix":          {doc: "stands before every key, for a Redis that is shared"},
	"redis.durability":      {doc: "strict survives kill -9 and loss of power; replicated does so on a replica, too; relaxed may lose the last second", words: []any{"strict", "replicated", "relaxed"}},
	"redis.partitions":      {doc: "fixed at the first start; 0 takes what is there, 16 at first"},
	"redis.max_connections": {doc: "to one server"},

	"limits":                {doc: "what a request may cost"},
	"limits.body":           {doc: "of a request"},
	"limits.headers":        {doc: "of a request"},
	"limits.in_flight":      {doc: "bodies of all requests together; more are answered 503"},
	"limits.commit_timeout": {doc: "until a request is answered 503 because Redis is away"},
	"limits.read_timeout":   {doc: "of a whole request"},
	"limits.idle_timeout":   {doc: "of a kept connection"},
	"limits.drain_delay":    {doc: "between not ready and the end of listening, for load balancers"},
	"limits.per_key":        {doc: "of an API key, or of a source without keys: 50/s, 600/m, 100/s burst 200; none by default"},
	"limits.per_address":    {doc: "of an address, also when it fails to authenticate; an IPv6 /64 is one; none by default"},

	"dispatch":                     {doc: "how deliveries are sent"},
	"dispatch.workers":             {doc: "requests at a time"},
	"dispatch.per_bucket":          {doc: "of these to one origin with one credential"},
	"dispatch.timeout":             {doc: "of a request, its answer included"},
	"dispatch.lease_margin":        {doc: "a lease lasts for the timeout and this"},
	"dispatch.quarantine":          {doc: "a status rests after a request without an answer"},
	"dispatch.confirm":             {doc: "until the re-send that makes sure, after such a request"},
	"dispatch.drain":               {doc: "for requests in flight at the end"},
	"dispatch.backoff":             {doc: "before each retry, ±20%; after the last one a delivery is a dead letter"},
	"dispatch.breaker":             {doc: "when a target that fails is left alone"},
	"dispatch.breaker.failures":    {doc: "in a row"},
	"dispatch.breaker.alert":       {doc: "open for so long, a target is worth a warning"},
	"dispatch.limits":              {doc: "how many requests each credential may send to an origin; those of GitHub, GitLab and Bitbucket are known"},
	"dispatch.limits[].origin":     {doc: "scheme and host: https://api.github.com"},
	"dispatch.limits[].requests":   {doc: "so many in the time per"},
	"dispatch.limits[].per":        {doc: "the time for requests: 1m"},
	"dispatch.limits[].burst":      {doc: "so many at once"},
	"dispatch.limits[].concurrent": {doc: "so many requests at a time"},
	"dispatch.breaker.open":        {doc: "how long; it doubles with each further failure"},
	"dispatch.breaker.longest":     {doc: "at most this long"},

	"retention":          {doc: "how long things are kept"},
	"retention.requests": {doc: "what arrived, with its raw body"},
	"retention.runs":     {doc: "after the last event"},
	"retention.attempts": {doc: "the log of what was sent"},
	"retention.dead":     {doc: "deliveries that were given up"},
	"retention.dedupe":   {doc: "how long a resent request is recognised"},
	"retention.parked":   {doc: "how long a hook waits for a value that its run does not have yet"},

	"mappings":         {doc: "where formats are described"},
	"mappings.dirs":    {doc: "read in addition to those that ship"},
	"mappings.watch":   {doc: "read the folders again when a file in them changes"},
	"mappings.builtin": {doc: "those that ship"},
	"hooks":            {doc: "where hook files are"},
	"hooks.dirs":       {doc: "folders of hook files"},
	"hooks.watch":      {doc: "read the folders again when a file in them changes"},
	"log":              {doc: "what the log looks like"},
	"log.format":       {doc: "auto is text on a terminal, else json", words: []any{"auto", "text", "json"}},
	"log.level":        {doc: "from which level on", words: []any{"debug", "info", "warn", "error"}},

	"sources":               {doc: "senders, besides those that ship and those that the API creates"},
	"sources[].id":          {doc: "part of its address: /in/<id>"},
	"sources[].mapping":     {doc: "the name of its format"},
	"sources[].auth":        {doc: "one of the mapping's kinds; its first by default"},
	"sources[].secrets":     {doc: "any of them authenticates: rotate with two; ${NAME} and ${file:/path} are references"},
	"sources[].vars":        {doc: "source.vars in the mapping"},
	"sources[].stale_after": {doc: "after how long without an event a run that is not over is closed as errored, like 24h; never by default"},

	"applications":                                {doc: "where code lives, and the token to report to it"},
	"applications[].name":                         {doc: "unique"},
	"applications[].repositories":                 {doc: "all lists that are given must match a run; * stands for any text"},
	"applications[].pipelines":                    {doc: "names of pipelines"},
	"applications[].sources":                      {doc: "ids of sources"},
	"applications[].components":                   {doc: "names of components"},
	"applications[].source_provider":              {doc: "where its statuses go"},
	"applications[].source_provider.name":         {doc: "a profile: github, gitlab, gitea, …"},
	"applications[].source_provider.base_url":     {doc: "of its API"},
	"applications[].source_provider.access_token": {doc: "a reference: ${NAME} or ${file:/path}"},
}
