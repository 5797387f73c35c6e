package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// samples have at least one frame of each kind.
func samples() map[string]frame {
	return map[string]frame{
		"request": {kind: kindRequest, id: 1, timeout: 1500, path: "/v1/forward", hello: "n1", total: 4,
			body: []byte("pack")},
		"request without a body": {kind: kindRequest, id: 2, path: "/v1/position", body: []byte{}},
		"first chunk of a request": {kind: kindRequest, id: 1<<64 - 1, path: "/x", hello: strings.Repeat("h", maxText),
			total: 3 * chunk, body: bytes.Repeat([]byte{7}, chunk)},
		"response":             {kind: kindResponse, id: 1, hello: "n2", total: 2, body: []byte("ok")},
		"error":                {kind: kindResponse, id: 1, hello: "n2", code: "overloaded", total: 5, body: []byte("later")},
		"part":                 {kind: kindPart, id: 3, body: []byte("rest")},
		"cancel":               {kind: kindCancel, id: 3},
		"cancel with a reason": {kind: kindCancel, id: 3, reason: "answer too long"},
		"ping":                 {kind: kindPing, id: 9},
		"pong":                 {kind: kindPong},
	}
}

// TestFrames: what was encoded is decoded again, and no shorter or longer input is.
func TestFrames(t *testing.T) {
	for name, f := range samples() {
		raw := appendFrame(nil, &f)
		got, err := decodeFrame(raw)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if n, err := frameLength(raw); err != nil || n != len(raw) || n > maxFrame {
			t.Errorf("%s: length %d of %d, %v", name, n, len(raw), err)
		}
		for _, other := range [][]byte{raw[:len(raw)-1], append(bytes.Clone(raw), 0), raw[:3], nil} {
			if got, err := decodeFrame(other); !errors.Is(err, errFrame) {
				t.Errorf("%s: %d instead of %d bytes: %+v, %v", name, len(other), len(raw), got, err)
			}
		}
	}
	long := frame{kind: kindCancel, reason: strings.Repeat("x", 300)}
	if f, err := decodeFrame(appendFrame(nil, &long)); err != nil || len(f.reason) != maxText {
		t.Errorf("a long text: %d bytes, %v", len(f.reason), err)
	}
}

// TestMalformedFrames: what does not fit is refused.
func TestMalformedFrames(t *testing.T) {
	whole := func(kind byte, fields string) []byte {
		b := append([]byte{0, 0, 0, 0, kind, 0, 0, 0, 0, 0, 0, 0, 1}, fields...)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		return b
	}
	for name, raw := range map[string][]byte{
		"kind 0":                       whole(0, ""),
		"unknown kind":                 whole(7, ""),
		"request without fields":       whole(kindRequest, ""),
		"path beyond the end":          whole(kindRequest, "\x00\x00\x00\x01\x09/x"),
		"hello beyond the end":         whole(kindRequest, "\x00\x00\x00\x01\x02/x\xff"),
		"no total":                     whole(kindRequest, "\x00\x00\x00\x01\x02/x\x00\x00\x00"),
		"body longer than its total":   whole(kindRequest, "\x00\x00\x00\x01\x02/x\x00\x00\x00\x00\x01ab"),
		"body shorter than its total":  whole(kindResponse, "\x00\x00\x00\x00\x00\x03ab"),
		"first part of less than 64 K": whole(kindResponse, "\x00\x00\xff\xff\xff\xff"+strings.Repeat("x", chunk-1)),
		"empty part":                   whole(kindPart, ""),
		"part of more than 64 K":       whole(kindPart, strings.Repeat("x", chunk+1)),
		"ping with something":          whole(kindPing, "x"),
		"cancel with more":             whole(kindCancel, "\x00x"),
		"length 0":                     make([]byte, header),
		"length of 4 GiB":              append([]byte{255, 255, 255, 255}, make([]byte, 20)...),
	} {
		if f, err := decodeFrame(raw); !errors.Is(err, errFrame) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

// TestUnfinishedBodies: parts come in order, for one body at a time, and memory grows with them.
func TestUnfinishedBodies(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 20_000) // four chunks, the last one short
	first := &frame{id: 1, total: uint32(len(body)), body: body[:chunk]}
	part := func(id uint64, i int) *frame {
		return &frame{id: id, body: body[i*chunk : min((i+1)*chunk, len(body))]}
	}
	var u unfinished
	if _, complete := u.begin(first, false); complete {
		t.Fatal("complete after one chunk")
	}
	for i := 1; i <= 3; i++ {
		got, complete, err := u.add(part(1, i))
		if err != nil || complete != (i == 3) || complete && !bytes.Equal(got, body) {
			t.Fatalf("part %d: %v, %d bytes, %v", i, complete, len(got), err)
		}
	}
	for name, c := range map[string]struct {
		before func(u *unfinished)
		next   *frame
	}{
		"after the end": {func(u *unfinished) { *u = unfinished{} }, part(1, 3)},
		"another call":  {func(*unfinished) {}, part(2, 1)},
		"too short":     {func(*unfinished) {}, &frame{id: 1, body: body[:9]}},
		"given up":      {func(u *unfinished) { u.drop(1) }, part(1, 1)},
	} {
		var u unfinished
		u.begin(first, false)
		c.before(&u)
		if _, complete, err := u.add(c.next); complete || !errors.Is(err, errFrame) {
			t.Errorf("%s: %v, %v", name, complete, err)
		}
	}
	u.begin(&frame{id: 1, total: 1<<32 - 1, body: body[:chunk]}, false)
	if cap(u.body) > 4*chunk {
		t.Errorf("%d bytes for the first %d", cap(u.body), chunk)
	}
	u.drop(2)
	if u.left == 0 {
		t.Error("another call's body was dropped")
	}
	u.begin(first, true)
	for i := 1; i <= 3; i++ {
		if _, complete, err := u.add(part(1, i)); complete || err != nil || u.body != nil {
			t.Errorf("a body that nobody wants: %v, %v, %d bytes", complete, err, len(u.body))
		}
	}
}

// FuzzFrame: no input panics, what is decoded is encoded to the same bytes, and it holds no more memory than the input.
func FuzzFrame(f *testing.F) {
	for _, s := range samples() {
		f.Add(appendFrame(nil, &s))
	}
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := decodeFrame(in)
		if err != nil {
			return
		}
		if again := appendFrame(nil, &got); !bytes.Equal(again, in) {
			t.Errorf("%x was read as %+v and is written as %x", in, got, again)
		}
		if n := len(got.path) + len(got.hello) + len(got.code) + len(got.reason) + cap(got.body); n > len(in) {
			t.Errorf("%d bytes are held for %d", n, len(in))
		}
		var u unfinished
		if u.begin(&got, false); cap(u.body) > 4*chunk {
			t.Errorf("%d bytes are held for the first %d of a body", cap(u.body), len(got.body))
		}
	})
}
