package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/recount-ledger/recount/evidence"
)

// proofsMade is the number of proofs of each kind that are made and timed.
const proofsMade = 10_000

// runProofs makes a log of n events, folds it, and times inclusion and consistency proofs of random events and sizes. Each proof
// is checked with package evidence, outside of the time. The log is on the disk, the hashes of most proofs are not in
// memory.
func runProofs(ctx context.Context, o options, n int) (err error) {
	r, done, err := o.largeLog(ctx, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for _, kind := range []struct {
		name string
		make func(rng *rand.Rand, size uint64) (time.Duration, error)
	}{{"inclusion", r.inclusion}, {"consistency", r.consistency}} {
		took := make([]time.Duration, 0, proofsMade)
		began := time.Now()
		for range proofsMade {
			d, err := kind.make(rng, uint64(n))
			if err = errors.Join(err, ctx.Err()); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			took = append(took, d)
		}
		s := sampleOf(took, time.Since(began).Seconds())
		fmt.Printf("bench-proofs: kind=%s events=%d proofs=%d p50_ms=%.3f p99_ms=%.3f max_ms=%.3f\n", kind.name, n, s.records, s.p50, s.p99,
			took[len(took)-1].Seconds()*1e3)
	}
	return nil
}

// inclusion proves that a random event is in the tree of the first size events, as a node does for one call.
func (r *rebuild) inclusion(rng *rand.Rand, size uint64) (time.Duration, error) {
	seq := 1 + rng.Uint64N(size)
	began := time.Now()
	proof, err1 := r.derived.Inclusion(seq, size)
	root, err2 := r.derived.Root(size)
	it, err3 := r.derived.Items()(seq)
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, err
	}
	leaf := it.Leaf().Hash()
	took := time.Since(began)
	return took, evidence.CheckInclusion(seq-1, size, leaf, root, proof)
}

// consistency proves that the tree of size events begins with a smaller one.
func (r *rebuild) consistency(rng *rand.Rand, size uint64) (time.Duration, error) {
	from := 1 + rng.Uint64N(size)
	began := time.Now()
	proof, err1 := r.derived.Consistency(from, size)
	before, err2 := r.derived.Root(from)
	after, err3 := r.derived.Root(size)
	took := time.Since(began)
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, err
	}
	return took, evidence.CheckConsistency(from, size, before, after, proof)
}
