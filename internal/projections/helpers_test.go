package projections

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// spec holds the claims of a test record.
type spec struct {
	shard, root string
	epoch       int64
	dhat        string // claimed
	slope       int    // of the counts
	attempt     int
	seed        int
	degraded    bool
	fault       bool // structurally wrong: unknown regime word
	wrongID     bool
}

func (s spec) merkle() string { return strings.Repeat(s.root, 64)[:64] }

func (s spec) body(secret string) []byte {
	regime := "mixed"
	if s.fault {
		regime = "purple"
	}
	id := pcs.ID(s.merkle(), s.epoch, s.shard)
	if s.wrongID {
		id = pcs.ID(s.merkle(), s.epoch+1, s.shard)
	}
	var nj []string
	for _, scale := range []int{2, 4, 8, 16} {
		n := 1
		for range s.slope {
			n *= scale
		}
		nj = append(nj, fmt.Sprintf("%q:%d", fmt.Sprint(scale), n))
	}
	text := func(sig string) []byte {
		return fmt.Appendf(nil, `{"pcs_id":%q,"schema":"fractal-lba-kakeya","version":"0.1","shard_id":%q,"epoch":%d,`+
			`"attempt":%d,"sent_at":"2026-01-02T03:04:05Z","seed":%d,"scales":[2,4,8,16],"N_j":{%s},"coh_star":0.8,`+
			`"v_star":[1,0,0],"D_hat":%s,"r":0.5,"regime":%q,"budget":0.41,"merkle_root":%q,"sig":%q,`+
			`"ft":{"outbox_seq":1,"degraded":%v,"fallbacks":[],"clock_skew_ms":0}}`,
			id, s.shard, s.epoch, s.attempt, s.seed, strings.Join(nj, ","), s.dhat, regime, s.merkle(), sig, s.degraded)
	}
	rec := pcs.Decode(text(""))
	payload, err := rec.AppendPayload(nil, pcs.F9)
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(payload)
	return text(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// ledger numbers, dates, checks and folds events one by one.
type ledger struct {
	t       testing.TB
	now     int64
	seq     uint64
	keySet  *verify.KeySet
	blind   ControlView // what Check sees instead of the control state, unless nil
	ctrl    *Control
	ctrlDB  *MemStore
	gen     *Generation
	db      *MemStore
	items   []Item
	results []Result
	used    Memory // has held other submissions before
}

const day = int64(24*3600) * 1_000_000_000

func newLedger(t testing.TB, p verify.Policy, secrets ...string) *ledger {
	t.Helper()
	l := &ledger{t: t, now: 1_767_225_600 * 1_000_000_000, ctrl: NewControl(), ctrlDB: NewMemStore(), gen: NewGeneration(1), db: NewMemStore()}
	l.message(event.Genesis, &event.GenesisV1{ClusterId: "test", Policy: p.Canonical(), Kernel: 1})
	var keys []verify.Key
	for _, s := range secrets {
		keys = append(keys, l.addKey(s))
	}
	l.keySet = verify.NewKeySet(keys)
	return l
}

func mustHMAC(secret string) verify.Key {
	k, err := verify.NewHMACKey([]byte(secret))
	if err != nil {
		panic(err)
	}
	return k
}

func (l *ledger) addKey(secret string) verify.Key {
	k := mustHMAC(secret)
	l.message(event.KeyAdded, keyAdded(k))
	return k
}

func keyAdded(k verify.Key) *event.KeyAddedV1 {
	return &event.KeyAddedV1{KeyId: k.ID, Alg: uint32(k.Alg), Public: k.Public, Fingerprint: k.Fingerprint[:], Source: "env", Node: "n1"}
}

func (l *ledger) message(k event.Kind, m proto.Message) Result {
	l.t.Helper()
	payload, err := event.NewPayload([16]byte{1}, m)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.fold(k, payload)
}

func (l *ledger) submit(body []byte, f verify.Facts) Result {
	l.t.Helper()
	sub := event.Sub{Body: body, ReceivedAt: l.now - 1000, Node: "n1",
		Facts: event.Facts{KeyID: f.KeyID, Alg: uint8(f.Alg), Profile: uint8(f.Profile), Mode: uint8(f.Mode)}}
	return l.fold(event.Submission, sub.Payload())
}

// ingress finds the facts as a node would.
func (l *ledger) ingress(body []byte) verify.Facts {
	return l.keySet.Check(pcs.Decode(body), verify.Facts{})
}

func (l *ledger) send(body []byte) Result {
	l.t.Helper()
	return l.submit(body, l.ingress(body))
}

func (l *ledger) fold(k event.Kind, payload []byte) Result {
	l.t.Helper()
	l.seq++
	it := Item{Seq: l.seq, Index: l.seq + 2, Term: 1, RawTime: l.now, LogTime: l.now, Kind: k,
		Event: event.Event{Kind: k, Payload: payload}, PayloadSHA: sha256.Sum256(payload)}
	if err := l.ctrl.Fold(l.ctrlDB, &it); err != nil {
		l.t.Fatal(err)
	}
	Prepare(&it, l.keySet, cmp.Or(l.blind, l.ctrl.For(1)))
	again := it
	if l.used.Prepare(&again, l.keySet, cmp.Or(l.blind, l.ctrl.For(1))); !reflect.DeepEqual(again, it) {
		l.t.Fatalf("event %d in used memory: %+v, want %+v", l.seq, again.Prepared, it.Prepared)
	}
	l.items = append(l.items, it)
	r := l.foretold(&it)
	WritePosition(l.db, l.gen.Position(it.Index, it.Term))
	l.results = append(l.results, r)
	return r
}

func idOf(s spec) string { return pcs.ID(s.merkle(), s.epoch, s.shard) }
