// Package nodetest runs clusters of real nodes inside a test: certificates, loopback ports and directories of
// their own, the real client in front, and a checker of the whole state. It refuses to fake any part of a node,
// and to simulate a lost machine: a node stops here as it does on SIGTERM.
package nodetest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// Times of a test cluster.
const (
	ElectionTimeout = 500 * time.Millisecond
	SubmitTimeout   = 5 * time.Second
	// of Await and of a Stop. A busy machine needs it, and only a failure waits that long
	patience = 2 * time.Minute
)

// maxLog bounds the node logs that a failed test prints, in bytes.
const maxLog = 64 << 10

// Cluster is a set of nodes of one ledger. Its methods may be called concurrently, except Stop and Start of one node.
type Cluster struct {
	Client *client.Client // over all nodes, as an operator
	Tokens map[wire.Role]string
	CA     *certs.CA // of all certificates of the cluster

	t       testing.TB
	id      string
	dir     string // of the certificates and the nodes
	key     verify.Key
	tune    []func(*node.Config)
	old     []*client.Client // of earlier sets of nodes
	members []*member
	http    *http.Client // one attempt, no repetition
	pool    *x509.CertPool
	answers answers
	logs    logBuffer
}

// member is one node. node is nil while it is stopped.
type member struct {
	cfg node.Config

	mayEnd atomic.Bool

	mu   sync.Mutex
	node *node.Node
	stop context.CancelFunc // of the watch over the node
	done chan struct{}

	shift atomic.Int64 // of its wall clock, nanoseconds
	slept atomic.Int64 // how long its machine slept, nanoseconds
}

var began = time.Now()

// clock is the wall clock of the machine, shifted.
func (m *member) clock() time.Time {
	return time.Now().Add(time.Duration(m.shift.Load() + m.slept.Load()))
}

// elapsed is the time that passed for the machine of this node.
func (m *member) elapsed() time.Duration { return time.Since(began) + time.Duration(m.slept.Load()) }

// ShiftClock sets the wall clock of node i this far from that of the machine, at once and over restarts.
func (c *Cluster) ShiftClock(i int, d time.Duration) { c.members[i].shift.Store(int64(d)) }

// Sleep lets the machine of node i have slept for d, all told: its wall clock and the time that passed are
// further by that, its timers are not.
func (c *Cluster) Sleep(i int, d time.Duration) { c.members[i].slept.Store(int64(d)) }

// Start runs n nodes and waits until all of them are ready. The nodes hold the key that Records signs with. The
// cluster ends with the test. tune changes the settings of every node.
func Start(t testing.TB, n int, tune ...func(*node.Config)) *Cluster {
	t.Helper()
	c := &Cluster{t: t, id: "nodetest", tune: tune}
	c.prepare()
	voters := make([]node.Voter, n)
	ports := freePorts(c.t, 2*n)
	for i := range voters {
		voters[i] = node.Voter{ID: "node-" + strconv.Itoa(i+1), API: "https://" + ports[2*i], Peer: ports[2*i+1]}
	}
	for _, v := range voters {
		c.configureOne(v, voters, false)
	}
	c.start()
	return c
}

// Take runs the only node of a cluster that was founded in dir, from a backup or a survivor of c, with the peer address
// that was given there. It has the CA, the tokens and the keys of c.
func (c *Cluster) Take(dir, clusterID, nodeID, peer string) *Cluster {
	c.t.Helper()
	n := &Cluster{t: c.t, id: clusterID, dir: c.dir, tune: c.tune, CA: c.CA, Tokens: c.Tokens, key: c.key, pool: c.pool}
	v := node.Voter{ID: nodeID, API: "https://" + FreePort(c.t), Peer: peer}
	n.configureOne(v, []node.Voter{v}, false)
	n.Tune(0, func(cfg *node.Config) { cfg.Dir, cfg.NewCluster = dir, false })
	n.start()
	return n
}

// start runs the nodes until the test ends, and waits until they are ready.
func (c *Cluster) start() {
	c.t.Helper()
	c.http = c.HTTPFrom("127.0.0.1")
	c.connect()
	c.t.Cleanup(c.end)
	for i := range c.members {
		c.Restart(i)
	}
	for i := range c.members {
		c.AwaitReady(i)
	}
}

