package reads_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// TestTimeOnALaggingNode: a time after the newest event of this node may be before one that it has not folded yet. The node
// finds out first, at every consistency, and refuses the read when it cannot. A time within its log needs no other node.
func TestTimeOnALaggingNode(t *testing.T) {
	v := newViewed(t, 1)
	newest := v.ledger.State.Cursor()
	confirmed := 0
	v.Views.Confirm = func(ctx context.Context) error { // the node hears of one event more
		confirmed++
		v.ledger.Advance(time.Minute)
		v.ledger.Add(event.Frozen, &event.FrozenV1{Op: &event.OpV1{Actor: "alice", Role: "operator", Reason: "a test"}})
		return v.ledger.Confirm(ctx)
	}
	at := newest.LogTime + int64(time.Hour)
	view, err := v.View(v.ctx, api.Read{AsOfTime: at})
	v.must(err)
	seq, err := view.AsOf(v.ctx, api.Then{AsOfTime: at})
	if err != nil || seq != newest.Seq+1 || confirmed != 1 {
		t.Errorf("as of event %d of %d, %v, after %d looks", seq, newest.Seq+1, err, confirmed)
	}
	v.Views.Confirm = v.ledger.Confirm
	v.ledger.LoseQuorum()
	at += int64(time.Hour)
	for time, want := range map[int64]wire.Code{newest.LogTime: "", at: wire.CodeNoLeader} {
		_, err := v.View(v.ctx, api.Read{AsOfTime: time})
		var p *wire.Problem
		if errors.As(err, &p); want == "" && err != nil || want != "" && (p == nil || p.Code != want) {
			t.Errorf("without a quorum, at %d: %v", time-newest.LogTime, err)
		}
	}
}
