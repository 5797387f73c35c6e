package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

// TestClientCertificateOperations: a certificate of the authority of clients gives role and name on real nodes.
// Followers send its holder to the leader, because they cannot prove to it who asks; the client finds the way.
func TestClientCertificateOperations(t *testing.T) {
	ca, err := certs.NewCA("clients")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "clients.pem")
	if err := os.WriteFile(path, ca.CertPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.API.CA = path })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	show := func(ca *certs.CA, cluster, role string, endpoints ...string) *client.Client {
		uri, err := certs.RoleURI(cluster, role, "rita")
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := ca.Issue(certs.Request{CommonName: "rita", URIs: []string{uri}, Client: true})
		if err != nil {
			t.Fatal(err)
		}
		k, err := client.New(client.Config{
			Endpoints:  endpoints,
			CA:         c.CA.CertPEM(),
			Cert:       cert,
			CertKey:    key,
			MinBackoff: 10 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
		return k
	}
	all := []string{c.URL(0), c.URL(1), c.URL(2)}
	cluster := c.Config(0).ClusterID
	for i := range all {
		rita := show(ca, cluster, "responder", append(append([]string{}, all[i:]...), all[:i]...)...)
		froze, err := rita.Freeze(ctx, wire.FreezeRequest{
			Scope:   wire.FreezeShard,
			Subject: "alpha",
			Op:      wire.Op{Reason: "look"},
		})
		if err != nil || froze.Actor != "rita" {
			t.Fatalf("%+v %v", froze, err)
		}
		if _, err := rita.Thaw(ctx, wire.FreezeRequest{
			Scope:   wire.FreezeShard,
			Subject: "alpha",
			Op:      wire.Op{Reason: "seen"},
		}); err != nil {
			t.Error(err)
		}
		auditor := show(ca, cluster, "auditor", all[i])
		if _, err := auditor.Keys(ctx); err != nil {
			t.Errorf("an auditor reads: %v", err)
		}
		if _, err := auditor.Freeze(ctx, wire.FreezeRequest{
			Scope: wire.FreezeAll,
			Op:    wire.Op{Reason: "mine"},
		}); !isStatus(err, 403) {
			t.Errorf("an auditor froze: %v", err)
		}
		if _, err := show(ca, "another", "operator", all[i]).Keys(ctx); !isStatus(err, 401) {
			t.Errorf("a certificate of another cluster: %v", err)
		}
	}
	other, err := certs.NewCA("clients")
	if err != nil {
		t.Fatal(err)
	}
	short, end := context.WithTimeout(ctx, 2*time.Second)
	defer end()
	if _, err := show(other, cluster, "operator", all[0]).Keys(short); err == nil {
		t.Error("a certificate of another authority was let through")
	}
	standing := show(ca, cluster, "auditor", all[0])
	if _, err := standing.Keys(ctx); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, other.CertPEM(), 0o644); err != nil { // all nodes read the same file
		t.Fatal(err)
	}
	c.Await("the removed authority to be void on a connection that stands", func() error {
		if _, err := standing.Keys(ctx); !isStatus(err, 401) { // a new connection would not get that far
			return fmt.Errorf("%v", err)
		}
		return nil
	})
	if _, err := show(other, cluster, "auditor", all[0]).Keys(ctx); err != nil {
		t.Errorf("a certificate of the new authority: %v", err)
	}
}
