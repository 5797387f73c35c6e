// Package cluster runs hashicorp/raft in a node: stable store, synthetic snapshots, a mutually authenticated
// peer port that carries Raft streams and RPC, leadership, linearizable read indexes and clock offsets. It
// knows no domain: the data that it commits is opaque.
//
// The members are those of the newest configuration in the log. The settings found a new cluster, and say where to
// look for the others.
//
// It never compacts or truncates the log, installs a snapshot or recovers a cluster by force. A node whose store has
// lost data stops.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"github.com/recount-ledger/recount/internal/cluster/certs"
)

// ExitCluster is the exit code of the default Config.Fatal.
const ExitCluster = 71

// Errors of this package. Compare with errors.Is.
var (
	ErrNotLeader      = errors.New("cluster: this node is not the leader")      // certainly not proposed
	ErrNoLeader       = errors.New("cluster: no leader is known")               // certainly not proposed or confirmed
	ErrLeadershipLost = errors.New("cluster: leadership lost, outcome unknown") // may or may not be committed
	ErrBusy           = errors.New("cluster: the proposal queue stayed full")   // certainly not proposed
	// outcome unknown when returned by Future.Wait
	ErrShutdown = errors.New("cluster: shut down")
	// a read cannot be served as linearizable
	ErrNotConfirmed = errors.New("cluster: no quorum confirmed the leader's term in time")
	ErrUnknownNode  = errors.New("cluster: no such member")
	ErrUnreachable  = errors.New("cluster: peer call failed, outcome unknown")
	ErrLostLog      = errors.New("cluster: the log is empty, and this node was a member before; this node " +
		"lost its disk and must not vote; go on with the other nodes, and replace this one: docs/members.md")
	ErrEmptyDirectory = errors.New("cluster: the directory is empty. If the cluster is new, say so once: " +
		"--new-cluster. " +
		"If the node is to be added to a cluster that runs: --join. " +
		"If this node was a member before, it has lost its disk and must not start: go on with the other " +
		"nodes, and replace this one: docs/members.md")
	ErrTooFewAnswers = errors.New("cluster: this node is new, the cluster has a ledger already, and too few " +
		"other nodes answer to say that " +
		"this node was never a member. If it is new, start it again while the others run")
	ErrForeignDirectory = errors.New("cluster: this directory belongs to another node")
	ErrInconsistent     = errors.New("cluster: the stores of this node contradict each other")
)

// Voter is one node of the settings: an id that is never reused and the host:port at which peers reach it.
type Voter struct{ ID, PeerAddr string }

// TLSFiles are the PEM files of the peer port. The certificate serves in both directions (client and server
// use) and carries the URI SAN that NodeURI returns.
type TLSFiles struct{ CA, Cert, Key string }

// Defaults of a Config, which are those of a node, too.
const (
	DefaultElectionTimeout = 2 * time.Second
	DefaultMaxClockSkew    = 5 * time.Second
)

// maxLease bounds the time for which a leader trusts the last answer of a majority.
const maxLease = 2 * time.Second

// Timings of Raft. Zero fields select the defaults.
type Timings struct {
	Heartbeat time.Duration // time without a heartbeat before an election; default DefaultElectionTimeout
	Election  time.Duration // timeout of an election; default Heartbeat
	Lease     time.Duration // default min(Election, 2 s), never above Heartbeat
	// CommitTimeout is the least interval at which an idle leader tells its commit index. Raft draws each interval
	// up to twice as long. A follower that forwards or reads learns it from the leader's answer. The default is
	// 50 ms.
	CommitTimeout time.Duration
}

// Config configures a Cluster.
type Config struct {
	NodeID, ClusterID string
	// directory of the node; holds node.json, stable/raft.db, stable/votes and, while bootstrapping, a marker
	// file
	Dir string
	// NewCluster founds a cluster of Voters on an empty directory. Join waits on an empty directory until the leader
	// of a cluster that runs adds this node. Without either, an empty directory is an error.
	NewCluster, Join bool
	// HoldEntries keeps a node that joins with an empty log from taking entries until Hold.Release, so that the
	// caller can get the log in another way. The caller then closes the cluster, puts the log in its place and opens
	// the cluster again.
	HoldEntries bool

	PeerBind      string // host:port to listen at
	PeerAdvertise string // host:port that peers use; default is this node's entry in Voters
	// founding members of a new cluster. Later they only say where the members may be found
	Voters       []Voter
	TLS          TLSFiles
	Timings      Timings
	Logger       *slog.Logger
	Fatal        func(error)      // called once if the node must stop; default logs and exits with ExitCluster
	Clock        func() time.Time // wall clock that is compared among voters; default time.Now
	MaxClockSkew time.Duration    // ClockOK bound; default DefaultMaxClockSkew
	// reports that this node cannot work as leader; it yields while others can. Nil means never. It is called
	// often and must not block.
	Unfit func() bool
	// About answers AskAt on this node. Nil means nothing.
	About func() []byte
	// JoinedFrom returns the incarnation of the directory from which node id used its join token, "" for none that the
	// ledger names, and the last entry that the answer knows. Nil means that no node has a token. It must not block.
	JoinedFrom func(id string) (incarnation string, index uint64)
	// bound on the time during which the first start of a node asks others that do not respond; default 10 s
	StartTimeout time.Duration
	// Elapsed returns the time since some fixed moment, including time in which the machine was suspended. The
	// default asks the system.
	Elapsed func() time.Duration

	self     identity                                                     // of the directory; set by Open
	listener net.Listener                                                 // tests: bound in advance
	dial     func(ctx context.Context, id, addr string) (net.Conn, error) // tests: partitions
	votes    openVotesFile                                                // tests: power cuts
	// tests: exposes the library defect that the clamp fixes
	noClamp     bool
	stuckLimit  time.Duration // tests: 25 s otherwise
	askLimit    time.Duration // tests: 1 s otherwise
	rpcDeadline time.Duration // tests: 10 s otherwise
}

