package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/disk"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
)

// lastEntry is the log of a leader that gives up its place with each proposal, and keeps the bytes of it.
type lastEntry struct {
	entry   atomic.Pointer[[]byte]
	changed chan struct{}
}

func (l *lastEntry) IsLeader() bool           { return l.entry.Load() == nil }
func (l *lastEntry) Changed() <-chan struct{} { return l.changed }

func (l *lastEntry) Propose(_ context.Context, entry []byte) (uint64, error) {
	l.entry.Store(&entry)
	return 0, propose.ErrNoLeader
}

func (l *lastEntry) Forward(context.Context, []byte) (propose.LogPosition, error) {
	return propose.LogPosition{}, errors.New("a leader forwards nothing")
}

// forwardTarget is a leader as far as packs of other nodes reach, without keys.
func forwardTarget(f testing.TB) (*Node, *lastEntry) {
	quiet := slog.New(slog.DiscardHandler)
	store, err := log.Open(f.TempDir(), log.Options{})
	if err != nil {
		f.Fatal(err)
	}
	derived, err := fsm.OpenDerived(vfs.NewMem(), "derived", store, 1<<20, quiet, nil)
	if err != nil {
		f.Fatal(err)
	}
	n := &Node{
		cfg:  Config{NodeID: "node-1"},
		disk: disk.New(disk.Options{Virtual: true, Unflushed: func() uint64 { return 0 }}),
	}
	keys := newHeldKeys(&n.cfg, quiet)
	keys.derived = derived
	n.facts = &factChecker{cfg: &n.cfg, log: quiet, derived: derived, store: store, keys: keys, stats: &stats{},
		releases: newReleases(func() []string { return nil }, nil)}
	end := &lastEntry{changed: make(chan struct{})}
	close(end.changed)
	n.packer = propose.New(propose.Options[projections.Result]{Log: end, Now: func() int64 { return 7 },
		MaxQueue: 16 << 20, Deadline: 10 * time.Second})
	f.Cleanup(func() {
		n.packer.Close()
		if err := errors.Join(derived.Close(), store.Close()); err != nil {
			f.Error(err)
		}
	})
	return n, end
}

// FuzzAcceptForward: a malformed or hostile pack of a member does not reach the log. One that does has the bytes that encoding
// its events again gives.
func FuzzAcceptForward(f *testing.F) {
	n, end := forwardTarget(f)
	sub := func(s event.Sub) event.Event { return event.Event{Kind: event.Submission, Payload: s.Payload()} }
	good := sub(event.Sub{Body: []byte("{}"), Node: "node-2", ReceivedAt: 1})
	pack := func(events ...event.Event) []byte { return event.Pack{ProposedAt: 99, Events: events}.Append(nil) }
	f.Add(pack(good))
	f.Add(pack(good, good)[:40])
	f.Add(append(pack(good), 0))
	f.Add(event.Pack{Events: []event.Event{good, good}, Newer: true}.Append(nil))
	f.Add(pack(good, sub(event.Sub{Body: []byte("{}"), Node: "node-3"})))
	f.Add(pack(sub(event.Sub{Body: []byte("{}"), Node: "node-2", Facts: event.Facts{KeyID: "k", Alg: 1, Profile: 1, Mode: 1}})))
	f.Add(pack(sub(event.Sub{Body: []byte("{}"), Node: "node-2", Facts: event.Facts{KeyID: "k", Alg: 2, Profile: 9, Mode: 3}})))
	f.Add(pack(good, event.Event{Kind: event.TokenRevoked, Payload: good.Payload}))
	f.Add(pack(event.Event{Kind: event.Submission, Payload: append(slices.Clone(good.Payload), 0xff)}))
	f.Fuzz(func(t *testing.T, body []byte) {
		end.entry.Store(nil)
		_, err := n.acceptForward(t.Context(), "node-2", body)
		var remote *cluster.RemoteError
		if !errors.As(err, &remote) {
			t.Fatalf("the log takes nothing, and the answer is %v", err)
		}
		entry, harmless := end.entry.Load(), false
		p, err := event.DecodePack(body)
		if err == nil {
			harmless = !slices.ContainsFunc(p.Events, func(e event.Event) bool {
				s, err := event.DecodeSubmission(e.Payload)
				return e.Kind != event.Submission || err != nil || s.Node != "node-2" || s.Facts != event.Facts{}
			})
		}
		if entry == nil {
			if harmless || remote.Code == codeNoLeader {
				t.Fatalf("refused with %v", remote)
			}
			return
		}
		for _, e := range p.Events {
			if _, err := notForwarded(e, "node-2"); err != nil {
				t.Fatalf("proposed: %v", err)
			}
		}
		again := event.Pack{ProposedAt: 7, Events: p.Events}
		if again.Mark(); err != nil || !bytes.Equal(again.Append(nil), *entry) {
			t.Fatalf("the entry has other bytes than its events, %v", err)
		}
	})
}
