package notary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/witness"
)

// outside is a real witness behind HTTP that can be stopped for a while.
type outside struct {
	*httptest.Server
	key    evidence.WitnessKey
	broken atomic.Int32 // status of every answer, 0 for the right ones
	asked  atomic.Int32
}

func newOutside(t *testing.T, name string, trusted func() []evidence.PublicKey) *outside {
	t.Helper()
	_, secret, err := evidence.NewWitnessSecret(name)
	must(t, err)
	w, err := witness.Open(witness.Options{Dir: t.TempDir(), Secrets: []evidence.WitnessSecret{secret}, Ledgers: trusted,
		Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	o, handler := &outside{key: secret.Public()}, w.Handler()
	o.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if o.asked.Add(1); o.broken.Load() != 0 {
			rw.WriteHeader(int(o.broken.Load()))
			return
		}
		handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() {
		o.Close()
		must(t, w.Close())
	})
	return o
}

// witnessed is a bench with witnesses.
type witnessed struct {
	*bench
	outside []*outside
}

// newWitnessed starts n witnesses of which quorum must cosign.
func newWitnessed(t *testing.T, size uint64, n int, quorum string) *witnessed {
	t.Helper()
	b := newBench(t, size)
	w := &witnessed{bench: b}
	text, members := "", ""
	for i := range n {
		o := newOutside(t, fmt.Sprintf("w%d.example", i), func() []evidence.PublicKey { return []evidence.PublicKey{b.public()} })
		text += fmt.Sprintf("witness w%d %s %s\n", i, o.key, o.URL)
		members += fmt.Sprintf(" w%d", i)
		w.outside = append(w.outside, o)
	}
	w.use(t, text+"group g "+quorum+members+"\nquorum g\n")
	return w
}

// use starts to collect cosignatures by a policy.
func (b *bench) use(t *testing.T, policy string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "witnesses")
	must(t, os.WriteFile(path, []byte(policy), 0o600))
	var err error
	b.Witnesses, err = ReadWitnesses(path, origin)
	must(t, err)
	b.cosigner = newCosigner(&b.Options)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Cosign(ctx) }()
	t.Cleanup(func() {
		if stop(); !errors.Is(<-ended, context.Canceled) {
			t.Error("the collection has ended by itself")
		}
	})
}

func (b *bench) public() evidence.PublicKey { return (*b.keys.Load())[0].Public() }

// signAt signs the first size events.
func (b *bench) signAt(t *testing.T, size uint64) {
	t.Helper()
	b.head = size
	must(t, b.sign(t.Context()))
}

// await waits until a condition holds that a new checkpoint, or an answer of a witness, brings about.
func (b *bench) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute: %+v", what, b.Counts())
		}
	}
}

func (w *witnessed) cosignatures(t *testing.T) (c evidence.Checkpoint, n int) {
	t.Helper()
	note, err := w.Checkpoint()
	must(t, err)
	c, _, err = evidence.OpenCheckpoint(note, w.public())
	must(t, err)
	list, err := evidence.Cosignatures(note, w.Witnesses.Keys()...)
	must(t, err)
	return c, len(list)
}

// TestQuorumOfWitnesses: a checkpoint is shown with the cosignatures of a quorum, whichever witness is away, and the next
// one as soon as it has them.
func TestQuorumOfWitnesses(t *testing.T) {
	w := newWitnessed(t, 300, 3, "2")
	for i, size := range []uint64{1, 64, 65, 300} {
		w.outside[i%3].broken.Store(http.StatusInternalServerError)
		w.signAt(t, size)
		w.await(t, "a quorum", func() bool { return w.Counts().Cosigned == size })
		if c, n := w.cosignatures(t); c.Size != size || n < 2 {
			t.Errorf("%d events with %d cosignatures", c.Size, n)
		}
		if counts := w.Counts(); counts.Behind != 0 || counts.Late != 0 {
			t.Errorf("%+v", counts)
		}
		w.outside[i%3].broken.Store(0)
	}
}

// TestWitnessesAway: nothing waits for witnesses that are away. The cosigned checkpoint is shown for a while, then a newer
// one without a quorum, and a cosigned one again when they are back.
func TestWitnessesAway(t *testing.T) {
	w := newWitnessed(t, 300, 1, "all")
	w.signAt(t, 100)
	w.await(t, "the witness", func() bool { return w.Counts().Cosigned == 100 })
	w.outside[0].broken.Store(http.StatusServiceUnavailable)
	w.signAt(t, 200)
	w.await(t, "a failure", func() bool { return w.Counts().Answers[Unreachable] > 0 })
	if c, n := w.cosignatures(t); c.Size != 100 || n != 1 {
		t.Errorf("at first %d with %d", c.Size, n)
	}
	if s := w.covers(w.shown.Load(), 150, 1, false); s != nil {
		t.Errorf("a receipt does not wait: %d", s.Size)
	}
	if s := w.covers(w.shown.Load(), 150, 1, true); s == nil || s.Size != 200 {
		t.Errorf("a receipt waits without end: %+v", s)
	}
	w.behind.Store(time.Now().Add(-witnessGrace - time.Second).UnixNano())
	if c, n := w.cosignatures(t); c.Size != 200 || n != 0 {
		t.Errorf("later %d with %d", c.Size, n)
	}
	if s := w.covers(w.shown.Load(), 150, 1, false); s == nil || s.Size != 200 {
		t.Errorf("a receipt waits for those who are away: %+v", s)
	}
	w.outside[0].broken.Store(0)
	w.await(t, "the witness again", func() bool { return w.Counts().Cosigned == 200 })
	if c, n := w.cosignatures(t); c.Size != 200 || n != 1 {
		t.Errorf("again %d with %d", c.Size, n)
	}
}

