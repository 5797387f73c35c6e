package node

import (
	"cmp"
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/disk"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/propose"
)

// TestNoNodeForgesOperations: of events that another node hands over, only what is no operation is taken.
func TestNoNodeForgesOperations(t *testing.T) {
	newOf := func(k event.Kind, m proto.Message) event.Event {
		e, err := propose.NewEvent(k, m)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	good := map[event.Kind]event.Event{
		event.Submission:      newOf(event.Submission, &event.SubmissionV1{Body: []byte("{}"), Node: "node-2"}),
		event.RefusalsDropped: newOf(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: "node-2"}),
		event.KeyAdded:        newOf(event.KeyAdded, &event.KeyAddedV1{KeyId: "k", Source: "env", Node: "node-2"}),
	}
	space := disk.New(disk.Options{Virtual: true, Unflushed: func() uint64 { return 0 }})
	n := &Node{cfg: Config{NodeID: "node-2"}, disk: space}
	refused := 0
	try := func(e event.Event) {
		t.Helper()
		pack := event.Pack{ProposedAt: 1, Events: []event.Event{e}}.Append(nil)
		_, err := n.acceptForward(t.Context(), "node-2", pack)
		var remote *cluster.RemoteError
		if !errors.As(err, &remote) || remote.Code != codeBadPack {
			t.Errorf("%s: %v", e.Kind, err)
		}
		refused++
	}
	for k := range event.Kind(100) {
		if e, ok := good[k]; ok {
			if _, err := notForwarded(e, "node-2"); err != nil {
				t.Errorf("%s is not forwarded", k)
			}
		} else if k != 0 {
			try(event.Event{Kind: k, Payload: good[event.Submission].Payload})
		}
	}
	for _, k := range []*event.KeyAddedV1{{Source: "operator"}, {Scope: []string{"*"}}, {Owner: "x"},
		{Comment: "x"}, {NotBefore: 1}, {NotAfter: 1}, {Op: &event.OpV1{OpId: "x", Actor: "alice"}},
		{Op: &event.OpV1{}}, {Node: "node-1"}} {
		k.KeyId, k.Source, k.Node = "k", cmp.Or(k.Source, "env"), cmp.Or(k.Node, "node-2")
		try(newOf(event.KeyAdded, k))
	}
	try(newOf(event.Submission, &event.SubmissionV1{Body: []byte("{}"), Node: "node-1"}))
	try(newOf(event.RefusalsDropped, &event.RefusalsDroppedV1{Node: "node-3"}))
	for k, e := range good { // no fold could read these
		try(event.Event{Kind: k, Payload: append(slices.Clone(e.Payload), 0xff)})
		try(event.Event{Kind: k, Payload: e.Payload[:17]})
	}
	try(event.Event{Kind: event.KeyAdded, Payload: good[event.KeyAdded].Payload[:20]})
	mixed := event.Pack{
		Events: []event.Event{good[event.Submission], newOf(event.TokenRevoked, &event.TokenRevokedV1{Id: "x"})},
	}.Append(nil)
	if _, err := n.acceptForward(t.Context(), "node-2", mixed); err == nil {
		t.Error("an operation hidden behind a submission was taken")
	}
	if refused < 90 {
		t.Errorf("only %d tried", refused)
	}
}
