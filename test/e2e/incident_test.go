package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// fails calls the built tool on the cluster and gives its exit code and what it says; it must not succeed.
func (a *abused) fails(args ...string) (code int, said string) {
	a.t.Helper()
	cmd := exec.CommandContext(a.ctx, recountTool(a.t), append(args, "--dev", a.Dir)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		a.t.Fatalf("recount %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return exit.ExitCode(), string(out)
}

// refusesOlder gives an earlier time, twice: a generation that was started before takes too little away and is not found again.
func (a *abused) refusesOlder(key, out string, generation uint32) {
	a.t.Helper()
	drop := []string{"generation", "drop", strconv.Itoa(int(generation))}
	for range 2 {
		code, said := a.fails("incident", "key", key, "--yes", "--reason", "leak", "--ticket", "INC-9", "--out", out, "--since", "3d", "--hindsight")
		if code != 4 || !strings.Contains(said, strings.Join(drop, " ")) {
			a.t.Errorf("exit %d: %s", code, said)
		}
	}
	a.run(nil, append(drop, "--yes")...)
}

// TestIncidentGivenAgain gives the commands of a leaked key in every wrong and repeated way that a tired responder may: nothing is
// done by a mistyped one, no evidence is lost by a repeated one, and the next recount does not bring back what this one took away.
func TestIncidentGivenAgain(t *testing.T) {
	c := abuse(t, 1)
	for _, shard := range []string{"lab-1", "lab-2", "lab-3"} {
		if status, _, p := c.post(0, c.records.Members(shard, 1).SignPCS2(t, nodetest.AbuseSigners["hmac"]).Text(t)); status != http.StatusOK {
			t.Fatalf("%d %+v", status, p)
		}
	}
	var page []wire.KeyAnswer
	c.run(&page, "key", "list")
	var id string
	for _, k := range page {
		if k.LastSeq != 0 {
			id = k.KeyID
		}
	}
	plain := t.TempDir()
	for what, args := range map[string][]string{
		"a year too late":        {"--since", "2999-01-19T10:00:00Z", "--out", plain},
		"no directory to write":  {"--since", "1h", "--out", "/dev/null/bundles"},
		"not a time":             {"--since", "someday", "--out", plain},
		"no reason":              {"--since", "1h", "--reason", "", "--out", plain},
		"half of the key's name": {"--since", "1h", "--out", plain},
	} {
		key := id
		if what == "half of the key's name" {
			key = id[:10]
		}
		if code, said := c.fails(append([]string{"incident", "key", key, "--yes", "--reason", "leak", "--ticket", "INC-9"}, args...)...); code != 2 && code != 3 {
			t.Errorf("%s: exit %d: %s", what, code, said)
		}
	}
	var key wire.KeyAnswer
	if c.run(&key, "key", "show", id); key.Status != wire.KeyActive {
		t.Fatalf("a refused command has revoked: %+v", key)
	}
	incident := func(args ...string) (in struct {
		Since      string
		Signed     int            `json:"signed_since"`
		ByAddress  map[string]int `json:"by_address"`
		Bundle     string
		Generation uint32 `json:"hindsight_generation"`
		Next       []string
	}) {
		c.run(&in, append([]string{"incident", "key", id, "--yes", "--reason", "leak", "--ticket", "INC-9", "--out", plain}, args...)...)
		lines, err := os.ReadFile(filepath.Join(in.Bundle, "submissions.ndjson"))
		c.must(err)
		if in.Signed != 3 || bytes.Count(lines, []byte("\n")) != 3 || in.ByAddress["127.0.0.1"] != 3 {
			t.Errorf("%v: %+v, %d lines", args, in, bytes.Count(lines, []byte("\n")))
		}
		if n := bytes.Count(lines, []byte(`"remote":"127.0.0.1"`)); n != 3 {
			t.Errorf("%v: %d lines of the bundle name the address", args, n)
		}
		page, err := os.ReadFile(filepath.Join(in.Bundle, "index.html"))
		c.must(err)
		if !bytes.Contains(page, []byte("<tr><td>127.0.0.1<td class=\"n\">3\n")) {
			t.Errorf("%v: the page does not say from where they came: %s", args, page)
		}
		if !regexp.MustCompile(`(?s)<th>Cluster<td>dev-[0-9a-f]{16} \(--dev .*<th>Written by<td>dev-operator, operator, token:.*<th>Log up to event [0-9]+<td><code>[0-9a-f]{64}<`).Match(page) {
			t.Errorf("%v: the page does not say who wrote it, where, and of which log: %s", args, page)
		}
		return in
	}
	first := incident("--since", "2d")
	if later := incident("--since", "1s"); later.Since != first.Since || later.Bundle != first.Bundle {
		t.Errorf("a later time has changed %+v to %+v", first, later)
	}
	started := incident("--since", "2d", "--hindsight")
	if again := incident("--since", "2d", "--hindsight"); again.Generation != started.Generation || started.Generation == 0 {
		t.Errorf("started %d, again %d", started.Generation, again.Generation)
	}
	c.refusesOlder(id, plain, started.Generation)
	started = incident("--since", "3d", "--hindsight")
	r := newRecount(t, c.ctx, c.Cluster)
	r.await(started.Generation)
	r.activate(started.Generation)
	if after := incident("--since", "2d"); after.Bundle == first.Bundle {
		t.Errorf("the bundle of before the recount was written over: %s", after.Bundle)
	} else if len(first.Next) != 1 || len(after.Next) != 0 {
		t.Errorf("to do before the recount: %q, after it: %q", first.Next, after.Next)
	}
	c.refused("after the recount", 0, c.records.Members("lab-1", 1).SignPCS2(t, nodetest.AbuseSigners["hmac"]).Text(t), http.StatusForbidden, wire.CodeKeyNotAllowed)
	fix := r.start(r.publish("params: {tol_d: \"0.1\"}\n"))
	r.await(fix)
	if d := r.diff(fix); d.Flips != 0 {
		t.Errorf("the next recount brings back what the last one took away: %+v", d)
	}
}

// TestReadsWithoutAMajority: with two of three nodes gone, the last one still says what it knows, when it is asked for no more.
func TestReadsWithoutAMajority(t *testing.T) {
	c := abuse(t, 3)
	if status, _, p := c.post(0, c.records.Members("lab-1", 1).SignPCS2(t, nodetest.AbuseSigners["hmac"]).Text(t)); status != http.StatusOK {
		t.Fatalf("%d %+v", status, p)
	}
	c.run(nil, "freeze", "--shard", "lab-1", "--reason", "drill")
	sameDigest(t, c.ctx, c.Cluster)
	c.must(c.Kill(0))
	c.must(c.Kill(1))
	var keys []wire.KeyAnswer
	var freezes []wire.FreezeAnswer
	var operations []wire.OperationItem
	c.run(&keys, "key", "list", "--local")
	c.run(&freezes, "freezes", "--local")
	c.run(&operations, "operations", "--local")
	if len(keys) != 3 || len(freezes) != 1 || len(operations) != 1 || operations[0].Kind != "frozen" {
		t.Errorf("%d keys, %+v, %+v", len(keys), freezes, operations)
	}
	for _, args := range [][]string{{"policy", "list"}, {"generation", "list"}, {"shard", "known", "list"}, {"approve", "list"}, {"audit"}, {"shards"}, {"key", "show", keys[0].KeyID}} {
		c.run(nil, append(args, "--local")...)
	}
	if code, said := c.fails("key", "list", "--timeout", "3s"); code != 5 || !strings.Contains(said, "--local") {
		t.Errorf("without --local: exit %d: %s", code, said)
	}
}
