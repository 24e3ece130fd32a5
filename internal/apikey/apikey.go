// Package apikey makes and reads API keys: cib_<id>_<secret>_<crc>. The id
// finds the key, the secret proves it (only its SHA-256 is ever stored), and
// the checksum lets a client or a secret scanner tell a typo from a wrong key
// without asking anyone.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
)

const (
	// Prefix starts every key.
	Prefix = "cib_"

	idLen       = 12
	secretBytes = 32
	secretLen   = 43 // 32 bytes in base 62
	crcLen      = 8  // hex
	textLen     = len(Prefix) + idLen + 1 + secretLen + 1 + crcLen

	idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// ErrMalformed says that a text is not a key: it has another form, or its
// checksum does not fit, so it was cut or mistyped. Its message never holds
// the text.
var ErrMalformed = errors.New("not an API key of the form cib_<id>_<secret>_<crc>, or its checksum does not fit: it was cut or mistyped")

// New makes a key from crypto/rand. Text is what the owner gets, once; id and
// hash are what is stored.
func New() (text, id string, hash []byte) {
	var random [idLen + secretBytes]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	var b strings.Builder
	for _, c := range random[:idLen] {
		b.WriteByte(idAlphabet[int(c)%len(idAlphabet)])
	}
	id = b.String()
	secret := new(big.Int).SetBytes(random[idLen:]).Text(62)
	secret = strings.Repeat("0", secretLen-len(secret)) + secret
	body := Prefix + id + "_" + secret
	return body + "_" + checksum(body), id, Hash(secret)
}

// Parse splits a key into its id and its secret. It returns ErrMalformed for
// everything that New did not make.
func Parse(text string) (id, secret string, err error) {
	if len(text) != textLen || !strings.HasPrefix(text, Prefix) {
		return "", "", ErrMalformed
	}
	parts := strings.Split(text[len(Prefix):], "_")
	if len(parts) != 3 || len(parts[0]) != idLen || len(parts[1]) != secretLen {
		return "", "", ErrMalformed
	}
	if checksum(text[:len(text)-crcLen-1]) != parts[2] {
		return "", "", ErrMalformed
	}
	return parts[0], parts[1], nil
}

// Looks reports whether text claims to be a key, well formed or not.
func Looks(text string) bool { return strings.HasPrefix(text, Prefix) }

// Hash returns the SHA-256 of a secret. The secret has 256 random bits, so a
// slow password hash would add nothing.
func Hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// dummy is compared against when a key is unknown, so that an unknown id
// takes as long as a wrong secret.
var dummy = Hash("no key has this secret")

// Match reports whether secret belongs to hash, in constant time. An absent
// hash matches nothing and takes as long.
func Match(hash []byte, secret string) bool {
	known := len(hash) == sha256.Size
	if !known {
		hash = dummy
	}
	return subtle.ConstantTimeCompare(hash, Hash(secret)) == 1 && known
}

func checksum(s string) string {
	return fmt.Sprintf("%0*x", crcLen, crc32.ChecksumIEEE([]byte(s)))
}
