package seed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/recount-ledger/recount/internal/durable"
	"github.com/recount-ledger/recount/internal/log"
	"github.com/recount-ledger/recount/wire"
)

// Opening a log that somebody else wrote runs a database on foreign files. A file that is made for it could end the process,
// after every start again. So the receiver counts the checks that it began, and gives up the copy and its member when
// the process has ended within several of them.

// maxChecks is the number of times that a check of one copy is begun.
const maxChecks = 4

// Files of a receiver about its checks.
const (
	checkingName = "checking"          // how often the check of the copy was begun
	avoidName    = "events.seed.avoid" // beside the directory: members of which no copy is taken any more, one a line
)

// check reads the copy from its first entry to its last one.
func (r *Receiver) check(ctx context.Context, member string, at wire.CopyPosition) error {
	path := filepath.Join(r.dir(), checkingName)
	begun := 0
	if raw, err := os.ReadFile(path); err == nil {
		begun, _ = strconv.Atoi(strings.TrimSpace(string(raw))) // 0 for a damaged file
	}
	if begun >= maxChecks {
		err := fmt.Errorf("%w: the process has ended %d times within the check of it", errDamaged, begun)
		return errors.Join(err, r.avoid(member), r.remove(), clearName(path))
	}
	if err := durable.WriteFile(path, fmt.Appendln(nil, begun+1), 0o600); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	if err := r.o.step("checking"); err != nil {
		return err
	}
	err := checkLog(ctx, r.logDir(), at)
	if cleared := clearName(path); cleared != nil {
		return cleared
	}
	if err == nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	// Whoever wrote it, none of it can be trusted.
	return errors.Join(fmt.Errorf("%w: the log in it: %w", errDamaged, err), r.remove())
}

// checkLog reads the log in dir from its first entry to its last one, which must be at.
func checkLog(ctx context.Context, dir string, at wire.CopyPosition) error {
	last, term, err := log.Verify(ctx, dir, log.Options{MemTableBytes: checkMemory, CacheBytes: checkMemory})
	if err == nil && (last != at.Index || term != at.Term) {
		err = fmt.Errorf("it ends with entry %d of term %d instead of %d of %d", last, term, at.Index, at.Term)
	}
	return err
}

// clearName removes a file that need not be there.
func clearName(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

// avoided returns the members from which no copy is taken any more.
func (r *Receiver) avoided() []string {
	raw, err := os.ReadFile(filepath.Join(r.o.Dir, avoidName))
	if err != nil {
		return nil // there is none, and one that cannot be read costs attempts only
	}
	return strings.Fields(string(raw))
}

// avoid takes no more copies from a member.
func (r *Receiver) avoid(member string) error {
	text := strings.Join(append(r.avoided(), member), "\n") + "\n"
	return durable.WriteFile(filepath.Join(r.o.Dir, avoidName), []byte(text), 0o600)
}
