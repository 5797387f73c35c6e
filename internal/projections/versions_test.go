package projections

import (
	"errors"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// itemOf is the next event of the ledger.
func (l *ledger) itemOf(t *testing.T, k event.Kind, m proto.Message) Item {
	t.Helper()
	payload, err := event.NewPayload([event.SaltSize]byte{}, m)
	if err != nil {
		t.Fatal(err)
	}
	return Item{Seq: l.seq + 1, Kind: k, LogTime: l.now, Event: event.Event{Kind: k, Payload: payload}}
}

// TestVersionsOfTomorrow: a build stops at the event that raises the cluster version above what it knows, in the fold
// and when it opens what a newer build has folded.
func TestVersionsOfTomorrow(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy())
	raise := &event.ClusterVersionRaisedV1{Version: event.NewestVersion + 1, From: 1}
	it := l.itemOf(t, event.ClusterVersionRaised, raise)
	if err := l.ctrl.Fold(l.ctrlDB, &it); !errors.Is(err, ErrClusterVersion) {
		t.Errorf("folded: %v", err)
	}
	row := append(append(appendHead(nil, it.Kind, it.LogTime), byte(Applied)), it.Event.Payload[event.SaltSize:]...)
	l.ctrlDB.Set(operatorKey(it.Kind, it.Seq), row)
	if _, err := LoadControl(l.ctrlDB); !errors.Is(err, ErrClusterVersion) {
		t.Errorf("opened: %v", err)
	}

	p := verify.DefaultPolicy()
	genesis := &event.GenesisV1{ClusterId: "x", Policy: p.Canonical(), Kernel: 1, ClusterVersion: event.NewestVersion + 1}
	first := l.itemOf(t, event.Genesis, genesis)
	first.Seq = 1
	if err := NewControl().Fold(NewMemStore(), &first); !errors.Is(err, ErrClusterVersion) {
		t.Errorf("genesis: %v", err)
	}
	genesis.ClusterVersion = event.NewestVersion
	first = l.itemOf(t, event.Genesis, genesis)
	first.Seq = 1
	db := NewMemStore()
	for _, ctrl := range []*Control{NewControl(), nil} { // folded, then read back
		var err error
		if ctrl == nil {
			ctrl, err = LoadControl(db)
		} else {
			err = ctrl.Fold(db, &first)
		}
		if err != nil || ctrl.ClusterVersion() != event.NewestVersion {
			t.Errorf("a new ledger is at version %d: %v", ctrl.ClusterVersion(), err)
		}
	}
}

// TestRowsOfUnknownKinds: a build does not open what a newer one has folded of kinds that it does not know, since it
// would go on without their effects.
func TestRowsOfUnknownKinds(t *testing.T) {
	for _, k := range []event.Kind{20, 29, event.ClusterVersionRaised + 1, 99, 1<<16 - 1} {
		l := newLedger(t, verify.DefaultPolicy())
		if _, err := LoadControl(l.ctrlDB); err != nil {
			t.Fatal(err)
		}
		l.ctrlDB.Set(operatorKey(k, 7), append(appendHead(nil, k, l.now), byte(Applied)))
		if _, err := LoadControl(l.ctrlDB); !errors.Is(err, ErrUnknownKind) {
			t.Errorf("kind %d: %v", k, err)
		}
	}
}

// TestKindsAboveTheVersion: an event of a kind that the cluster version does not allow yet changes nothing, on every
// node that knows the kind.
func TestKindsAboveTheVersion(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy())
	freeze := &event.FrozenV1{Op: &event.OpV1{OpId: "f"}}
	if !l.ctrl.Admits(event.Frozen) || l.ctrl.Admits(99) {
		t.Error("version 1 has frozen and no unknown kind")
	}
	l.ctrl.version = 0 // before every kind
	before := stateOf(l.ctrl)
	if l.ctrl.Admits(event.Frozen) {
		t.Error("version 0 admits frozen")
	}
	l.message(event.Frozen, freeze)
	if got := effectOfLast(t, l, event.Frozen); got != Ignored || !reflect.DeepEqual(stateOf(l.ctrl), before) {
		t.Errorf("effect %d, %+v", got, stateOf(l.ctrl))
	}
	l.ctrl.version = 1
	l.message(event.Frozen, freeze) // with the same op_id, which was not used up
	if got := effectOfLast(t, l, event.Frozen); got != Applied {
		t.Errorf("at version 1 it has effect %d", got)
	}
}
