package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

var salt = [SaltSize]byte{1, 2, 3}

func payload(t testing.TB, m proto.Message) []byte {
	t.Helper()
	p, err := NewPayload(salt, m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func samples() map[Kind]proto.Message {
	return map[Kind]proto.Message{
		Genesis:              &GenesisV1{ClusterId: "c", Policy: []byte("{}"), Kernel: 1, ClusterVersion: 2},
		Submission:           sampleSub().message(),
		RefusalsDropped:      &RefusalsDroppedV1{Node: "n", From: -1, To: 5, Count: 3, Bytes: 9},
		TermStart:            &TermStartV1{Term: 4, Node: "n", Software: "1", Capabilities: []string{"a", "b"}},
		StateDigest:          &StateDigestV1{Seq: 9, Log: []byte{1}, State: []byte{2}, Control: []byte{3}, Generation: 1},
		KeyAdded:             &KeyAddedV1{KeyId: "hmac-1", Alg: 1, Fingerprint: []byte{1}, Source: "config", Node: "n"},
		ClockStep:            &ClockStepV1{Node: "n", Before: 1, After: 2, Reason: "r"},
		PolicyPublished:      &PolicyPublishedV1{Policy: []byte("{}"), Source: []byte("kernel: 1"), Op: sampleOp()},
		PolicyApplied:        &PolicyAppliedV1{Policy: []byte{1}, Op: sampleOp()},
		GenerationStarted:    &GenerationStartedV1{Policy: []byte{1}, FromSeq: 7, Keys: 1, Op: sampleOp()},
		GenerationActivated:  &GenerationActivatedV1{Generation: 2, From: 1, Position: 9, Diff: []byte{1}, Reporters: []string{"a", "b"}, Absent: []string{"c"}, Rollback: true, Op: sampleOp()},
		GenerationDropped:    &GenerationDroppedV1{Generation: 2, Op: sampleOp()},
		HistoryRecorded:      &HistoryRecordedV1{Activation: 10, Flips: 3, Digest: []byte{1}, Node: "n"},
		KeyRevoked:           &KeyRevokedV1{KeyId: "hmac-1", Since: 5, Op: sampleOp()},
		KeyRetired:           &KeyRetiredV1{KeyId: "hmac-1", Op: sampleOp()},
		KeySecretRetired:     &KeySecretRetiredV1{KeyId: "hmac-1", Op: sampleOp()},
		Frozen:               &FrozenV1{Scope: 1, Subject: "alpha", Op: sampleOp()},
		Thawed:               &ThawedV1{Scope: 1, Subject: "alpha", Op: sampleOp()},
		ShardsKnown:          &ShardsKnownV1{Patterns: []string{"lab-*", "s"}, Op: sampleOp()},
		TokenCreated:         &TokenCreatedV1{Id: "i", Name: "alice", Role: "operator", Sha256: []byte{1}, ExpiresAt: 7, Op: sampleOp()},
		TokenRevoked:         &TokenRevokedV1{Id: "i", Op: sampleOp()},
		FactsDisputed:        &FactsDisputedV1{Seq: 7, Voters: []string{"node-1", "node-3"}, Node: "node-1"},
		MemberChanged:        &MemberChangedV1{Change: "added", Member: "n4", PeerAddress: "h:1", ApiAddress: "https://h:2", Op: sampleOp()},
		Restored:             &RestoredV1{FromClusterId: "c", ClusterId: "d", Seq: 9, Log: []byte{1}, Backup: "b", Op: sampleOp()},
		ClusterVersionRaised: &ClusterVersionRaisedV1{Version: 2, From: 1, Op: sampleOp()},
		ActApproved:          &ActApprovedV1{ActOpId: "x", Act: "activate", Request: "generation 2", Op: sampleOp()},
		MemberInvited:        &MemberInvitedV1{Member: "n4", PeerAddress: "h:1", Sha256: []byte{1}, ValidFor: 7, Op: sampleOp()},
		InvitationWithdrawn:  &InvitationWithdrawnV1{Member: "n4", Op: sampleOp()},
	}
}

// message is the generated form of s; all-zero facts are left out, as Payload does.
func (s Sub) message() *SubmissionV1 {
	m := &SubmissionV1{Body: s.Body, ReceivedAt: s.ReceivedAt, Node: s.Node, Remote: s.Remote, RequestId: s.RequestID}
	if s.Facts != (Facts{}) {
		m.Facts = &SignatureFacts{KeyId: s.Facts.KeyID, Alg: uint32(s.Facts.Alg), Profile: uint32(s.Facts.Profile), Mode: uint32(s.Facts.Mode)}
	}
	return m
}

func fromMessage(salt [SaltSize]byte, m *SubmissionV1) Sub {
	f := m.GetFacts()
	return Sub{Salt: salt, Body: m.Body, ReceivedAt: m.ReceivedAt, Node: m.Node, Remote: m.Remote, RequestID: m.RequestId,
		Facts: Facts{KeyID: f.GetKeyId(), Alg: uint8(f.GetAlg()), Profile: uint8(f.GetProfile()), Mode: uint8(f.GetMode())}}
}

func sameSub(a, b Sub) bool {
	return a.Salt == b.Salt && bytes.Equal(a.Body, b.Body) && a.ReceivedAt == b.ReceivedAt && a.Node == b.Node &&
		a.Facts == b.Facts && a.Remote == b.Remote && a.RequestID == b.RequestID
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	all := samples()
	for k := range Kind(40) {
		_, known := all[k] // there are gaps between the kinds
		if k.Known() != known || (k.NewMessage() != nil) != known || seen[k.String()] || strings.HasPrefix(k.String(), "kind-") == known {
			t.Errorf("kind %d: %v %s", k, k.Known(), k)
		}
		seen[k.String()] = true
	}
}

func TestMessages(t *testing.T) {
	for k, m := range samples() {
		e := Event{k, payload(t, m)}
		s, got, err := e.Message()
		if err != nil || s != salt || !proto.Equal(got, m) {
			t.Errorf("%s: %v %v", k, got, err)
		}
		unknown := Event{k, append(bytes.Clone(e.Payload), 0xf8, 0x01, 0x01)}
		for name, bad := range map[string]Event{
			"short": {k, e.Payload[:SaltSize-1]}, "cut": {k, e.Payload[:len(e.Payload)-1]}, "unknown field": unknown,
		} {
			if _, _, err := bad.Message(); !errors.Is(err, ErrPayload) {
				t.Errorf("%s %s: %v", k, name, err)
			}
		}
	}
	if _, _, err := (Event{99, payload(t, &GenesisV1{})}).Message(); !errors.Is(err, ErrUnknownKind) {
		t.Error(err)
	}
	if _, err := NewPayload(salt, &GenesisV1{ClusterId: "\xff"}); err == nil {
		t.Error("a string that is not UTF-8 was encoded")
	}
}

func samplePack(t testing.TB) Pack {
	p := Pack{ProposedAt: -5}
	for k := Genesis; k.Known(); k++ {
		p.Events = append(p.Events, Event{k, payload(t, samples()[k])})
	}
	return p
}

func samePack(a, b Pack) bool {
	if a.ProposedAt != b.ProposedAt || len(a.Events) != len(b.Events) {
		return false
	}
	for i := range a.Events {
		if a.Events[i].Kind != b.Events[i].Kind || !bytes.Equal(a.Events[i].Payload, b.Events[i].Payload) {
			return false
		}
	}
	return true
}

// TestPackFormat holds the bytes of a pack, for ever.
func TestPackFormat(t *testing.T) {
	p := Pack{ProposedAt: 0x0102030405060708, Events: []Event{{Kind: 300, Payload: bytes.Repeat([]byte{0xab}, 16)}}}
	want := "52435031" + "01" + "00" + "0001" + "0102030405060708" + "00000001" + "0a15" + "08ac02" + "1210" + strings.Repeat("ab", 16)
	b := p.Append(nil)
	if hex.EncodeToString(b) != want || p.Size() != len(b) {
		t.Fatalf("%x, size %d", b, p.Size())
	}
	var m PackV1
	if err := proto.Unmarshal(b[packHeader:], &m); err != nil || m.Events[0].Kind != 300 || len(m.Events[0].Payload) != 16 {
		t.Fatal(err)
	}
	enc, err := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
	if err != nil || !bytes.Equal(enc, b[packHeader:]) {
		t.Fatalf("the generated code encodes %x", enc)
	}
}

func TestPackRoundTrip(t *testing.T) {
	p := samplePack(t)
	b := p.Append([]byte("prefix"))[6:]
	got, err := DecodePack(b)
	if err != nil || !samePack(p, got) || p.Size() != len(b) {
		t.Fatal(err)
	}
	if n, at, err := PeekCount(b); n != len(p.Events) || at != -5 || err != nil {
		t.Fatal(n, at, err)
	}
	if &got.Events[0].Payload[0] == &p.Events[0].Payload[0] || cap(got.Events[0].Payload) != len(got.Events[0].Payload) {
		t.Fatal("payloads must alias the input, without room to append into it")
	}
}

func TestPackRefusals(t *testing.T) {
	good := samplePack(t).Append(nil)
	edit := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	one := func(events ...byte) []byte {
		return append(Pack{Events: make([]Event, 1)}.Append(nil)[:packHeader], events...)
	}
	full := protowire.AppendBytes([]byte{0x08, 0x01, 0x12}, make([]byte, 16))
	frame := func(body []byte) []byte { return one(protowire.AppendBytes([]byte{0x0a}, body)...) }
	if _, err := DecodePack(frame(full)); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "header only": good[:packHeader], "magic": edit(0, 'X'), "format": edit(4, 2), "flags": edit(5, 1),
		"reader 0": edit(6, 0, 0), "count 0": edit(16, 0, 0, 0, 0), "count low": edit(16, 0, 0, 0, 6),
		"count high": edit(16, 0, 0, 0, 8), "count huge": edit(16, 0, 0, 0x10, 1), "count lying": edit(16, 0, 0, 0x10, 0),
		"cut": good[:len(good)-1], "trailing": append(bytes.Clone(good), 0), "too large": append(bytes.Clone(good), make([]byte, MaxPackBytes)...),
		"empty frame": frame(nil), "kind 0": frame(append([]byte{0x08, 0x00}, full[2:]...)),
		"kind wide": frame(append([]byte{0x08, 0x80, 0x80, 0x04}, full[2:]...)), "kind long form": frame(append([]byte{0x08, 0x81, 0x00}, full[2:]...)),
		"no salt": frame(append([]byte{0x08, 0x01, 0x12, 15}, make([]byte, 15)...)), "extra field": frame(append(bytes.Clone(full), 0x18, 1)),
		"order": frame(append(bytes.Clone(full[2:]), 0x08, 1)), "frame long form": one(append([]byte{0x0a, 0x94, 0x00}, full...)...),
	} {
		if _, err := DecodePack(b); !errors.Is(err, ErrPack) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodePack(edit(6, 0, 3)); !errors.Is(err, ErrNewer) {
		t.Errorf("newer: %v", err)
	}
}

// TestPackForNewReaders: a pack with a kind, a signing mode or a profile that the first readers did not know says so in its header, so that
// they stop instead of taking it for something else.
func TestPackForNewReaders(t *testing.T) {
	sub := func(mode uint8) Event {
		return Event{Submission, Sub{Body: []byte("{}"), Facts: Facts{KeyID: "k", Alg: 1, Profile: 1, Mode: mode}}.Payload()}
	}
	newest := Event{Submission, Sub{Body: []byte("{}"), Facts: Facts{KeyID: "k", Alg: 1, Profile: 9, Mode: 1}}.Payload()}
	old, salt := sub(2), make([]byte, SaltSize)
	for name, c := range map[string]struct {
		events []Event
		reader byte
	}{
		"pcs/1": {[]Event{sub(1), old}, 1}, "pcs/2": {[]Event{old, sub(3)}, 2}, "py-bin": {[]Event{old, newest}, 2}, "a mode of tomorrow": {[]Event{sub(9)}, 2},
		"a first kind": {[]Event{{ClockStep, salt}}, 1}, "a later kind": {[]Event{old, {PolicyPublished, salt}}, 2}, "a dispute": {[]Event{{FactsDisputed, salt}}, 2},
	} {
		p := Pack{Events: c.events}
		p.Mark()
		b := p.Append(nil)
		back, err := DecodePack(b)
		if b[7] != c.reader || err != nil || back.Newer != (c.reader == 2) || !bytes.Equal(back.Append(nil), b) {
			t.Errorf("%s: min_reader %d, %+v, %v", name, b[7], back, err)
		}
	}
}

func TestPackBounds(t *testing.T) {
	p := Pack{Events: make([]Event, MaxEvents)}
	for i := range p.Events {
		p.Events[i] = Event{Submission, make([]byte, SaltSize)}
	}
	if _, err := DecodePack(p.Append(nil)); err != nil {
		t.Fatal(err)
	}
	p.Events = append(p.Events, p.Events[0])
	if _, err := DecodePack(p.Append(nil)); !errors.Is(err, ErrPack) {
		t.Fatal(err)
	}
}

func TestLeaf(t *testing.T) {
	l := Leaf{Format: LeafFormat, Seq: 2, RawTime: -1, Kind: Submission, PayloadSHA256: sha256.Sum256([]byte("x"))}
	b := l.Append(nil)
	sum := sha256.Sum256([]byte("x"))
	want := "01" + "0000000000000002" + "ffffffffffffffff" + "0002" + hex.EncodeToString(sum[:])
	if len(b) != LeafSize || hex.EncodeToString(b) != want {
		t.Fatalf("%x", b)
	}
	if l.Hash() != sha256.Sum256(append([]byte{0}, b...)) {
		t.Fatal("not the RFC 6962 leaf hash")
	}
}

// TestSubmissionModel: the hand-written encoder and decoder agree with the generated code.
func TestSubmissionModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		str := rapid.String()
		s := Sub{Salt: salt, Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"), ReceivedAt: rapid.Int64().Draw(t, "at"),
			Node: str.Draw(t, "node"), Remote: str.Draw(t, "remote"), RequestID: str.Draw(t, "id"),
			Facts: Facts{KeyID: str.Draw(t, "key"), Alg: rapid.Uint8().Draw(t, "alg"), Profile: rapid.Uint8().Draw(t, "profile"), Mode: rapid.Uint8().Draw(t, "mode")}}
		if rapid.Bool().Draw(t, "no facts") {
			s.Facts = Facts{}
		}
		want, err := NewPayload(salt, s.message())
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Payload(); !bytes.Equal(got, want) {
			t.Fatalf("encoded %x, the generated code %x", got, want)
		}
		if got, err := DecodeSubmission(want); err != nil || !sameSub(got, s) {
			t.Fatalf("decoded %+v: %v", got, err)
		}
	})
}

