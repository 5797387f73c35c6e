package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/recount-ledger/recount/internal/event"
	"github.com/recount-ledger/recount/internal/fsm"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/test/harness"
)

// packEvents is the number of submissions in one entry of the generated log.
const packEvents = 256

// rebuild measures a rebuild of n events of a made log, beside reading them and beside decoding and checking them alone.
type rebuild struct {
	root    string // of the repository
	dir     string
	n       int
	keySet  *verify.KeySet
	key     verify.Key
	store   *log.Store
	derived *fsm.Derived
	last    uint64 // entry
}

// figures holds the results of one measurement.
type figures struct {
	perSecond float64
	cpu       float64 // microseconds per event
}

func newRebuild(ctx context.Context, dir, root string, n int) (*rebuild, error) {
	r := &rebuild{root: root, dir: dir, n: n}
	var err error
	if r.key, err = verify.NewHMACKey([]byte(harness.BenchKey)); err != nil {
		return nil, err
	}
	r.keySet = verify.NewKeySet([]verify.Key{r.key})
	if r.store, err = log.Open(filepath.Join(dir, "events"), log.Options{}); err != nil {
		return nil, err
	}
	if err := r.fill(ctx); err != nil {
		return nil, fmt.Errorf("make the log: %w", err)
	}
	r.store.CommittedTo(r.last)
	r.derived, err = fsm.OpenDerived(nil, filepath.Join(dir, "derived"), r.store, fsm.DefaultBatchBytes, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil, err
	}
	return r, r.derived.CatchUp(ctx)
}

func (r *rebuild) close() error { return errors.Join(r.derived.Close(), r.store.Close()) }

func operatorEvent(k event.Kind, m proto.Message) (event.Event, error) {
	payload, err := event.NewPayload([event.SaltSize]byte{}, m)
	return event.Event{Kind: k, Payload: payload}, err
}

// fill writes genesis, the key and n submissions of 1,000 shards.
func (r *rebuild) fill(ctx context.Context) error {
	src, err := harness.NewSource(r.root)
	if err != nil {
		return err
	}
	policy := verify.DefaultPolicy()
	genesis, err1 := operatorEvent(event.Genesis, &event.GenesisV1{ClusterId: "bench", Policy: policy.Canonical(), Kernel: 1})
	added, err2 := operatorEvent(event.KeyAdded, &event.KeyAddedV1{KeyId: r.key.ID, Alg: uint32(r.key.Alg), Fingerprint: r.key.Fingerprint[:], Source: "env", Node: "bench"})
	if err := errors.Join(err1, err2, r.append(genesis), r.append(added)); err != nil {
		return err
	}
	facts := event.Facts{KeyID: r.key.ID, Alg: uint8(verify.HMACSHA256), Profile: uint8(pcs.F9), Mode: uint8(verify.Raw)}
	pack := make([]event.Event, 0, packEvents)
	for i := range r.n {
		body, err := src.Next(fmt.Sprintf("bench-%04d", i%1000))
		if err != nil {
			return err
		}
		sub := event.Sub{Salt: [event.SaltSize]byte{byte(i), byte(i >> 8), byte(i >> 16)}, Body: body, ReceivedAt: time.Now().UnixNano(), Node: "bench", Facts: facts}
		if pack = append(pack, event.Event{Kind: event.Submission, Payload: sub.Payload()}); len(pack) == packEvents || i == r.n-1 {
			if err := errors.Join(r.append(pack...), ctx.Err()); err != nil {
				return err
			}
			pack = pack[:0]
		}
	}
	return nil
}

func (r *rebuild) append(events ...event.Event) error {
	r.last++
	pack := event.Pack{ProposedAt: time.Now().UnixNano(), Events: events}
	return r.store.StoreLog(&raft.Log{Index: r.last, Term: 1, Type: raft.LogCommand, Data: pack.Append(nil)})
}

