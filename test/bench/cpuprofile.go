package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// cpuSample is one stack of a profile: the functions from the innermost to the outermost, and the processor time.
type cpuSample struct {
	stack []string
	nanos int64
}

var errProfile = errors.New("not a CPU profile")

// readProfile decodes a profile as package runtime/pprof writes it: gzip around the message Profile of profile.proto. It
// reads the few fields that a table of stages needs:
//
//	Profile   2 sample   4 location   5 function   6 string_table
//	Sample    1 location_id...        2 value...   the last value is nanoseconds
//	Location  1 id   4 line...        a function that was inlined has a line before the one that holds it
//	Line      1 function_id
//	Function  1 id   2 name           an index of string_table
func readProfile(b []byte) ([]cpuSample, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProfile, err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProfile, err)
	}
	p := profile{lines: map[uint64][]uint64{}, names: map[uint64]uint64{}}
	if err := fields(raw, p.field); err != nil {
		return nil, err
	}
	return p.resolve()
}

// profile holds the parts of a profile that refer to each other by number.
type profile struct {
	samples []rawSample
	lines   map[uint64][]uint64 // functions by location
	names   map[uint64]uint64   // by function, an index of texts
	texts   []string
}

type rawSample struct{ locations, values []uint64 }

func (p *profile) field(number protowire.Number, n uint64, b []byte) error {
	switch number {
	case 2:
		var s rawSample
		p.samples = append(p.samples, s)
		at := &p.samples[len(p.samples)-1]
		return fields(b, func(number protowire.Number, n uint64, b []byte) (err error) {
			switch number {
			case 1:
				at.locations, err = numbers(at.locations, n, b)
			case 2:
				at.values, err = numbers(at.values, n, b)
			}
			return err
		})
	case 4:
		return p.location(b)
	case 5:
		var id, name uint64
		err := fields(b, func(number protowire.Number, n uint64, _ []byte) error {
			switch number {
			case 1:
				id = n
			case 2:
				name = n
			}
			return nil
		})
		p.names[id] = name
		return err
	case 6:
		p.texts = append(p.texts, string(b))
	}
	return nil
}

func (p *profile) location(b []byte) error {
	var id uint64
	var functions []uint64
	err := fields(b, func(number protowire.Number, n uint64, b []byte) error {
		if number == 1 {
			id = n
		}
		if number != 4 {
			return nil
		}
		return fields(b, func(number protowire.Number, n uint64, _ []byte) error {
			if number == 1 {
				functions = append(functions, n)
			}
			return nil
		})
	})
	p.lines[id] = functions
	return err
}

// resolve replaces numbers by names.
func (p *profile) resolve() ([]cpuSample, error) {
	out := make([]cpuSample, 0, len(p.samples))
	for _, s := range p.samples {
		if len(s.values) == 0 {
			return nil, fmt.Errorf("%w: a sample without a value", errProfile)
		}
		sample := cpuSample{nanos: int64(s.values[len(s.values)-1])}
		for _, location := range s.locations {
			for _, function := range p.lines[location] {
				name := p.names[function]
				if name >= uint64(len(p.texts)) {
					return nil, fmt.Errorf("%w: function %d has no name", errProfile, function)
				}
				sample.stack = append(sample.stack, p.texts[name])
			}
		}
		out = append(out, sample)
	}
	return out, nil
}

// fields calls fn for every field of a message, with n for a varint and b for everything that has a length.
func fields(b []byte, fn func(number protowire.Number, n uint64, b []byte) error) error {
	for len(b) > 0 {
		number, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("%w: %w", errProfile, protowire.ParseError(size))
		}
		b = b[size:]
		var n uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			text, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(number, kind, b)
		}
		if size < 0 {
			return fmt.Errorf("%w: %w", errProfile, protowire.ParseError(size))
		}
		b = b[size:]
		if err := fn(number, n, text); err != nil {
			return err
		}
	}
	return nil
}

// numbers appends a repeated varint, which is packed or stands alone.
func numbers(to []uint64, n uint64, packed []byte) ([]uint64, error) {
	if packed == nil {
		return append(to, n), nil
	}
	for len(packed) > 0 {
		n, size := protowire.ConsumeVarint(packed)
		if size < 0 {
			return nil, fmt.Errorf("%w: %w", errProfile, protowire.ParseError(size))
		}
		to, packed = append(to, n), packed[size:]
	}
	return to, nil
}
