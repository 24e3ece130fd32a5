package store

import (
	_ "embed"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"cibridge/internal/seal"
)

// The dictionaries hold what the packed texts look like: requests of the CI
// tools (the most common ones last), and our own records. CI payloads are mostly
// names and URLs that never change, so that one of 20 KB packs into little more
// than 1 KB. They are part of the format: never edit one, add another.
var (
	//go:embed dict_requests1.txt
	requestsDict []byte
	//go:embed dict_records1.txt
	recordsDict []byte
)

// A dialect says which dictionary fits a text; it is the first byte of the
// packed text.
type dialect byte

const (
	requests1 dialect = 1
	records1  dialect = 2
)

var dictionaries = map[dialect][]byte{requests1: requestsDict, records1: recordsDict}

// maxUnpacked bounds what a packed text may grow to.
const maxUnpacked = 64 << 20

// packer makes texts small and unreadable: zstd, then AES-GCM. The additional
// data is the name of the key, so that a record opens only in its place. It is
// safe for concurrent use.
type packer struct {
	ring *seal.Ring
	enc  map[dialect]*zstd.Encoder
	dec  *zstd.Decoder
}

// newPacker returns a packer that works on so many texts at once. The fastest
// level is the right one: the others spend most of their time on preparing the
// dictionary, and gain a tenth in size.
func newPacker(ring *seal.Ring, workers int) (*packer, error) {
	p := &packer{ring: ring, enc: map[dialect]*zstd.Encoder{}}
	known := []zstd.DOption{zstd.WithDecoderConcurrency(workers), zstd.WithDecoderMaxMemory(maxUnpacked)}
	var err error
	for d, text := range dictionaries {
		p.enc[d], err = zstd.NewWriter(nil, zstd.WithEncoderDictRaw(uint32(d), text), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(workers))
		if err != nil {
			return nil, fmt.Errorf("make the encoder: %w", err)
		}
		known = append(known, zstd.WithDecoderDictRaw(uint32(d), text))
	}
	if p.dec, err = zstd.NewReader(nil, known...); err != nil {
		return nil, fmt.Errorf("make the decoder: %w", err)
	}
	return p, nil
}

// pack returns plain packed, behind head as it is.
func (p *packer) pack(d dialect, head string, plain []byte, aad string) []byte {
	small := p.enc[d].EncodeAll(plain, make([]byte, 0, len(plain)/4+64))
	out := make([]byte, 0, len(head)+len(small)+64)
	out = append(out, head...)
	return p.ring.Append(append(out, byte(d)), small, aad)
}

// unpack reads what pack returned, without its head.
func (p *packer) unpack(packed []byte, aad string) ([]byte, error) {
	if len(packed) == 0 {
		return nil, errors.New("nothing is stored there")
	}
	if dictionaries[dialect(packed[0])] == nil {
		return nil, fmt.Errorf("written by a newer cibridge: this one does not know dictionary %d", packed[0])
	}
	small, err := p.ring.Open(packed[1:], aad)
	if err != nil {
		return nil, err
	}
	return p.dec.DecodeAll(small, nil)
}

func (p *packer) close() { p.dec.Close() }