func TestSubmissionAliases(t *testing.T) {
	p := sampleSub().Payload()
	s, err := DecodeSubmission(p)
	if err != nil {
		t.Fatal(err)
	}
	p[bytes.IndexByte(p, '{')] = '!'
	if s.Body[0] != '!' || cap(s.Body) != len(s.Body) {
		t.Fatal("the body must alias the payload, without room to append into it")
	}
}

// agree checks DecodeSubmission and Payload against the generated code on arbitrary bytes.
func agree(t *testing.T, p []byte) {
	s, err := DecodeSubmission(p)
	if err != nil && !errors.Is(err, ErrPayload) {
		t.Fatal(err)
	}
	var m SubmissionV1
	if len(p) < SaltSize {
		if _, ferr := factsOnly(p); err == nil || ferr == nil {
			t.Fatal("no salt")
		}
		return
	}
	perr := proto.Unmarshal(p[SaltSize:], &m)
	clean := perr == nil && !hasUnknown(m.ProtoReflect())
	if err == nil {
		if !clean {
			t.Fatalf("accepted what the generated code refuses: %v", perr)
		}
		if want := fromMessage([SaltSize]byte(p), &m); !sameSub(s, want) {
			t.Fatalf("got %+v, generated code %+v", s, want)
		}
		if want, err := NewPayload(s.Salt, s.message()); err != nil || !bytes.Equal(s.Payload(), want) {
			t.Fatalf("encoded %x, generated code %x, %v", s.Payload(), want, err)
		}
	}
	if err != nil && clean && !strings.Contains(err.Error(), "above 255") {
		t.Fatalf("refused what the generated code accepts: %v", err)
	}
	facts, ferr := factsOnly(p)
	if facts.KeyID = s.Facts.KeyID; (ferr == nil) != (err == nil) || err == nil && facts != s.Facts {
		t.Fatalf("the facts alone are %+v, %v", facts, ferr)
	}
	_, _, merr := Event{Submission, p}.Message()
	if (merr == nil) != (err == nil) {
		t.Fatalf("Message: %v, DecodeSubmission: %v", merr, err)
	}
}

