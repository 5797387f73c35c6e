package auditor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/export"
	"github.com/recount-ledger/recount/internal/node"
	"github.com/recount-ledger/recount/internal/nodetest"
	"github.com/recount-ledger/recount/wire"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet(string, uint64, uint64) {}

// scene is a cluster of one node whose ledger was recounted, and an auditor who has its public key.
type scene struct {
	*nodetest.Cluster
	t       *testing.T
	records *nodetest.Records
	epoch   int64
	secret  evidence.SecretKey
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := clusterOf(t)
	s.submit(30)
	s.activate("100", 2)
	s.submit(10)
	s.activate("0.000000001", 3)
	s.submit(10)
	return s
}

// clusterOf is a cluster of one node whose ledger is empty.
func clusterOf(t *testing.T) *scene {
	t.Helper()
	text, secret, err := evidence.NewSecretKey(evidence.OriginOf("nodetest"))
	must(t, err)
	file := filepath.Join(t.TempDir(), "checkpoint.key")
	must(t, os.WriteFile(file, []byte(text+"\n"), 0o600))
	return &scene{t: t, records: nodetest.NewRecords(t), secret: secret,
		Cluster: nodetest.Start(t, 1, func(cfg *node.Config) { cfg.CheckpointKeyFile = file })}
}

// submit sends n records, one after the other.
func (s *scene) submit(n int) {
	s.t.Helper()
	for range n {
		s.epoch++
		_, err := s.Client.Submit(s.t.Context(),
			s.records.Sign(nodetest.Record{Shard: "a", Epoch: s.epoch, Root: "r", Wrong: s.epoch%4 == 0}))
		must(s.t, err)
	}
}

// activate recounts under another tolerance, waits until what changed is in the log, and drops generation number-1.
func (s *scene) activate(tolerance string, number uint32) {
	s.t.Helper()
	ctx := s.t.Context()
	document := "kernel: 1\nparams: {tol_d: \"" + tolerance + "\"}\n"
	p, err := s.Client.PublishPolicy(ctx, wire.PolicyRequest{Document: document})
	must(s.t, err)
	_, err = s.Client.StartGeneration(ctx, wire.GenerationRequest{Policy: p.ID})
	must(s.t, err)
	s.Await("the generation is ready", func() error {
		page, err := s.Client.Generations(ctx)
		if err == nil && page.Items[len(page.Items)-1].State != wire.GenerationReady {
			err = fmt.Errorf("%+v", page.Items)
		}
		return err
	})
	d, err := s.Client.Diff(ctx, number, 0)
	must(s.t, err)
	if d.Flips == 0 {
		s.t.Fatal("the policy changes nothing")
	}
	_, err = s.Client.Activate(ctx, number, wire.ActivateRequest{Diff: d.Digest})
	must(s.t, err)
	s.Await("the generation before is dropped", func() error {
		_, err := s.Client.DropGeneration(ctx, number-1, wire.Op{Reason: "test"})
		return err
	})
}

// events reads all events.
func (s *scene) events() (out []export.Event) {
	s.t.Helper()
	for next := uint64(1); next != 0; {
		items, after, err := s.Client.EventsPage(s.t.Context(), client.EventsQuery{From: next})
		must(s.t, err)
		for i := range items {
			out = append(out, export.EventOf(&items[i]))
		}
		next = after
	}
	return out
}

// signed is a checkpoint of the first size events.
func (s *scene) signed(size uint64) Note {
	s.t.Helper()
	d, err := s.Client.Digest(s.t.Context(), size)
	must(s.t, err)
	root := claimOf("", size, d.Log, "", "", 0).log
	text, err := evidence.SignCheckpoint(evidence.Checkpoint{Origin: evidence.OriginOf("nodetest"), Size: size,
		Root: [32]byte(root)}, s.secret)
	must(s.t, err)
	return Note{From: fmt.Sprint("kept-", size), Text: text}
}

// shows waits until the node shows a checkpoint of at least size events.
func (s *scene) shows(size uint64) {
	s.t.Helper()
	s.Await("a newer checkpoint", func() error {
		text, err := client.EvidenceOf(s.Client).Checkpoint(s.t.Context())
		if err != nil {
			return err
		}
		c, _, err := evidence.OpenCheckpoint(text, s.secret.Public())
		if err == nil && c.Size < size {
			err = fmt.Errorf("%d of %d events", c.Size, size)
		}
		return err
	})
}

// remote is the source that a running cluster is.
func (s *scene) remote() Source {
	s.t.Helper()
	r, err := Remote(s.t.Context(), s.Client, "the cluster", 10*time.Second)
	must(s.t, err)
	return r
}

// options of an audit in a directory, with the key if there is a checkpoint to check.
func (s *scene) options(from Source, dir string, notes ...Note) Options {
	o := Options{Source: from, Dir: dir, Notes: notes, Tell: quiet, Now: time.Now, Began: time.Now()}
	if text, _ := from.checkpoint(); len(notes) > 0 || text != nil {
		o.Keys = []evidence.PublicKey{s.secret.Public()}
	}
	return o
}

// shown is a source that shows events which were changed, as a hostile operator may.
type shown struct {
	events []export.Event
	says   []claim
	note   []byte
}

func (s shown) Name() string                                 { return "a list" }
func (s shown) checkpoint() ([]byte, error)                  { return s.note, nil }
func (s shown) holds() string                                { return "" }
func (s shown) said(context.Context, *work) ([]claim, error) { return s.says, nil }
func (s shown) with(change func(*shown)) shown {
	s.events = slices.Clone(s.events)
	change(&s)
	return s
}

func (s shown) load(ctx context.Context, w *work, _ *Report) error {
	a, err := w.appender(ctx, uint64(len(s.events)))
	if err != nil {
		return err
	}
	for i := range s.events {
		if err := a.add(&s.events[i]); err != nil {
			return a.end(err)
		}
	}
	return a.end(a.all())
}
