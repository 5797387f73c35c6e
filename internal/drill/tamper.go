package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
)

// tampering is one run of the scenario tamper, with copies of the honest ledger.
type tampering struct {
	*drill
	key         evidence.SecretKey
	now         *cluster // that runs
	early, late checkpoint
	fork        checkpoint // of another history
	proof       [][32]byte // from early to late
	forkProof   [][32]byte // from late to fork, the best one that there is
	first       string     // the whole directory of the cluster as it was after the early checkpoint
	stopped     string     // the directory of the first node after the late checkpoint, with what it needs to start
	accepted    map[string]bool
}

// checkpoint is one that somebody keeps.
type checkpoint struct {
	evidence.Checkpoint
	file string
}

// tamper stages an honest ledger, changes copies of what it has written in each way that tampers knows, and looks who
// finds out. Everybody who does must accept the copy without the change.
func (d *drill) tamper(ctx context.Context) error {
	t := &tampering{drill: d, now: d.cluster, first: d.at("first"), stopped: d.at("stopped"),
		accepted: map[string]bool{}}
	d.cluster.stop() // each stage starts it
	stages := []func(context.Context) error{t.readKey, t.beginning, t.middle, t.replacedKey, t.otherHistory}
	for _, stage := range stages {
		if err := stage(ctx); err != nil {
			return err
		}
	}
	undetected := 0
	for _, c := range t.tampers() {
		found, err := t.play(ctx, c)
		if err != nil {
			return err
		}
		if d.cases = append(d.cases, found); !found.Detected {
			undetected++
		}
	}
	if undetected > 0 {
		return failf("%d of %d cases were not detected", undetected, len(d.cases))
	}
	return nil
}

// at is a path in the directory of the drill.
func (d *drill) at(name string) string { return filepath.Join(d.cluster.dir, "drill", name) }

// keyFile has the key of the checkpoints, which all nodes of the cluster share.
func (t *tampering) keyFile() string { return filepath.Join(t.cluster.dir, "checkpoint.key") }

// readKey reads the key that the cluster was founded with.
func (t *tampering) readKey(context.Context) error {
	if err := os.MkdirAll(t.at(""), 0o700); err != nil {
		return err
	}
	text, err := os.ReadFile(t.keyFile())
	if err != nil {
		return err
	}
	if t.key, err = evidence.ParseSecretKey(strings.TrimSpace(string(text))); err != nil {
		return fmt.Errorf("%s: %w", t.keyFile(), err)
	}
	return os.WriteFile(t.at("ledger.pub"), []byte(t.key.Public().String()+"\n"), 0o600)
}

// with starts a cluster, and stops it after fn.
func (t *tampering) with(ctx context.Context, c *cluster, fn func(context.Context) error) error {
	if err := c.start(t.cfg.Connect); err != nil {
		return err
	}
	defer c.stop()
	return fn(ctx)
}

// fillShards submits n records to shards of their own.
func (t *tampering) fillShards(ctx context.Context, c *cluster, name string, n int) error {
	return t.step(fmt.Sprintf("%d submissions %s", n, name), func() (string, error) {
		statuses, err := c.load(ctx, n, func(i int) ([]byte, error) {
			return c.honest.Signed(fmt.Sprintf("%s-%02d", name, i%loaders), int64(i/loaders)+1)
		})
		if err == nil && statuses[200] != n {
			err = failf("honest records were answered %v", statuses)
		}
		return fmt.Sprint(n), err
	})
}

// keep waits for a checkpoint of at least size events and keeps it.
func (t *tampering) keep(ctx context.Context, c *cluster, name string) (k checkpoint, err error) {
	err = t.step("a checkpoint to keep", func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		d, err := c.client.Digest(ctx, 0)
		if err != nil {
			return "", err
		}
		for {
			text, err := client.EvidenceOf(c.client).Checkpoint(ctx)
			if err == nil {
				k.Checkpoint, _, err = evidence.OpenCheckpoint(text, t.key.Public())
			} else if errors.Is(err, client.ErrNotFound) && ctx.Err() == nil {
				err = nil // no majority has agreed yet
			}
			if err != nil {
				return "", err
			}
			if k.Size >= d.Seq {
				k.file = t.at(name + ".note")
				return fmt.Sprintf("%d events", k.Size), os.WriteFile(k.file, text, 0o600)
			}
			if err := wait(ctx); err != nil {
				return "", err
			}
		}
	})
	return k, err
}

