package notary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/wire"
)

// remember gives a bench a history in a file.
func (b *bench) remember(t *testing.T, path string) {
	t.Helper()
	var err error
	b.history, err = openHistory(path, origin, b.publicKeys, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { _ = b.history.file.Close() })
}

// TestHistory: what was signed is listed in pages, also after a start, with the cosignatures.
func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	w := newWitnessed(t, 300, 1, "all")
	w.remember(t, path)
	for _, size := range []uint64{5, 9, 200, 300} {
		w.signAt(t, size)
		w.await(t, "the witness", func() bool { return w.Counts().Cosigned == size })
	}
	must(t, w.Close())
	again := newBench(t, 300)
	again.remember(t, path)
	page, err := again.Checkpoints(1<<62, 3)
	must(t, err)
	if len(page.Checkpoints) != 3 || page.Checkpoints[0].Size != 300 || page.NextBefore != 9 {
		t.Fatalf("%+v", page)
	}
	for _, c := range page.Checkpoints {
		list, err := evidence.Cosignatures([]byte(c.Note), w.Witnesses.Keys()...)
		if err != nil || len(list) != 1 {
			t.Errorf("%d: %v, %v", c.Size, list, err)
		}
	}
	if page, err = again.Checkpoints(page.NextBefore, 3); err != nil || len(page.Checkpoints) != 1 || page.NextBefore != 0 {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestNothingSmallerAfterAStart: a node that was started signs only once it has folded what it had signed before, and
// nothing at all if that was another tree.
func TestNothingSmallerAfterAStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	b := newBench(t, 300)
	b.remember(t, path)
	b.signAt(t, 200)
	must(t, b.Close())
	b = newBench(t, 300)
	b.remember(t, path)
	b.head = 199 // all that is committed
	if err := b.sign(t.Context()); !errors.Is(err, ErrContradiction) || !b.Counts().Contradiction || b.Counts().Size != 0 || b.asked != 0 {
		t.Errorf("the ledger was rolled back: %v, %+v", err, b.Counts())
	}
	must(t, b.Close())
	b = newBench(t, 300)
	b.remember(t, path)
	b.signAt(t, 201)
	if counts := b.Counts(); counts.Size != 201 || counts.Late != 0 || counts.Contradiction {
		t.Errorf("%+v", counts)
	}
	must(t, b.Close())
	b = newBench(t, 300)
	b.tree = newTreeOf(300, 100)
	b.Tree = b.tree
	b.remember(t, path)
	b.head = 300
	defer func() {
		_, latest := b.Latest()
		_, covering := b.covering(t.Context(), 1, 1)
		for _, err := range []error{latest, covering} {
			var p *wire.Problem
			if !errors.As(err, &p) || p.Code != wire.CodeNotReady || p.RetryAfterMS != 0 ||
				!strings.Contains(p.Detail, ErrContradiction.Error()) || !strings.Contains(p.Detail, "runbooks/checkpoints.md") {
				t.Errorf("what clients are told: %v", err)
			}
		}
	}()
	if err := b.sign(t.Context()); !errors.Is(err, ErrContradiction) || !b.Counts().Contradiction || b.Counts().Size != 0 {
		t.Errorf("another tree: %v, %+v", err, b.Counts())
	}
}

// TestHistoryAfterACrash: a record that is cut anywhere is dropped, and everything before it stays.
func TestHistoryAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	b := newBench(t, 300)
	b.remember(t, path)
	b.signAt(t, 100)
	first, err := os.ReadFile(path)
	must(t, err)
	b.signAt(t, 200)
	must(t, b.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	open := func(text []byte) []Kept {
		must(t, os.WriteFile(path, text, 0o600))
		h, err := openHistory(path, origin, b.publicKeys, slog.New(slog.DiscardHandler))
		must(t, err)
		must(t, h.close())
		return h.list
	}
	for cut := len(first); cut < len(whole); cut += 1 + cut%7 {
		if list := open(whole[:cut]); len(list) != 1 || list[0].Size != 100 {
			t.Fatalf("cut at %d: %d checkpoints", cut, len(list))
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, first) {
			t.Fatalf("cut at %d: %d bytes are left", cut, len(left))
		}
	}
}

// TestHistoryDamaged: a damaged byte costs the record that it is in and no other one, wherever it is. What was in the
// file stays aside, under another name each time.
func TestHistoryDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	b := newBench(t, 300)
	b.remember(t, path)
	var ends []int
	for _, size := range []uint64{100, 200, 300} {
		b.signAt(t, size)
		text, err := os.ReadFile(path)
		must(t, err)
		ends = append(ends, len(text))
	}
	must(t, b.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	for at, aside := 0, 1; at < len(whole); at, aside = at+1+at%11, aside+1 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1
		must(t, os.WriteFile(path, damaged, 0o600))
		lost := uint64(100 * (1 + slices.IndexFunc(ends, func(end int) bool { return at < end })))
		for range 2 { // the second time, the file is whole
			h, err := openHistory(path, origin, b.publicKeys, slog.New(slog.DiscardHandler))
			must(t, err)
			must(t, h.close())
			for _, size := range []uint64{100, 200, 300} {
				if size != lost && !slices.ContainsFunc(h.list, func(k Kept) bool { return k.Size == size }) {
					t.Fatalf("damaged at %d, in %d: %d is lost too", at, lost, size)
				}
			}
		}
		kept, err := os.ReadFile(fmt.Sprintf("%s.damaged-%d", path, aside))
		if left, _ := os.ReadFile(path); errors.Is(err, os.ErrNotExist) && len(left) == len(whole) {
			aside--
			continue // only the time of a record, over which there is no checksum
		}
		if err != nil || !bytes.Equal(kept, damaged) {
			t.Fatalf("damaged at %d: %d bytes aside, %v", at, len(kept), err)
		}
	}
}

