package auditor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/backup"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// Note is the text of a checkpoint that an auditor has, and the file that it is from.
type Note struct {
	From string
	Text []byte
}

// Options of Run.
type Options struct {
	Source Source
	Dir    string               // for the log and what is folded of it; "" for a temporary one that is removed
	Keys   []evidence.PublicKey // that checkpoints are signed with; none compares no checkpoint
	Notes  []Note               // checkpoints that the auditor kept
	Tell   Progress
	Began  time.Time // by the clock of the caller, for the seconds of the report
	Now    func() time.Time
}

// Run audits a ledger. With ErrDiffers the report has differences, with ErrUnchecked checkpoints that it could not
// compare. Other errors tell that the audit could not be
// done. A checkpoint of an auditor that no trusted key signed is one of them: evidence.ErrSignature or ErrFormat. So
// are trusted keys without any checkpoint: ErrNoCheckpoint. Run goes on with the events of an earlier run that has
// ended or was interrupted, and folds them again.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	keeps := o.Dir != ""
	if !keeps {
		if o.Dir, err = os.MkdirTemp("", "recount-audit-"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	}
	r = newReport(o.Source.Name())
	kept, err := o.claims(r)
	if err != nil {
		return nil, err
	}
	w, err := newWork(o.Dir, o.Source, o.Tell)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for _, k := range kept {
		w.covered = max(w.covered, k.at)
		if !k.shown {
			w.kept = append(w.kept, k)
		}
	}
	a := &audit{Options: o, w: w, r: r, kept: kept, keeps: keeps}
	err = a.run(ctx)
	r.Seconds = o.Now().Sub(o.Began).Seconds()
	switch {
	case err != nil:
	case len(r.Differences) > 0:
		err = fmt.Errorf("%w: %s", ErrDiffers, r.Differences[0])
	case len(r.Unchecked) > 0:
		err = fmt.Errorf("%w: %s", ErrUnchecked, r.Unchecked[0])
	case keeps:
		err = a.keep()
	}
	return r, err
}

// otherKey is the next step after a checkpoint that no trusted key signed. It contradicts nothing, and shows nothing.
const otherKey = "If the ledger signs with another key now, give that public key too with --key"

// claims opens the checkpoints: those that the auditor kept, those of earlier runs, and the newest one of the source.
func (o *Options) claims(r *Report) (out []claim, err error) {
	notes := o.Notes
	if len(o.Keys) > 0 {
		earlier, err := o.keptNotes()
		if err != nil {
			return nil, err
		}
		notes = slices.Concat(notes, earlier)
	}
	own := len(notes)
	text, unread := o.Source.checkpoint()
	switch {
	case len(o.Keys) == 0:
	case unread != nil:
		r.not("the newest checkpoint of %s: %v", o.Source.Name(), unread)
	case text != nil:
		notes = append(slices.Clone(notes), Note{From: o.Source.Name(), Text: text})
	}
	for i, n := range notes {
		c, by, err := evidence.OpenCheckpoint(n.Text, o.Keys...)
		switch {
		case errors.Is(err, evidence.ErrUnsigned) && i >= own && own > 0:
			r.unchecked("%s shows a checkpoint that no key that you trust signed. %s", n.From, otherKey)
			continue
		case errors.Is(err, evidence.ErrUnsigned) && i >= own:
			return nil, fmt.Errorf("%w: none was given, and %s shows one that no key that you trust signed. %s",
				ErrNoCheckpoint, n.From, otherKey)
		case err != nil && i >= own:
			r.differ(1, 1, "no key that you trust signed the checkpoint of %s: %v", n.From, err)
			continue
		case err != nil:
			return nil, fmt.Errorf("the checkpoint of %s: %w", n.From, err)
		}
		seen := Checkpoint{From: n.From, Size: c.Size}
		for _, k := range by {
			seen.By = append(seen.By, k.String())
		}
		r.Checkpoints = append(r.Checkpoints, seen)
		out = append(out, claim{by: fmt.Sprintf("the checkpoint of %s (%s)", n.From, c.Origin), at: c.Size,
			log: c.Root[:], origin: c.Origin, note: n.Text, shown: i >= own})
	}
	return out, o.without(notes, unread, r)
}

// without notes that there is no checkpoint. With keys that is an error.
func (o *Options) without(notes []Note, unread error, r *Report) error {
	switch {
	case len(notes) > 0:
		return nil
	case len(o.Keys) > 0 && unread != nil:
		return fmt.Errorf("%w: none was given, and %s shows none: %w", ErrNoCheckpoint, o.Source.Name(), unread)
	case len(o.Keys) > 0:
		return fmt.Errorf("%w: %s shows none, and none was given", ErrNoCheckpoint, o.Source.Name())
	}
	r.not("signed checkpoints: none was given with a key. A ledger that was made up from its first event on passes")
	return nil
}

// audit is one run.
type audit struct {
	Options
	w     *work
	r     *Report
	kept  []claim // checkpoints
	keeps bool    // the directory stays
}

