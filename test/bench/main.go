// Command bench measures a three-node cluster of this repository on this machine, in interleaved rounds with two things to
// compare it with: a bare TLS handler that only decodes the same records, and a bare raft with the same log store.
//
// It listens and sends on the loopback interface only, stops by itself, keeps nothing, and refuses to report a run in which
// any record was not accepted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// options are the flags.
type options struct {
	rounds int
	span   time.Duration
	limit  time.Duration
	most   int
	bin    string
	dir    string

	baseBin string
	tags    string // of the build of the node
}

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func dispatch(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "echo":
		return serveEcho(args[1])
	case len(args) == 5 && args[0] == "raft":
		return serveRaft(args[1], args[2], args[3], args[4])
	}
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&o.rounds, "rounds", 3, "interleaved rounds")
	fs.DurationVar(&o.span, "span", 4*time.Second, "length of every measurement; a round has seven, and four more with -base")
	fs.DurationVar(&o.limit, "limit", 5*time.Minute, "give up after this time")
	fs.IntVar(&o.most, "most", 12000, "records per second signed in advance; a measurement ends early when they are used up")
	events := fs.Int("rebuild", 0, "measure a rebuild of so many events instead")
	peers := fs.String("peers", "", "program of test/peers: measure other systems in turn with three nodes instead")
	ledger := fs.Int("reads", 0, "measure reads, Ed25519 records and restarts in a ledger of so many records instead")
	growth := fs.Int("growth", 0, "measure costs and reads each time that a ledger has grown tenfold, up to so many records, instead")
	stages := fs.Bool("stages", false, "measure where the processor time of a record goes instead")
	batches := fs.Bool("batches", false, "measure batches of 64 and 256 records beside single submissions instead")
	records := fs.Int("sizes", 0, "measure disk, memory and processor time for so many records instead")
	tails := fs.Bool("tail", false, "measure how long a submission takes to the readers of live tails instead")
	evident := fs.Bool("evidence", false, "measure what checkpoints cost single records instead")
	proofs := fs.Int("proofs", 0, "measure Merkle proofs in a ledger of so many records instead")
	seeded := fs.Int("seed", 0, "measure how a node joins a ledger of so many records instead")
	apart := fs.String("apart", "", "with -seed: where to put the directory of the joining node, on a disk of its own")
	fs.StringVar(&o.bin, "bin", "", "recount-node binary to measure; built from this tree when empty")
	fs.StringVar(&o.baseBin, "base", "", "another recount-node binary, measured in turn with the first one")
	fs.StringVar(&o.dir, "dir", "", "where to put the directories of the nodes; default is the directory for temporary files")
	if err := fs.Parse(args); err != nil || fs.NArg() > 0 || o.rounds < 1 {
		return errors.Join(err, errors.New("see -help"))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	if *events > 0 {
		debug.SetGCPercent(300) // as a node does
		return runRebuild(ctx, o, *events)
	}
	debug.SetGCPercent(400)
	switch {
	case *batches:
		return runBatches(ctx, o)
	case *records > 0:
		return runSizes(ctx, o, *records)
	case *stages:
		return runStages(ctx, o)
	case *peers != "":
		return runPeers(ctx, o, *peers)
	case *ledger > 0:
		return runReads(ctx, o, *ledger)
	case *tails:
		return runTail(ctx, o)
	case *evident:
		return runEvidence(ctx, o)
	case *proofs > 0:
		return runProofs(ctx, o, *proofs)
	case *seeded > 0:
		return runSeed(ctx, o, *seeded, *apart)
	case *growth > 0:
		return runGrowth(ctx, o, *growth)
	}
	return run(ctx, o)
}

// build compiles the node into dir, unless a binary was named.
func (o *options) build(ctx context.Context, dir, root string) error {
	if o.bin != "" {
		return nil
	}
	o.bin = filepath.Join(dir, "recount-node")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", o.tags, "-o", o.bin, "./cmd/node")
	build.Dir, build.Stderr = root, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the node: %w", err)
	}
	return nil
}

