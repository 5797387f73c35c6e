package e2e

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/incident"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

const laxPolicy = "signature: {required: false, profiles: [f9, py, es, go, go-fold, py-utf8, ryu, bin, py-bin]}\n"

// opened lets unsigned records in: two forgeries, one of which pushes the epoch of an honest agent. two says that nodes want two persons.
func (a *abused) opened(two bool) {
	a.t.Helper()
	a.expect(http.StatusOK, a.signed("lab-1", 1))
	var lax wire.PolicyAnswer
	a.run(&lax, "policy", "publish", a.file("lax.yaml", laxPolicy), "--reason", "ease", "--yes")
	if two {
		if code, said := a.fails("policy", "apply", lax.ID, "--reason", "ease", "--op-id", "ease", "--yes"); code != 4 {
			a.t.Fatalf("exit %d: %s", code, said)
		}
		a.run(nil, "approve", "ease", "--run", "--token-file", filepath.Join(a.Dir, "tokens", "responder.token"))
	} else {
		a.run(nil, "policy", "apply", lax.ID, "--reason", "ease", "--yes")
	}
	a.expect(http.StatusOK, a.records.Members("lab-1", 50).Text(a.t))
	a.expect(http.StatusOK, a.records.Members("thief-1", 1).Text(a.t))
	a.expect(http.StatusAccepted, a.signed("lab-1", 2))
}

func (a *abused) signed(shard string, epoch int64) []byte {
	return a.records.Members(shard, epoch).SignPCS2(a.t, nodetest.AbuseSigners["hmac"]).Text(a.t)
}

func (a *abused) expect(status int, body []byte) {
	a.t.Helper()
	if got, _, p := a.post(0, body); got != status {
		a.t.Fatalf("%d %+v, want %d", got, p, status)
	}
}

func (a *abused) file(name, text string) string {
	a.t.Helper()
	path := filepath.Join(a.t.TempDir(), name)
	a.must(os.WriteFile(path, []byte(text), 0o600))
	return path
}

// TestIncidentBypass answers a verifier that lets unsigned records in with incident bypass alone, each step twice, and the line that it
// prints for the activation.
func TestIncidentBypass(t *testing.T) {
	c := abuse(t, 1)
	c.opened(false)
	out, fix := t.TempDir(), c.file("fix.yaml", everyProfile+"params: {tol_d: \"0.06\"}\n")
	run := func(args ...string) (in incident.Bypass) {
		c.run(&in, append([]string{"incident", "bypass", "--reason", "let through", "--ticket", "INC-7", "--out", out}, args...)...)
		return in
	}
	operations := func() (all []wire.OperationItem) { c.run(&all, "operations"); return all }
	before := len(operations())
	dry := run("--fix", fix, "--dry-run")
	if dry.State != incident.StateFound || dry.Freeze != nil || len(dry.Planned) != 3 || dry.Canaries[0].LetThrough == 0 || dry.Changes["accepted->refused"] != 2 || dry.Bundle != "" || len(operations()) != before {
		t.Errorf("a dry run: %+v, %d operations", dry, len(operations()))
	}
	if code, said := c.fails("incident", "bypass", "--reason", "let through", "--out", out); code != 2 || !strings.Contains(said, "freezes new submissions") || len(operations()) != before {
		t.Errorf("without --yes: exit %d: %s", code, said)
	}
	frozen := run("--yes")
	if again := run(); frozen.State != incident.StateFrozen || again.Freeze == nil || *again.Freeze != *frozen.Freeze || again.Canaries[0].Frozen == 0 || len(operations()) != before+1 {
		t.Errorf("first %+v, again %+v", frozen, again)
	}
	c.expect(http.StatusServiceUnavailable, c.signed("lab-1", 3))
	built := run("--fix", fix)
	if built.State != incident.StateBuilt || built.Diff.Flips != 3 || built.ByShard["thief-1"] != 1 || built.ByShard["lab-1"] != 2 || built.ByAddress["127.0.0.1"] != 3 || len(built.Hours) == 0 {
		t.Errorf("%+v %+v", built, built.Diff)
	}
	rows, err := os.ReadFile(filepath.Join(built.Bundle, "submissions.ndjson"))
	c.must(err)
	page, err := os.ReadFile(filepath.Join(built.Bundle, "index.html"))
	c.must(err)
	if bytes.Count(rows, []byte("\n")) != int(built.Diff.Flips) || !bytes.Contains(page, []byte("<svg")) || !bytes.Contains(page, []byte(built.Diff.Digest)) {
		t.Errorf("%d rows; %s", bytes.Count(rows, []byte("\n")), page)
	}
	if again := run("--fix", fix); again.Recount != built.Recount || len(operations()) != before+3 {
		t.Errorf("again: generation %d after %d, %d operations", again.Recount, built.Recount, len(operations()))
	}
	paste := exec.CommandContext(c.ctx, "sh", "-c", strings.Replace(built.Activate, "recount", recountTool(t), 1))
	if said, err := paste.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", built.Activate, err, said)
	}
	active := run("--fix", fix)
	if active.State != incident.StateActive || active.Canaries[0].Refused != active.Canaries[0].Sent || !strings.HasPrefix(active.Thaw, "recount thaw ") {
		t.Errorf("%+v", active)
	}
	c.run(nil, "thaw", "--reason", "active", "--ticket", "INC-7")
	if done := run("--policy", active.Fix[:16]); done.State != incident.StateDone || len(done.Next) != 0 {
		t.Errorf("%+v", done)
	}
	c.expect(http.StatusOK, c.signed("lab-1", 4))
	c.refused("after the recount", 0, c.records.Members("thief-1", 2).Text(t), http.StatusUnauthorized, wire.CodeBadSignature)
}
