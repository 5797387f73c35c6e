package fsm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestOutcomes: one outcome per event, equal to its row; those who wait are woken; nobody waits longer than its context.
func TestOutcomes(t *testing.T) {
	logs := history(t, 60)
	n := uint64(len(logs))
	m := newMachine(t, vfs.NewMem(), 100_000)
	defer m.close()
	m.store(logs)
	type answer struct {
		index uint64
		out   []projections.Result
		err   error
	}
	answers := make(chan answer, n)
	asked := 0
	for _, l := range logs {
		if l.Type == raft.LogCommand {
			asked++
			go func() {
				out, err := m.gen.Outcomes(t.Context(), l.Index)
				answers <- answer{l.Index, out, err}
			}()
		}
	}
	seqDone := make(chan error, 1)
	go func() { seqDone <- m.gen.WaitSeq(t.Context(), 700) }()
	m.run(n)
	m.must(<-seqDone)
	view := m.gen.View()
	defer view.Close()
	for range asked {
		a := <-answers
		m.must(a.err)
		checkOutcomes(m, view, logs[a.index-1], a.out)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.gen.WaitIndex(gone, n); err != nil {
		t.Errorf("what is folded already: %v", err)
	}
	if _, err := m.gen.Outcomes(gone, n+1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := m.gen.WaitSeq(gone, 1<<40); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func checkOutcomes(m *machine, view *View, l *raft.Log, out []projections.Result) {
	m.t.Helper()
	pack, err := event.DecodePack(l.Data)
	m.must(err)
	if len(out) != len(pack.Events) {
		m.t.Fatalf("entry %d: %d outcomes for %d events", l.Index, len(out), len(pack.Events))
	}
	for i, r := range out {
		if pack.Events[i].Kind != event.Submission {
			if r.Seq != 0 || r.Outcome != 0 {
				m.t.Errorf("entry %d: an outcome for an operator's event", l.Index)
			}
			continue
		}
		index, offset, err := m.derived.Locate(r.Seq)
		m.must(err)
		row, err := projections.Row(view, r.Seq)
		m.must(err)
		if index != l.Index || offset != i || row.Outcome != r.Outcome || row.Reason != r.Reason || row.PCSID != r.PCSID ||
			!slices.Equal(row.Reasons, r.Reasons) || r.Generation != 1 {
			m.t.Errorf("event %d: %+v, row %+v", r.Seq, r, row)
		}
	}
}

// TestLateOutcomes: who asks late, or after a restart, gets from the rows what was in memory, and memory holds a bounded number.
func TestLateOutcomes(t *testing.T) {
	b := &builder{logs: history(t, 717)}
	c := published(t)
	b.pack(append(slices.Clone(c.events[:40]), c.submission("{}", 1), c.submission("{}", 2))...)
	m := newMachine(t, vfs.NewMem(), DefaultBatchBytes)
	defer func() { m.close() }()
	m.store(b.logs)
	m.run(uint64(len(b.logs)))
	early, replays, again := map[uint64][]projections.Result{}, 0, 0
	for _, l := range b.logs {
		if l.Type != raft.LogCommand {
			continue
		}
		out, err := m.gen.Outcomes(t.Context(), l.Index)
		m.must(err)
		for i := range out {
			out[i] = inRow(out[i])
			if out[i].First != nil {
				replays++
			}
		}
		early[l.Index] = out
	}
	term := message(t, event.TermStart, &event.TermStartV1{Term: 1, Node: "n1"})
	pack := make([]event.Event, 512)
	for i := range pack {
		pack[i] = term
	}
	for range outcomesHeld/len(pack) + 2 {
		b.pack(pack...)
	}
	n := uint64(len(b.logs))
	m.store(b.logs)
	m.run(n)
	if r := &m.gen.recent; r.held != outcomesHeld || len(r.order) != len(r.byEntry) {
		t.Errorf("%d outcomes of %d entries in memory, in order %v", r.held, len(r.byEntry), r.order)
	}
	for range 2 {
		for index, want := range early {
			if m.gen.recent.byEntry[index] != nil {
				t.Errorf("entry %d is in memory", index)
			}
			late, err := m.gen.Outcomes(t.Context(), index)
			m.must(err)
			if len(late) != len(want) {
				t.Fatalf("entry %d: %d outcomes, %d before", index, len(late), len(want))
			}
			for i := range late {
				if again++; !reflect.DeepEqual(late[i], want[i]) {
					t.Errorf("entry %d: late %+v, early %+v", index, late[i], want[i])
				}
			}
		}
		if out, err := m.gen.Outcomes(t.Context(), n); err != nil || len(out) != len(pack) || out[0].Seq != 0 {
			t.Errorf("operators' events: %d outcomes, %v", len(out), err)
		}
		m.close()
		m.open()
	}
	if replays == 0 || again < 1400 {
		t.Errorf("%d outcomes with a first one, %d compared", replays, again)
	}
}

// inRow clears what no row has.
func inRow(r projections.Result) projections.Result {
	r.FactsMismatch, r.MaxEpoch, r.AgainSeq = false, 0, 0
	return r
}

// TestObserver: every submission is told, and one whose recorded facts this node's key contradicts is named.
func TestObserver(t *testing.T) {
	c := published(t)
	b := &builder{logs: history(t, 200)}
	sub, err := event.DecodeSubmission(c.events[0].Payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range c.keys {
		if k.ID != sub.Facts.KeyID {
			sub.Facts.KeyID = k.ID
			break
		}
	}
	b.pack(event.Event{Kind: event.Submission, Payload: sub.Payload()})
	n := uint64(len(b.logs))
	m := newMachine(t, vfs.NewMem(), 50_000)
	defer func() { m.close() }()
	var mismatches []uint64
	outcomes := map[verify.Outcome]int{}
	m.gen.obs = Observer{Mismatch: func(seq uint64) { mismatches = append(mismatches, seq) },
		Event: func(r projections.Result) { outcomes[r.Outcome]++ }}
	m.store(b.logs)
	m.run(n)
	if want := []uint64{m.gen.Cursor().Seq}; !slices.Equal(mismatches, want) {
		t.Errorf("mismatches at %v, want %v", mismatches, want)
	}
	total := 0
	for _, v := range outcomes {
		total += v
	}
	if total != len(c.events)+1 || outcomes[verify.Accepted] == 0 || outcomes[verify.Escalated] == 0 {
		t.Errorf("%v", outcomes)
	}
}

// TestLoggedDigests: a logged digest is compared with the own state at the event that it speaks of.
func TestLoggedDigests(t *testing.T) {
	logs := history(t, 30)
	m := newMachine(t, vfs.NewMem(), 20_000)
	m.store(logs)
	m.run(uint64(len(logs)))
	good := func(seq uint64) *event.StateDigestV1 {
		s := m.stateAt(seq, start)
		return &event.StateDigestV1{Seq: seq, Log: s.Root[:], State: s.State[:], Control: s.Control[:], Generation: 1}
	}
	flip := func(b []byte) []byte {
		b = slices.Clone(b)
		b[7] ^= 1
		return b
	}
	b := &builder{logs: logs, term: 90}
	var want []string
	log := func(d *event.StateDigestV1, told string) {
		b.pack(message(t, event.StateDigest, d))
		if told != "" {
			want = append(want, fmt.Sprintf("%d %s", d.Seq, told))
		}
	}
	for _, seq := range []uint64{0, 1, 4, 256, 511, 700} {
		log(good(seq), "true")
	}
	for i := range 3 {
		d := good(300)
		part := []*[]byte{&d.Log, &d.State, &d.Control}[i]
		*part = flip(*part)
		log(d, "false")
	}
	other := good(300)
	other.Generation, other.State = 2, flip(other.State)
	log(other, "") // of another generation
	later := good(300)
	later.Seq = 5000
	log(later, "")
	short := good(300)
	short.Log = short.Log[:31]
	log(short, "")
	m.close()
	for _, batch := range []int{1, DefaultBatchBytes} {
		told, plain := foldDigests(t, b.logs, batch)
		if !slices.Equal(told, want) {
			t.Errorf("batches of %d: told %v, want %v", batch, told, want)
		}
		if silent := foldAll(t, b.logs, batch); silent != plain {
			t.Errorf("the comparison changes the fold: %x, %x", plain, silent)
		}
	}
}

func foldDigests(t *testing.T, logs []*raft.Log, batch int) (told []string, s state) {
	m := &machine{t: t, fs: vfs.NewMem(), batch: batch}
	m.obs.Digest = func(d projections.DigestRow, agrees bool) { told = append(told, fmt.Sprint(d.At, agrees)) }
	m.open()
	defer m.close()
	m.store(logs)
	m.run(uint64(len(logs)))
	return told, m.state()
}
