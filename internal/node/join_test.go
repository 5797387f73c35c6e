package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/wire"
)

// invite makes a join token of a node that listens at peer.
func invite(t *testing.T, c *client.Client, id, peer string) wire.JoinToken {
	t.Helper()
	secret, err := wire.NewJoinSecret()
	if err != nil {
		t.Fatal(err)
	}
	a, err := client.MembersOf(c).Invite(t.Context(), wire.InvitationRequest{Op: wire.Op{Reason: "test", Ticket: "OPS-2"}, NodeID: id,
		PeerAddress: peer, Digest: wire.JoinDigest(secret), ValidS: 60})
	if err != nil || a.Seq == 0 || len(a.Members) < 3 || len(a.Authorities) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	return wire.JoinTokenOf(a, secret)
}

// show shows a token to node to, as node i. It returns the code of the refusal, "" for none.
func show(t *testing.T, c *nodetest.Cluster, i, to int, clusterID string, secret []byte) string {
	t.Helper()
	body, err := json.Marshal(operator.Redemption{ClusterID: clusterID, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = c.Node(i).CallPeer(ctx, c.Config(to).NodeID, cluster.JoinPath, body)
	var refused *cluster.RemoteError
	if err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if refused == nil {
		return ""
	}
	return refused.Code
}

// memberEvents counts the changes of the members in the log that had an effect.
func memberEvents(t *testing.T, c *nodetest.Cluster) (n int) {
	t.Helper()
	for item, err := range c.Client.Operations(t.Context(), 0, client.Read{}) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Kind == "member_changed" && item.Effect == wire.EffectApplied {
			n++
		}
	}
	return n
}

// TestJoinTokenRefusals: a token counts for one node, one cluster and some time. What is refused changes nothing.
func TestJoinTokenRefusals(t *testing.T) {
	c := nodetest.Start(t, 3)
	i := c.Grow("node-4")
	id, peer := c.Place(i)
	own := c.Config(i).ClusterID
	asked := (c.Leader() + 1) % 3
	want := func(what, code string, got string) {
		t.Helper()
		if got != code {
			t.Errorf("%s: %q, want %q", what, got, code)
		}
	}
	want("never made", wire.JoinTokenUnknown, show(t, c, i, asked, own, make([]byte, 32)))
	want("no secret", wire.JoinTokenUnknown, show(t, c, i, asked, own, nil))
	want("too long", string(wire.CodeBadRequest), show(t, c, i, asked, own, make([]byte, 8<<10)))
	other := invite(t, c.Client, "node-5", peer)
	want("of another node", wire.JoinTokenOtherNode, show(t, c, i, asked, own, other.Secret))
	first, second := invite(t, c.Client, id, peer), invite(t, c.Client, id, peer)
	want("of another cluster", wire.JoinTokenOtherCluster, show(t, c, i, asked, "other", second.Secret))
	want("replaced", wire.JoinTokenWithdrawn, show(t, c, i, asked, own, first.Secret))
	members, why := client.MembersOf(c.Client), wire.Op{Reason: "test"}
	if a, err := members.Withdraw(t.Context(), id, why); err != nil || a.Change != wire.MemberWithdrawn || a.Seq == 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := members.Withdraw(t.Context(), id, why); problemOf(err) == nil || problemOf(err).Code != wire.CodeNotFound {
		t.Errorf("withdrawn twice: %v", err)
	}
	want("withdrawn", wire.JoinTokenWithdrawn, show(t, c, i, asked, own, second.Secret))
	elsewhere := invite(t, c.Client, id, nodetest.FreePort(t))
	want("for another address", string(wire.CodeStale), show(t, c, i, asked, own, elsewhere.Secret))
	late := invite(t, c.Client, id, peer)
	for k := range 3 {
		c.Sleep(k, 61*time.Second)
	}
	c.Await("the end of its time", func() error {
		if got := show(t, c, i, asked, own, late.Secret); got != wire.JoinTokenExpired {
			return errors.New(got)
		}
		return nil
	})
	if n := memberEvents(t, c); n != 0 {
		t.Errorf("%d changes of the members", n)
	}
	for _, id := range []string{"node-1", "node 4", ""} {
		if _, err := members.Invite(t.Context(), wire.InvitationRequest{Op: why, NodeID: id, PeerAddress: "h:1", ValidS: 60,
			Digest: strings.Repeat("0", 64)}); problemOf(err) == nil || problemOf(err).Field != "node_id" {
			t.Errorf("%q was invited: %v", id, err)
		}
	}
	if _, err := members.Remove(t.Context(), c.Config(asked).NodeID, why); err != nil {
		t.Fatal(err)
	}
	if _, err := members.Invite(t.Context(), wire.InvitationRequest{Op: why, NodeID: c.Config(asked).NodeID, PeerAddress: "h:1",
		Digest: strings.Repeat("0", 64), ValidS: 60}); problemOf(err) == nil || problemOf(err).Field != "node_id" {
		t.Errorf("a removed node was invited: %v", err)
	}
}

// TestRevokedInviter: when the token of an operator is revoked, the invitations that it made end.
func TestRevokedInviter(t *testing.T) {
	c := nodetest.Start(t, 3)
	i := c.Grow("node-4")
	id, peer := c.Place(i)
	text, tokenID, err := wire.NewToken(wire.RoleOperator)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client.CreateToken(t.Context(), wire.TokenRequest{ID: tokenID, Name: "mallory", Role: wire.RoleOperator,
		Digest: wire.TokenDigest(text), ExpiresAt: wire.Time(time.Now().Add(time.Hour))}); err != nil {
		t.Fatal(err)
	}
	ca := c.CA.CertPEM()
	mallory, err := client.New(client.Config{Endpoints: []string{c.URL(0)}, CA: ca, Token: text})
	if err != nil {
		t.Fatal(err)
	}
	defer mallory.Close()
	token := invite(t, mallory, id, peer)
	if _, err := c.Client.RevokeToken(t.Context(), tokenID, wire.TokenRevokeRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := show(t, c, i, 0, token.ClusterID, token.Secret); got != wire.JoinTokenWithdrawn {
		t.Errorf("%q", got)
	}
}

// TestOneDirectoryJoins: a node shows its token to all three members at once, and so does another directory of its id
// elsewhere. The node is added once, by one event. Later the other directory is told that the token was used.
func TestOneDirectoryJoins(t *testing.T) {
	var second atomic.Bool
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		if second.Load() {
			cfg.Dir += "-second"
			cfg.Voters = cfg.Voters[:4] // itself and the members
		}
	})
	i := c.Grow("node-4")
	id, peer := c.Place(i)
	token := invite(t, c.Client, id, peer)
	second.Store(true)
	j := c.Grow(id)
	var all sync.WaitGroup
	for to := range 3 {
		all.Go(func() {
			if got := show(t, c, i, to, token.ClusterID, token.Secret); got != "" {
				t.Errorf("through node %d: %q", to, got)
			}
		})
		all.Go(func() {
			if got := show(t, c, j, to, token.ClusterID, token.Secret); got != string(wire.CodeStale) && got != wire.JoinTokenUsed {
				t.Errorf("the second directory, through node %d: %q", to, got)
			}
		})
	}
	all.Wait()
	if n := memberEvents(t, c); n != 1 {
		t.Errorf("%d changes of the members", n)
	}
	c.Stop(j)
	second.Store(false)
	c.AwaitReady(i)
	view, err := c.Client.Cluster(t.Context())
	if err != nil || len(view.Members) != 4 || view.Members[3].ID != id || view.Members[3].Suffrage != "nonvoter" {
		t.Errorf("%+v, %v", view, err)
	}
}

