package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/recount-ledger/recount/internal/auditor"
)

// audit measures the audit of the whole made log, as recount-node audit verify does it with a copy of a log: hashes,
// control state and outcomes are folded from the first event on. The figure has the time of the copy.
func (r *rebuild) audit(ctx context.Context, round int) (f figures, err error) {
	dir := filepath.Join(r.dir, fmt.Sprint("audit-", round))
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log := filepath.Join(dir, "log")
	if err := r.store.Checkpoint(ctx, log, r.last); err != nil {
		return f, err
	}
	s, err := auditor.OpenLocation(ctx, log)
	if err != nil {
		return f, err
	}
	return r.timed(func() error {
		report, err := auditor.Run(ctx, auditor.Options{Source: s, Dir: filepath.Join(dir, "work"), Began: time.Now(),
			Now: time.Now, Tell: func(string, uint64, uint64) {}})
		if err == nil && report.Submissions != uint64(r.n) {
			err = fmt.Errorf("audited %d submissions of %d", report.Submissions, r.n)
		}
		return err
	})
}
