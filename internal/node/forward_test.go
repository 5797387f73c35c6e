package node

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/disk"
	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/wire"
)

// TestNoNodeForgesActs: of events that another node hands over, only what is no act of an operator is taken.
func TestNoNodeForgesActs(t *testing.T) {
	newOf := func(k event.Kind, m proto.Message) event.Event {
		e, err := newEvent(k, m)
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
		if !n.onlyHere(pack) {
			t.Errorf("%s would be handed to another node", e.Kind)
		}
		refused++
	}
	for k := range event.Kind(100) {
		if e, ok := good[k]; ok {
			if notForwarded(e, "node-2") != nil || n.onlyHere(event.Pack{Events: []event.Event{e}}.Append(nil)) {
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
		t.Error("an act hidden behind a submission was taken")
	}
	if refused < 90 {
		t.Errorf("only %d tried", refused)
	}
}

func TestTokensFile(t *testing.T) {
	id, digest := strings.Repeat("a", 16), strings.Repeat("0f", 32)
	dir := t.TempDir()
	read := func(text string, mode os.FileMode) (tokensFile, error) {
		path := filepath.Join(dir, "tokens")
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return readTokensFile(path)
	}
	f, err := read("# first\n\n"+id+" operator "+digest+" 2030-01-02T03:04:05Z alice # hers\n"+
		strings.Repeat("b", 16)+" metrics "+digest+" never\n", 0o640)
	if err != nil || len(f.rows) != 2 || f.rows[0].Name != "alice" || f.rows[0].Role != wire.RoleOperator ||
		f.rows[0].ExpiresAt == 0 || f.rows[1].Name != "metrics" || f.rows[1].ExpiresAt != 0 {
		t.Errorf("%+v %v", f, err)
	}
	line := id + " operator " + digest + " never"
	for text, part := range map[string]string{
		"x operator " + digest + " never":    "line 1: the id",
		id + " root " + digest + " never":    "root",
		id + " operator 00 never":            "sha256",
		id + " operator " + digest + " soon": "expiry",
		id + " operator":                     "want: id",
		line + " a/b":                        "name",
		line + "\n" + line:                   "line 2: the id is there twice",
	} {
		if _, err := read(text, 0o600); !errors.Is(err, errTokensFile) || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := read(line, 0o622); !errors.Is(err, errTokensFile) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can write: %v", err)
	}
	if _, err := readTokensFile(filepath.Join(dir, "absent")); !errors.Is(err, errTokensFile) {
		t.Error(err)
	}
}
