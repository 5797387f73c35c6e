package doctor_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/doctor"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ward is a cluster that a test makes ill.
type ward struct {
	t *testing.T
	c *nodetest.Cluster
}

func (w ward) examine() *doctor.Report {
	return doctor.Examine(w.t.Context(), w.c.Client, doctor.Options{})
}

// well waits until nothing is found.
func (w ward) well() {
	w.t.Helper()
	w.c.Await("a cluster without findings", func() error {
		if r := w.examine(); !r.OK || len(r.Findings) > 0 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

// finds waits for a finding, and returns it.
func (w ward) finds(check, severity, node, words string) (found doctor.Finding) {
	w.t.Helper()
	w.c.Await("the finding "+check, func() error {
		r := w.examine()
		for _, f := range r.Findings {
			if f.Check == check && f.Severity == severity && f.Node == node && strings.Contains(f.Text, words) {
				found = f
				if r.OK {
					w.t.Error("a report with this finding is OK")
				}
				return nil
			}
		}
		return fmt.Errorf("%+v", r)
	})
	return found
}

// TestFindings makes one thing after the other go wrong in a cluster of three and looks for what is found, until most
// of the cluster is gone.
func TestFindings(t *testing.T) {
	var full atomic.Int32 // number of the node whose disk is full, 0 for none
	w := ward{t, nodetest.Start(t, 3, func(c *node.Config) {
		id := c.NodeID
		c.DiskFree = func() uint64 {
			if fmt.Sprintf("node-%d", full.Load()) == id {
				return 1 << 20
			}
			return 100 << 30
		}
	})}
	w.well()
	w.lists()
	full.Store(2)
	w.finds("disk", doctor.Critical, "node-2", "bytes of disk are free")
	full.Store(0)
	w.well()
	w.certificates()
	w.c.ShiftClock(2, time.Hour)
	w.finds("clock", doctor.Critical, "node-3", "off by 1h")
	w.c.ShiftClock(2, 0)
	w.restarted(2, func() {
		w.c.Tune(2, func(c *node.Config) { c.Keys, c.MetricsListen = nil, nodetest.FreePort(t) })
	})
	w.finds("secrets", doctor.Critical, "node-3", "no secret")
	if f := w.unread(); f.Severity != doctor.Note || f.Node != "node-3" {
		t.Errorf("%+v", f)
	}
	w.restarted(2, func() {
		must(t, os.WriteFile(filepath.Join(w.c.Dir(2), "quarantine"), []byte("a reason"), 0o600))
	})
	w.finds("quarantine", doctor.Critical, "node-3", "a reason")
	w.c.Stop(2)
	if f := w.finds("answer", doctor.Warning, "node-3", "refused"); f.On != "node-3" {
		t.Errorf("%+v", f)
	}
	w.finds("voters", doctor.Warning, "", "2 of 3")
	w.c.Stop(1)
	w.finds("voters", doctor.Critical, "", "1 of 3")
	w.finds("leader", doctor.Critical, "", "no node leads")
}

// restarted changes a node while it is stopped.
func (w ward) restarted(i int, change func()) {
	w.t.Helper()
	w.c.Stop(i)
	change()
	w.c.Restart(i)
}

func (w ward) unread() (found doctor.Finding) {
	for _, f := range w.examine().Findings {
		if f.Check == "unread" {
			return f
		}
	}
	w.t.Error("nothing says that metrics were not read")
	return found
}

// lists makes freezes, keys and tokens worth a word. The clock that is two weeks ahead is itself a finding.
func (w ward) lists() {
	w.t.Helper()
	ctx, c := w.t.Context(), w.c.Client
	why := wire.Op{Reason: "try"}
	freeze := wire.FreezeRequest{Op: why, Scope: wire.FreezeShard, Subject: "s"}
	_, err := c.Freeze(ctx, freeze)
	must(w.t, err)
	w.finds("freeze", doctor.Warning, "", "submissions of shard s are frozen")
	_, err = c.Thaw(ctx, freeze)
	must(w.t, err)
	public := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	k, err := c.AddKey(ctx, wire.KeyRequest{Op: why, Alg: "ed25519", Public: base64.StdEncoding.EncodeToString(public),
		NotAfter: time.Now().Add(5*24*time.Hour + time.Minute).UTC().Format(time.RFC3339)})
	must(w.t, err)
	w.finds("key", doctor.Warning, "", k.KeyID+" ends in 5 days")
	_, err = c.RetireKey(ctx, k.KeyID, why)
	must(w.t, err)
	text, id, err := wire.NewToken(wire.RoleAuditor)
	must(w.t, err)
	_, err = c.CreateToken(ctx, wire.TokenRequest{Op: why, ID: id, Name: "alice", Role: wire.RoleAuditor,
		Digest: wire.TokenDigest(text), ExpiresAt: time.Now().AddDate(0, 0, 20).UTC().Format(time.RFC3339)})
	must(w.t, err)
	w.well()
	later := doctor.Examine(ctx, c, doctor.Options{Now: func() time.Time { return time.Now().AddDate(0, 0, 15) }})
	seen := map[string]string{}
	for _, f := range later.Findings {
		seen[f.Check] = f.Text
	}
	if !strings.Contains(seen["token"], "of alice, role auditor, ends in 4 days") ||
		!strings.Contains(seen["clock"], "from the clock of this machine") || len(seen) != 2 {
		w.t.Errorf("two weeks later: %+v", later)
	}
}

// certificates gives a node one that ends soon, and one that cannot be read.
func (w ward) certificates() {
	w.t.Helper()
	file, key := w.c.Config(0).API.Cert, w.c.Config(0).API.Key
	issue := func(validity time.Duration) {
		certPEM, keyPEM, err := w.c.CA.Issue(certs.Request{
			CommonName: "node-1", DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
			URIs: []string{"recount://nodetest/node/node-1"}, Client: true, Server: true, Validity: validity})
		must(w.t, err)
		must(w.t, os.WriteFile(key, keyPEM, 0o600))
		must(w.t, os.WriteFile(file, certPEM, 0o600))
	}
	issue(10*24*time.Hour + time.Hour)
	w.finds("certificate", doctor.Warning, "node-1", "ends in 10 days")
	issue(3*24*time.Hour + time.Hour)
	w.finds("certificate", doctor.Critical, "node-1", "ends in 3 days")
	must(w.t, os.WriteFile(file, []byte("none"), 0o600))
	w.finds("certificate", doctor.Warning, "node-1", "did not take new files")
	issue(365 * 24 * time.Hour)
}

// TestRefusedCredentials: a token that nobody knows is said to be one.
func TestRefusedCredentials(t *testing.T) {
	w := ward{t, nodetest.Start(t, 1)}
	w.finds1("voters", "only voter")
	text, _, err := wire.NewToken(wire.RoleOperator)
	must(t, err)
	c, err := client.New(client.Config{Endpoints: []string{w.c.URL(0)}, CA: w.c.CA.CertPEM(), Token: text})
	must(t, err)
	defer c.Close()
	r := doctor.Examine(t.Context(), c, doctor.Options{})
	if r.OK || r.Findings[0].Check != "answer" || r.Findings[0].Severity != doctor.Critical ||
		!strings.Contains(r.Findings[0].Text, "refuses the credentials") {
		t.Errorf("%+v", r)
	}
}

// finds1 expects one note and nothing else.
func (w ward) finds1(check, words string) {
	w.t.Helper()
	w.c.Await("one note", func() error {
		r := w.examine()
		if !r.OK || len(r.Findings) != 1 || r.Findings[0].Check != check || !strings.Contains(r.Findings[0].Text, words) {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

// TestRemovedNodeRuns: a node that was removed and runs on is one finding, with the command that stops it.
func TestRemovedNodeRuns(t *testing.T) {
	w := ward{t, nodetest.Start(t, 5)}
	gone := (w.c.Leader() + 1) % 5
	id, _ := w.c.Place(gone)
	w.c.Await("the removal", func() error {
		_, err := client.MembersOf(w.c.Client).Remove(t.Context(), id, wire.Op{Reason: "too many"})
		if errors.Is(err, client.ErrNotFound) {
			return nil
		}
		return err
	})
	if f := w.finds("removed", doctor.Warning, id, "was removed"); f.On != id || f.Next != "systemctl disable --now recount-node" {
		t.Errorf("%+v", f)
	}
	w.c.Await("no other finding but that four voters are an even number", func() error {
		if r := w.examine(); len(r.Findings) != 2 || r.Findings[1].Check != "voters" || r.Findings[1].Severity != doctor.Note {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}
