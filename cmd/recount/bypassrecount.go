package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/incident"
	"github.com/recount-ledger/recount/internal/trial"
	"github.com/recount-ledger/recount/wire"
)

// tryFix judges the newest submissions under the fix, each on its own.
func (b *bypass) tryFix(ctx context.Context) error {
	if b.fix == nil || b.active {
		return nil
	}
	t := trial.New(*b.fix)
	if err := tryNewest(ctx, b.app, t, tried); err != nil {
		return err
	}
	b.in.Changes = t.Changes
	b.notef("3. The fix over the newest %d records, each on its own: %s.", t.Records, t.Sums.Text())
	if b.f.dryRun {
		return nil
	}
	why := b.in.Dangers
	if t.Admitted.All > 0 {
		why = append(slices.Clone(why), fmt.Sprintf("%d of them that were refused would be accepted%s",
			t.Admitted.All, t.Admitted))
	}
	return meant(b.app, &previewFlags{yes: b.f.yes}, "incident bypass --fix", b.in.Fix[:shownDigits], why)
}

// publish puts the fix into the log, where it may be already.
func (b *bypass) publish(ctx context.Context) error {
	switch {
	case b.text == nil || b.active:
		return nil
	case slices.ContainsFunc(b.in.Policies, func(p wire.PolicyAnswer) bool { return p.ID == b.in.Fix }):
		b.notef("4. Policy %.16s is published already.", b.in.Fix)
		return nil
	case b.f.dryRun:
		b.plan("publish %s as policy %.16s", b.f.fix, b.in.Fix)
		return nil
	}
	p, err := withTimeout(ctx, b.app, func(ctx context.Context) (*wire.PolicyAnswer, error) {
		return b.c.PublishPolicy(ctx, wire.PolicyRequest{Document: string(b.text), Op: b.newOp()})
	})
	if err != nil {
		return err
	}
	b.notef("4. Policy %.16s is published, by event %d.", p.ID, p.Seq)
	return nil
}

// recount starts a generation under the fix, or finds it, and reads what it changes.
func (b *bypass) recount(ctx context.Context) error {
	switch {
	case b.fix == nil:
		return nil
	case b.active:
		b.in.Recount, b.in.State = b.pages.Active, incident.StateActive
		if b.in.Freeze == nil {
			b.in.State = incident.StateDone
		}
		return nil
	}
	g := b.built()
	switch {
	case g != nil:
		b.notef("5. Generation %d folds history under it already.", g.Generation)
	case b.f.dryRun:
		b.plan("start a generation under policy %.16s, wait for every node, and show the changes", b.in.Fix)
		return nil
	default:
		var err error
		if g, err = withTimeout(ctx, b.app, func(ctx context.Context) (*wire.GenerationAnswer, error) {
			return b.c.StartGeneration(ctx, wire.GenerationRequest{Policy: b.in.Fix, Op: b.newOp()})
		}); err != nil {
			return err
		}
		b.notef("5. Every node folds history under it now, as generation %d.", g.Generation)
	}
	if _, err := b.awaitGeneration(ctx, g.Generation, b.f.limit); err != nil {
		return err
	}
	d, err := withTimeout(ctx, b.app, func(ctx context.Context) (*wire.DiffAnswer, error) {
		return b.c.Diff(ctx, g.Generation, 0)
	})
	if err != nil {
		return err
	}
	b.in.Recount, b.in.Diff, b.in.State = g.Generation, d, incident.StateBuilt
	b.in.Activate = b.activateLine(g, d.Digest)
	return b.changed(ctx, d)
}

// built finds a generation under the fix that was started and neither answers nor is gone.
func (b *bypass) built() *wire.GenerationAnswer {
	for i, g := range b.pages.Items {
		if g.Policy == b.in.Fix && (g.State == wire.GenerationBuilding || g.State == wire.GenerationReady) {
			return &b.pages.Items[i]
		}
	}
	return nil
}

// changed lists the submissions that a diff changes, with times and addresses, and how.
func (b *bypass) changed(ctx context.Context, d *wire.DiffAnswer) error {
	how := map[uint64]string{}
	enc := json.NewEncoder(&b.flips)
	enc.SetEscapeHTML(false)
	err := b.eachFlip(ctx, d, func(f wire.Flip) error {
		how[f.Seq] = f.Old.Outcome + "->" + f.New.Outcome
		return enc.Encode(f)
	})
	if err != nil {
		return err
	}
	if len(how) > 0 {
		if err := b.rows(ctx, d, how); err != nil {
			return err
		}
	}
	return b.tallied(ctx, b.c, &b.in.Tally)
}

func (b *bypass) rows(ctx context.Context, d *wire.DiffAnswer, how map[uint64]string) error {
	enc := json.NewEncoder(&b.lines)
	enc.SetEscapeHTML(false)
	q := client.AuditQuery{FromSeq: d.First, ToSeq: d.Last, PageTimeout: b.timeout}
	q.MinSeq = d.Position
	noted := time.Now()
	for page, err := range b.c.AuditPages(ctx, q) {
		if err != nil {
			return err
		}
		b.in.Generation = page.Generation
		for _, item := range page.Items {
			if how[item.Seq] == "" {
				continue
			}
			if err := errors.Join(b.in.Add(&item, how[item.Seq]), enc.Encode(item)); err != nil {
				return err
			}
		}
		if page.NextCursor != "" && time.Since(noted) > 2*time.Second {
			noted = time.Now()
			b.notef("%d of %d changed submissions listed, up to event %d", b.in.Submissions(), len(how), b.in.LastSeq)
		}
	}
	return nil
}

