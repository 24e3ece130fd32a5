// Package seal encrypts what cibridge keeps in Redis: AES-256-GCM under a ring
// of keys, so that keys can be rotated without touching what is stored.
//
// A sealed text is
//
//	1 byte   length of the key's id
//	n bytes  the key's id
//	12 bytes random nonce
//	...      ciphertext and tag
//
// The additional data says where a sealed text belongs ("hook:abc"): moved to
// another place it does not open.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// keySize is that of AES-256.
const keySize = 32

// Ring is a set of keys. The first seals, all of them open. A Ring is safe for
// concurrent use and shows nothing of its keys when printed.
type Ring struct {
	active string
	order  []string
	keys   map[string]cipher.AEAD
}

// kid is what a key may be called: short, since it is in every sealed text.
var kid = regexp.MustCompile(`^[A-Za-z0-9_-]{1,16}$`)

// ParseRing reads keys as they are written in CIBRIDGE_ENCRYPTION_KEYS:
// "id:key" separated by commas, the active one first, each key 32 bytes in
// base64. To rotate, put a new key in front and keep the old one.
func ParseRing(text string) (*Ring, error) {
	r := &Ring{keys: map[string]cipher.AEAD{}}
	for i, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if err := r.add(part); err != nil {
			return nil, fmt.Errorf("encryption key %d: %w", i+1, err)
		}
	}
	if len(r.order) == 0 {
		return nil, errors.New(`no encryption key: want "id:key", for example the output of: echo "k1:$(openssl rand -base64 32)"`)
	}
	r.active = r.order[0]
	return r, nil
}

func (r *Ring) add(part string) error {
	id, encoded, found := strings.Cut(part, ":")
	if !found {
		return errors.New(`want "id:key", a short name and 32 bytes in base64; there is no ":" in it`)
	}
	if !kid.MatchString(id) {
		return fmt.Errorf("the id %q is not 1 to 16 letters, digits, - or _", id)
	}
	if _, twice := r.keys[id]; twice {
		return fmt.Errorf("the id %q is used twice", id)
	}
	raw, err := decode(encoded)
	if err != nil {
		return fmt.Errorf("the key %q is not base64; make one with: openssl rand -base64 32", id)
	}
	if len(raw) != keySize {
		return fmt.Errorf("the key %q has %d bytes, want %d; make one with: openssl rand -base64 32", id, len(raw), keySize)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	r.keys[id] = aead
	r.order = append(r.order, id)
	return nil
}

// decode accepts both alphabets of base64, with and without padding.
func decode(s string) ([]byte, error) {
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	return base64.RawStdEncoding.DecodeString(s)
}

// NewKey returns a fresh key under a random id, in the form that [ParseRing]
// reads.
func NewKey() string {
	raw := make([]byte, 2+keySize)
	rand.Read(raw) // never fails: crypto/rand ends the process instead
	return fmt.Sprintf("k%x:%s", raw[:2], base64.StdEncoding.EncodeToString(raw[2:]))
}

// Active returns the id of the key that seals.
func (r *Ring) Active() string { return r.active }

// IDs lists the ids of all keys, the active one first.
func (r *Ring) IDs() []string { return append([]string(nil), r.order...) }

// String lists the ids of the keys and nothing else.
func (r *Ring) String() string { return "keys " + strings.Join(r.order, ", ") }

// GoString is String.
func (r *Ring) GoString() string { return r.String() }

// Seal encrypts plain with the active key. aad is not part of the result and
// has to be given again to open it.
func (r *Ring) Seal(plain []byte, aad string) []byte {
	return r.Append(nil, plain, aad)
}

// Append is Seal, appended to dst.
func (r *Ring) Append(dst, plain []byte, aad string) []byte {
	dst = append(dst, byte(len(r.active)))
	dst = append(dst, r.active...)
	return r.keys[r.active].Seal(dst, nil, plain, []byte(aad))
}

// Open decrypts what Seal returned. It fails when the text was changed, when
// aad is another one, or when its key is no longer in the ring.
func (r *Ring) Open(sealed []byte, aad string) ([]byte, error) {
	id, rest, ok := split(sealed)
	if !ok {
		return nil, errors.New("not a sealed text")
	}
	aead, ok := r.keys[id]
	if !ok {
		return nil, fmt.Errorf("sealed with the key %q, which is not in the ring (%s): put it back behind the active one", id, r)
	}
	plain, err := aead.Open(nil, nil, rest, []byte(aad))
	if err != nil {
		return nil, fmt.Errorf("the sealed text was changed, moved, or sealed with another key that was also called %q", id)
	}
	return plain, nil
}

// KeyID returns the id of the key that sealed a text, or "" when it is none.
func KeyID(sealed []byte) string {
	id, _, _ := split(sealed)
	return id
}

func split(sealed []byte) (id string, rest []byte, ok bool) {
	if len(sealed) == 0 {
		return "", nil, false
	}
	n := int(sealed[0])
	if n == 0 || len(sealed) < 1+n {
		return "", nil, false
	}
	return string(sealed[1 : 1+n]), sealed[1+n:], true
}
