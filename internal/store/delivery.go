package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cibridge/bridge"
)

// planned is a delivery with the hash of its request.
type planned struct {
	delivery bridge.Delivery
	hash     string
}

// requestHash tells requests apart: two deliveries with one hash show the same
// at the target.
func requestHash(d bridge.Delivery) string {
	h := sha256.New()
	for _, part := range []string{d.Method, d.URL, d.Body} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// entry is the member of a delivery in its lane. Among entries of one since it
// orders by run and by the version of the run that fired: the later state of a
// run comes after the earlier one, also when the earlier one was parked and
// planned last. It stays under 64 bytes, so that Redis keeps lanes compact.
func entry(d bridge.Delivery) string {
	ordering := "e"
	if d.Ordering == bridge.Latest {
		ordering = "l"
	}
	return fmt.Sprintf("%s:%07d:%s:%s%d", bare(d.Run), d.Firing.Version, bare(d.ID), ordering, (d.TimeoutMS+999)/1000)
}

// bare returns a run_ or dlv_ id without what all ids of the partition share.
func bare(id string) string {
	const shared = len("run_") + 2
	if len(id) <= shared {
		return id
	}
	return id[shared:]
}

// deliveryOf returns the delivery id in a member of a lane.
func deliveryOf(partition int, member string) string {
	parts := strings.Split(member, ":")
	if len(parts) < 2 {
		return ""
	}
	shared := bridge.DeliveryID(bridge.RunID(partition, "", ""), "", bridge.Firing{})[:len("dlv_")+2]
	return shared + parts[len(parts)-2]
}

// forced turns a member into one that nothing supersedes.
func forced(member string) string {
	at := strings.LastIndexByte(member, ':')
	return member[:at+1] + "e" + member[at+2:]
}

// A delivery's record is a header line that scripts read and write, and behind
// it the sealed delivery and its sealed attempts, each with its length before
// it. Attempts have no keys of their own: a key takes more than most of them.

// maxDeliveryRecord is the size above which attempts are only counted.
const maxDeliveryRecord = 1 << 20

// segment packs a part of a delivery's record.
func (s *Store) segment(head string, v any, key string) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	packed := s.packer.pack(records1, "", plain, key)
	return append([]byte(head+strconv.Itoa(len(packed))+":"), packed...), nil
}

// nextSegment splits the first segment off.
func nextSegment(rest string) (packed, more string, err error) {
	length, rest, ok := strings.Cut(rest, ":")
	n, err := strconv.Atoi(length)
	if !ok || err != nil || n < 0 || n > len(rest) {
		return "", "", errors.New("the record is cut short")
	}
	return rest[:n], rest[n:], nil
}

// encodeDelivery returns what commitScript stores behind the header's state
// and times: its end and the sealed delivery.
func (s *Store) encodeDelivery(k keys, d bridge.Delivery) ([]byte, error) {
	key := k.delivery(d.ID)
	d.ID = "" // the key has it
	out, err := s.segment("|\n", d, key)
	if err != nil {
		return nil, fmt.Errorf("write delivery of %s: %w", d.Run, err)
	}
	return out, nil
}

// encodeAttempt returns the id and the segment of an attempt, "" when there was
// none. What is the same as in the delivery is not stored twice.
func (s *Store) encodeAttempt(k keys, d bridge.Delivery, a *bridge.Attempt) (string, []byte, error) {
	if a.ID == "" && a.At == 0 {
		return "", nil, nil
	}
	if of, ok := deliveryOfAttempt(a.ID); !ok || of != d.ID {
		a.ID = "att_" + strings.TrimPrefix(d.ID, "dlv_") + "_" + strings.ToLower(rand.Text()[:10])
	}
	stored := *a
	stored.Delivery, stored.Hook, stored.RetryOf = "", "", ""
	if stored.Method == d.Method && stored.URL == d.URL {
		stored.Method, stored.URL = "", ""
	}
	if stored.RequestBody == d.Body {
		stored.RequestBody = ""
	}
	out, err := s.segment("", stored, k.delivery(d.ID))
	if err != nil {
		return "", nil, fmt.Errorf("write attempt %s: %w", a.ID, err)
	}
	return a.ID, out, nil
}

// deliveryOfAttempt reads the delivery out of an attempt's id,
// "att_<delivery>_<random>".
func deliveryOfAttempt(id string) (string, bool) {
	rest, ok := strings.CutPrefix(id, "att_")
	of, _, found := strings.Cut(rest, "_")
	_, valid := bridge.PartitionOf("dlv_" + of)
	return "dlv_" + of, ok && found && valid
}

// Status is a delivery with where it stands.
type Status struct {
	Delivery bridge.Delivery
	State    bridge.DeliveryState
	Tries    int   // requests that were sent
	Updated  int64 // when State last changed or a try ended, epoch ms
	// Next is when the next try is due, epoch ms; 0 when none is.
	Next     int64
	Attempts []string // ids, oldest first
	Reason   string   // for State, for people
	Waits    *Wait    // what it waits for; nil when for nothing

	tries []bridge.Attempt // those of Attempts
}

var deliveryStates = map[string]bridge.DeliveryState{
	"P": bridge.DeliveryPending, "D": bridge.DeliveryDelivered, "S": bridge.DeliverySuperseded, "X": bridge.DeliveryDead,
}

// decodeDelivery reads the record of a delivery. A delivery that is being sent
// reads as pending: only its lane knows.
func (s *Store) decodeDelivery(k keys, id, value string) (Status, error) {
	head, rest, _ := strings.Cut(value, "\n")
	f := strings.SplitN(head, "|", 5)
	if len(f) != 5 {
		return Status{}, fmt.Errorf("read delivery %s: the header is not one", id)
	}
	st := Status{State: deliveryStates[f[0]], Reason: f[4]}
	var errs [3]error
	st.Tries, errs[0] = strconv.Atoi(f[1])
	st.Updated, errs[1] = strconv.ParseInt(f[2], 10, 64)
	st.Next, errs[2] = strconv.ParseInt(f[3], 10, 64)
	key := k.delivery(id)
	rest, err := s.openSegment(key, rest, &st.Delivery)
	st.Delivery.ID = id
	for err == nil && rest != "" {
		var a bridge.Attempt
		if rest, err = s.openSegment(key, rest, &a); err == nil {
			st.addAttempt(a)
		}
	}
	if err := errors.Join(append(errs[:], err)...); err != nil {
		return Status{}, fmt.Errorf("read delivery %s: %w", id, err)
	}
	return st, nil
}

func (s *Store) openSegment(key, rest string, v any) (more string, err error) {
	packed, more, err := nextSegment(rest)
	if err != nil {
		return "", err
	}
	plain, err := s.packer.unpack([]byte(packed), key)
	if err != nil {
		return "", err
	}
	return more, json.Unmarshal(plain, v)
}

// addAttempt completes an attempt from its delivery.
func (st *Status) addAttempt(a bridge.Attempt) {
	d := st.Delivery
	a.Delivery, a.Hook = d.ID, d.Hook
	if a.URL == "" {
		a.Method, a.URL = d.Method, d.URL
	}
	if a.RequestBody == "" {
		a.RequestBody = d.Body
	}
	if len(st.Attempts) > 0 {
		a.RetryOf = st.Attempts[0]
	}
	st.Attempts = append(st.Attempts, a.ID)
	st.tries = append(st.tries, a)
}

// oneLine makes a reason fit into a header.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == '|' {
			return ' '
		}
		return r
	}, s)
	const most = 300
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return s
}