// wait lets a quarter of a second pass, in which a node signs the next checkpoint.
func wait(ctx context.Context) error {
	select {
	case <-time.After(250 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// beginning has the first records, a checkpoint and a backup, and keeps a copy of all nodes.
func (t *tampering) beginning(ctx context.Context) error {
	err := t.with(ctx, t.now, func(ctx context.Context) error {
		if err := t.fillShards(ctx, t.now, "early", t.cfg.Submissions); err != nil {
			return err
		}
		var err error
		if t.early, err = t.keep(ctx, t.now, "early"); err != nil {
			return err
		}
		err = t.command(ctx, "a key for backups", exitOK, nil, "keygen", "ed25519", "--out", t.at("backup"))
		if err != nil {
			return err
		}
		return t.command(ctx, "a backup", exitOK, nil, "backup", "create", t.at("backups"), "--key", t.at("backup.key"))
	})
	if err != nil {
		return err
	}
	return t.step("a copy of all nodes", func() (string, error) {
		own := filepath.Base(t.at(""))
		return "", copyTree(t.cluster.dir, t.first, func(rel string) bool { return rel == own })
	})
}

// middle has further records, a checkpoint, a receipt and an export, and keeps a copy of the first node.
func (t *tampering) middle(ctx context.Context) error {
	err := t.with(ctx, t.now, func(ctx context.Context) error {
		if err := t.fillShards(ctx, t.now, "late", loaders); err != nil {
			return err
		}
		var err error
		if t.late, err = t.keep(ctx, t.now, "late"); err != nil {
			return err
		}
		if t.proof, err = prove(ctx, t.now, t.early, t.late); err != nil {
			return err
		}
		if err := t.receipt(ctx, "honest.receipt"); err != nil {
			return err
		}
		return t.command(ctx, "an export", exitOK, nil, "export", "dir", t.at("export"))
	})
	if err != nil {
		return err
	}
	return t.step("a copy of the first node", func() (string, error) {
		own := filepath.Base(t.at(""))
		return "", copyTree(t.cluster.dir, t.stopped, func(rel string) bool {
			return rel == own || rel != filepath.Join("node-1", "data") && filepath.Base(rel) == "data"
		})
	})
}

// receipt gets the receipt of one of the late records.
func (t *tampering) receipt(ctx context.Context, name string) error {
	page, err := t.now.client.AuditPage(ctx, client.AuditQuery{Outcome: "accepted", Newest: true, Limit: 1})
	if err == nil && len(page.Items) == 0 {
		err = failf("the ledger has no accepted record")
	}
	if err != nil {
		return err
	}
	return t.command(ctx, "a receipt", exitOK, nil, "receipt", "get", page.Items[0].PCSID, "--out", t.at(name))
}

// replacedKey has the operator sign with another key, secretly.
func (t *tampering) replacedKey(ctx context.Context) error {
	text, _, err := evidence.NewSecretKey(t.key.Public().Name())
	if err != nil {
		return err
	}
	old, err := os.ReadFile(t.keyFile())
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.keyFile(), []byte(text+"\n"), 0o600); err != nil {
		return err
	}
	err = t.with(ctx, t.now, func(ctx context.Context) error {
		if err := t.fillShards(ctx, t.now, "other", loaders); err != nil {
			return err
		}
		return t.receipt(ctx, "other.receipt")
	})
	return errors.Join(err, os.WriteFile(t.keyFile(), old, 0o600))
}

// otherHistory has the operator start the old copy of all nodes, with the same identity and key, and go on with other
// records.
func (t *tampering) otherHistory(ctx context.Context) error {
	c := *t.now
	c.dir, c.keep = t.first, true
	return t.with(ctx, &c, func(ctx context.Context) (err error) {
		if err := t.fillShards(ctx, &c, "fork", 3*loaders); err != nil {
			return err
		}
		t.fork, err = t.keep(ctx, &c, "fork")
		if err != nil {
			return err
		}
		if t.fork.Size < t.late.Size {
			return failf("the fork has %d events, and the ledger had %d", t.fork.Size, t.late.Size)
		}
		t.forkProof, err = prove(ctx, &c, t.late, t.fork)
		return err
	})
}
