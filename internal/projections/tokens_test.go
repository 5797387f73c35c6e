package projections

import (
	"reflect"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/verify"
)

// effectOfLast returns what the newest event did.
func effectOfLast(t *testing.T, l *ledger, k event.Kind) Effect {
	t.Helper()
	e, err := EffectOf(l.ctrlDB, k, l.seq)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func created(id, name, role string) *event.TokenCreatedV1 {
	return &event.TokenCreatedV1{Id: id, Name: name, Role: role, Sha256: make([]byte, 32), ExpiresAt: 9, Op: by("root", "op-"+id)}
}

func by(actor, opID string) *event.OpV1 {
	return &event.OpV1{OpId: opID, Actor: actor, Role: "operator", Credential: "token:t"}
}

// TestTokens: tokens come, go and stay gone, whatever order the events come in, and a loaded state is the folded one.
func TestTokens(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	short, late := created("d", "dora", "operator"), created("e", "eve", "auditor")
	short.Sha256, late.ExpiresAt = short.Sha256[1:], 0
	again := created("a", "mallory", "operator")
	again.Op.OpId = "another"
	sameOp := created("b", "bob", "auditor")
	sameOp.Op.OpId = "op-a"
	for _, c := range []struct {
		m    *event.TokenCreatedV1
		want Effect
	}{
		{created("a", "alice", "operator"), Applied}, {again, Ignored}, {created("c", "carol", "root"), Ignored}, {created("", "x", "auditor"), Ignored},
		{created("f", "", "auditor"), Ignored}, {created(strings.Repeat("g", 65), "g", "auditor"), Ignored}, {short, Ignored}, {late, Ignored}, {sameOp, Repeated},
	} {
		l.message(event.TokenCreated, c.m)
		if got := effectOfLast(t, l, event.TokenCreated); got != c.want {
			t.Errorf("%v: %d, want %d", c.m, got, c.want)
		}
	}
	for _, c := range []struct {
		id   string
		want Effect
	}{{"a", Applied}, {"a", Repeated}, {"", Ignored}, {"of-a-file", Applied}} {
		l.message(event.TokenRevoked, &event.TokenRevokedV1{Id: c.id, Op: by("root", "")})
		if got := effectOfLast(t, l, event.TokenRevoked); got != c.want {
			t.Errorf("revoke %q: %d, want %d", c.id, got, c.want)
		}
	}
	l.message(event.TokenCreated, created("of-a-file", "x", "auditor"))
	if effectOfLast(t, l, event.TokenCreated) != Ignored {
		t.Error("a revoked id came back")
	}
	row, ok := l.ctrl.Token("a")
	if !ok || row.Name != "alice" || row.Op.Actor != "root" || row.Op.Role != "operator" || row.Op.Credential != "token:t" || len(l.ctrl.Tokens()) != 1 {
		t.Errorf("%+v", row)
	}
	sameAfterLoad(t, l)
}

func sameAfterLoad(t *testing.T, l *ledger) {
	t.Helper()
	loaded, err := LoadControl(l.ctrlDB)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(loaded.creds, l.ctrl.creds) || loaded.digest != l.ctrl.digest || !reflect.DeepEqual(loaded.sched.ops, l.ctrl.sched.ops) {
		t.Errorf("loaded %+v\nfolded %+v", loaded.creds, l.ctrl.creds)
	}
}

// TestApprovals: two actors, one request, one hour of log time.
func TestApprovals(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	yes := func(actor, act, request string, want Effect) {
		t.Helper()
		l.message(event.ActApproved, &event.ActApprovedV1{ActOpId: "x", Act: act, Request: request, Op: by(actor, "")})
		if got := effectOfLast(t, l, event.ActApproved); got != want {
			t.Errorf("%s %s %s: %d, want %d", actor, act, request, got, want)
		}
	}
	yes("alice", "activate", "2", Applied)
	began := l.now
	yes("ALICE", "activate", "2", Repeated)
	yes("bob", "rollback", "2", Ignored)
	yes("bob", "activate", "3", Ignored)
	yes("", "activate", "2", Ignored)
	yes("bob", "activate", "2", Applied)
	if n := len(l.ctrl.Approvals("x", began+ApprovalFor-1)); n != 2 {
		t.Errorf("%d approvals", n)
	}
	if n := len(l.ctrl.Approvals("x", l.now+ApprovalFor)); n != 0 {
		t.Errorf("%d approvals after an hour", n)
	}
	if n := len(l.ctrl.PendingApprovals(l.now)); n != 2 {
		t.Errorf("%d pending", n)
	}
	sameAfterLoad(t, l)
	l.now += ApprovalFor
	yes("bob", "rollback", "2", Applied) // the first request is forgotten
	if a := l.ctrl.Approvals("x", l.now); len(a) != 1 || a[0].Act != "rollback" || a[0].Op.Actor != "bob" {
		t.Errorf("%+v", a)
	}
	sameAfterLoad(t, l)
	l.message(event.TokenRevoked, &event.TokenRevokedV1{Id: "t", Op: by("alice", "x")}) // the op_id is used now
	yes("carol", "rollback", "2", Ignored)
	if n := len(l.ctrl.PendingApprovals(l.now)); n != 0 {
		t.Errorf("%d pending after the operation", n)
	}
}

// TestRevokedCredentials: an operation whose credential was revoked before its event does nothing, and an approval under it counts no
// more; what was done before stands.
func TestRevokedCredentials(t *testing.T) {
	l := newLedger(t, verify.DefaultPolicy(), "one")
	under := func(credential, opID string) *event.OpV1 {
		return &event.OpV1{OpId: opID, Actor: credential, Role: "operator", Credential: credential}
	}
	froze := func(subject string, op *event.OpV1) Effect {
		l.message(event.Frozen, &event.FrozenV1{Scope: uint32(FreezeShard), Subject: subject, Op: op})
		return effectOfLast(t, l, event.Frozen)
	}
	for _, credential := range []string{"token:t1", "cert:0f"} {
		if got := froze("before "+credential, under(credential, "a"+credential)); got != Applied {
			t.Fatalf("%s before: %d", credential, got)
		}
		l.message(event.ActApproved, &event.ActApprovedV1{ActOpId: "x", Act: "thaw", Request: "thaw", Op: under(credential, "")})
		if n := len(l.ctrl.Approvals("x", l.now)); n != 1 {
			t.Fatalf("%s: %d approvals", credential, n)
		}
		l.message(event.TokenRevoked, &event.TokenRevokedV1{Id: strings.TrimPrefix(credential, "token:"), Op: under("token:root", "")})
		if got := froze("after "+credential, under(credential, "b"+credential)); got != Ignored || l.ctrl.OpSeq("b"+credential) != 0 {
			t.Errorf("%s after: %d", credential, got)
		}
		if a, b := l.ctrl.Approvals("x", l.now), l.ctrl.PendingApprovals(l.now); len(a) != 0 || len(b) != 0 {
			t.Errorf("%s: %v %v", credential, a, b)
		}
		if got := froze("after "+credential, under("token:t2", "b"+credential)); got != Applied {
			t.Errorf("another credential under the same op_id: %d", got)
		}
	}
	sameAfterLoad(t, l)
}
