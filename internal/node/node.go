// Package node builds the packages of one node in order, runs them and closes them in reverse: log, folded
// state, consensus, packer, intake, operator, reads, HTTPS. It does the work of a node besides answering: the
// first event of a ledger, the registration of its keys, logged digests, log time. It decides no outcome. The
// fold does.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/api"
	"github.com/recount-ledger/recount/internal/cluster"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/disk"
	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/intake"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/notary"
	"github.com/recount-ledger/recount/internal/operator"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/propose"
	"github.com/recount-ledger/recount/internal/reads"
	"github.com/recount-ledger/recount/internal/recount"
	"github.com/recount-ledger/recount/internal/seed"
	"github.com/recount-ledger/recount/internal/trace"
	"github.com/recount-ledger/recount/wire"
)

// ExitStore is the exit code of a process whose store failed or refused.
const ExitStore = log.ExitStore

// IdentityFile is the file in a data directory that names the node it belongs to.
const IdentityFile = cluster.IdentityFile

// Node is one running replica.
type Node struct {
	cfg       Config
	log       *slog.Logger
	keys      *heldKeys
	store     *log.Store
	derived   *fsm.Derived
	gens      *recount.Manager
	cluster   *cluster.Cluster
	raft      *raftLog
	packer    *propose.Packer[projections.Result]
	operator  *operator.Operator
	intake    *intake.Intake
	views     *reads.Views
	notary    *notary.Notary
	lead      *leader
	facts     *factChecker
	server    *http.Server
	listener  net.Listener
	scrape    *http.Server  // of /metrics alone, nil when the API serves it
	debug     *http.Server  // of profiles, nil for none
	tracer    *trace.Tracer // nil when nothing is traced
	unused    unusedConns
	damages   atomic.Uint64 // times that derived/ could not be read and was folded again
	deciding  atomic.Int64  // requests of the API that have arrived completely and have no answer yet
	registry  *prometheus.Registry
	apiFiles  *certs.Reloader // certificate files of the API
	peerFiles *certs.Reloader // and of the peer port
	certWatch *certs.Watcher
	audit     *auditor
	copies    copyKeeper
	seeds     *seed.Source   // copies for nodes that join
	seeding   *seed.Receiver // nil unless this node joins with an empty log
	entry     *entry         // nil unless it joins with a token

	handler atomic.Pointer[http.Handler] // of the API, for operations that other nodes forward

	ctx     context.Context // of the loops and of what they start, ends in Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	failed  chan error

	quarantine quarantine
	witness    *witness
	doubts     *agreement.Doubts // questions to the other voters
	voters     *agreement.Voters
	releases   *releases
	closing    atomic.Bool
	clock      *ledgerClock
	disk       *disk.Space
	roll       *roll
	joined     atomic.Bool // cluster is set, and has started
	// caughtUp is set once this node has folded all that was committed. Until then an own submission might wait
	// long for its fold.
	caughtUp atomic.Bool
	stats    stats
}

// Open builds the node and starts its loops. ctx bounds the start only.
func Open(ctx context.Context, cfg Config, logger *slog.Logger) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	n := &Node{cfg: cfg, log: logger, registry: prometheus.NewRegistry(), failed: make(chan error, 8),
		certWatch: certs.NewWatcher()}
	var err error
	if n.tracer, err = newTracer(n); err != nil {
		return nil, err
	}
	n.clock = &ledgerClock{cfg: &n.cfg, log: logger, caughtUp: &n.caughtUp}
	n.quarantine.dir, n.quarantine.log = cfg.Dir, logger
	n.keys = newHeldKeys(&n.cfg, logger)
	n.roll = &roll{n: n}
	n.newDoubts()
	n.releases = releasesOf(n)
	n.disk = disk.New(disk.Options{Dir: cfg.Dir, Ballast: cfg.Ballast, Free: cfg.DiskFree, Virtual: cfg.FS != nil,
		Unflushed: n.unflushed, Logger: logger})
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(newerLedger(err), n.Close(context.WithoutCancel(ctx)))
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) error {
	tokens, err := operator.ReadTokensFile(n.cfg.TokensFile)
	if err != nil {
		return err
	}
	if err := n.openStores(ctx); err != nil {
		return err
	}
	if n.copies, err = newCopies(n); err != nil {
		return err
	}
	if err := n.newCluster(); err != nil {
		return err
	}
	n.views = &reads.Views{State: n.derived, Generations: n.gens, Withheld: n.withheld, Confirm: n.confirm}
	n.lead = &leader{cfg: &n.cfg, log: n.log, cluster: n.cluster, derived: n.derived, gens: n.gens, clock: n.clock,
		doubts: n.doubts, voters: n.voters, releases: n.releases, quarantine: &n.quarantine, withheld: n.withheld,
		mayPropose: n.mayPropose, askedHistory: map[uint64]bool{}}
	n.completeWitness()
	n.raft = n.newRaftLog()
	n.packer = propose.New(propose.Options[projections.Result]{
		Log: n.raft, Outcomes: n.gens.Outcomes, Now: func() int64 { return n.clock.Now().UnixNano() },
		MaxQueue: n.cfg.QueueBytes, Deadline: n.cfg.SubmitTimeout,
	})
	n.operator = n.newOperator(tokens)
	n.intake = n.newIntake()
	if err := n.cluster.Start(); err != nil {
		return err
	}
	n.joined.Store(true)
	if err := n.recallLogged(ctx); err != nil {
		return err
	}
	loops := n.ctx
	n.loop(loops, "control fold", n.derived.Run)
	n.loop(loops, "generations", n.gens.Run)
	n.loop(loops, "catching up", n.catchUp)
	n.loop(loops, "ballast", n.disk.Run)
	n.loop(loops, "examination of the log", n.scrubLog)
	n.loop(loops, "leader", n.lead.run)
	n.loop(loops, "agreement of the voters", n.doubts.Run)
	n.loop(loops, "key registration", n.registerKeys)
	n.loop(loops, "key files", n.keys.watch)
	n.loop(loops, "refusal reports", n.intake.ReportRefusals)
	n.loop(loops, "age of keys", n.operator.Keys.WarnOld)
	n.loop(loops, "clock", n.clock.watch)
	if err := startNotary(n); err != nil {
		return err
	}
	n.loop(loops, "leadership", n.watchLead)
	n.loop(loops, "removal", func(ctx context.Context) error { return watchRemoval(ctx, n) })
	n.loop(loops, "API of the leader", n.roll.watchLeader)
	n.loop(loops, "copies of the log", n.copies.run)
	n.loop(loops, "join token", func(ctx context.Context) error { return redeemToken(ctx, n) })
	n.loop(loops, "copy of the log of a member", func(ctx context.Context) error { return joinLedger(ctx, n) })
	if n.audit, err = newAuditor(n.cfg.Audit, n.log, n.explain); err != nil {
		return err
	}
	return n.openAPI()
}

