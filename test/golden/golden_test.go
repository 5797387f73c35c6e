package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

const (
	ledgers = "../../testdata/golden-ledgers"
	// largestFile bounds a file of a golden ledger, in bytes: they stay in the repository for ever.
	largestFile = 300 << 10
	batchBytes  = 1 << 20
)

// TestGoldenLedgers opens the logs of earlier builds and folds every generation that was ever active. The digests are
// those that the nodes of that build gave.
func TestGoldenLedgers(t *testing.T) {
	dirs, err := filepath.Glob(ledgers + "/*/" + digestsFile)
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%d golden ledgers, %v", len(dirs), err)
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var p published
			text, err := os.ReadFile(file)
			if err == nil {
				err = json.Unmarshal(text, &p)
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Digests) < 5 || p.Digests[len(p.Digests)-1].Seq != p.Events {
				t.Fatalf("%d digests of %d events", len(p.Digests), p.Events)
			}
			events := filepath.Join(t.TempDir(), "events")
			unpack(t, filepath.Join(dir, logFile), events)
			foldLedger(t, events, &p)
		})
	}
}

// unpack writes the files of an archive into a new directory.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() > largestFile {
		t.Fatalf("%s has %d bytes, at most %d may stay in the repository: %v", archive, st.Size(), largestFile, err)
	}
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		var b []byte
		if err == nil {
			b, err = io.ReadAll(in)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(h.Name)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// heldKeys are the secrets of the test data. Every node of a golden ledger held them.
func heldKeys(t *testing.T) *verify.KeySet {
	t.Helper()
	var keys struct {
		HMAC map[string]struct {
			Text    string
			Trusted bool
		}
	}
	text, err := os.ReadFile("../../testdata/keys.json")
	if err == nil {
		err = json.Unmarshal(text, &keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []verify.Key
	for _, k := range keys.HMAC {
		if !k.Trusted {
			continue
		}
		key, err := verify.NewHMACKey([]byte(k.Text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, key)
	}
	return verify.NewKeySet(all)
}

// folds are the folds of one log that run until the test ends.
type folds struct {
	t     *testing.T
	ctx   context.Context
	loops sync.WaitGroup
}

func (f *folds) run(loop func(context.Context) error) {
	f.loops.Go(func() {
		if err := loop(f.ctx); f.ctx.Err() == nil {
			f.t.Errorf("a fold ended: %v", err)
		}
	})
}

// foldLedger folds the log in dir from its first event on and compares the digests.
func foldLedger(t *testing.T, dir string, p *published) {
	t.Helper()
	quiet, fs := slog.New(slog.DiscardHandler), vfs.NewMem()
	store, err := log.Open(dir, log.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	last, err := store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	store.CommittedTo(last) // the cluster was stopped in order
	derived, err := fsm.OpenDerived(fs, "derived", store, batchBytes, quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer derived.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	f := &folds{t: t, ctx: ctx}
	var opened []*fsm.Generation
	defer func() {
		cancel()
		f.loops.Wait()
		for _, g := range opened {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	f.run(derived.Run)
	held, byNumber := heldKeys(t), map[uint32]*fsm.Generation{}
	for _, want := range p.Digests {
		g := byNumber[want.Generation]
		if g == nil {
			g, err = fsm.OpenGeneration(fs, fmt.Sprintf("generation-%d", want.Generation), want.Generation, store, derived,
				func() *verify.KeySet { return held }, fsm.Observer{}, batchBytes, quiet)
			if err != nil {
				t.Fatal(err)
			}
			byNumber[want.Generation], opened = g, append(opened, g)
			f.run(g.Run)
		}
		if err := errors.Join(derived.WaitSeq(ctx, want.Seq), g.WaitSeq(ctx, want.Seq)); err != nil {
			t.Fatal(err)
		}
		got, err := derived.DigestsAt(g, want.Seq)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, got, want)
	}
	if seq := derived.Cursor().Seq; seq < p.Events || len(opened) < 3 {
		t.Errorf("folded to %d of %d, %d generations", seq, p.Events, len(opened))
	}
}

// compare holds the digests of this build against those of the build that made the ledger.
func compare(t *testing.T, got fsm.Digests, want wire.DigestAnswer) {
	t.Helper()
	for _, d := range []struct {
		name, want string
		got        [32]byte
	}{{"log", want.Log, got.Log}, {"state", want.State, got.State}, {"control", want.Control, got.Control}} {
		if text := hex.EncodeToString(d.got[:]); text != d.want {
			t.Errorf("seq %d, generation %d: %s %s, published %s", want.Seq, want.Generation, d.name, text, d.want)
		}
	}
}
