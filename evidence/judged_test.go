package evidence

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/sign"
)

// rows is a store in memory.
type rows map[string][]byte

func (r rows) Get(k []byte) ([]byte, error) { return r[string(k)], nil }
func (r rows) Set(k, v []byte)              { r[string(k)] = bytes.Clone(v) }
func (r rows) Delete(k []byte)              { delete(r, string(k)) }

func (r rows) Scan(lo, hi []byte, reverse bool, fn func(k, v []byte) bool) error {
	keys := slices.Sorted(maps.Keys(r))
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if k >= string(lo) && (hi == nil || k < string(hi)) && !fn([]byte(k), r[k]) {
			break
		}
	}
	return nil
}

// judged is a small ledger that is really folded, with its tree and its key.
type judged struct {
	t       testing.TB
	key     SecretKey
	signer  *sign.Signer
	keySet  *verify.KeySet
	now     int64
	items   []projections.Item
	control *projections.Control
	gen     *projections.Generation
	rows    rows
	tree    *testonly.Tree
}

const hmacSecret = "the secret of an agent"

// newJudged begins a ledger with one key: of HMAC, or else of Ed25519.
func newJudged(t testing.TB, mac bool) *judged {
	t.Helper()
	_, k := newKey(t, origin)
	l := &judged{t: t, key: k, now: 1_767_225_600 * 1_000_000_000, control: projections.NewControl(),
		gen: projections.NewGeneration(1), rows: rows{}, tree: testonly.New(rfc6962.DefaultHasher)}
	p := verify.DefaultPolicy()
	l.add(event.Genesis, &event.GenesisV1{ClusterId: strings.TrimPrefix(origin, "recount/"), Policy: p.Canonical(), Kernel: 1})
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	public, err := verify.NewEd25519Key(private.Public().(ed25519.PublicKey))
	must(t, err)
	with, err := sign.NewEd25519Key(private)
	must(t, err)
	if mac {
		public, err = verify.NewHMACKey([]byte(hmacSecret))
		must(t, err)
		with, err = sign.NewHMACKey([]byte(hmacSecret))
		must(t, err)
	}
	l.keySet = verify.NewKeySet([]verify.Key{public})
	l.add(event.KeyAdded, &event.KeyAddedV1{KeyId: public.ID, Alg: uint32(public.Alg), Public: public.Public,
		Fingerprint: public.Fingerprint[:], Source: "env", Node: "n1"})
	l.signer, err = sign.New(with, sign.Options{Scheme: sign.PCS1, Profile: "f9"})
	must(t, err)
	return l
}

func (l *judged) add(k event.Kind, m proto.Message) {
	l.t.Helper()
	payload, err := event.NewPayload([16]byte{1}, m)
	must(l.t, err)
	l.fold(k, payload)
}

func (l *judged) fold(k event.Kind, payload []byte) uint64 {
	l.t.Helper()
	l.now += 1_000_000_000
	it := projections.Item{Seq: uint64(len(l.items) + 1), RawTime: l.now, LogTime: l.now, Kind: k,
		Event: event.Event{Kind: k, Payload: payload}, PayloadSHA: sha256.Sum256(payload)}
	must(l.t, l.control.Fold(rows{}, &it))
	_, err := l.gen.Fold(l.rows, &it, l.control.For(1))
	must(l.t, err)
	it.Prepared = nil
	l.items = append(l.items, it)
	l.tree.AppendData(it.Leaf().Append(nil))
	return it.Seq
}

// submit folds a record of shard s1 and returns its event.
func (l *judged) submit(epoch int64, claim string) uint64 {
	l.t.Helper()
	root := strings.Repeat("ab", 32)
	body, err := l.signer.Sign(fmt.Appendf(nil, `{"pcs_id":%q,"schema":"fractal-lba-kakeya","version":"0.1","shard_id":"s1",`+
		`"epoch":%d,"attempt":1,"sent_at":"2026-01-02T03:04:05Z","seed":1,"scales":[2,4,8],"N_j":{"2":4,"4":16,"8":64},`+
		`"coh_star":0.8,"v_star":[1,0,0],"D_hat":%s,"r":0.5,"regime":"mixed","budget":0.41,"merkle_root":%q,"sig":"",`+
		`"ft":{"outbox_seq":1,"degraded":false,"fallbacks":[],"clock_skew_ms":0}}`, pcs.ID(root, epoch, "s1"), epoch, claim,
		root))
	must(l.t, err)
	f := l.keySet.Check(pcs.Decode(body), verify.Facts{})
	return l.fold(event.Submission, event.Sub{Body: body, ReceivedAt: l.now, Node: "n1", Facts: event.Facts{KeyID: f.KeyID,
		Alg: uint8(f.Alg), Profile: uint8(f.Profile), Mode: uint8(f.Mode)}}.Payload())
}

func (l *judged) statement(s projections.Stated) Statement {
	return Statement{Origin: origin, Generation: 1, Policy: s.Policy, Leaf: l.items[s.Seq-1].Leaf(), Row: s.Core,
		Before: s.Before, State: s.After}
}

// bundle makes the bundle of a submission from all events of the ledger.
func (l *judged) bundle(seq uint64, change ...func(*Bundle)) Bundle {
	l.t.Helper()
	r, err := projections.Row(l.rows, seq)
	must(l.t, err)
	s, err := projections.State(l.rows, r.PCSID, seq)
	must(l.t, err)
	causes, err := projections.Causes(l.rows, &s.Result)
	must(l.t, err)
	var b Bundle
	b.Receipt.Statement = l.statement(s)
	for _, c := range causes {
		signed, err := SignStatement(l.statement(c), l.key)
		must(l.t, err)
		b.Statements = append(b.Statements, signed)
	}
	for _, it := range l.items {
		if it.Kind != event.Submission || it.Seq <= seq {
			b.Events = append(b.Events, Event{Leaf: it.Leaf(), Payload: it.Event.Payload, Hashes: l.inclusion(it.Seq)})
		}
	}
	for _, f := range change {
		f(&b)
	}
	b.Receipt.Signed, err = SignStatement(b.Receipt.Statement, l.key)
	must(l.t, err)
	note, err := SignCheckpoint(Checkpoint{Origin: origin, Size: l.tree.Size(), Root: [32]byte(l.tree.Hash())}, l.key)
	must(l.t, err)
	b.Receipt.Proof = Proof{Index: seq - 1, Hashes: l.inclusion(seq), Checkpoint: note}
	return b
}

func (l *judged) inclusion(seq uint64) [][32]byte {
	l.t.Helper()
	hashes, err := l.tree.InclusionProof(seq-1, l.tree.Size())
	must(l.t, err)
	return fixed(hashes)
}