func (n *Node) newIntake() *intake.Intake {
	return intake.New(intake.Options{
		NodeID:         n.cfg.NodeID,
		RecordRemote:   n.cfg.RecordRemote,
		QueueBytes:     n.cfg.QueueBytes,
		TokenRate:      n.cfg.TokenRate,
		KeyRate:        n.cfg.KeyRate,
		ThrottleStatus: n.cfg.ThrottleStatus,
		State:          n.derived,
		Generations:    n.gens,
		Log:            n.packer,
		Keys:           n.keys,
		Clock:          n.clock,
		Logger:         n.log,
		Stopping:       n.closing.Load,
		CaughtUp:       n.caughtUp.Load,
		DiskShort:      n.disk.Short,
		Withheld:       n.withheld,
		Confirm:        n.confirm,
		CheckOwn:       n.facts.checkOwn,
		Problem:        func(err error) error { return proposeProblem(err, n) },
		Answered: func(seen intake.Seen, meta api.Meta, answer *wire.SubmitAnswer, err error) {
			n.audit.submission(seen, meta, answer, err)
		},
	})
}

// openStores opens the log and the folded state and folds up to what is known to be committed.
func (n *Node) openStores(ctx context.Context) error {
	if err := cluster.CheckDirectory(n.cfg.Dir, n.cfg.ClusterID, n.cfg.NodeID); err != nil {
		return err
	}
	if n.cfg.FS == nil {
		if err := errors.Join(durable.MkdirAll(nil, n.cfg.Dir, 0o700),
			durable.MkdirAll(nil, filepath.Join(n.cfg.Dir, "generations"), 0o700)); err != nil {
			return err
		}
	}
	err := seed.CheckSwitch(n.cfg.Dir)
	if err != nil {
		return err
	}
	if err := n.disk.FreeBallast(); err != nil {
		return err
	}
	if err := installSeed(n); err != nil {
		return err
	}
	n.store, err = log.Open(filepath.Join(n.cfg.Dir, "events"),
		log.Options{FS: n.cfg.FS, Logger: n.log, Fatal: n.logFailed})
	if err != nil {
		return refusedLog(err)
	}
	n.store.CommittedTo(n.store.Floor())
	if err := n.quarantine.recall(); err != nil {
		return err
	}
	if err := n.openDerived(); err != nil {
		return err
	}
	n.clock.derived, n.keys.derived = n.derived, n.derived
	if err := n.derived.CatchUp(ctx); err != nil {
		return err
	}
	if err := n.checkLedger(); err != nil {
		return err
	}
	return n.openGenerations()
}

