package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cibridge/bridge"
)

// outcomeLetters stand for the outcomes in records.
var outcomeLetters = map[bridge.Outcome]byte{
	bridge.Applied: 'a', bridge.Duplicate: 'd', bridge.Ignored: 'i', bridge.Unmapped: 'u', bridge.Rejected: 'r', bridge.Late: 'l',
}

func outcomeOf(letter byte) bridge.Outcome {
	for o, l := range outcomeLetters {
		if l == letter {
			return o
		}
	}
	return ""
}

// outcomeOrder lists the outcomes for reading.
var outcomeOrder = []bridge.Outcome{bridge.Applied, bridge.Duplicate, bridge.Ignored, bridge.Unmapped, bridge.Rejected, bridge.Late}

// appendHead and cut put a JSON head before bytes that need not be text.
func appendHead(b []byte, head any) ([]byte, error) {
	j, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	return append(binary.AppendUvarint(b, uint64(len(j))), j...), nil
}

func cut(data []byte, head any) (rest []byte, err error) {
	n, w := binary.Uvarint(data)
	if w <= 0 || n > uint64(len(data)-w) {
		return nil, errors.New("the record is cut short")
	}
	return data[w+int(n):], json.Unmarshal(data[w:w+int(n)], head)
}

// requestHead is what is stored of a request beside its body.
type requestHead struct {
	Source   string            `json:"s,omitempty"`
	Mapping  string            `json:"m,omitempty"`
	Received int64             `json:"t"`
	Method   string            `json:"me,omitempty"`
	Path     string            `json:"p,omitempty"`
	Query    map[string]string `json:"q,omitempty"`
	Header   map[string]string `json:"h,omitempty"`
	Remote   string            `json:"ra,omitempty"`
	Reason   string            `json:"re,omitempty"`
	Runs     []string          `json:"ru,omitempty"`
	Warnings []string          `json:"w,omitempty"`
}

// credentialHeaders are never stored, nor are signatures: with the body beside
// it a signature lets a weak secret be guessed.
var credentialHeaders = map[string]bool{
	"authorization": true, "proxy-authorization": true, "cookie": true, "set-cookie": true,
	"x-codenow-api-key": true, "x-api-key": true, "x-gitlab-token": true, "x-buildkite-token": true,
	"x-hub-signature": true, "x-hub-signature-256": true, "x-gitea-signature": true, "x-gogs-signature": true,
	"x-buildkite-signature": true, "circleci-signature": true, "webhook-signature": true,
}

func credential(header string) bool {
	h := strings.ToLower(header)
	return credentialHeaders[h] || strings.HasSuffix(h, "-token") || strings.HasSuffix(h, "-secret") ||
		strings.HasSuffix(h, "-signature") || strings.HasSuffix(h, "-api-key") || strings.HasSuffix(h, "-password")
}

// encodeRequest returns the record of a request, packed.
func (s *Store) encodeRequest(k keys, sub *Submission, runs []string, reason string) ([]byte, error) {
	r := sub.Request
	head := requestHead{
		Source: r.Source, Mapping: r.Mapping, Received: r.Received.UnixMilli(), Method: r.Method, Path: r.Path,
		Query: r.Query, Remote: r.Remote, Reason: reason, Runs: runs, Warnings: sub.Warnings,
	}
	for name, value := range r.Header {
		if !credential(name) {
			if head.Header == nil {
				head.Header = map[string]string{}
			}
			head.Header[name] = value
		}
	}
	plain := s.packer.borrow()
	defer s.packer.giveBack(plain)
	var err error
	if *plain, err = appendHead(*plain, head); err != nil {
		return nil, fmt.Errorf("write request %s: %w", r.ID, err)
	}
	*plain = append(*plain, r.Body...)
	return s.packer.pack(requests1, "", *plain, k.request(r.ID)), nil
}

// Entry is a request as it was recorded.
type Entry struct {
	Request  bridge.Request
	Outcome  bridge.Outcome
	Reason   string
	Runs     []string
	Warnings []string
	// DuplicateOf is the id of the request that this one repeats, "" when it
	// does not.
	DuplicateOf string
}

