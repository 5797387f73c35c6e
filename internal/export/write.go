package export

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/wire"
)

// Stages of Write and Check, as passed to Progress.
const (
	StageEvents   = "events"
	StageVerdicts = "verdicts"
	StageRecount  = "recount"
)

// Options configure Write. Zero values select everything.
type Options struct {
	Dir            string // must not exist, or be empty
	FromSeq, ToSeq uint64
	Since, Until   time.Time // log time: from Since on, before Until
	Shard          string    // only submissions that name it, including refused ones

	Local    bool          // trust one node without asking the others
	Tool     string        // name and version of the program
	At       time.Time     // time of the export
	Timeout  time.Duration // of one request
	Progress Progress
}

// Progress receives the progress of a stage. total is 0 if it is not known. A Progress may be nil.
type Progress func(stage string, done, total uint64)

func (p Progress) tell(stage string, done, total uint64) {
	if p != nil {
		p(stage, done, total)
	}
}

var (
	// ErrRange means that the ledger has no such range.
	ErrRange = errors.New("export: no such range")
	// ErrDiffers means that responses of the cluster contradict each other. Nothing was exported.
	ErrDiffers = errors.New("export: what the cluster answered does not fit together")
)

// writer is one run of Write.
type writer struct {
	Options
	c    *client.Client
	ctx  context.Context
	tmp  string // the directory until it is complete
	m    Manifest
	page pageData

	activeSince uint64 // event that activated Manifest.Generation
	answered    uint64 // event of the last answer that was written
}

// Write reads the range from the cluster and creates the directory. On any error, including an interrupt, it
// leaves nothing behind. Errors are those of the client, ErrExists, ErrRange and ErrDiffers.
func Write(ctx context.Context, c *client.Client, o Options) (*Manifest, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := free(dir); err != nil {
		return nil, err
	}
	w := &writer{Options: o, c: c, ctx: ctx}
	if err := w.choose(); err != nil {
		return nil, err
	}
	if w.tmp, err = os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".part-*"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(w.tmp)
	for _, step := range []func() error{w.who, w.digests, w.events, w.verdicts, w.operations, w.keys, w.policies,
		w.generations, w.writePage, w.finish} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &w.m, place(w.tmp, dir)
}

// call bounds one request.
func call[T any](w *writer, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(w.ctx, w.Timeout)
	defer cancel()
	return ask(ctx)
}

// who determines the cluster and the caller.
func (w *writer) who() error {
	me, err := call(w, w.c.Whoami)
	if err != nil {
		return err
	}
	w.m.Format, w.m.ClusterID, w.m.Formerly = Format, me.ClusterID, me.Formerly
	w.m.Made = Made{At: wire.Time(w.At), Actor: me.Actor, Role: string(me.Role), Tool: w.Tool}
	return os.Mkdir(filepath.Join(w.tmp, PoliciesDir), 0o755)
}

// digests reads the digests at both ends of the range.
func (w *writer) digests() error {
	r := w.m.Range
	if r.FromSeq > 1 {
		d, err := call(w, func(ctx context.Context) (*wire.DigestAnswer, error) {
			return w.c.DigestEdge(ctx, r.FromSeq-1)
		})
		if err = checkSeq(d, r.FromSeq-1, err); err != nil {
			return err
		}
		w.m.Before = &Edge{Seq: d.Seq, Log: d.Log, Subtrees: d.Edge}
	}
	d, err := call(w, func(ctx context.Context) (*wire.DigestAnswer, error) { return w.c.Digest(ctx, r.ToSeq) })
	if err = checkSeq(d, r.ToSeq, err); err == nil {
		w.m.End = Position{Seq: d.Seq, Log: d.Log, Control: d.Control, State: d.State, Generation: d.Generation}
	}
	return err
}

// checkSeq returns an error unless a digest is that after the event that was asked for.
func checkSeq(d *wire.DigestAnswer, seq uint64, err error) error {
	if err == nil && d.Seq != seq {
		err = fmt.Errorf("%w: asked for the digest at event %d, the cluster gave that at event %d", ErrDiffers, seq,
			d.Seq)
	}
	return err
}

// document writes one response as JSON.
func (w *writer) document(name string, v any) error {
	text, err := indented(v)
	if err != nil {
		return err
	}
	return w.file(name, text)
}

func (w *writer) file(name string, text []byte) error {
	f, err := writeFile(w.tmp, name, text)
	w.m.Files = append(w.m.Files, f)
	return err
}

func (w *writer) keys() error {
	page, err := call(w, w.c.Keys)
	if err != nil {
		return err
	}
	for i := range page.Items {
		page.Items[i].Held = false // specific to the responding node and time
	}
	w.m.Counts.Keys, w.page.Keys = uint64(len(page.Items)), page.Items
	return w.document(KeysFile, page.Items)
}

// policies writes all policies of the ledger, because a recount may judge old records by a new one.
func (w *writer) policies() error {
	page, err := call(w, w.c.Policies)
	if err != nil {
		return err
	}
	for _, p := range page.Items {
		whole, err := call(w, func(ctx context.Context) (*wire.PolicyAnswer, error) { return w.c.Policy(ctx, p.ID) })
		if err != nil {
			return err
		}
		text, err := json.Marshal(whole.Canonical) // sorted, without spaces, escaped like the canonical form
		if err != nil {
			return err
		}
		if got := sumOf(text); got != p.ID {
			return fmt.Errorf("%w: policy %s hashes to %s", ErrDiffers, p.ID, got)
		}
		canonical, source := policyFiles(p.ID)
		if err := errors.Join(w.file(canonical, text), w.file(source, []byte(whole.Source))); err != nil {
			return err
		}
	}
	w.m.Counts.Policies, w.page.Policies = uint64(len(page.Items)), page.Items
	return w.document(PoliciesFile, page.Items)
}

func (w *writer) generations() error {
	page, err := call(w, w.c.Generations)
	if err != nil {
		return err
	}
	for i := range page.Items {
		page.Items[i].Nodes = nil
	}
	w.m.Counts.Generations, w.page.Generations = uint64(len(page.Items)), page.Items
	return w.document(GenerationsFile, page.Items)
}

// finish writes the manifest, which lists all other files, and SHA256SUMS.
func (w *writer) finish() error {
	sortFiles(w.m.Files)
	text, err := w.m.Encode()
	if err != nil {
		return err
	}
	m, err := ParseManifest(text) // including its sum
	if err != nil {
		return err
	}
	if _, err := writeFile(w.tmp, ManifestFile, text); err != nil {
		return err
	}
	if _, err := writeFile(w.tmp, SumsFile, m.Sums(text)); err != nil {
		return err
	}
	w.m = *m
	return errors.Join(syncDir(filepath.Join(w.tmp, PoliciesDir)), syncDir(w.tmp), os.Chmod(w.tmp, 0o755))
}

func sumOf(b []byte) string {
	h := sumBytes(b)
	return hex.EncodeToString(h[:])
}