// timed runs f and gives its figures.
func (r *rebuild) timed(f func() error) (figures, error) {
	start, before := time.Now(), processorTime()
	err := f()
	took, cpu := time.Since(start), processorTime()-before
	return figures{perSecond: float64(r.n) / took.Seconds(), cpu: float64(cpu.Microseconds()) / float64(r.n)}, err
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// read reads every entry.
func (r *rebuild) read() error {
	bytes := 0
	for next := uint64(1); next <= r.last; {
		var err error
		next, err = r.store.Read(next, fsm.DefaultBatchBytes, func(e log.Entry) error { bytes += len(e.Data); return nil })
		if err != nil {
			return err
		}
	}
	if bytes == 0 {
		return errors.New("nothing was read")
	}
	return nil
}

// check reads, decodes and checks every event on all processors, and keeps nothing.
func (r *rebuild) check() error {
	entries := make(chan []log.Entry, 4)
	errs := make([]error, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	view := r.derived.Control().For(1)
	for w := range errs {
		workers.Go(func() {
			for batch := range entries {
				for _, e := range batch {
					pack, err := event.DecodePack(e.Data)
					errs[w] = errors.Join(errs[w], err)
					for i := range pack.Events {
						it := fsm.ItemOf(e, pack, 3, i)
						projections.Prepare(&it, r.keySet, view)
					}
				}
			}
		})
	}
	var failed error
	for next := uint64(1); next <= r.last && failed == nil; {
		var batch []log.Entry
		next, failed = r.store.Read(next, fsm.DefaultBatchBytes, func(e log.Entry) error { batch = append(batch, e); return nil })
		entries <- batch
	}
	close(entries)
	workers.Wait()
	return errors.Join(append(errs, failed)...)
}

// build folds a new generation, as a node does.
func (r *rebuild) build(ctx context.Context, round int) (f figures, err error) {
	dir := filepath.Join(r.dir, fmt.Sprint("generation-", round))
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	g, err := fsm.OpenGeneration(nil, dir, 1, r.store, r.derived, func() *verify.KeySet { return r.keySet }, fsm.Observer{}, buildBatch, slog.New(slog.DiscardHandler))
	if err != nil {
		return f, err
	}
	f, err = r.timed(func() error {
		loop, cancel := context.WithCancel(ctx)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- g.Run(loop) }()
		err := g.WaitIndex(ctx, r.last)
		cancel()
		<-done
		return err
	})
	return f, errors.Join(err, g.Close())
}

// buildBatch is the number of bytes that the building loop of a node reads at once.
const buildBatch = 128 << 10

// largeLog makes a log of n signed records, and folds it. done removes it.
func (o options) largeLog(ctx context.Context, n int) (r *rebuild, done func() error, err error) {
	root, err := harness.Root()
	if err != nil {
		return nil, nil, err
	}
	tmp, err := os.MkdirTemp(o.dir, "recount-large-")
	if err != nil {
		return nil, nil, err
	}
	fmt.Printf("making a log of %d signed records ...\n", n)
	if r, err = newRebuild(ctx, tmp, root, n); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(tmp))
	}
	return r, func() error { return errors.Join(r.close(), os.RemoveAll(tmp)) }, nil
}

// runRebuild makes the log, measures it in interleaved rounds and then a cluster with and without a rebuild.
func runRebuild(ctx context.Context, o options, n int) (err error) {
	r, done, err := o.largeLog(ctx, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	var reads, checks, builds, audits []figures
	for i := range o.rounds {
		read, err1 := r.timed(r.read)
		check, err2 := r.timed(r.check)
		build, err3 := r.build(ctx, i)
		audit, err4 := r.audit(ctx, i)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return err
		}
		fmt.Printf("round %d  read %8.0f/s %5.1f us   decode and verify %8.0f/s %5.1f us   rebuild %8.0f/s %5.1f us   audit %8.0f/s %5.1f us of processor time per event\n", i+1,
			read.perSecond, read.cpu, check.perSecond, check.cpu, build.perSecond, build.cpu, audit.perSecond, audit.cpu)
		reads, checks, builds, audits = append(reads, read), append(checks, check), append(builds, build), append(audits, audit)
	}
	rate := func(f figures) float64 { return f.perSecond }
	fmt.Printf("bench-audit: events_per_s=%.0f ratio_rebuild=%.2f\n", medianOf(audits, rate),
		medianOf(audits, rate)/medianOf(builds, rate))
	live, err := runLiveRebuild(ctx, o, r.root, r.dir)
	if err != nil {
		return fmt.Errorf("live: %w", err)
	}
	fmt.Printf("bench-recount: events_per_s=%.0f ratio_verify=%.2f live_p99_ratio=%.2f\n", medianOf(builds, rate),
		medianOf(builds, rate)/medianOf(checks, rate), live)
	fmt.Printf("(ratio to a bare sequential read: %.3f)\n", medianOf(builds, rate)/medianOf(reads, rate))
	return nil
}
