package node

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/agreement"
	"github.com/recount-ledger/recount/internal/notary"
	"github.com/recount-ledger/recount/internal/projections"
	"github.com/recount-ledger/recount/internal/recount"
)

// startNotary runs the part of the node that signs checkpoints. The origin comes from the cluster id, which a
// ledger that was restored or recovered does not share with the one before.
func startNotary(n *Node) (err error) {
	origin := evidence.OriginOf(n.cfg.ClusterID)
	witnesses, err := notary.ReadWitnesses(n.cfg.WitnessFile, origin)
	if err != nil {
		return fmt.Errorf("witness_file: %w", err)
	}
	n.notary, err = notary.New(notary.Options{
		Origin:    origin,
		KeyFile:   n.cfg.CheckpointKeyFile,
		KeyPoll:   n.cfg.KeyPoll,
		Witnesses: witnesses,
		History:   filepath.Join(n.cfg.Dir, checkpointsFile),
		Tree:      n.derived,
		Outcomes:  outcomes{n.gens, n.derived.Control()},
		Folds:     outcomes{n.gens, n.derived.Control()},
		Head:      n.witness.Head,
		Agreed:    agreedRoot(n.doubts),
		Confirm:   n.confirm,
		Withheld:  n.withheld,
		Logger:    n.log,
	})
	if err == nil {
		n.loop(n.ctx, "checkpoints", n.notary.Run)
		n.loop(n.ctx, "cosignatures", n.notary.Cosign)
	}
	return err
}

// validateEvidence refuses witnesses of a node that has nothing to cosign.
func (c Config) validateEvidence() (bad problems) {
	if c.WitnessFile != "" && c.CheckpointKeyFile == "" {
		bad.add("checkpoint_key_file for witness_file is required")
	}
	return bad
}

// checkpointsFile has the checkpoints that the node signed, in its directory.
const checkpointsFile = "checkpoints"

// outcomes reads the outcomes of the generations that have answered clients.
type outcomes struct {
	gens    *recount.Manager
	control *projections.Control
}

// Stated implements notary.Outcomes.
func (o outcomes) Stated(pcsID string, seq uint64) (projections.Stated, uint32, error) {
	serving := o.gens.Serving()
	v := serving.View()
	defer v.Close()
	s, err := projections.State(v, pcsID, seq)
	return s, serving.Number(), err
}

// Answered implements notary.Folds.
func (o outcomes) Answered() []uint32 {
	active := o.gens.Serving().Number()
	out := []uint32{active}
	for _, g := range o.control.Generations() {
		if g.Number != active && g.Dropped == 0 && (g.Number == 1 || len(g.Activated) > 0) {
			out = append(out, g.Number)
		}
	}
	return out
}

// Judged implements notary.Folds.
func (o outcomes) Judged(generation uint32, pcsID string, seq uint64) (s projections.Stated,
	causes []projections.Stated, err error) {
	r, _ := o.gens.Get(generation)
	if r == nil {
		return s, nil, projections.ErrNotFound
	}
	v := r.View()
	defer v.Close()
	if s, err = projections.State(v, pcsID, seq); err != nil {
		return s, nil, err
	}
	causes, err = projections.Causes(v, &s.Result)
	return s, causes, err
}

// Needed implements notary.Folds.
func (o outcomes) Needed(j projections.Judged, upTo uint64) []uint64 {
	return o.control.Needed(j, upTo)
}

// agreedRoot returns a function that returns the root of the tree of the first seq events, if a majority of the voters
// has the digests of this node there.
func agreedRoot(doubts *agreement.Doubts) func(context.Context, uint32, uint64) ([32]byte, error) {
	return func(ctx context.Context, generation uint32, seq uint64) (root [32]byte, err error) {
		q := agreement.Question{About: agreement.Digest, Generation: generation, Seq: seq}
		digests, err := doubts.Agreed(ctx, q)
		if err != nil {
			return root, err
		}
		return [32]byte(digests), nil // the digest of the log comes first
	}
}

// notaryCollectors are about signed checkpoints.
func notaryCollectors(n *Node) []prometheus.Collector {
	results := func(result string, count func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "flk_checkpoints_total",
			Help: "Positions of the ledger by whether this node signed a checkpoint of them. An unsigned one is " +
				"tried again: too few voters had the same digests.",
			ConstLabels: prometheus.Labels{"result": result}}, func() float64 { return float64(count()) })
	}
	list := []prometheus.Collector{
		results("signed", func() uint64 { return n.notary.Counts().Signed }),
		results("unsigned", func() uint64 { return n.notary.Counts().Unsigned }),
		gauge("flk_checkpoint_size", "Events of the newest checkpoint of this node, 0 without one.", func() float64 {
			return float64(n.notary.Counts().Size)
		}),
		gauge("flk_checkpoint_key_file_failed",
			"1 when the file of the checkpoint keys could not be read again. The previous keys stay in use.",
			func() float64 { return boolFloat(n.notary.Counts().KeyFileFailed) }),
		gauge("flk_checkpoint_late_seconds",
			"For how long this node could not sign a checkpoint of its newest event, 0 while it does.",
			func() float64 { return n.notary.Counts().Late.Seconds() }),
		gauge("flk_checkpoint_contradiction",
			"1 when the ledger of this node does not begin with a checkpoint that it signed. It signs nothing then.",
			func() float64 { return boolFloat(n.notary.Counts().Contradiction) }),
		gauge("flk_cosigned_size",
			"Events of the newest checkpoint that a quorum of witnesses cosigned, 0 without one.",
			func() float64 { return float64(n.notary.Counts().Cosigned) }),
		gauge("flk_cosigned_late_seconds",
			"For how long the newest checkpoint has no quorum of witnesses, 0 with one or without witness_file.",
			func() float64 { return n.notary.Counts().Behind.Seconds() }),
	}
	for _, result := range notary.Results() {
		list = append(list, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "flk_cosignature_requests_total",
			Help:        "Requests to witnesses by their result. Refused means that a witness has seen another ledger.",
			ConstLabels: prometheus.Labels{"result": result}}, func() float64 {
			return float64(n.notary.Counts().Answers[result])
		}))
	}
	return list
}
