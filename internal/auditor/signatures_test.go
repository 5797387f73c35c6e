package auditor

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/sign"
	"github.com/recount-ledger/recount/wire"
)

// hiddenSignatures: a ledger that leaves out, misnames or disputes the key that signed a record is found out.
func hiddenSignatures(t *testing.T, s *scene) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	public, err := verify.NewEd25519Key(private.Public().(ed25519.PublicKey))
	must(t, err)
	with, err := sign.NewEd25519Key(private)
	must(t, err)
	signer, err := sign.New(with, sign.Options{Scheme: sign.PCS1, Profile: "f9"})
	must(t, err)
	honest := s.events()
	at := slices.IndexFunc(honest, func(e export.Event) bool { return e.Kind == event.Submission.String() })
	sub, err := event.DecodeSubmission(honest[at].Payload)
	must(t, err)
	hmac := sub.Facts
	sub.Body, err = signer.Sign(sub.Body)
	must(t, err)
	f := verify.NewKeySet([]verify.Key{public}).Check(pcs.Decode(sub.Body), verify.Facts{})
	facts := event.Facts{KeyID: f.KeyID, Alg: uint8(f.Alg), Profile: uint8(f.Profile), Mode: uint8(f.Mode)}
	other := facts
	other.Mode = 3 - facts.Mode
	for name, c := range map[string]struct {
		facts    event.Facts
		after    time.Duration // of the submission after the key
		disputed bool
		words    string
	}{
		"as it is":     {facts: facts, after: 30 * time.Minute},
		"no key":       {after: 11 * time.Minute, words: "no key did"},
		"a moment ago": {after: time.Minute},
		"an HMAC key":  {facts: hmac, words: "has no MAC"},
		"another mode": {facts: other, after: 30 * time.Minute, words: "something else"},
		"disputed":     {facts: facts, after: 30 * time.Minute, disputed: true, words: "disputes"},
	} {
		t.Run(name, func(t *testing.T) {
			l := shown{events: slices.Clone(honest[:at])}
			l.add(t, event.KeyAdded, 0, payload(t, &event.KeyAddedV1{KeyId: public.ID, Alg: uint32(public.Alg),
				Public: public.Public, Fingerprint: public.Fingerprint[:], Source: "env", Node: "n1"}))
			sub.Facts = c.facts
			seq := l.add(t, event.Submission, c.after, sub.Payload())
			if c.disputed {
				l.add(t, event.FactsDisputed, c.after, payload(t, &event.FactsDisputedV1{Seq: seq,
					Voters: []string{"n1"}, Node: "n1"}))
			}
			r, err := Run(t.Context(), s.options(l, ""))
			if c.words == "" {
				must(t, err)
				return
			}
			if !errors.Is(err, ErrDiffers) || r.Differences[0].From != seq ||
				!strings.Contains(r.Differences[0].What, c.words) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func payload(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := event.NewPayload([event.SaltSize]byte{1}, m)
	must(t, err)
	return b
}

// add appends an event in an entry of its own.
func (s *shown) add(t *testing.T, kind event.Kind, after time.Duration, payload []byte) uint64 {
	t.Helper()
	last := s.events[len(s.events)-1]
	e := export.Event{Seq: last.Seq + 1, Index: last.Index + 1, Kind: kind.String(), Payload: payload}
	e.Leaf.Kind, e.Leaf.RawTimeNS = uint16(kind), last.Leaf.RawTimeNS+after.Nanoseconds()
	e.RawTime = wire.TimeNS(e.Leaf.RawTimeNS)
	seal(&e)
	s.events = append(s.events, e)
	return e.Seq
}