func (n *Node) newCluster() error {
	voters := make([]cluster.Voter, len(n.cfg.Voters))
	for i, v := range n.cfg.Voters {
		voters[i] = cluster.Voter{ID: v.ID, PeerAddr: v.Peer}
	}
	n.peerFiles = certs.NewReloader("peer", n.log, n.cfg.Peer.Cert, n.cfg.Peer.Key, n.cfg.Peer.CA)
	var err error
	n.cluster, err = cluster.Open(cluster.Config{
		NodeID: n.cfg.NodeID, ClusterID: n.cfg.ClusterID, Dir: n.cfg.Dir, NewCluster: n.cfg.NewCluster,
		Join: n.cfg.Join, HoldEntries: n.cfg.FS == nil && n.cfg.SeedFrom >= 0,
		PeerBind: n.cfg.Peer.Listen, PeerAdvertise: n.cfg.self().Peer, Voters: voters,
		TLS:          cluster.TLSFiles{CA: n.cfg.Peer.CA, Cert: n.cfg.Peer.Cert, Key: n.cfg.Peer.Key},
		Timings:      cluster.Timings{Heartbeat: n.cfg.ElectionTimeout, CommitTimeout: n.cfg.commitTimeout},
		MaxClockSkew: n.cfg.MaxClockSkew,
		Clock:        n.cfg.Clock,
		Unfit:        func() bool { return n.unfit() != "" },
		About:        n.releases.about, JoinedFrom: joinedFrom(n.derived),
		Elapsed: n.cfg.Elapsed, StartTimeout: n.cfg.SubmitTimeout, Logger: n.log, Fatal: n.fatal,
	}, n.store, fsm.New(n.store), n.derived)
	if err != nil {
		return err
	}
	n.clock.cluster = n.cluster
	n.facts = &factChecker{
		cfg:      &n.cfg,
		log:      n.log,
		cluster:  n.cluster,
		derived:  n.derived,
		store:    n.store,
		keys:     n.keys,
		doubts:   n.doubts,
		releases: n.releases,
		stats:    &n.stats,
	}
	n.peerFiles.SetPort(n.cluster)
	n.store.SetCommitSource(n.cluster.CommitIndex)
	n.cluster.Handle(propose.ForwardPath, n.acceptForward)
	handleTraced(n)
	n.cluster.Handle(operationPath, n.acceptOperation)
	n.cluster.Handle(positionPath, n.answerPosition)
	n.cluster.Handle(agreement.DigestPath, n.answerDigest)
	n.cluster.Handle(agreement.FactsPath, n.facts.answerFacts)
	n.cluster.Handle(agreement.HistoryPath, n.answerHistory)
	n.cluster.Handle(recount.ProgressPath, n.gens.AnswerProgress)
	handleSeeds(n)
	handleJoins(n)
	n.entry, err = newEntry(n)
	return err
}

func (n *Node) openAPI() error {
	n.apiFiles = certs.NewReloader("api", n.log, n.cfg.API.Cert, n.cfg.API.Key, n.cfg.API.CA)
	port, err := certs.NewServer(certs.ServerFiles{Cert: n.cfg.API.Cert, Key: n.cfg.API.Key, CA: n.cfg.API.CA}, n.log)
	if err != nil {
		return err
	}
	n.apiFiles.SetPort(port)
	if err := n.registerMetrics(); err != nil {
		return err
	}
	conf := api.Config{
		Ledger:            n.parts(),
		Logger:            n.log,
		Registry:          n.registry,
		WALErrors:         n.store.Failures,
		TLS:               port.Config(),
		VerifyClientChain: port.VerifyClientChain,
		TrustedProxies:    n.cfg.TrustedProxies,
		HideRemote:        !n.cfg.RecordRemote,
		NodeID:            n.cfg.NodeID,
		MaxBody:           int64(n.cfg.MaxBody),
		AddressRate:       n.cfg.AddressRate,
		ThrottleStatus:    n.cfg.ThrottleStatus,
		SubmitTimeout:     n.cfg.SubmitTimeout,
		MetricsUser:       n.cfg.MetricsUser,
		MetricsPass:       n.cfg.MetricsPass,
		MetricsApart:      n.cfg.MetricsListen != "",
		Explain:           n.explain,
		Operations:        n.audit.operation,
		Refused:           n.audit.access,
		NoAuth:            n.cfg.NoAuth,
		ClusterID:         n.cfg.ClusterID,
		AuthFailures:      n.cfg.AuthFailures,
		Leader:            n.newToLeader(),
		Deciding:          &n.deciding,
		Follow:            follow(n.tracer),
	}
	n.server, err = api.NewServer(conf)
	if err != nil {
		return err
	}
	n.publishHandler(n.server.Handler)
	n.server.ConnState = n.unused.track
	n.listener, err = net.Listen("tcp", n.cfg.API.Listen)
	if err != nil {
		return err
	}
	n.running.Go(func() {
		if err := n.server.ServeTLS(n.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			n.fail(fmt.Errorf("API: %w", err))
		}
	})
	n.loop(n.ctx, "certificates", func(ctx context.Context) error {
		return n.certWatch.Run(ctx, n.apiFiles, n.peerFiles)
	})
	n.log.Info("serving", "api", n.cfg.API.Listen, "peer", n.cfg.Peer.Listen)
	return errors.Join(n.openMetrics(conf), openDebug(n, conf))
}

// loop runs f until ctx ends. Any other end stops the node.
func (n *Node) loop(ctx context.Context, name string, f func(context.Context) error) {
	n.running.Go(func() {
		if err := f(ctx); ctx.Err() == nil {
			n.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}
