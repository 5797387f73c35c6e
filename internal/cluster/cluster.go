package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Cluster is one node's membership in a cluster. Open prepares it, Start runs it and Close ends it. It cannot
// be restarted.
type Cluster struct {
	cfg      Config
	log      *slog.Logger
	logs     *configLog
	members  *membership
	fsm      raft.FSM
	snaps    *snapshotStore
	stable   *stableStore
	peer     *peerPort
	rpc      *rpcServer
	calls    *peerClients
	trans    *transport
	raft     atomic.Pointer[raft.Raft] // nil before Start
	reads    *readLoop
	clocks   *clockTable
	watchdog *watchdog
	learners *learners
	changing chan struct{} // holds a token during a change of the members or a transfer
	handing  atomic.Bool   // this leader hands over and proposes nothing
	counts   struct{ clamped, held, rounds, reads atomic.Uint64 }

	hold    Hold
	fitness fitness

	watchMu sync.Mutex
	watch   chan struct{}

	pending   pendingSet
	stop      context.Context // done when Close begins to shut down
	stopNow   context.CancelFunc
	wg        sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
	fatalOnce sync.Once
}

// Open checks the stores against each other, bootstraps them if all are empty, and binds the peer port. It
// serves nothing before Start, so that handlers can be registered and the log can be given CommitIndex.
func Open(cfg Config, logs LogStore, fsm raft.FSM, meta MetaSource) (*Cluster, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	members := newMembership(meta.Removed)
	c := &Cluster{
		cfg:     cfg,
		log:     cfg.Logger,
		logs:    &configLog{LogStore: logs, meta: meta, members: members},
		members: members,
		fsm:     fsm,
		watch:   make(chan struct{}),

		changing: make(chan struct{}, 1),
		hold:     Hold{asked: make(chan struct{}, 1)},
	}
	c.stop, c.stopNow = context.WithCancel(context.Background())
	c.snaps = &snapshotStore{meta: meta, log: c.log}
	err := CheckDirectory(cfg.Dir, cfg.ClusterID, cfg.NodeID)
	if err != nil {
		return nil, err
	}
	if c.peer, err = newPeerPort(&c.cfg, members); err != nil {
		return nil, err
	}
	c.calls = newPeerClients(c.peer)
	if err := c.openStores(); err != nil {
		return nil, err
	}
	if err := c.peer.listen(); err != nil {
		c.calls.close()
		return nil, errors.Join(err, c.stable.Close())
	}
	c.watchdog = newWatchdog(c)
	c.learners = newLearners(c)
	c.clocks = newClockTable(c)
	c.reads = newReadLoop(c)
	c.rpc = newRPCServer(c)
	c.registerInternal()
	return c, nil
}

// openStores loads the known members and prepares the stores. A node that claims to be new asks the others
// first.
func (c *Cluster) openStores() (err error) {
	state := func() (last, commit uint64) {
		last, _ = c.logs.LastIndex()
		return last, min(c.CommitIndex(), last)
	}
	if c.peer.roster, err = newRoster(&c.cfg, c.members, state); err != nil {
		return err
	}
	if !c.cfg.Join {
		c.members.setFounding(c.cfg.ids()) // until there is a log, which may say otherwise
	}
	if c.stable, err = prepareStores(&c.cfg, c.cfg.raftConfig(), c.logs, c.snaps, c.askIfNew); err == nil {
		if err = c.logs.load(); err != nil {
			err = errors.Join(err, c.stable.Close())
		}
	}
	if err != nil {
		c.calls.close()
		return err
	}
	last, err := c.logs.LastIndex()
	c.hold.closed.Store(err == nil && last == 0 && c.cfg.HoldEntries)
	return err
}

// Start builds Raft on the stores and serves peers. After an error the cluster must be closed.
func (c *Cluster) Start() error {
	if c.raft.Load() != nil {
		return errors.New("cluster: already started")
	}
	c.trans = newTransport(c)
	r, err := raft.NewRaft(c.cfg.raftConfig(), c.fsm, c.logs, endingStable{c.stable, c.fatal}, c.snaps, c.trans)
	if err != nil {
		return errors.Join(fmt.Errorf("cluster: start raft: %w", err), c.trans.Close())
	}
	c.raft.Store(r)
	signal := make(chan raft.Observation, 1)
	r.RegisterObserver(raft.NewObserver(signal, false, leadershipOnly))
	for _, run := range []func(){
		func() { c.observe(signal) },
		c.reads.run, c.clocks.run, c.watchdog.run, c.learners.run, c.rpc.serve, c.peer.serve,
		func() { c.peer.roster.run(c.stop) },
		func() { c.calls.follow(c.stop) },
	} {
		c.wg.Go(run)
	}
	return nil
}

