package node

import (
	"context"

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
	n.notary, err = notary.New(notary.Options{
		Origin:   evidence.OriginOf(n.cfg.ClusterID),
		KeyFile:  n.cfg.CheckpointKeyFile,
		KeyPoll:  n.cfg.KeyPoll,
		Tree:     n.derived,
		Outcomes: outcomes{n.gens},
		Head:     n.witness.Head,
		Agreed:   agreedRoot(n.doubts),
		Withheld: n.withheld,
		Logger:   n.log,
	})
	if err == nil {
		n.loop(n.ctx, "checkpoints", n.notary.Run)
	}
	return err
}

// outcomes reads the outcomes of the active generation.
type outcomes struct{ gens *recount.Manager }

// Stated implements notary.Outcomes.
func (o outcomes) Stated(pcsID string, seq uint64) (projections.Stated, uint32, error) {
	serving := o.gens.Serving()
	v := serving.View()
	defer v.Close()
	s, err := projections.State(v, pcsID, seq)
	return s, serving.Number(), err
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
	return []prometheus.Collector{
		results("signed", func() uint64 { return n.notary.Counts().Signed }),
		results("unsigned", func() uint64 { return n.notary.Counts().Unsigned }),
		gauge("flk_checkpoint_size", "Events of the newest checkpoint of this node, 0 without one.", func() float64 {
			return float64(n.notary.Counts().Size)
		}),
		gauge("flk_checkpoint_key_file_failed",
			"1 when the file of the checkpoint keys could not be read again. The previous keys stay in use.",
			func() float64 { return boolFloat(n.notary.Counts().KeyFileFailed) }),
	}
}