func FuzzDecodeSubmission(f *testing.F) {
	good := sampleSub().Payload()
	f.Add(good)
	f.Add(Sub{}.Payload())
	f.Add(good[:SaltSize-1])
	f.Add(append(bytes.Clone(good), good[SaltSize:]...))                                               // everything twice
	f.Add(append(bytes.Clone(good), 0x22, 0x02, 0x10, 0x07))                                           // facts merged
	f.Add(append(bytes.Clone(good), 0x22, 0x03, 0x10, 0x80, 0x02))                                     // facts above 255
	f.Add(append(bytes.Clone(good), 0x0d, 0, 0, 0, 0))                                                 // body as fixed32
	f.Add(append(bytes.Clone(good), 0x08, 0x01))                                                       // body as varint
	f.Add(append(bytes.Clone(good), 0x8a, 0x00, 0x00))                                                 // long tag
	f.Add(append(bytes.Clone(good), 0x1a, 0x01, 0xff))                                                 // not UTF-8
	f.Add(append(bytes.Clone(good), 0x33, 0x34))                                                       // a group
	f.Add(append(bytes.Clone(good), 0x02, 0x00))                                                       // field 0
	f.Add(append(bytes.Clone(good), 0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2))             // varint overflow
	f.Add(append(bytes.Clone(good), protowire.AppendTag(nil, math.MaxInt32>>3, 2)...))                 // a far field
	f.Add(append(bytes.Clone(good), 0x22, 0x0b, 0x10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1)) // wide facts
	f.Fuzz(agree)
}