// run loads, folds and compares. What the events are to blame for becomes a difference.
func (a *audit) run(ctx context.Context) error {
	err := a.Source.load(ctx, a.w, a.r)
	if a.w.derived != nil {
		err = errors.Join(err, a.w.awaitDerived(ctx), a.w.endDerived())
	}
	if err == nil {
		err = a.w.compared()
	}
	if err = a.blame(err); err != nil || a.w.derived == nil {
		return err
	}
	a.setAside()
	if err := a.describe(); err != nil {
		return err
	}
	var said []claim // after a difference it is about events that are not there
	var unsaid error
	if len(a.r.Differences) == 0 {
		said, err = a.Source.said(ctx, a.w)
		unsaid = a.blame(err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := a.fold(ctx); err != nil {
		return a.blame(err)
	}
	if err := a.blame(a.compare(ctx, said)); err != nil {
		return err
	}
	if err := a.blame(a.signatures(ctx)); err != nil {
		return err
	}
	if err := a.contradictions(ctx); err != nil || len(a.r.Differences) == 0 {
		return errors.Join(err, unsaid)
	}
	if unsaid != nil {
		a.r.not("the digests that %s gives: %v", a.Source.Name(), unsaid)
	}
	return nil
}

// blame makes a difference of an error that the events are to blame for.
func (a *audit) blame(err error) error {
	var d *differs
	switch {
	case err == nil:
	case errors.Is(err, ErrChanged):
		return err
	case errors.As(err, &d):
		a.r.differ(d.from, d.to, "%s", d.what)
	case errors.Is(err, errLedger), errors.Is(err, backup.ErrDamaged):
		at := uint64(1)
		if a.w.derived != nil {
			at = a.w.derived.Cursor().Seq + 1
		}
		a.r.differ(at, at, "%v", err)
	default:
		return err
	}
	return nil
}

// describe fills in what the log says of itself.
func (a *audit) describe() error {
	at, control := a.w.derived.Cursor(), a.w.derived.Control()
	if at.Seq == 0 {
		a.r.differ(1, 1, "there is no event at all")
		return nil
	}
	r := a.r
	r.Events, r.LogTime = at.Seq, wire.TimeNS(at.LogTime)
	names := control.Names(at.Seq)
	if len(names) > 0 {
		r.ClusterID, r.Formerly = names[len(names)-1], names[:len(names)-1]
	}
	n, err := a.w.derived.Submissions(at.Seq)
	r.Submissions = n
	hmac := 0
	for _, k := range control.Keys(at.Seq) {
		if k.Alg == verify.HMACSHA256 {
			hmac++
		}
	}
	if hmac > 0 {
		r.not("MACs of %s: the operator holds the secrets. The outcomes follow from what the log says of them",
			counted(uint64(hmac), "HMAC key"))
	}
	return err
}

// limit returns the last event that is folded of a generation, if it was ever active.
func (a *audit) limit(number uint32) (uint64, bool) {
	g, ok := a.w.derived.Control().Generation(number)
	if !ok || number != 1 && len(g.Activated) == 0 {
		return 0, false
	}
	if end := a.w.derived.Cursor().Seq; g.Dropped == 0 || g.Dropped > end {
		return end, true
	}
	return g.Dropped, true
}

// fold folds every generation that was ever active.
func (a *audit) fold(ctx context.Context) error {
	active, _ := a.w.derived.Control().Active()
	for _, g := range a.w.derived.Control().Generations() {
		limit, ok := a.limit(g.Number)
		if !ok {
			continue
		}
		gen, err := a.w.generation(ctx, g.Number, limit)
		if err != nil {
			return err
		}
		a.r.Generations = append(a.r.Generations, g.Number)
		if g.Number != active {
			continue
		}
		d, err := a.w.derived.DigestsAt(gen, a.r.Events)
		if err != nil {
			return err
		}
		a.r.Log, a.r.State, a.r.Control = hex.EncodeToString(d.Log[:]), hex.EncodeToString(d.State[:]),
			hex.EncodeToString(d.Control[:])
		a.r.Generation = active
	}
	return nil
}

// compare compares all claims, then the activations.
func (a *audit) compare(ctx context.Context, said []claim) error {
	c := &comparison{w: a.w, r: a.r, end: a.w.derived.Cursor().Seq, seen: a.shows(),
		good: map[string]uint64{}, bad: map[string]bool{}}
	for _, k := range a.kept {
		if names := a.w.derived.Control().Names(min(k.at, c.end)); len(names) == 0 ||
			k.origin != evidence.OriginOf(names[len(names)-1]) {
			a.r.differ(1, 1, "%s is of another ledger: at event %d this one has the names %q", k.by, k.at, names)
		}
	}
	if err := c.run(ctx, append(said, a.kept...)); err != nil {
		return err
	}
	if err := c.unsaid(); err != nil {
		return err
	}
	a.uncovered(c.end)
	return c.activations(ctx)
}

// uncovered notes the events behind the newest checkpoint.
func (a *audit) uncovered(end uint64) {
	var newest uint64
	for _, k := range a.kept {
		newest = max(newest, k.at)
	}
	if len(a.kept) > 0 && newest < end {
		a.r.not("events %d to %d: no checkpoint covers them, only the digests that the ledger gives", newest+1, end)
	}
}
