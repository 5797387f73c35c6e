package node

import (
	"context"
	"errors"
	"os"
)

// fail ends the node. A failure because derived/ is damaged ends it as that damage does: with ErrRebuild.
func (n *Node) fail(err error) {
	if !errors.Is(err, ErrRebuild) && n.derived.Damage() != nil {
		return
	}
	select {
	case n.failed <- err:
	default:
	}
}

// fatal ends the process. A store that failed or refused must not be written again, and its memory not be
// trusted.
func (n *Node) fatal(err error) {
	n.log.Error("fatal: the process ends here", "error", err)
	n.cfg.exit(ExitStore)
}

func (c Config) exit(code int) {
	if c.Exit != nil {
		c.Exit(code)
	}
	os.Exit(code)
}

// Run returns when ctx ends or the node cannot go on.
func (n *Node) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.failed:
		if errors.Is(err, ErrSeeded) {
			n.log.Info("the node ends here and opens again on the log that it has copied")
			return err
		}
		err = newerLedger(err)
		n.log.Error("the node cannot go on", "error", err)
		return err
	}
}

// Close stops intake, then consensus, then the folds, then the stores.
func (n *Node) Close(ctx context.Context) error {
	n.closing.Store(true)
	var errs []error
	if n.server != nil {
		errs = append(errs, n.stopAPI(ctx))
	}
	errs = append(errs, n.closeMetrics(ctx), closeDebug(n))
	if n.packer != nil {
		n.packer.Close()
	}
	if n.cluster != nil {
		errs = append(errs, n.cluster.TransferAndClose(ctx))
	}
	n.tracer.Close(ctx)
	if n.audit != nil {
		errs = append(errs, n.audit.stream.Close())
	}
	n.cancel()
	n.running.Wait()
	if n.notary != nil {
		errs = append(errs, n.notary.Close())
	}
	if n.gens != nil {
		errs = append(errs, n.gens.Close())
	}
	if n.derived != nil {
		errs = append(errs, n.derived.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}
