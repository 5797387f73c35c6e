package notary

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/wire"
)

const origin = "recount/c"

// tree is the tree of events whose payload digest is that of their number.
type tree struct {
	edge  log.TileEdge
	tiles map[log.Tile][]byte
	size  uint64
	fork  uint64
	other uint64 // the event that the log has with another payload, 0 for none
}

func newTree(size uint64) *tree { return newTreeOf(size, 0) }

// newTreeOf makes a tree in which the event fork, 0 for none, has another time.
func newTreeOf(size, fork uint64) *tree {
	t := &tree{tiles: map[log.Tile][]byte{}, fork: fork}
	set := func(tile log.Tile, b []byte) { t.tiles[tile] = bytes.Clone(b) }
	for t.size < size {
		t.size++
		if err := t.edge.Append(t.item(t.size).Leaf().Hash(), set); err != nil {
			panic(err)
		}
	}
	t.edge.Flush(set)
	return t
}

func (t *tree) item(seq uint64) *projections.Item {
	it := &projections.Item{Seq: seq, RawTime: int64(seq), Kind: event.Submission,
		PayloadSHA: sha256.Sum256(binary.BigEndian.AppendUint64(nil, seq))}
	if seq == t.fork {
		it.RawTime++
	}
	return it
}

func (t *tree) read(tile log.Tile) ([]byte, error) { return t.tiles[tile], nil }

func (t *tree) Root(size uint64) ([32]byte, error) { return log.Root(size, log.TileHashes(t.read)) }

func (t *tree) Tile(tile log.Tile, width int) ([]byte, error) {
	if log.TileWidthAt(tile, t.size) < width {
		return nil, fsm.ErrNoEvent
	}
	return t.tiles[tile][:32*width], nil
}

func (t *tree) Inclusion(seq, size uint64) ([][32]byte, error) {
	if size > t.size {
		return nil, fsm.ErrNoEvent
	}
	return log.Inclusion(seq-1, size, log.TileHashes(t.read))
}

func (t *tree) Consistency(old, size uint64) ([][32]byte, error) {
	if size > t.size {
		return nil, fsm.ErrNoEvent
	}
	return log.Consistency(old, size, log.TileHashes(t.read))
}

func (t *tree) Items() func(uint64) (projections.Item, error) {
	return func(seq uint64) (projections.Item, error) {
		it := *t.item(seq)
		if seq == t.other {
			it.PayloadSHA[0] ^= 1
		}
		return it, nil
	}
}

// bench is a notary with a tree, and what its node says.
type bench struct {
	*Notary
	tree     *tree
	head     uint64
	asked    int
	disagree error
	withheld *wire.Problem
	confirm  func(context.Context) error
	key      string // text of the key file
}

