// Command chaos breaks a cluster of three built nodes in many ways while clients use it, keeps the history of every call,
// and holds that history and the end state against what the ledger promises. It exits with 1 when a promise is broken and
// leaves the directory with the logs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/recount-ledger/recount/test/harness"
)

// silenceLimit bounds the time in which nothing at all is taken, while a fault lasts and after it. No fault lasts longer than 20 s.
const silenceLimit = time.Minute

// recoverLimit bounds the time until the cluster serves again after a fault. It bounds a slow machine, not the product.
const recoverLimit = 2 * time.Minute

type options struct {
	time    time.Duration
	clients int
	rate    int
	seed    uint64
	only    string
	node    string
	prev    string
}

func main() {
	var o options
	flag.DurationVar(&o.time, "time", time.Hour, "how long the faults go on; every kind comes once in any case")
	flag.IntVar(&o.clients, "clients", 12, "callers at a time")
	flag.IntVar(&o.rate, "rate", 360, "calls per second of all callers")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of all random choices")
	flag.StringVar(&o.only, "only", "", "kinds of faults, separated by commas; default: all")
	flag.StringVar(&o.prev, "previous", "HEAD~1", "commit whose build takes part for a while")
	flag.StringVar(&o.node, "node", "", "program of the nodes; default: built from this tree, with clocks that can be shifted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run is one whole run. It says whether every promise held.
func run(ctx context.Context, o options) (bool, error) {
	dir, err := os.MkdirTemp("", "recount-chaos-")
	if err != nil {
		return false, err
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Printf("%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	root, err := harness.Root()
	if err != nil {
		return false, err
	}
	bin := o.node
	if bin == "" {
		bin = filepath.Join(dir, "recount-node")
		if err := harness.Build(root, bin, "./cmd/node", "-tags", "faultclock"); err != nil {
			return false, err
		}
	}
	say("seed %d, directory %s", o.seed, dir)
	b, err := newBed(ctx, bin, dir, say)
	if err != nil {
		return false, fmt.Errorf("start the cluster in %s: %w", dir, err)
	}
	recs, err := newRecords(root)
	if err != nil {
		return false, errors.Join(err, b.close())
	}
	h := &history{began: time.Now()}
	t := newTable(h)
	err = attack(ctx, o, b, recs, h, t, root)
	ok := err == nil && judge(ctx, b, h, t, root, say)
	err = errors.Join(err, b.close())
	t.print(os.Stdout)
	if ok && err == nil {
		return true, os.RemoveAll(dir)
	}
	fmt.Printf("The logs and the data are in %s\n", dir)
	return false, errors.Join(err, h.save(filepath.Join(dir, "history.txt")))
}

// attack runs the clients and, one after the other, the faults.
func attack(ctx context.Context, o options, b *bed, recs *records, h *history, t *table, root string) error {
	say := b.log
	n := &nemesis{bed: b, rng: rand.New(rand.NewPCG(o.seed, 1<<20)),
		root: root, given: o.node != "", previous: o.prev, probe: &caller{number: -1, http: b.HTTP(1), api: b.API, recs: recs, h: h}}
	deck, err := n.deck(o, t, say)
	if err != nil {
		return err
	}
	clientsCtx, stopClients := context.WithCancel(ctx)
	defer stopClients()
	var all sync.WaitGroup
	defer all.Wait()
	defer stopClients()
	every := time.Duration(o.clients) * time.Second / time.Duration(o.rate)
	for i := range o.clients {
		c := &caller{number: i, http: b.HTTP(1), api: b.API, recs: recs, h: h, rng: rand.New(rand.NewPCG(o.seed, uint64(i)))}
		all.Go(func() { c.run(clientsCtx, every); c.http.CloseIdleConnections() })
	}
	all.Go(func() { t.report(clientsCtx, say) })
	limit := time.Now().Add(o.time)
	for round := 0; round == 0 || time.Now().Before(limit); round++ {
		n.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, f := range deck {
			if ctx.Err() != nil || round > 0 && time.Now().After(limit) {
				return ctx.Err()
			}
			if err := n.play(ctx, f, t); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	return nil
}

// deck is the kinds of faults of this run; those that the machine cannot do are named in the table.
func (n *nemesis) deck(o options, t *table, say func(string, ...any)) (deck []fault, err error) {
	only := strings.Split(o.only, ",")
	for _, f := range slices.Concat(processFaults, networkFaults, clockFaults, diskFaults, versionFaults) {
		if o.only != "" && !slices.Contains(only, f.name) {
			continue
		}
		if f.usable != nil {
			if err := f.usable(n); err != nil {
				say("without %q: %v", f.name, err)
				t.skip(f.name, err)
				continue
			}
		}
		deck = append(deck, f)
	}
	if len(deck) == 0 {
		return nil, fmt.Errorf("no fault is called %q", o.only)
	}
	return deck, nil
}

// play does one fault and waits until the cluster is whole.
func (n *nemesis) play(ctx context.Context, f fault, t *table) error {
	t.begin(f.name)
	n.wants.allowEnds(f.mayEnd)
	n.probe.h.stall()
	err := f.inject(ctx, n)
	n.net.heal(n.rng)
	if err != nil {
		return err
	}
	healed := time.Now()
	limit, cancel := context.WithTimeout(ctx, recoverLimit)
	defer cancel()
	if err := n.recover(limit, n.probe); err != nil {
		return err
	}
	n.wants.allowEnds(false)
	silence := n.probe.h.stall()
	t.end(f.name, time.Since(healed), silence)
	if silence > silenceLimit {
		n.probe.h.refuse("%s: nothing was taken for %s", f.name, silence)
	}
	n.hold(ctx, 300*time.Millisecond, 1500*time.Millisecond)
	return nil
}
