package bridge

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// crockford is Douglas Crockford's base 32 in lower case: no i, l, o, u.
var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// MaxPartitions bounds the number of partitions: two characters of an id hold
// the partition.
const MaxPartitions = 1024

// NewRequestID returns a fresh evt_ id: a UUIDv7 (RFC 9562) in Crockford's
// base 32, so that ids sort by time.
func NewRequestID(now time.Time) string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return "evt_" + crockford.EncodeToString(b[:])
}

// RunID derives the id of a run from its source and native id, so that two
// replicas agree without asking each other.
func RunID(partition int, source, key string) string {
	return "run_" + partitionText(partition) + digest(source, key)
}

// PipelineID derives the short id of a pipeline from its canonical name,
// "<source>/<pipeline.id>". It is valid before the pipeline's first run.
func PipelineID(canonical string) string { return "pl_" + digest(canonical) }

// DeliveryID derives the id of the delivery that a hook makes of a firing, in
// the partition of the run.
func DeliveryID(run, hook string, f Firing) string {
	p, _ := PartitionOf(run)
	return "dlv_" + partitionText(p) + digest(run, fmt.Sprint(f.Attempt), string(f.Status), fmt.Sprint(f.Version), hook)
}

// PartitionOf reads the partition out of a run_ or dlv_ id; ok is false when
// id is no such id.
func PartitionOf(id string) (partition int, ok bool) {
	rest, found := strings.CutPrefix(id, "run_")
	if !found {
		rest, found = strings.CutPrefix(id, "dlv_")
	}
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	if !found || len(rest) != 2+24 {
		return 0, false
	}
	hi, lo := strings.IndexByte(alphabet, rest[0]), strings.IndexByte(alphabet, rest[1])
	if hi < 0 || lo < 0 {
		return 0, false
	}
	return hi<<5 | lo, true
}

func partitionText(p int) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	return string([]byte{alphabet[p>>5&31], alphabet[p&31]})
}

// digest is 120 bits of SHA-256 over length-prefixed parts, so that no two
// lists of parts run together.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return crockford.EncodeToString(h.Sum(nil)[:15])
}

// JoinKey joins the parts of a native id with "/"; a "/" or "%" inside a part
// is escaped, so that no two lists of parts give one key.
func JoinKey(parts ...string) string {
	if len(parts) == 1 {
		if p := parts[0]; !strings.ContainsAny(p, "%/") {
			return p
		}
	}
	size := 8 // of a few characters that are escaped, and of the "/"
	for _, p := range parts {
		size += len(p) + 1
	}
	var b strings.Builder
	b.Grow(size)
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('/')
		}
		for j := 0; j < len(p); j++ {
			switch p[j] {
			case '%':
				b.WriteString("%25")
			case '/':
				b.WriteString("%2F")
			default:
				b.WriteByte(p[j])
			}
		}
	}
	return b.String()
}