// MetaSource returns the durable applied state, from which the synthetic snapshot is made. Index zero means
// that nothing was applied. (index, term) must be an entry of the log. configuration is
// raft.EncodeConfiguration of the newest configuration entry at or below index.
type MetaSource interface {
	Meta() (index, term uint64, configuration []byte, configurationIndex uint64)
	// Removed returns the entry of the first applied configuration without a node that an earlier one names, or 0.
	// Applied entries are committed, and an id is used once, so the answer for a removed node stays the same.
	Removed(id string) (index uint64)
}

// LogStore is the event log.
type LogStore interface {
	raft.LogStore
	// StoreStarted returns the start of the StoreLogs call in progress.
	StoreStarted() (since time.Time, busy bool)
	// CommittedAt learns from the leader that the entry at index with this term is committed.
	CommittedAt(index, term uint64)
}

// NodeURI returns the URI SAN of a node's certificate.
func NodeURI(clusterID, nodeID string) string {
	return certs.NodeURI(clusterID, nodeID)
}

func (c *Config) setDefaults() {
	t := &c.Timings
	orDuration(&t.Heartbeat, DefaultElectionTimeout)
	orDuration(&t.Election, t.Heartbeat)
	orDuration(&t.Lease, min(t.Election, t.Heartbeat, maxLease))
	orDuration(&t.CommitTimeout, 50*time.Millisecond)
	orDuration(&c.MaxClockSkew, DefaultMaxClockSkew)
	orDuration(&c.StartTimeout, 10*time.Second)
	orDuration(&c.stuckLimit, 25*time.Second)
	orDuration(&c.askLimit, time.Second)
	orDuration(&c.rpcDeadline, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Elapsed == nil {
		c.Elapsed = sinceBoot
	}
	if c.PeerAdvertise == "" {
		c.PeerAdvertise = c.addrOf(c.NodeID)
	}
	if c.Fatal == nil {
		logger := c.Logger
		c.Fatal = func(err error) {
			logger.Error("cluster: the node must stop", "error", err)
			os.Exit(ExitCluster)
		}
	}
	if c.votes == nil {
		c.votes = votesOnDisk
	}
	if c.dial == nil {
		d := &net.Dialer{KeepAlive: 15 * time.Second}
		c.dial = func(ctx context.Context, _, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
}

func orDuration(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}

// ids returns the ids of the settings' nodes.
func (c *Config) ids() (out []string) {
	for _, v := range c.Voters {
		out = append(out, v.ID)
	}
	return out
}

func (c *Config) addrOf(id string) string {
	for _, v := range c.Voters {
		if v.ID == id {
			return v.PeerAddr
		}
	}
	return ""
}

func (c *Config) validate() error {
	var errs []error
	for name, s := range map[string]string{"cluster id": c.ClusterID, "node id": c.NodeID} {
		if err := certs.CheckID(s); err != nil {
			errs = append(errs, fmt.Errorf("cluster: %s %q: %w", name, s, err))
		}
	}
	ids, addrs := map[string]bool{}, map[string]bool{}
	for _, v := range c.Voters {
		if err := certs.CheckID(v.ID); err != nil || ids[v.ID] {
			errs = append(errs, fmt.Errorf("cluster: voter id %q is invalid or repeated", v.ID))
		}
		if _, _, err := net.SplitHostPort(v.PeerAddr); err != nil || addrs[v.PeerAddr] {
			errs = append(errs, fmt.Errorf("cluster: voter %q: address %q is invalid or repeated", v.ID, v.PeerAddr))
		}
		ids[v.ID], addrs[v.PeerAddr] = true, true
	}
	if c.NewCluster && c.Join {
		errs = append(errs, errors.New("cluster: a node founds a cluster or joins one, not both"))
	}
	if !ids[c.NodeID] {
		errs = append(errs, fmt.Errorf("cluster: node %q is not among the voters", c.NodeID))
	}
	if c.Dir == "" {
		errs = append(errs, errors.New("cluster: no directory"))
	}
	return errors.Join(errs...)
}