// connect makes the client over all nodes. Clients that a test holds stay open.
func (c *Cluster) connect() {
	c.t.Helper()
	if c.Client != nil {
		c.old = append(c.old, c.Client)
	}
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, apiURL(m))
	}
	var err error
	c.Client, err = client.New(client.Config{
		Endpoints:  endpoints,
		CA:         c.CA.CertPEM(),
		Token:      c.Tokens[wire.RoleOperator],
		MinBackoff: 20 * time.Millisecond,
		MaxBackoff: 200 * time.Millisecond,
	})
	must(c.t, err)
}

func apiURL(m *member) string { return "https://" + m.cfg.API.Listen }

// prepare makes the directory, the authority of all certificates, the key and the tokens.
func (c *Cluster) prepare() {
	c.t.Helper()
	dir := c.t.TempDir()
	c.dir = dir
	ca, err := certs.NewCA("nodetest")
	must(c.t, err)
	must(c.t, ca.Save(dir, "ca"))
	c.key, err = verify.NewHMACKey([]byte(trustedKey(c.t)))
	must(c.t, err)
	c.CA = ca
	c.pool = x509.NewCertPool()
	c.pool.AppendCertsFromPEM(ca.CertPEM())
	c.Tokens = map[wire.Role]string{}
	tokens := ""
	for _, role := range wire.Roles() {
		text, id, err := wire.NewToken(role)
		must(c.t, err)
		c.Tokens[role] = text
		tokens += fmt.Sprintf("%s %s %s never test-%s\n", id, role, wire.TokenDigest(text), role)
	}
	must(c.t, os.WriteFile(filepath.Join(dir, "tokens"), []byte(tokens), 0o600))
}

// configureOne makes one node of a new cluster, or one that joins, with a certificate.
func (c *Cluster) configureOne(v node.Voter, voters []node.Voter, join bool) {
	c.t.Helper()
	cfg := node.Defaults()
	cfg.TokensFile = filepath.Join(c.dir, "tokens")
	cfg.NodeID, cfg.ClusterID, cfg.Dir, cfg.Voters = v.ID, c.id, filepath.Join(c.dir, v.ID), voters
	cfg.NewCluster, cfg.Join = !join, join
	cfg.Keys = []verify.Key{c.key}
	cfg.Ballast = 0 // the disk is that of the machine, or one in memory
	cfg.TokenRate, cfg.AddressRate, cfg.ElectionTimeout, cfg.SubmitTimeout = 0, 0, ElectionTimeout, SubmitTimeout
	certPEM, keyPEM, err := c.CA.Issue(certs.Request{
		CommonName: v.ID,
		DNS:        []string{"localhost"},
		IPs:        []net.IP{net.IPv4(127, 0, 0, 1)},
		URIs:       []string{"recount://" + c.id + "/node/" + v.ID},
		Client:     true,
		Server:     true,
	})
	must(c.t, err)
	must(c.t, certs.WritePair(c.dir, v.ID, certPEM, keyPEM))
	pair := node.Listener{
		Cert: filepath.Join(c.dir, v.ID+".crt"),
		Key:  filepath.Join(c.dir, v.ID+".key"),
		CA:   filepath.Join(c.dir, "ca.crt"),
	}
	cfg.API, cfg.Peer = pair, pair
	cfg.API.CA = "" // clients show no certificate unless a test says so
	cfg.API.Listen, cfg.Peer.Listen = strings.TrimPrefix(v.API, "https://"), v.Peer
	m := &member{}
	cfg.Clock, cfg.Elapsed = m.clock, m.elapsed
	for _, f := range c.tune {
		f(&cfg)
	}
	m.cfg = cfg
	c.members = append(c.members, m)
}

// Config are the settings of node i.
func (c *Cluster) Config(i int) node.Config { return c.members[i].cfg }

// Tune changes the settings of node i from its next start on.
func (c *Cluster) Tune(i int, f func(*node.Config)) { f(&c.members[i].cfg) }

