package projections

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// TestInvitationsAreBounded: not more than MaxInvitations are open. The state forgets the oldest that ended, never an
// open one.
func TestInvitationsAreBounded(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy())
	l.message(event.ClusterVersionRaised, &event.ClusterVersionRaisedV1{Version: 2, From: 1})
	next := uint64(0)
	invite := func(node string) Effect {
		next++
		sha := binary.BigEndian.AppendUint64(make([]byte, 24), next)
		l.message(event.MemberInvited, &event.MemberInvitedV1{Member: node, PeerAddress: "h:1", Sha256: sha, ValidFor: 1e9})
		return effectOfLast(t, l, event.MemberInvited)
	}
	for i := range MaxInvitations {
		if got := invite(fmt.Sprint("n", i)); got != Applied {
			t.Fatalf("invitation %d has effect %d", i, got)
		}
	}
	if got := invite("one more"); got != Ignored {
		t.Errorf("%d invitations are open and one more has effect %d", MaxInvitations, got)
	}
	first := l.ctrl.Invitations(l.now)[0]
	for range 3 * keptInvitations {
		if got := invite("n1"); got != Applied {
			t.Fatalf("to invite a node again has effect %d", got)
		}
	}
	if n := len(l.ctrl.invited); n != keptInvitations {
		t.Errorf("the state has %d invitations, not %d", n, keptInvitations)
	}
	if open := l.ctrl.Invitations(l.now); len(open) != MaxInvitations || open[0] != first {
		t.Errorf("%d are open, the first is %+v", len(open), open[0])
	}
	if _, ok := l.ctrl.Invitation([32]byte(binary.BigEndian.AppendUint64(make([]byte, 24), 2))); ok {
		t.Error("the invitation that ended first is still there")
	}
	l.now += 1e9
	if open := l.ctrl.Invitations(l.now); len(open) != 0 || invite("one more") != Applied {
		t.Errorf("%d are open after their time", len(open))
	}
}