func newBench(t *testing.T, size uint64) *bench {
	t.Helper()
	text, _, err := evidence.NewSecretKey(origin)
	must(t, err)
	b := &bench{tree: newTree(size), head: size, key: text,
		confirm: func(context.Context) error { return nil }}
	path := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	b.Notary, err = New(Options{Origin: origin, KeyFile: path, Tree: b.tree, Logger: slog.New(slog.DiscardHandler),
		Head: func() (uint32, uint64) { return 1, b.head },
		Agreed: func(_ context.Context, _ uint32, seq uint64) (root [32]byte, err error) {
			if b.asked++; b.disagree != nil {
				return root, b.disagree
			}
			return b.tree.Root(seq)
		},
		Withheld: func() *wire.Problem { return b.withheld },
		Confirm:  func(ctx context.Context) error { return b.confirm(ctx) },
	})
	must(t, err)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSignsWhatIsAgreed: a position is signed once, after the voters were asked, and never one before the shown one.
func TestSignsWhatIsAgreed(t *testing.T) {
	b := newBench(t, 300)
	var p *wire.Problem
	if _, err := b.Checkpoint(); !errors.As(err, &p) || p.Code != wire.CodeNotReady {
		t.Errorf("before the first one: %v", err)
	}
	for _, step := range []struct {
		head     uint64
		disagree error
		asked    int
		shown    uint64
	}{
		{0, nil, 0, 0}, {100, errors.New("no"), 1, 0}, {100, nil, 2, 100}, {100, nil, 2, 100}, {99, nil, 2, 100},
		{300, errors.New("no"), 3, 100}, {300, nil, 4, 300},
	} {
		b.head, b.disagree = step.head, step.disagree
		if err := b.sign(t.Context()); !errors.Is(err, step.disagree) {
			t.Errorf("%+v: %v", step, err)
		}
		if got := b.Counts().Size; got != step.shown || b.asked != step.asked {
			t.Errorf("%+v: shown %d, asked %d times", step, got, b.asked)
		}
	}
	note, err := b.Checkpoint()
	must(t, err)
	c, _, err := evidence.OpenCheckpoint(note, (*b.keys.Load())[0].Public())
	root, _ := b.tree.Root(300)
	if err != nil || c.Size != 300 || c.Root != root || c.Origin != origin {
		t.Errorf("%+v, %v", c, err)
	}
	if counts := b.Counts(); counts.Signed != 2 || counts.Unsigned != 2 {
		t.Errorf("%+v", counts)
	}
}

// TestWithheld: a node that answers no client signs nothing and gives out nothing.
func TestWithheld(t *testing.T) {
	b := newBench(t, 300)
	must(t, b.sign(t.Context()))
	b.head, b.withheld = 301, wire.NewProblem(wire.CodeNotReady, "quarantined")
	must(t, b.sign(t.Context()))
	if b.asked != 1 {
		t.Error("it asked for a signature")
	}
	for name, err := range map[string]error{
		"checkpoint": failed(b.Checkpoint()), "tile": failed(b.Tile(0, 0, 256)),
		"entries": failed(b.Entries(t.Context(), 0, 256)), "inclusion": failed(b.Inclusion(1, 300)),
		"consistency": failed(b.Consistency(1, 300)),
	} {
		if !errors.Is(err, b.withheld) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func failed[T any](_ T, err error) error { return err }

// TestEntries: a bundle holds the leaves of the tree, and one that contradicts the log is not given out.
func TestEntries(t *testing.T) {
	b := newBench(t, 300)
	bundle, err := b.Entries(t.Context(), 1, 44)
	must(t, err)
	var want []byte
	for seq := uint64(257); seq <= 300; seq++ {
		want = b.tree.item(seq).Leaf().Append(append(want, 0, evidence.LeafSize))
	}
	if !bytes.Equal(bundle, want) {
		t.Errorf("%x, want %x", bundle, want)
	}
	for range cap(b.bundles) {
		b.bundles <- struct{}{}
	}
	if _, err := b.Entries(t.Context(), 0, 256); err != nil {
		t.Errorf("beside bundles of records: %v", err)
	}
	for range entriesAtOnce {
		b.entries <- struct{}{}
	}
	var p *wire.Problem
	if _, err := b.Entries(t.Context(), 0, 256); !errors.As(err, &p) || p.Code != wire.CodeOverloaded {
		t.Errorf("beside %d others: %v", entriesAtOnce, err)
	}
	b.entries = make(chan struct{}, entriesAtOnce)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Entries(ended, 0, 256); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
	if b.tree.other = 5; failed(b.Entries(t.Context(), 0, 256)) == nil {
		t.Error("a leaf that is not that of the tree is given out")
	}
	for name, err := range map[string]error{
		"entries": failed(b.Entries(t.Context(), 1, 45)), "tile": failed(b.Tile(1, 0, 2)),
		"inclusion": failed(b.Inclusion(1, 301)), "consistency": failed(b.Consistency(1, 301)),
	} {
		if !errors.Is(err, api.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeyFile: a node does not start with a file that it cannot use, and no secret is in the error.
func TestKeyFile(t *testing.T) {
	other, _, err := evidence.NewSecretKey("recount/other")
	must(t, err)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want error
	}{
		"another ledger": {other, 0o600, evidence.ErrSignature}, "no key": {"# none\n", 0o600, evidence.ErrFormat},
		"damaged": {other[:len(other)-3], 0o600, evidence.ErrFormat}, "readable": {other, 0o644, secretfile.ErrMode},
	} {
		path := filepath.Join(t.TempDir(), "key")
		must(t, os.WriteFile(path, []byte(c.text), c.mode))
		_, err := New(Options{Origin: origin, KeyFile: path})
		if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "checkpoint_key_file: ") ||
			strings.Contains(err.Error(), other[len(other)-30:]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	absent := filepath.Join(t.TempDir(), "none")
	if _, err := New(Options{Origin: origin, KeyFile: absent}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	without, err := New(Options{Origin: origin, Withheld: func() *wire.Problem { return nil }})
	must(t, err)
	var p *wire.Problem
	if _, err := without.Checkpoint(); !errors.As(err, &p) || p.Code != wire.CodeNotFound {
		t.Errorf("without a key: %v", err)
	}
}

// TestNewKeysSignAgain: the same position is signed again when the file has other keys, and not when it cannot be read.
func TestNewKeysSignAgain(t *testing.T) {
	b := newBench(t, 300)
	must(t, b.sign(t.Context()))
	before, err := b.Checkpoint()
	must(t, err)
	must(t, os.WriteFile(b.KeyFile, []byte("no key"), 0o600))
	b.rereadKeys()
	must(t, b.sign(t.Context()))
	if same, err := b.Checkpoint(); err != nil || !bytes.Equal(same, before) || !b.Counts().KeyFileFailed {
		t.Errorf("%s %v", same, err)
	}
	text, next, err := evidence.NewSecretKey(origin)
	must(t, err)
	must(t, os.WriteFile(b.KeyFile, []byte(b.key+"\n"+text+"\n"), 0o600))
	b.rereadKeys()
	must(t, b.sign(t.Context()))
	after, err := b.Checkpoint()
	must(t, err)
	_, by, err := evidence.OpenCheckpoint(after, next.Public())
	if err != nil || len(by) != 1 || b.Counts().KeyFileFailed {
		t.Errorf("%s, %v", after, err)
	}
}
