package event

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Facts are the recorded signature facts of a submission. The zero value means that no key verified it.
type Facts struct {
	KeyID              string
	Alg, Profile, Mode uint8
}

// Sub is a decoded SubmissionV1.
type Sub struct {
	Salt       [SaltSize]byte
	Body       []byte // the exact bytes received; aliases the payload
	ReceivedAt int64  // Unix nanoseconds on the receiving node
	Node       string
	Facts      Facts
	Remote     string
	RequestID  string
}

// Payload encodes s as NewPayload encodes the equal SubmissionV1.
func (s Sub) Payload() []byte {
	var buf [96]byte // enough for facts with the longest key id, so that they stay on the stack
	facts := s.Facts.append(buf[:0])
	out := make([]byte, 0, SaltSize+len(s.Body)+len(s.Node)+len(facts)+len(s.Remote)+len(s.RequestID)+40)
	out = append(out, s.Salt[:]...)
	if len(s.Body) > 0 {
		out = protowire.AppendBytes(protowire.AppendTag(out, 1, protowire.BytesType), s.Body)
	}
	out = appendVarint(out, 2, uint64(s.ReceivedAt))
	out = appendString(out, 3, s.Node)
	if len(facts) > 0 {
		out = protowire.AppendBytes(protowire.AppendTag(out, 4, protowire.BytesType), facts)
	}
	out = appendString(out, 5, s.Remote)
	return appendString(out, 6, s.RequestID)
}

func (f Facts) append(dst []byte) []byte {
	dst = appendString(dst, 1, f.KeyID)
	dst = appendVarint(dst, 2, uint64(f.Alg))
	dst = appendVarint(dst, 3, uint64(f.Profile))
	return appendVarint(dst, 4, uint64(f.Mode))
}

func appendVarint(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}

func appendString(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, num, protowire.BytesType), s)
}

// DecodeSubmission decodes the payload of a Submission event. Body aliases it. Like the generated code, it
// accepts fields in any order and repeated fields. Like Event.Message, it rejects malformed protobuf, unknown
// fields and strings that are not UTF-8, and also signature facts above 255, with ErrPayload.
func DecodeSubmission(payload []byte) (Sub, error) {
	var s Sub
	if len(payload) < SaltSize {
		return Sub{}, fmt.Errorf("%w: %d bytes", ErrPayload, len(payload))
	}
	s.Salt = [SaltSize]byte(payload)
	err := eachField(payload[SaltSize:], s.field)
	if err != nil {
		return Sub{}, fmt.Errorf("submission: %w", err)
	}
	return s, nil
}

// field decodes one field. For varint fields val is nil and n is the value.
func (s *Sub) field(key uint64, val []byte, n uint64) (err error) {
	switch key {
	case 1<<3 | 2:
		s.Body = val[:len(val):len(val)]
	case 2 << 3:
		s.ReceivedAt = int64(n)
	case 3<<3 | 2:
		s.Node, err = text(val)
	case 4<<3 | 2:
		err = eachField(val, s.Facts.field)
	case 5<<3 | 2:
		s.Remote, err = text(val)
	case 6<<3 | 2:
		s.RequestID, err = text(val)
	default:
		err = fmt.Errorf("%w: field key %d", ErrPayload, key)
	}
	return err
}

func (f *Facts) field(key uint64, val []byte, n uint64) (err error) {
	switch key {
	case 1<<3 | 2:
		f.KeyID, err = text(val)
	case 2 << 3:
		f.Alg, err = small(n)
	case 3 << 3:
		f.Profile, err = small(n)
	case 4 << 3:
		f.Mode, err = small(n)
	default:
		err = fmt.Errorf("%w: facts field key %d", ErrPayload, key)
	}
	return err
}

// factsOnly decodes the signature facts of a submission except the key id. It fails exactly where DecodeSubmission does, and
// allocates nothing for a good payload.
func factsOnly(payload []byte) (f Facts, err error) {
	if len(payload) < SaltSize {
		return f, fmt.Errorf("%w: %d bytes", ErrPayload, len(payload))
	}
	facts := func(key uint64, val []byte, n uint64) error {
		if key == 1<<3|2 {
			return isText(val)
		}
		return f.field(key, val, n)
	}
	err = eachField(payload[SaltSize:], func(key uint64, val []byte, _ uint64) error {
		switch key {
		case 1<<3 | 2, 2 << 3:
			return nil
		case 3<<3 | 2, 5<<3 | 2, 6<<3 | 2:
			return isText(val)
		case 4<<3 | 2:
			return eachField(val, facts)
		}
		return fmt.Errorf("%w: field key %d", ErrPayload, key)
	})
	return f, err
}

// eachField calls fn with the key (number << 3 | wire type) and the value of every field. It rejects wire types
// other than varint and length-delimited, which the schema does not use.
func eachField(b []byte, fn func(key uint64, val []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrPayload, protowire.ParseError(n))
		}
		b = b[n:]
		var val []byte
		var v uint64
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			val, n = protowire.ConsumeBytes(b)
		default:
			return fmt.Errorf("%w: wire type %d", ErrPayload, typ)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrPayload, protowire.ParseError(n))
		}
		b = b[n:]
		if err := fn(protowire.EncodeTag(num, typ), val, v); err != nil {
			return err
		}
	}
	return nil
}

func text(b []byte) (string, error) {
	if err := isText(b); err != nil {
		return "", err
	}
	return string(b), nil
}

func isText(b []byte) error {
	if !utf8.Valid(b) {
		return fmt.Errorf("%w: string is not UTF-8", ErrPayload)
	}
	return nil
}

func small(n uint64) (uint8, error) {
	if n > 255 {
		return 0, fmt.Errorf("%w: %d above 255", ErrPayload, n)
	}
	return uint8(n), nil
}