// MayEnd allows that node i is expected to give up by itself, as a leader does that contradicts the others.
func (c *Cluster) MayEnd(i int) { c.members[i].mayEnd.Store(true) }

// Lead makes node i of three the leader: the leader hands over when it stops, and no other node is there to take
// over.
func (c *Cluster) Lead(i int) {
	c.t.Helper()
	for tries := 0; ; tries++ {
		lead := c.Leader()
		if lead == i {
			return
		}
		if tries == 20 {
			c.t.Fatalf("node %d does not get to lead", i)
		}
		third := 3 - i - lead
		c.Stop(third)
		c.Stop(lead)
		c.Restart(third)
		c.Leader()
		c.Restart(lead)
		c.AwaitReady(third)
		c.AwaitReady(lead)
	}
}

// Node is node i itself, nil while it is stopped.
func (c *Cluster) Node(i int) *node.Node {
	m := c.members[i]
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.node
}

// URL is the base URL of node i.
func (c *Cluster) URL(i int) string { return apiURL(c.members[i]) }

// Size is the number of nodes.
func (c *Cluster) Size() int { return len(c.members) }

// Dir is the data directory of node i.
func (c *Cluster) Dir(i int) string { return c.members[i].cfg.Dir }

// At is the client of node i alone.
func (c *Cluster) At(i int) *client.Client { return c.Client.At(i) }

// Restart starts node i with its settings and data. It does not wait until the node is ready.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	m := c.members[i]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	logger := slog.New(slog.NewTextHandler(&c.logs, nil)).With("node", m.cfg.NodeID)
	n, err := node.Open(ctx, m.cfg, logger)
	if err != nil {
		c.t.Fatalf("start %s: %v", m.cfg.NodeID, err)
	}
	watch, stop := context.WithCancel(context.Background())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.node, m.stop, m.done = n, stop, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		err := n.Run(watch)
		for n := n; errors.Is(err, node.ErrSeeded); err = n.Run(watch) {
			if n = c.reopen(m, n, logger); n == nil {
				return
			}
		}
		if err != nil && !m.mayEnd.Load() {
			c.t.Errorf("%s could not go on: %v", m.cfg.NodeID, err)
		}
	}(m.done)
}

// reopen opens a node again that has copied the log of a member, as its process does. It returns nil if the node was
// stopped meanwhile.
func (c *Cluster) reopen(m *member, n *node.Node, logger *slog.Logger) *node.Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.node != n {
		return nil
	}
	m.node = nil
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := n.Close(ctx)
	if err == nil {
		m.node, err = node.Open(ctx, m.cfg, logger)
	}
	if err != nil {
		c.t.Errorf("%s opens again: %v", m.cfg.NodeID, err)
		return nil
	}
	return m.node
}

// Stop closes node i as a signal would: intake, hand-over, folds, stores. Stopping a stopped node does nothing.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	m := c.members[i]
	m.mu.Lock()
	n := m.node
	m.node = nil
	m.mu.Unlock()
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		c.t.Errorf("close %s: %v", m.cfg.NodeID, err)
	}
	m.stop()
	<-m.done
}

// end stops everything and prints what the nodes logged when the test failed.
func (c *Cluster) end() {
	var wg sync.WaitGroup
	for i := range c.members {
		wg.Go(func() { c.Stop(i) })
	}
	wg.Wait()
	for _, cl := range append(c.old, c.Client) {
		cl.Close()
	}
	c.http.CloseIdleConnections()
	if c.t.Failed() {
		c.t.Logf("the nodes logged:\n%s", c.logs.String())
	}
}

// Logs is the end of what the nodes logged.
func (c *Cluster) Logs() string { return c.logs.String() }

// ClearFolds removes from the stopped node i what an operator removes after a quarantine: all folded state and
// the mark.
func (c *Cluster) ClearFolds(i int) {
	c.t.Helper()
	for _, name := range []string{"derived", "generations", "quarantine"} {
		must(c.t, os.RemoveAll(filepath.Join(c.Dir(i), name)))
	}
}
