package node_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// auditLines reads the stream of node i, rotated files first.
func auditLines(t *testing.T, file string) (out []map[string]any, text string) {
	t.Helper()
	names, err := filepath.Glob(file + ".*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range append(names, file) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
		for _, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
			if line == "" {
				continue
			}
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%s: %q: %v", name, line, err)
			}
			out = append(out, m)
		}
	}
	return out, text
}

// answered has the answer of a node, which its audit stream must repeat.
type answered struct {
	status int
	body   []byte
	record nodetest.Record
}

func (a answered) check(t *testing.T, line map[string]any) {
	t.Helper()
	var p wire.Problem // has every member of an answer that matters here
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatal(err)
	}
	var says wire.SubmitAnswer
	if err := json.Unmarshal(a.body, &says); err != nil {
		t.Fatal(err)
	}
	outcome := p.Outcome
	if outcome == "" {
		outcome = "refused"
	}
	event := "pcs_submitted"
	if a.status == http.StatusUnauthorized {
		event = "signature_failure"
	}
	got := fmt.Sprint(line["event"], line["pcs_id"], line["shard_id"], line["epoch"], line["outcome"],
		line["escalated"], line["policy"], line["seq"], line["accepted"], line["reason_code"], line["replayed"])
	want := fmt.Sprint(event, a.record.ID(), a.record.Shard, float64(a.record.Epoch), outcome, a.status == 202,
		p.Policy, float64(p.Seq), says.Accepted, says.ReasonCode, says.Replayed)
	if got != want {
		t.Errorf("status %d: the line says\n%s, not\n%s", a.status, got, want)
	}
	if judged := a.status == 200 || a.status == 202; judged != (line["recomputed_D_hat"] != nil) ||
		judged != (line["error"] == nil) {
		t.Errorf("status %d: %v", a.status, line)
	}
	if keyed := strings.HasPrefix(fmt.Sprint(line["key_id"]), "hmac-"); keyed != (a.status != 401) {
		t.Errorf("status %d: key %v", a.status, line["key_id"])
	}
	if at, err := time.Parse(time.RFC3339, fmt.Sprint(line["timestamp"])); err != nil ||
		time.Since(at) > time.Minute || !strings.HasSuffix(fmt.Sprint(line["timestamp"]), "Z") {
		t.Errorf("timestamp %v", line["timestamp"])
	}
}

// TestAuditStream: every answer of every node is one line there that says the same, and nothing else is in it.
func TestAuditStream(t *testing.T) {
	dir := t.TempDir()
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		cfg.Audit = node.AuditLog{File: filepath.Join(dir, cfg.NodeID), MaxBytes: 4000, Keep: time.Hour}
	})
	f := nodetest.NewRecords(t)
	want := make([][]answered, 3)
	send := func(i int, r nodetest.Record) {
		status, body := c.Once(i, http.MethodPost, client.SubmitPath, f.Sign(r))
		want[i] = append(want[i], answered{status, body, r})
	}
	for i := range 60 {
		r := nodetest.Record{Shard: "audited", Epoch: int64(i), Root: "r"}
		send(i%3, r)
		switch i % 5 {
		case 0:
			send((i+1)%3, nodetest.Record{Shard: r.Shard, Epoch: r.Epoch, Root: "r", Attempt: 1})
		case 1:
			send((i+1)%3, nodetest.Record{Shard: r.Shard, Epoch: r.Epoch, Root: "r", Near: true})
		case 2:
			send(i%3, nodetest.Record{Shard: r.Shard, Epoch: r.Epoch, Root: "r", Forged: true})
		case 3:
			send(i%3, nodetest.Record{Shard: "wrong", Epoch: r.Epoch, Root: "r", Wrong: true})
		}
	}
	seen := map[int]int{}
	leader := c.Leader() // elsewhere the operation would have a line there and here
	c.Once(leader, http.MethodPost, client.SubmitPath, []byte(`{"pcs_id":"not json`))
	c.Once(leader, http.MethodPost, "/v1/keys/hmac-0000000000000000/revoke",
		[]byte(`{"op_id":"op-7","reason":"try","ticket":"T"}`))
	for i := range 3 {
		c.Stop(i) // writes what is queued
		lines, text := auditLines(t, filepath.Join(dir, c.Config(i).NodeID))
		for j, a := range want[i] {
			a.check(t, lines[j])
			seen[a.status]++
		}
		rest := lines[len(want[i]):]
		if i != leader && len(rest) > 0 ||
			i == leader && (len(rest) != 2 || rest[0]["error"] != "malformed" || rest[0]["epoch"] != nil ||
				rest[1]["event"] != "operation" || rest[1]["op_id"] != "op-7" || rest[1]["target"] == nil ||
				rest[1]["route"] != "POST /v1/keys/:key_id/revoke" || rest[1]["status"] != 404.0) {
			t.Errorf("node %d: more lines: %v", i, rest)
		}
		for _, no := range []string{"merkle_root", "N_j", "sig\"", "coh_star", "127.0.0.1"} {
			if strings.Contains(text, no) {
				t.Errorf("the stream contains %s", no)
			}
		}
	}
	if !slices.Equal(slices.Sorted(maps.Keys(seen)), []int{200, 202, 401, 409}) {
		t.Errorf("answers by status: %v", seen)
	}
	t.Logf("lines checked by status: %v", seen)
}

// TestAuditOfRefusedReads: a read for which the role does not suffice is called one, and no operation.
func TestAuditOfRefusedReads(t *testing.T) {
	dir := t.TempDir()
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.Audit = node.AuditLog{File: filepath.Join(dir, cfg.NodeID), MaxBytes: 1 << 20, Keep: time.Hour}
	})
	weak := as(t, c, 0, c.Tokens[wire.RoleMetrics])
	if _, err := weak.Keys(t.Context()); !isStatus(err, http.StatusForbidden) {
		t.Errorf("keys for the role metrics: %v", err)
	}
	if _, err := weak.RetireKey(t.Context(), "hmac-0000000000000000",
		wire.Op{}); !isStatus(err, http.StatusForbidden) {
		t.Errorf("an operation of the role metrics: %v", err)
	}
	c.Stop(0)
	lines, text := auditLines(t, filepath.Join(dir, c.Config(0).NodeID))
	var got []string
	for _, l := range lines {
		got = append(got, fmt.Sprint(l["event"], " ", l["route"], " ", l["role"], " ", l["status"]))
	}
	if want := []string{"access_refused GET /v1/keys metrics 403",
		"operation POST /v1/keys/:key_id/retire metrics 403"}; !slices.Equal(got, want) {
		t.Errorf("%q\n%s", got, text)
	}
}