// TestNothingSmallerWithoutHistory: a node that was started signs nothing before it has folded all that was committed.
// So it signs no smaller size than before when its history is lost, too.
func TestNothingSmallerWithoutHistory(t *testing.T) {
	b := newBench(t, 300)
	b.confirm = func(context.Context) error { return api.ErrNotFound }
	b.head = 199
	if err := b.sign(t.Context()); !errors.Is(err, api.ErrNotFound) || b.Counts().Size != 0 || b.late.Load() == 0 {
		t.Errorf("without the news: %v, %+v", err, b.Counts())
	}
	confirmed := 0
	b.confirm = func(context.Context) error { confirmed, b.head = confirmed+1, 250; return nil }
	must(t, b.sign(t.Context()))
	if b.Counts().Size != 0 || b.asked != 0 {
		t.Errorf("the head of before was signed: %+v", b.Counts())
	}
	must(t, b.sign(t.Context()))
	b.signAt(t, 300)
	if b.Counts().Size != 300 || confirmed != 1 {
		t.Errorf("%+v, confirmed %d times", b.Counts(), confirmed)
	}
}

// TestHistoryAfterAFailedWrite: a record that the disk took a part of hides none of the later ones.
func TestHistoryAfterAFailedWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	b := newBench(t, 300)
	b.remember(t, path)
	b.signAt(t, 100)
	whole := b.history.file
	readOnly, err := os.Open(path)
	must(t, err)
	b.history.file = readOnly
	b.head = 200
	if err := b.sign(t.Context()); err == nil || b.Counts().Size != 100 {
		t.Errorf("shown without a record: %v, %+v", err, b.Counts())
	}
	_, err = whole.WriteString("checkpoint 17")
	must(t, errors.Join(err, whole.Close()))
	b.signAt(t, 300)
	must(t, b.Close())
	h, err := openHistory(path, origin, b.publicKeys, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, h.close())
	if k, found := h.newest(); !found || k.Size != 300 {
		t.Errorf("newest %d, %t", k.Size, found)
	}
	if _, err := os.Stat(path + ".damaged-1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was damaged: %v", err)
	}
}

// TestThin: the newest ones stay, and of older ones fewer the older they are. The file follows.
func TestThin(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	var list []Kept
	for i := range 200_000 { // every 90 s: 208 days
		list = append(list, Kept{Checkpoint: evidence.Checkpoint{Size: uint64(i + 1)}, At: start.Add(time.Duration(i) * 90 * time.Second)})
	}
	now := list[len(list)-1].At
	kept := thin(list, now)
	recent, day, hours, days := 0, 0, 0, 0
	for _, k := range kept {
		switch age := now.Sub(k.At); {
		case age <= 511*90*time.Second:
			recent++
		case age <= 24*time.Hour:
			day++
		case age <= 60*24*time.Hour:
			hours++
		default:
			days++
		}
	}
	if recent != 512 || day != 960-511 || hours < 59*24 || hours > 60*24+1 || days < 147 || days > 150 {
		t.Errorf("%d: %d newest, %d of the day, %d hours, %d days", len(kept), recent, day, hours, days)
	}
	if again := thin(kept, now); len(again) != len(kept) {
		t.Errorf("thinned again: %d of %d", len(again), len(kept))
	}
	path := filepath.Join(t.TempDir(), "h")
	b := newBench(t, 300)
	b.remember(t, path)
	b.history.records = rewriteAt
	b.signAt(t, 100)
	b.signAt(t, 200)
	must(t, b.Close())
	if h, err := openHistory(path, origin, b.publicKeys, slog.New(slog.DiscardHandler)); err != nil || h.records != 2 || len(h.list) != 2 {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestMadeUpRecords: a record that this node did not sign keeps it from nothing and replaces nothing. With a false signature of
// a key of this node it is not handed out.
func TestMadeUpRecords(t *testing.T) {
	for _, size := range []uint64{1 << 62, 250, 200} {
		path := filepath.Join(t.TempDir(), "h")
		b := newBench(t, 300)
		b.remember(t, path)
		b.signAt(t, 200)
		must(t, b.Close())
		genuine := b.shown.Load().Note
		made := evidence.Checkpoint{Origin: origin, Size: size, Root: [32]byte{1}}
		_, signature, _ := bytes.Cut(genuine, []byte("\n\n"))
		for _, note := range []string{made.Text() + "\n— " + origin + " AAAAAAAA\n", made.Text() + "\n" + string(signature)} {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
			must(t, err)
			_, err = f.Write(Kept{made, time.Unix(1, 0), []byte(note)}.record())
			must(t, errors.Join(err, f.Close()))
		}
		again := newBench(t, 300)
		again.keys.Store(b.keys.Load())
		again.remember(t, path)
		again.head = 300
		if err := again.sign(t.Context()); err != nil || again.Counts().Contradiction {
			t.Errorf("made up for %d: %v", size, err)
		}
		page, err := again.Checkpoints(1<<63, 10)
		must(t, err)
		for _, c := range page.Checkpoints {
			if _, _, err := evidence.OpenCheckpoint([]byte(c.Note), b.publicKeys()...); err != nil && !errors.Is(err, evidence.ErrUnsigned) {
				t.Errorf("made up for %d: %d is handed out: %v", size, c.Size, err)
			}
		}
		if c := page.Checkpoints[len(page.Checkpoints)-1]; c.Size != 200 || c.Note != string(genuine) {
			t.Errorf("made up for %d: the genuine checkpoint is not listed", size)
		}
	}
}
