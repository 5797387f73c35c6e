package event

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestKindsTable: a row of the table agrees with its message. The name is the message's in snake case without its
// version, as all stored names are, and no two kinds share a message.
func TestKindsTable(t *testing.T) {
	seen := map[protoreflect.FullName]Kind{}
	all := Kinds()
	if len(all) != len(samples()) || !slices.IsSorted(all) {
		t.Errorf("%d kinds, %d samples", len(all), len(samples()))
	}
	for _, k := range all {
		m := k.NewMessage().ProtoReflect().Descriptor()
		var snake strings.Builder
		for i, c := range strings.TrimSuffix(string(m.Name()), "V1") {
			if c >= 'A' && c <= 'Z' && i > 0 {
				snake.WriteByte('_')
			}
			snake.WriteString(strings.ToLower(string(c)))
		}
		if snake.String() != k.String() {
			t.Errorf("kind %d is %s, its message %s", k, k, m.Name())
		}
		if other, ok := seen[m.FullName()]; ok {
			t.Errorf("%s and %s have one message", k, other)
		}
		seen[m.FullName()] = k
		if got := KindNamed(k.String()); got != k {
			t.Errorf("the kind named %s is %d, want %d", k, got, k)
		}
		if has := m.Fields().ByName("op") != nil; has != k.Operation() {
			t.Errorf("%s: an operation %v, its message names an operator %v", k, k.Operation(), has)
		}
	}
	for _, name := range []string{"", "kind-99", "Genesis", "genesis "} {
		if k := KindNamed(name); k != 0 {
			t.Errorf("%q names %s", name, k)
		}
	}
	for _, k := range []Kind{0, 20, 99, 65535} {
		if k.Known() || k.NewMessage() != nil || k.Operation() || k.Capability() != "" || !strings.HasPrefix(k.String(), "kind-") {
			t.Errorf("kind %d is known", k)
		}
	}
}

// TestOperations lists the kinds that no operator causes, and those that came after the first release. The
// commands of operators and the capabilities of nodes follow from them.
func TestOperations(t *testing.T) {
	automatic := []Kind{Genesis, Submission, RefusalsDropped, TermStart, StateDigest, ClockStep, HistoryRecorded,
		FactsDisputed}
	for _, k := range Kinds() {
		if k.Operation() == slices.Contains(automatic, k) {
			t.Errorf("%s is an operation: %v", k, k.Operation())
		}
		want := ""
		if k == FactsDisputed || k == MemberChanged || k == Restored {
			want = k.String()
		}
		if got := k.Capability(); got != want {
			t.Errorf("%s needs the capability %q, want %q", k, got, want)
		}
	}
}

// TestVersionsOfKinds: version 1 has all kinds of the ledgers from before cluster versions, and the one that ends it. A
// later kind needs a later version.
func TestVersionsOfKinds(t *testing.T) {
	for _, k := range Kinds() {
		switch v := k.Version(); {
		case k <= ClusterVersionRaised && v != FirstVersion:
			t.Errorf("%s needs version %d, and ledgers of version 1 have it", k, v)
		case k > ClusterVersionRaised && (v <= FirstVersion || v > NewestVersion):
			t.Errorf("%s needs version %d of %d", k, v, NewestVersion)
		}
	}
	if v := Kind(99).Version(); v <= NewestVersion {
		t.Errorf("an unknown kind needs version %d", v)
	}
	kinds[Frozen].version = 2
	defer func() { kinds[Frozen].version = 0 }()
	if v := Frozen.Version(); v != 2 {
		t.Errorf("a kind of version 2 needs %d", v)
	}
}

