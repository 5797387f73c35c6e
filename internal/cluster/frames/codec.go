// Package frames carries calls over one connection, many at a time. A Conn is the calling end, Serve the answering one,
// and a Caller keeps a Conn to one peer. A call carries a path, a text of the caller about itself (the hello) and a
// body, an answer carries a hello, a code (empty for success) and a body.
package frames

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
)

// MaxBody bounds the body of a request or an answer, in bytes.
const MaxBody = 64 << 20

const (
	chunk     = 64 << 10 // bytes of a body in one frame
	header    = 4 + 1 + 8
	maxText   = 255
	maxFrame  = header + 4 + 2*(1+maxText) + 4 + chunk
	minLength = header - 4
)

// The kinds of frames.
const (
	kindRequest  = 1
	kindResponse = 2
	kindPart     = 3 // the next bytes of the body that is under way
	kindCancel   = 4 // the sender gives the call up
	kindPing     = 5
	kindPong     = 6
)

var errFrame = errors.New("malformed frame")

// frame is one frame. Which fields it has depends on its kind:
//
//	length u32   bytes that follow
//	kind u8, id u64
//	request:  timeout u32 (ms), path text, hello text, total u32, body
//	response: hello text, code text, total u32, body
//	part:     body
//	cancel:   reason text
//	ping, pong: nothing
//
// A text has a length u8 in front. All numbers are big-endian. The body of a request or a response is the first part of
// total bytes: all of them, or a full chunk. Bodies alias the input after decode.
type frame struct {
	kind    byte
	id      uint64
	timeout uint32
	path    string
	hello   string
	code    string
	reason  string
	total   uint32
	body    []byte

	gone *atomic.Bool // not encoded: the call was given up, so the frame need not be sent. May be nil
}

// appendFrame encodes f. Texts are cut at maxText.
func appendFrame(b []byte, f *frame) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, f.kind)
	b = binary.BigEndian.AppendUint64(b, f.id)
	switch f.kind {
	case kindRequest:
		b = binary.BigEndian.AppendUint32(b, f.timeout)
		b = appendText(appendText(b, f.path), f.hello)
		b = binary.BigEndian.AppendUint32(b, f.total)
	case kindResponse:
		b = appendText(appendText(b, f.hello), f.code)
		b = binary.BigEndian.AppendUint32(b, f.total)
	case kindCancel:
		b = appendText(b, f.reason)
	}
	b = append(b, f.body...)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	return append(append(b, byte(len(s))), s...)
}

// frameLength returns the whole length of the frame that begins with b, at least 4 bytes. It is at most maxFrame.
func frameLength(b []byte) (int, error) {
	n := binary.BigEndian.Uint32(b)
	if n < minLength || n > maxFrame-4 {
		return 0, fmt.Errorf("%w: length %d", errFrame, n)
	}
	return int(n) + 4, nil
}

// decodeFrame decodes one whole frame, as frameLength delimits it.
func decodeFrame(b []byte) (f frame, err error) {
	if len(b) < header {
		return f, fmt.Errorf("%w: %d bytes", errFrame, len(b))
	}
	if n, err := frameLength(b); err != nil || n != len(b) {
		return f, fmt.Errorf("%w: length %d in %d bytes", errFrame, binary.BigEndian.Uint32(b), len(b))
	}
	f.kind, f.id = b[4], binary.BigEndian.Uint64(b[5:])
	p := parser{rest: b[header:]}
	switch f.kind {
	case kindRequest:
		f.timeout, f.path, f.hello = p.u32(), p.text(), p.text()
		f.total, f.body = p.u32(), p.all()
	case kindResponse:
		f.hello, f.code = p.text(), p.text()
		f.total, f.body = p.u32(), p.all()
	case kindPart:
		f.body = p.all()
	case kindCancel:
		f.reason = p.text()
	case kindPing, kindPong:
	default:
		return f, fmt.Errorf("%w: unknown kind %d", errFrame, f.kind)
	}
	if p.failed || len(p.rest) > 0 || !f.fits() {
		return f, fmt.Errorf("%w: kind %d, %d bytes", errFrame, f.kind, len(b))
	}
	return f, nil
}

// fits reports whether the body has the length that its kind requires.
func (f *frame) fits() bool {
	switch f.kind {
	case kindRequest, kindResponse:
		return len(f.body) == int(min(f.total, chunk))
	case kindPart:
		return len(f.body) > 0 && len(f.body) <= chunk
	}
	return true
}

// parser takes fields from the front of rest. After a failure all fields are zero.
type parser struct {
	rest   []byte
	failed bool
}

func (p *parser) take(n int) []byte {
	if p.failed || n > len(p.rest) {
		p.failed = true
		return nil
	}
	out := p.rest[:n:n]
	p.rest = p.rest[n:]
	return out
}

func (p *parser) u32() uint32 {
	if b := p.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (p *parser) text() string {
	n := p.take(1)
	if n == nil {
		return ""
	}
	return string(p.take(int(n[0])))
}

func (p *parser) all() []byte { return p.take(len(p.rest)) }

// unfinished is the body of which the first part has come, and the others follow. Memory grows with the bytes that
// came, whatever total says. The zero value is no body.
type unfinished struct {
	id      uint64
	left    int64 // bytes that must still come
	discard bool  // nobody wants them
	body    []byte
}

// begin takes the first part and returns the body if it is complete. Otherwise a body that was under way is given up.
func (u *unfinished) begin(f *frame, discard bool) (body []byte, complete bool) {
	left := int64(f.total) - int64(len(f.body))
	if left == 0 {
		return append(make([]byte, 0, len(f.body)), f.body...), true
	}
	*u = unfinished{id: f.id, left: left, discard: discard}
	if !discard {
		u.body = append(make([]byte, 0, min(int64(f.total), 4*chunk)), f.body...)
	}
	return nil, false
}

// add takes the next part and returns the body if it is complete.
func (u *unfinished) add(f *frame) (body []byte, complete bool, err error) {
	if u.left == 0 || f.id != u.id || int64(len(f.body)) != min(u.left, chunk) {
		return nil, false, fmt.Errorf("%w: a part of %d bytes for call %d, where %d bytes of call %d are missing",
			errFrame, len(f.body), f.id, u.left, u.id)
	}
	u.left -= int64(len(f.body))
	if !u.discard {
		u.body = append(u.body, f.body...)
	}
	if u.left > 0 {
		return nil, false, nil
	}
	body, complete = u.body, !u.discard
	*u = unfinished{}
	return body, complete, nil
}

// drop gives up the body of a call. Parts that follow are an error.
func (u *unfinished) drop(id uint64) {
	if u.left > 0 && u.id == id {
		*u = unfinished{}
	}
}