func (s *Store) decodeRequest(k keys, id, value string) (Entry, error) {
	mark, packed, _ := strings.Cut(value, "\n")
	if mark == "" {
		return Entry{}, fmt.Errorf("read request %s: the record has no outcome", id)
	}
	plain, err := s.packer.unpack([]byte(packed), k.request(id))
	if err != nil {
		return Entry{}, fmt.Errorf("read request %s: %w", id, err)
	}
	var h requestHead
	body, err := cut(plain, &h)
	if err != nil {
		return Entry{}, fmt.Errorf("read request %s: %w", id, err)
	}
	e := Entry{
		Request: bridge.Request{
			ID: id, Source: h.Source, Mapping: h.Mapping, Received: time.UnixMilli(h.Received).UTC(), Method: h.Method,
			Path: h.Path, Query: h.Query, Header: h.Header, Body: body, Remote: h.Remote,
		},
		Outcome: outcomeOf(mark[0]), Reason: h.Reason, Runs: h.Runs, Warnings: h.Warnings,
	}
	if e.Outcome == bridge.Duplicate && len(mark) > 1 {
		e.DuplicateOf = "evt_" + mark[1:]
		e.Reason = "the same request arrived before as " + e.DuplicateOf
	}
	return e, nil
}

// answer is what a dedupe id remembers: 8 bytes of the body's hash, the id of
// the first request, its outcome, its run. It is kept short, one is stored for
// every event.
type answer struct {
	request string
	outcome bridge.Outcome
	run     string // "" when the request had none
}

const (
	bodyHashSize = 8
	requestSize  = 26 // an evt_ id without its prefix
)

// bodyHash tells requests with one dedupe id apart.
func bodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return string(sum[:bodyHashSize])
}

func (a answer) encode(hash string) string {
	run := ""
	if a.run != "" {
		run = a.run[len("run_")+2:] // the partition is that of the key
	}
	return hash + fmt.Sprintf("%-*s", requestSize, strings.TrimPrefix(a.request, "evt_")) + string(outcomeLetters[a.outcome]) + run
}

func decodeAnswer(partition int, value string) (answer, error) {
	if len(value) < bodyHashSize+requestSize+1 {
		return answer{}, errors.New("the remembered answer is cut short")
	}
	rest := value[bodyHashSize:]
	a := answer{request: "evt_" + strings.TrimSpace(rest[:requestSize]), outcome: outcomeOf(rest[requestSize])}
	if run := rest[requestSize+1:]; run != "" {
		a.run = "run_" + bridge.RunID(partition, "", "")[len("run_"):][:2] + run
	}
	return a, nil
}

// seenHash names the dedupe key of an id of a source: 96 bits, since there is
// one for every event.
func seenHash(source, id string) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(len(source)) + ":" + source + id))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// runHead is what is stored of a run beside its state.
type runHead struct {
	Requests   []string `json:"e,omitempty"` // newest last, at most maxRunRequests
	Deliveries []string `json:"d,omitempty"` // newest last, at most maxRunDeliveries
}

const (
	maxRunRequests   = 200
	maxRunDeliveries = 500
)

// storedRun is a run with what the store keeps beside it.
type storedRun struct {
	*bridge.Run
	runHead
}

func (s *Store) encodeRun(k keys, r *storedRun) ([]byte, error) {
	plain := s.packer.borrow()
	defer s.packer.giveBack(plain)
	var err error
	if *plain, err = appendHead(*plain, r.runHead); err != nil {
		return nil, fmt.Errorf("write run %s: %w", r.ID, err)
	}
	if *plain, err = r.AppendState(*plain); err != nil {
		return nil, fmt.Errorf("write run %s: %w", r.ID, err)
	}
	return s.packer.pack(records1, strconv.FormatInt(r.Version, 10)+"\n", *plain, k.run(r.ID)), nil
}

func (s *Store) decodeRun(partition int, id, value string) (*storedRun, error) {
	head, packed, _ := strings.Cut(value, "\n")
	version, _, _ := strings.Cut(head, " ")
	v, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read run %s: the record has no version", id)
	}
	plain, err := s.packer.unpack([]byte(packed), s.keyspace.in(partition).run(id))
	if err != nil {
		return nil, fmt.Errorf("read run %s: %w", id, err)
	}
	r := &storedRun{}
	state, err := cut(plain, &r.runHead)
	if err != nil {
		return nil, fmt.Errorf("read run %s: %w", id, err)
	}
	if r.Run, err = bridge.UnmarshalRun(partition, v, state); err != nil {
		return nil, fmt.Errorf("read run %s: %w", id, err)
	}
	return r, nil
}

// last returns the newest n elements.
func last(list []string, n int) []string {
	return list[len(list)-min(len(list), n):]
}
