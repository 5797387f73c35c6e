package operator_test

import (
	"context"
	"errors"
	"testing"

	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/wire"
)

// known are the members of a test and the cluster versions that they know.
type known []operator.MemberVersion

func (k known) Versions(context.Context) []operator.MemberVersion { return k }

func (k known) VersionAt(context.Context, string, string) (uint32, error) {
	return 0, errors.New("nobody is added here")
}

// TestRaiseVersion: a raise is one event, also when it is asked for twice under one op_id. What is refused leaves none.
func TestRaiseVersion(t *testing.T) {
	members := known{{ID: "a", Newest: 2}, {ID: "b", Newest: 1}}
	b := newBench(t, func(o *operator.Options) { o.Releases = members })
	raise := func(v uint32, opID string) (*wire.ClusterVersionAnswer, error) {
		return b.Members.RaiseVersion(t.Context(),
			wire.ClusterVersionRequest{Op: wire.Op{OpID: opID, Reason: "r"}, Version: v}, as("alice"))
	}
	if b.grow(func() {
		_, err := raise(2, "one")
		b.is("an older build", err, wire.CodeStale)
		b.hints(err, "b runs a build that knows cluster versions up to 1, not 2")
		members[1].Newest = 0
		_, err = raise(2, "one")
		b.is("a silent member", err, wire.CodeStale)
		b.hints(err, "b does not answer")
		if a, err := raise(1, "one"); err != nil || a.Seq != 0 || a.From != 1 {
			t.Errorf("the present version: %+v %v", a, err)
		}
	}) {
		t.Error("a refused raise is in the log")
	}
	members[1].Newest = 3
	first, err := raise(2, "one")
	if err != nil || first.Seq == 0 || first.From != 1 || b.ledger.State.Control().ClusterVersion() != 2 {
		t.Fatalf("%+v %v", first, err)
	}
	if b.grow(func() {
		if again, err := raise(2, "one"); err != nil || again.Version != 2 || again.Seq != 0 {
			t.Errorf("%+v %v", again, err)
		}
		_, err = raise(1, "two")
		b.is("back", err, wire.CodeStale)
		b.hints(err, "never fall")
	}) {
		t.Error("something was raised again")
	}
}