func FuzzDecodePack(f *testing.F) {
	good := samplePack(f).Append(nil)
	f.Add(good)
	f.Add(good[:packHeader])
	f.Add(good[:len(good)-1])
	f.Add(binary.BigEndian.AppendUint32(bytes.Clone(good[:16]), MaxEvents))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePack(b)
		if err != nil {
			if !errors.Is(err, ErrPack) && !errors.Is(err, ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		if n, at, err := PeekCount(b); err != nil || n != len(p.Events) || at != p.ProposedAt {
			t.Fatal("PeekCount disagrees", n, at, err)
		}
		if !bytes.Equal(p.Append(nil), b) || p.Size() != len(b) {
			t.Fatal("two encodings of one pack")
		}
		var m PackV1
		if err := proto.Unmarshal(b[packHeader:], &m); err != nil || len(m.Events) != len(p.Events) {
			t.Fatalf("the generated code reads %d events: %v", len(m.Events), err)
		}
		for i, e := range p.Events {
			if m.Events[i].Kind != uint32(e.Kind) || !bytes.Equal(m.Events[i].Payload, e.Payload) {
				t.Fatalf("event %d differs from the generated code", i)
			}
		}
	})
}

func BenchmarkDecodeSubmission(b *testing.B) {
	s := sampleSub()
	s.Body = make([]byte, 700)
	p := s.Payload()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeSubmission(p); err != nil {
			b.Fatal(err)
		}
	}
}
