package lang

import (
	"crypto/sha1"
	"encoding/hex"
)

// uuidSpace is the namespace of uuid(): RFC 9562's for URLs.
var uuidSpace = [16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

// fnUUID makes the UUID of a text: version 5 of RFC 9562, so that the same
// text always has the same one.
func fnUUID(r *run, a []any) (any, error) {
	b, ok, err := r.bytesArg("uuid", a[0])
	if !ok || err != nil {
		return nil, err
	}
	sum := sha1.Sum(append(uuidSpace[:len(uuidSpace):len(uuidSpace)], b...))
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	s := hex.EncodeToString(sum[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:], nil
}
