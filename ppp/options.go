package ppp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// ErrOptionLength is returned for an option whose length field is below two or
// passes the end of the packet.
var ErrOptionLength = errors.New("ppp: option length out of range")

// Option is one configuration option (RFC 1661 §6). Its data are kept raw, so
// that a Configure-Ack or Configure-Reject echoes exactly what came.
type Option struct {
	Type uint8
	Data []byte // without type and length, at most 253 octets; aliases the input of Decode
}

// Equal reports whether o and p are the same octets.
func (o Option) Equal(p Option) bool { return o.Type == p.Type && bytes.Equal(o.Data, p.Data) }

// Options is an ordered list of configuration options.
type Options []Option

// Decode replaces *o with the options in b, which it uses up wholly. The
// storage of *o is reused; option data alias b.
func (o *Options) Decode(b []byte) (n int, err error) {
	*o = (*o)[:0]
	for n < len(b) {
		rest := b[n:]
		if len(rest) < 2 {
			return n, fmt.Errorf("%w: %d octets left at offset %d", ErrOptionLength, len(rest), n)
		}
		size := int(rest[1])
		if size < 2 || size > len(rest) {
			return n, fmt.Errorf("%w: option %d at offset %d says %d of %d octets", ErrOptionLength, rest[0], n, size, len(rest))
		}
		*o = append(*o, Option{Type: rest[0], Data: rest[2:size:size]})
		n += size
	}
	return n, nil
}

// Append appends the options in their order. Data beyond 253 octets are cut.
func (o Options) Append(dst []byte) []byte {
	for _, opt := range o {
		data := opt.Data[:min(len(opt.Data), 253)]
		dst = append(dst, opt.Type, byte(2+len(data)))
		dst = append(dst, data...)
	}
	return dst
}

// Get returns the first option of the given type.
func (o Options) Get(typ uint8) (Option, bool) {
	i := slices.IndexFunc(o, func(opt Option) bool { return opt.Type == typ })
	if i < 0 {
		return Option{}, false
	}
	return o[i], true
}

// Clone returns a deep copy that aliases nothing.
func (o Options) Clone() Options {
	c := slices.Clone(o)
	for i := range c {
		c[i].Data = slices.Clone(c[i].Data)
	}
	return c
}