// TestSubmissionFields reads submissions field by field, as bytes: which are taken and with which value, and which are
// refused.
func TestSubmissionFields(t *testing.T) {
	str := func(n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), s)
	}
	num := func(n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
	}
	in := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for name, tc := range map[string]struct {
		raw  []byte
		want Sub
		bad  bool
	}{
		"nothing":            {want: Sub{}},
		"body":               {raw: str(1, "{}"), want: Sub{Body: []byte("{}")}},
		"empty body":         {raw: str(1, ""), want: Sub{}},
		"time":               {raw: num(2, 7), want: Sub{ReceivedAt: 7}},
		"time before 1970":   {raw: num(2, 1<<64-1), want: Sub{ReceivedAt: -1}},
		"node":               {raw: str(3, "n1"), want: Sub{Node: "n1"}},
		"remote and request": {raw: in(str(6, "r"), str(5, "a")), want: Sub{Remote: "a", RequestID: "r"}},
		"the last one wins":  {raw: in(str(3, "n1"), str(3, "n2")), want: Sub{Node: "n2"}},
		"facts": {
			raw:  str(4, string(in(str(1, "k"), num(2, 1), num(3, 8), num(4, 255)))),
			want: Sub{Facts: Facts{KeyID: "k", Alg: 1, Profile: 8, Mode: 255}},
		},
		"facts in two parts": {
			raw:  in(str(4, string(str(1, "k"))), str(4, string(num(2, 2)))),
			want: Sub{Facts: Facts{KeyID: "k", Alg: 2}},
		},
		"alg above 255":       {raw: str(4, string(num(2, 256))), bad: true},
		"profile above 255":   {raw: str(4, string(num(3, 256))), bad: true},
		"mode above 255":      {raw: str(4, string(num(4, 1<<40))), bad: true},
		"unknown fact":        {raw: str(4, string(num(5, 1))), bad: true},
		"key id not UTF-8":    {raw: str(4, string(str(1, "\xff"))), bad: true},
		"node not UTF-8":      {raw: str(3, "\xff"), bad: true},
		"remote not UTF-8":    {raw: str(5, "\xff"), bad: true},
		"request not UTF-8":   {raw: str(6, "\xff"), bad: true},
		"unknown field":       {raw: str(7, "x"), bad: true},
		"body as a number":    {raw: num(1, 1), bad: true},
		"time as bytes":       {raw: str(2, "1"), bad: true},
		"cut tag":             {raw: []byte{0x80}, bad: true},
		"cut bytes":           {raw: str(1, "{}")[:3], bad: true},
		"cut number":          {raw: []byte{2 << 3, 0x80}, bad: true},
		"a fixed number":      {raw: protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), 1), bad: true},
		"field number zero":   {raw: []byte{0x02, 0x00}, bad: true},
		"a group, long gone":  {raw: protowire.AppendTag(nil, 1, protowire.StartGroupType), bad: true},
		"good, then trailing": {raw: in(num(2, 7), []byte{0xff}), bad: true},
	} {
		p := append(slices.Clone(salt[:]), tc.raw...)
		got, err := DecodeSubmission(p)
		if tc.bad {
			if !errors.Is(err, ErrPayload) || !sameSub(got, Sub{}) {
				t.Errorf("%s: %+v %v", name, got, err)
			}
			if _, _, err := (Event{Submission, p}).Message(); !errors.Is(err, ErrPayload) {
				t.Errorf("%s: as a message: %v", name, err)
			}
			continue
		}
		tc.want.Salt = salt
		if err != nil || !sameSub(got, tc.want) {
			t.Errorf("%s: %+v %v, want %+v", name, got, err, tc.want)
		}
	}
	if _, err := DecodeSubmission(salt[:SaltSize-1]); !errors.Is(err, ErrPayload) {
		t.Errorf("without a whole salt: %v", err)
	}
}

// TestMark: a pack that the first readers would misread says so, and only such a pack.
func TestMark(t *testing.T) {
	sub := func(mode, profile uint8) Event {
		s := sampleSub()
		s.Facts.Mode, s.Facts.Profile = mode, profile
		return Event{Submission, s.Payload()}
	}
	for name, tc := range map[string]struct {
		events []Event
		want   bool
	}{
		"first kinds":              {events: []Event{{Kind: ClockStep}, {Kind: Genesis}, sub(2, 8)}},
		"a later kind":             {events: []Event{sub(2, 8), {Kind: PolicyPublished}}, want: true},
		"a later mode":             {events: []Event{sub(3, 8), sub(1, 1)}, want: true},
		"a later profile":          {events: []Event{sub(1, 1), sub(1, 9)}, want: true},
		"a submission of no sense": {events: []Event{{Submission, []byte("short")}}},
	} {
		p := Pack{Events: tc.events}
		if p.Mark(); p.Newer != tc.want {
			t.Errorf("%s: newer %v, want %v", name, p.Newer, tc.want)
		}
	}
}