// raftConfig returns the library's configuration. The storage depends on TrailingLogs and
// NoSnapshotRestoreOnStart.
func (c *Config) raftConfig() *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(c.NodeID)
	conf.HeartbeatTimeout = c.Timings.Heartbeat
	conf.ElectionTimeout = c.Timings.Election
	conf.LeaderLeaseTimeout = c.Timings.Lease
	conf.CommitTimeout = c.Timings.CommitTimeout
	conf.ShutdownOnRemove = false // a removed node says that it is removed
	conf.TrailingLogs = math.MaxUint64
	conf.NoSnapshotRestoreOnStart = true
	conf.BatchApplyCh = true
	conf.MaxAppendEntries = 64
	conf.SnapshotThreshold = 20_000
	conf.SnapshotInterval = time.Minute
	conf.NoLegacyTelemetry = true
	conf.Logger = newHCLog(c.Logger)
	return conf
}

func leadershipOnly(o *raft.Observation) bool {
	switch o.Data.(type) {
	case raft.LeaderObservation, raft.RaftState:
		return true
	}
	return false
}

// observe turns Raft's observations into Watch signals. One slot is enough because readers look at the state
// afterwards.
func (c *Cluster) observe(signal <-chan raft.Observation) {
	for {
		select {
		case <-c.stop.Done():
			return
		case <-signal:
			c.changed()
		}
	}
}

func (c *Cluster) changed() {
	c.watchMu.Lock()
	old := c.watch
	c.watch = make(chan struct{})
	c.watchMu.Unlock()
	close(old)
}

// Watch returns a channel that is closed at the next change of this node's view of leadership. Take the channel
// first, then call Leader or IsLeader, then wait.
func (c *Cluster) Watch() <-chan struct{} {
	c.watchMu.Lock()
	defer c.watchMu.Unlock()
	return c.watch
}

// fatal stops the node once. It only logs later reasons.
func (c *Cluster) fatal(err error) {
	first := false
	c.fatalOnce.Do(func() { first = true })
	if first {
		c.cfg.Fatal(err)
		return
	}
	c.log.Error("cluster: another fatal error", "error", err)
}

// TransferAndClose transfers leadership to another voter, if this node leads, and closes the cluster. The
// process must end afterwards, because an interrupted transfer leaves Raft unable to propose.
func (c *Cluster) TransferAndClose(ctx context.Context) error {
	if _, ok := c.IsLeader(); ok && len(c.members.now().voters) > 1 {
		c.pending.refuse()
		done := make(chan error, 1)
		go func() { done <- c.raft.Load().LeadershipTransfer().Error() }()
		select {
		case err := <-done:
			if err != nil {
				c.log.Warn("cluster: leadership transfer failed", "error", err)
			}
		case <-ctx.Done():
		}
	}
	return c.Close(ctx)
}

// Close waits briefly for proposals in flight, then stops Raft, the peer port, the handlers of calls and the stable
// store. If ctx ends first, Close returns ctx's error and leaves the stable store open, because Raft may still be
// writing. Repeated calls return the first result. Handlers read stores of their own, which may be closed after
// Close. It does not wait for them when ctx ends.
func (c *Cluster) Close(ctx context.Context) error {
	c.closeOnce.Do(func() { c.closeErr = c.close(ctx) })
	return c.closeErr
}

func (c *Cluster) close(ctx context.Context) error {
	c.pending.refuse()
	drain, cancel := context.WithTimeout(ctx, 2*c.cfg.Timings.Lease)
	c.pending.wait(drain)
	cancel()
	c.stopNow()
	var raftErr error
	if r := c.raft.Load(); r != nil {
		// closing twice is harmless; Raft may hang in a store
		raftErr = errors.Join(waitRaftShutdown(ctx, r), c.trans.Close())
	}
	c.calls.close()
	c.peer.close()
	c.wg.Wait()
	c.rpc.running.refuse()
	c.rpc.running.wait(ctx)
	c.changed()
	if raftErr != nil {
		return raftErr
	}
	return c.stable.Close()
}

func waitRaftShutdown(ctx context.Context, r *raft.Raft) error {
	done := make(chan error, 1)
	go func() { done <- r.Shutdown().Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cluster: raft did not stop: %w", ctx.Err())
	}
}