// next lists the commands for the next stage.
func (b *bypass) next() {
	again := func(options ...string) string {
		return b.commandLine("recount incident bypass",
			append([]string{"--reason", b.f.reason, "--ticket", b.f.ticket}, options...)...)
	}
	with := []string{"--fix", b.f.fix, "--policy", b.f.policy}
	switch {
	case b.f.dryRun && len(b.in.Planned) > 0:
		b.in.Next = []string{again(with...)}
	case b.in.State == incident.StateFrozen:
		b.in.Next = []string{b.commandLine("recount policy new") + " > fix.yaml", again("--fix", "fix.yaml")}
	case b.in.State == incident.StateBuilt:
		b.in.Next = []string{b.in.Activate, again(with...)}
	case b.in.State == incident.StateActive && b.round.LetThrough+b.round.Frozen+b.round.NoAnswer == 0:
		b.in.Thaw = b.commandLine("recount thaw", "--reason", fmt.Sprintf("generation %d is active", b.in.Recount),
			"--ticket", b.f.ticket)
		b.in.Next = []string{b.commandLine("recount digest"), b.in.Thaw}
	case b.in.State == incident.StateActive && b.round.NoAnswer > 0:
		b.in.Next = []string{b.commandLine("recount cluster status"), again(with...)}
	}
}

// bundle writes the report into a directory of its own for each stage, so that a later one does not replace evidence.
func (b *bypass) bundle() (err error) {
	name := fmt.Sprintf("incident-bypass-%d-%s", b.in.LogSeq, b.in.State)
	if b.in.Freeze != nil {
		name = fmt.Sprintf("incident-bypass-%d-%s", b.in.Freeze.Seq, b.in.State)
	}
	if b.in.Recount != 0 {
		name += fmt.Sprintf("-generation-%d", b.in.Recount)
	}
	if b.in.Bundle, err = filepath.Abs(filepath.Join(b.f.out, name)); err != nil {
		return err
	}
	more := map[string][]byte{}
	if b.in.Diff != nil {
		more["submissions.ndjson"], more["flips.ndjson"] = b.lines.Bytes(), b.flips.Bytes()
	}
	return incident.Write(b.in.Bundle, b.in, more)
}

// show prints what was found and done.
func (b *bypass) show() error {
	if b.format != formatTable {
		return b.printJSON(b.in)
	}
	frozen := "no"
	if b.in.Freeze != nil {
		frozen = fmt.Sprintf("since event %d", b.in.Freeze.Seq)
	}
	c := b.in.Canaries[len(b.in.Canaries)-1]
	err := b.app.printFields(b.in, "state", b.in.State, "canaries let through", fmt.Sprintf("%d of %d", c.LetThrough,
		c.Sent),
		"stopped only by a freeze", c.Frozen, "frozen", frozen, "fixed by policy", dash(b.in.Fix), "bundle",
		dash(b.in.Bundle))
	if err != nil {
		return err
	}
	if err := b.showOperations(); err != nil {
		return err
	}
	d := &wire.DiffAnswer{}
	if b.in.Diff != nil {
		d = b.in.Diff
		fmt.Fprintln(b.out)
		if err := b.diffTable(d, "outcome"); err != nil {
			return err
		}
		if err := b.showShards(&b.in.Tally); err != nil {
			return err
		}
	}
	for _, planned := range b.in.Planned {
		b.notef("Without --dry-run: %s.", planned)
	}
	b.showNext(b.in.Next)
	generation := ""
	if b.in.Recount != 0 {
		generation = fmt.Sprint(b.in.Recount)
	}
	position := ""
	if d.Digest != "" {
		position = fmt.Sprint(d.Position)
	}
	return b.setVars("POLICY", b.in.Fix, "GEN", generation, "POSITION", position, "DIGEST", d.Digest, "BUNDLE",
		b.in.Bundle)
}

// showOperations lists the policies and the newest operations.
func (b *bypass) showOperations() error {
	const most = 10
	fmt.Fprintln(b.out)
	t := b.table(hexID("POLICY", 1), word("IN FORCE", 2), count("SEQ", 6), moment("AT", 3), text("ACTOR", 4, 8),
		text("REASON", 5, 10))
	for _, p := range b.in.Policies {
		t.row(p.ID, p.InForce, p.Seq, p.At, dash(p.Actor), dash(p.Reason))
	}
	if err := t.flush(); err != nil || len(b.in.Operations) == 0 {
		return err
	}
	fmt.Fprintln(b.out)
	t = b.table(count("SEQ", 6), moment("AT", 3), text("ACTOR", 2, 8), text("WHAT", 1, 20), text("REASON", 4, 10))
	for _, o := range b.in.Operations[max(len(b.in.Operations)-most, 0):] {
		t.row(o.Seq, o.At, dash(o.Actor), o.What, dash(o.Reason))
	}
	return t.flush()
}
