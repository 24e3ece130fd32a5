package store

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
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

// A dialect says how a text is packed: with which dictionary and by which
// codec. It is the first byte of the packed text.
type dialect byte

const (
	requests1 dialect = 1 // zstd
	records1  dialect = 2 // zstd
	requests2 dialect = 3 // S2, for short texts
	records2  dialect = 4 // S2, for short texts
)

var dictionaries = map[dialect][]byte{requests1: requestsDict, records1: recordsDict, requests2: requestsDict, records2: recordsDict}

// short texts are packed by S2 with the same dictionary: it takes a fifth of
// the time of zstd, which has to prepare its tables for each text, and gives
// nearly the same size. Long ones are in better hands with zstd.
const short = 4096

var ofShort = map[dialect]dialect{requests1: requests2, records1: records2}

// maxUnpacked bounds what a packed text may grow to.
const maxUnpacked = 64 << 20

// packer makes texts small and unreadable: zstd or S2, then AES-GCM. The
// additional data is the name of the key, so that a record opens only in its
// place. It is safe for concurrent use.
type packer struct {
	ring *seal.Ring
	enc  map[dialect]*zstd.Encoder
	dec  *zstd.Decoder
	s2   map[dialect]*s2.Dict
	// buffers for texts that are on their way into a record: each commit needs
	// several that are garbage right away.
	buffers sync.Pool
}

// maxBuffer is the largest buffer that is kept for others.
const maxBuffer = 64 << 10

// borrow returns an empty buffer.
func (p *packer) borrow() *[]byte {
	if b, ok := p.buffers.Get().(*[]byte); ok {
		*b = (*b)[:0]
		return b
	}
	b := make([]byte, 0, 4096)
	return &b
}

// giveBack takes a buffer that nobody refers to any more.
func (p *packer) giveBack(b *[]byte) {
	if cap(*b) <= maxBuffer {
		p.buffers.Put(b)
	}
}

// newPacker returns a packer that works on so many texts at once. The fastest
// level is the right one: the others spend most of their time on preparing the
// dictionary, and gain a tenth in size.
func newPacker(ring *seal.Ring, workers int) (*packer, error) {
	p := &packer{ring: ring, enc: map[dialect]*zstd.Encoder{}, s2: map[dialect]*s2.Dict{}}
	known := []zstd.DOption{zstd.WithDecoderConcurrency(workers), zstd.WithDecoderMaxMemory(maxUnpacked)}
	var err error
	for long, brief := range ofShort {
		text := dictionaries[long]
		p.enc[long], err = zstd.NewWriter(nil, zstd.WithEncoderDictRaw(uint32(long), text), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(workers))
		if err != nil {
			return nil, fmt.Errorf("make the encoder: %w", err)
		}
		known = append(known, zstd.WithDecoderDictRaw(uint32(long), text))
		// The end of a dictionary has what is most common.
		if p.s2[brief] = s2.MakeDict(text[max(0, len(text)-s2.MaxDictSize):], nil); p.s2[brief] == nil {
			return nil, errors.New("make the encoder: a dictionary is too short")
		}
	}
	if p.dec, err = zstd.NewReader(nil, known...); err != nil {
		return nil, fmt.Errorf("make the decoder: %w", err)
	}
	return p, nil
}

// pack returns plain packed, behind head as it is.
func (p *packer) pack(d dialect, head string, plain []byte, aad string) []byte {
	buffer := p.borrow()
	defer p.giveBack(buffer)
	if len(plain) <= short {
		d = ofShort[d]
		*buffer = p.s2[d].Encode((*buffer)[:cap(*buffer)], plain)
	} else {
		*buffer = p.enc[d].EncodeAll(plain, *buffer)
	}
	small := *buffer
	out := make([]byte, 0, len(head)+len(small)+64)
	out = append(out, head...)
	return p.ring.Append(append(out, byte(d)), small, aad)
}

// unpack reads what pack returned, without its head.
func (p *packer) unpack(packed []byte, aad string) ([]byte, error) {
	if len(packed) == 0 {
		return nil, errors.New("nothing is stored there")
	}
	d := dialect(packed[0])
	if dictionaries[d] == nil {
		return nil, fmt.Errorf("written by a newer cibridge: this one does not know dictionary %d", packed[0])
	}
	small, err := p.ring.Open(packed[1:], aad)
	if err != nil {
		return nil, err
	}
	dict := p.s2[d]
	if dict == nil {
		return p.dec.DecodeAll(small, nil)
	}
	if n, err := s2.DecodedLen(small); err != nil || n > maxUnpacked {
		return nil, fmt.Errorf("unpack: %d bytes, %w", n, cmp.Or(err, errTooLarge))
	}
	return dict.Decode(nil, small)
}

var errTooLarge = errors.New("which is more than a record has")

func (p *packer) close() { p.dec.Close() }