// TestNodesShareAWitness: several nodes that ask one witness get the cosignatures that they need, whoever is first.
func TestNodesShareAWitness(t *testing.T) {
	first := newWitnessed(t, 300, 1, "all")
	second := newBench(t, 300)
	second.keys.Store(first.keys.Load())
	o := first.outside[0]
	second.use(t, fmt.Sprintf("witness w %s %s/\nquorum w\n", o.key, o.URL))
	for i, size := range []uint64{10, 20, 64, 100} {
		first.signAt(t, size)
		second.signAt(t, size+uint64(i))
		second.await(t, "the one that is ahead", func() bool { return second.Counts().Cosigned == size+uint64(i) })
		first.signAt(t, size+5)
		first.await(t, "the other one", func() bool { return first.Counts().Cosigned == size+5 })
		second.signAt(t, size+5)
		second.await(t, "both alike", func() bool { return second.Counts().Cosigned == size+5 })
	}
	if n := first.Counts().Answers[Refused] + second.Counts().Answers[Refused]; n != 0 {
		t.Errorf("refused %d times", n)
	}
}

// TestRefusedByAWitness: a witness that has seen another tree is told apart from one that is away, and is asked again
// with growing pauses.
func TestRefusedByAWitness(t *testing.T) {
	honest := newWitnessed(t, 100, 1, "all")
	honest.signAt(t, 100)
	honest.await(t, "the honest one", func() bool { return honest.Counts().Cosigned == 100 })
	forked := newBench(t, 200)
	forked.tree = newTreeOf(200, 50)
	forked.Tree = forked.tree
	forked.keys.Store(honest.keys.Load())
	o := honest.outside[0]
	forked.use(t, fmt.Sprintf("witness w %s %s\nquorum w\n", o.key, o.URL))
	for _, size := range []uint64{100, 150} {
		before := forked.Counts().Answers[Refused]
		forked.signAt(t, size)
		forked.await(t, "the refusal", func() bool { return forked.Counts().Answers[Refused] > before })
	}
	if c := forked.Counts(); c.Cosigned != 0 || c.Answers[Cosigned] != 0 {
		t.Errorf("%+v", c)
	}
}

// TestAnswersOfWitnesses: each answer has its result, and a line that is not of the witness is not passed on.
func TestAnswersOfWitnesses(t *testing.T) {
	b := newBench(t, 10)
	b.signAt(t, 10)
	_, secret, err := evidence.NewWitnessSecret("w")
	must(t, err)
	_, lines, err := evidence.Cosign(b.shown.Load().Note, time.Now(), []evidence.PublicKey{b.public()}, secret)
	must(t, err)
	_, strange, err := evidence.NewWitnessSecret("w")
	must(t, err)
	_, others, err := evidence.Cosign(b.shown.Load().Note, time.Now(), []evidence.PublicKey{b.public()}, strange)
	must(t, err)
	var code int
	var body []byte
	kind := ""
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", kind)
		rw.WriteHeader(code)
		_, _ = rw.Write(body)
	}))
	defer server.Close()
	b.Witnesses, err = evidence.ParseWitnessPolicy(fmt.Appendf(nil, "witness w %s %s\nquorum w\n", secret.Public(), server.URL))
	must(t, err)
	c := newCosigner(&b.Options)
	defer c.client.CloseIdleConnections()
	const size = "text/x.tlog.size"
	for i, x := range []struct {
		code   int
		kind   string
		body   []byte
		result string
		size   uint64
	}{
		{200, "", lines, Cosigned, 10}, {200, "", append(bytes.Clone(others), lines...), Cosigned, 10}, {200, "", others, Malformed, 10},
		{200, "", nil, Malformed, 10}, {200, "", bytes.Repeat([]byte("x"), 1<<20), Malformed, 10}, {409, size, []byte("12\n"), Ahead, 12},
		{409, size, []byte("4\n"), Refused, 4}, {409, size, []byte("012\n"), Malformed, 4}, {409, "text/plain", []byte("12\n"), Malformed, 4},
		{422, "", nil, Refused, 4}, {404, "", nil, Unknown, 4}, {403, "", nil, Unknown, 4}, {500, "", nil, Unreachable, 4},
		{429, "", nil, Unreachable, 4}, {302, "", nil, Malformed, 4}, {400, "", nil, Malformed, 4},
	} {
		code, kind, body = x.code, x.kind, x.body
		a := c.ask(t.Context(), b.Witnesses.Witnesses[0], 4, b.shown.Load())
		if a.result != x.result || a.size != x.size || (a.err == nil) != (x.result == Cosigned) ||
			x.result == Cosigned && !bytes.Equal(a.line, lines) {
			t.Errorf("%d: %d %q: %s, size %d, %v", i, x.code, x.body, a.result, a.size, a.err)
		}
	}
	server.Close()
	if a := c.ask(t.Context(), b.Witnesses.Witnesses[0], 4, b.shown.Load()); a.result != Unreachable || a.err == nil {
		t.Errorf("%+v", a)
	}
}

// TestWitnessFile: a file of no use is refused with its reason.
func TestWitnessFile(t *testing.T) {
	_, secret, err := evidence.NewWitnessSecret("w")
	must(t, err)
	_, other, err := evidence.NewSecretKey("recount/other")
	must(t, err)
	for text, good := range map[string]bool{
		"witness w " + secret.Public().String() + " https://w\nquorum w\n": true, "quorum none\n": true,
		"witness w " + secret.Public().String() + "\nquorum w\n": false, "": false,
		"log " + other.Public().String() + "\nquorum none\n": false,
	} {
		path := filepath.Join(t.TempDir(), "w")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := ReadWitnesses(path, origin); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	if p, err := ReadWitnesses("", origin); err != nil || len(p.Witnesses) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}