// newBench makes a directory, builds the node into it unless one is given, and signs with the keys of this tree. close
// removes the directory.
func newBench(ctx context.Context, o options, prefix string) (*bench, error) {
	root, err := harness.Root()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(o.dir, prefix)
	if err != nil {
		return nil, err
	}
	if err := o.build(ctx, tmp, root); err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	b := &bench{options: o, root: root, tmp: tmp}
	if b.src, err = harness.NewSource(root); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func run(ctx context.Context, o options) (err error) {
	b, err := newBench(ctx, o, "recount-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(ctx); err != nil {
		return err
	}
	for i := range o.rounds {
		if err := b.round(ctx, i); err != nil {
			return err
		}
	}
	b.report()
	return nil
}

// connections are the numbers of keep-alive connections measured; the last gives the summary line.
var connections = []int{64, 256}

// bench holds what is compared, running side by side and measured in turn.
type bench struct {
	options
	root     string // of this tree
	tmp      string // directory of everything, "" when the caller removes it
	src      *harness.Source
	echo     *child
	echoAt   *target
	raft     []*child
	bare     map[int][]sample // by connections
	raftRate []float64        // records per second
	raftLast raftAnswer

	*subject          // the cluster that is measured
	base     *subject // another one to compare it with, or nil
}

func (b *bench) start(ctx context.Context) (err error) {
	b.bare = map[int][]sample{}
	if b.echo, b.echoAt, err = startEcho(filepath.Join(b.tmp, "echo")); err != nil {
		return fmt.Errorf("bare handler: %w", err)
	}
	if b.raft, err = startRaft(filepath.Join(b.tmp, "raft"), b.root); err != nil {
		return fmt.Errorf("bare raft: %w", err)
	}
	if err := b.startCluster(ctx, b.bin, filepath.Join(b.tmp, "cluster")); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if err := b.startBase(ctx); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	return b.warm(ctx)
}

// warm lets every part run for a second before anything is measured.
func (b *bench) warm(ctx context.Context) error {
	requests, err := b.src.Requests(connections[0], b.most/connections[0])
	if err != nil {
		return err
	}
	if _, err := b.echoAt.cell(ctx, requests, time.Second, nil); err != nil {
		return err
	}
	for _, s := range b.subjects(0) {
		if _, err = s.nodesAt.cell(ctx, requests, time.Second, nil); err != nil {
			return err
		}
	}
	return nil
}

// close stops what was started and removes the directory.
func (b *bench) close() error {
	b.subject.stop()
	b.base.stop()
	if b.echo != nil {
		b.echo.stop()
	}
	for _, c := range b.raft { // all inputs first: the last ones wait for no quorum
		_ = c.in.Close()
	}
	for _, c := range b.raft {
		c.stop()
	}
	if b.tmp == "" {
		return nil
	}
	return os.RemoveAll(b.tmp)
}

// round measures every part once.
func (b *bench) round(ctx context.Context, number int) error {
	for _, conns := range connections {
		requests, err := b.src.Requests(conns, int(float64(b.most)*b.span.Seconds())/conns)
		if err != nil {
			return err
		}
		s, err := b.echoAt.cell(ctx, requests, b.span, nil)
		if err != nil {
			return fmt.Errorf("bare handler: %w", err)
		}
		b.bare[conns] = append(b.bare[conns], s)
		printSample(number, "bare handler", conns, s)
		for _, of := range b.subjects(number) {
			if err := of.measure(ctx, number, conns, requests, b.span); err != nil {
				return fmt.Errorf("%s: %w", of.name, err)
			}
		}
	}
	for _, of := range b.subjects(number) {
		if err := of.alone(ctx, number, b.src, b.span/2); err != nil {
			return fmt.Errorf("%s: %w", of.name, err)
		}
	}
	a, err := runRaft(b.raft, b.span)
	if err != nil {
		return fmt.Errorf("bare raft: %w", err)
	}
	b.raftLast = a
	b.raftRate = append(b.raftRate, float64(a.Packs*packRecords)/a.Seconds)
	fmt.Printf("round %d  %-22s %3d per entry  %8.0f records/s  %d entries in %.1f s\n", number+1, "bare raft", packRecords, b.raftRate[number], a.Packs, a.Seconds)
	return nil
}

func printSample(number int, what string, conns int, s sample) {
	fmt.Printf("round %d  %-22s %3d conns      %8.0f records/s  p50 %.1f ms  p99 %.1f ms\n", number+1, what, conns, s.rate(), s.p50, s.p99)
}

// report prints medians over the rounds, sums for what is counted, and the summary line.
func (b *bench) report() {
	fmt.Println()
	for _, conns := range connections {
		bare := b.bare[conns]
		fmt.Printf("%d connections, bare handler: %.0f/s\n", conns, median(bare, sample.rate))
		for _, of := range b.subjects(0) {
			of.report(conns, bare)
		}
	}
	for _, of := range b.subjects(0) {
		of.reportAlone()
	}
	slices.Sort(b.raftRate)
	fmt.Printf("bare raft: %.0f records/s in entries of %d, %.2f fsyncs per append\n", b.raftRate[len(b.raftRate)/2], packRecords,
		float64(b.raftLast.Syncs)/float64(b.raftLast.Appends))
	conns := connections[len(connections)-1]
	u, n, of := b.used[conns], b.records(conns), b.nodes[conns]
	fmt.Printf("bench: ratio=%.3f cpu_s_per_10k=%.2f p99_ms=%.1f fsyncs_per_pack=%.2f\n",
		median(of, sample.rate)/median(b.bare[conns], sample.rate), u.cpu/n*1e4, b.p99(of), u.syncs/u.appends)
}

// median of a figure over the rounds, the upper one of two.
func median(samples []sample, figure func(sample) float64) float64 { return medianOf(samples, figure) }

func medianOf[T any](samples []T, figure func(T) float64) float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, figure(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