// TestNodeJoinsWithItsToken: a node with a token in its settings becomes a learner by itself and is promoted. One whose
// token was withdrawn says so. A token of another node ends the start.
func TestNodeJoinsWithItsToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	var use atomic.Bool
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		if use.Load() {
			cfg.JoinTokenFile = file
		}
	})
	i := c.Grow("node-4")
	id, peer := c.Place(i)
	write := func(token wire.JoinToken) {
		t.Helper()
		text, err := token.Text()
		if err == nil {
			err = os.WriteFile(file, []byte(text+"\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	restart := func(token wire.JoinToken) {
		t.Helper()
		c.Stop(i)
		write(token)
		c.Tune(i, func(cfg *node.Config) { cfg.JoinTokenFile = file })
		c.Restart(i)
	}
	restart(invite(t, c.Client, id, peer))
	c.AwaitReady(i)
	promote(t, c, id)
	c.Check()
	use.Store(true)
	token := invite(t, c.Client, "node-5", nodetest.FreePort(t))
	if _, err := client.MembersOf(c.Client).Withdraw(t.Context(), "node-5", wire.Op{Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	write(token)
	k := c.Grow("node-5")
	c.Await("the refusal in readyz", func() error {
		status, text := c.Once(k, http.MethodGet, "/readyz?verbose", nil)
		if status != http.StatusServiceUnavailable || !strings.Contains(string(text), "the invitation was withdrawn") {
			return errors.New(string(text))
		}
		return nil
	})
	cfg := c.Config(k)
	c.Stop(k)
	token.NodeID = "node-6"
	write(token)
	if n, err := node.Open(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "invites node-6") {
		t.Errorf("%v, %v", n, err)
	}
	c.Tune(k, func(cfg *node.Config) { cfg.JoinTokenFile = "" })
	c.Restart(k)
}
