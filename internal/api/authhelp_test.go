package api

import (
	"hash/crc32"

	"cibridge/internal/apikey"
)

func crc(s string) uint32 { return crc32.ChecksumIEEE([]byte(s)) }

// foreignKey is a well-formed key that nobody stored.
func foreignKey() string {
	text, _, _ := apikey.New()
	return text
}
