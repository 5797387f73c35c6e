package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/canary"
	"github.com/recount-ledger/recount/internal/incident"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// fill submits the honest records. Loader w writes to shard lab-w with rising epochs.
func (d *drill) fill(ctx context.Context) error {
	return d.step(fmt.Sprintf("%d honest submissions", d.cfg.Submissions), func() (string, error) {
		began := time.Now()
		statuses, err := d.cluster.load(ctx, d.cfg.Submissions, func(i int) ([]byte, error) {
			return d.cluster.honest.Signed(fmt.Sprintf("lab-%02d", i%loaders), int64(i/loaders)+1)
		})
		if err == nil && statuses[200] != d.cfg.Submissions {
			err = failf("honest records were answered %v", statuses)
		}
		return fmt.Sprintf("%.0f a second", float64(d.cfg.Submissions)/time.Since(began).Seconds()), err
	})
}

// honestPass checks that every node accepts an honest record after the incident.
func (d *drill) honestPass(ctx context.Context, epoch int64) error {
	return d.step("honest records pass on every node", func() (string, error) {
		for i := range d.cluster.nodes {
			body, err := d.cluster.honest.Signed(fmt.Sprintf("lab-%02d", i), epoch)
			if err != nil {
				return "", err
			}
			status, err := d.cluster.submit(ctx, d.cluster.client.At(i), body)
			if err != nil || status != 200 {
				return "", errors.Join(failf("node %d answered an honest record %d", i+1, status), err)
			}
		}
		return "200", nil
	})
}

// recounted waits for the generation, compares its flips with the expected ones, and activates it.
func (d *drill) recounted(ctx context.Context, n uint32, direct, indirect int) error {
	number := fmt.Sprint(n)
	if err := d.command(ctx, "every node has rebuilt and compared all history", exitOK, nil, "generation",
		"status", number, "--wait"); err != nil {
		return err
	}
	var diff wire.DiffAnswer
	if err := d.command(ctx, "the difference", exitOK, &diff, "generation", "diff", number); err != nil {
		return err
	}
	d.setResult("%d events, %d flips: %d direct, %d indirect", diff.Events, diff.Flips, diff.Direct, diff.Indirect)
	if diff.Direct != uint64(direct) || diff.Indirect != uint64(indirect) {
		return failf("%d direct and %d indirect flips, want %d and %d", diff.Direct, diff.Indirect, direct, indirect)
	}
	var activated wire.ActivateAnswer
	if err := d.command(ctx, "switch on every node", exitOK, &activated, "generation", "activate", number, "--diff",
		diff.Digest, "--reason", "drill"); err != nil {
		return err
	}
	d.setResult("generation %d answers after event %d; %d of %d voters reported the diff", activated.Generation, activated.Seq,
		len(activated.Reporters), len(activated.Reporters)+len(activated.Absent))
	return nil
}

// leakedKey plays an attacker who signs with the key of an agent, into new shards and ahead of the epochs of others.
func (d *drill) leakedKey(ctx context.Context) error {
	if err := d.command(ctx, "the known shards are registered", exitOK, nil, "shard", "known", "add", "lab-*",
		"--reason", "drill"); err != nil {
		return err
	}
	if err := d.fill(ctx); err != nil {
		return err
	}
	forged, since := d.cfg.Submissions/100, time.Now()
	if err := d.forgeWithKey(ctx, forged); err != nil {
		return err
	}
	if err := d.behind(ctx, min(forged, loaders)/2); err != nil {
		return err
	}
	hindsight, err := d.revoke(ctx, since, forged)
	if err != nil {
		return err
	}
	if err := d.recounted(ctx, hindsight, forged, min(forged, loaders)/2); err != nil {
		return err
	}
	if err := d.attackerIsOut(ctx); err != nil {
		return err
	}
	if err := d.honestPass(ctx, int64(d.cfg.Submissions)); err != nil {
		return err
	}
	return d.sameEverywhere(ctx)
}

// revoke ends the leaked key, compares the list of its records with what was sent, and returns the generation that
// recounts without them.
func (d *drill) revoke(ctx context.Context, since time.Time, forged int) (hindsight uint32, err error) {
	leaked, err := verify.NewHMACKey([]byte(leakedSecret))
	if err != nil {
		return 0, err
	}
	var in incident.Key
	err = d.command(ctx, "revoke, list, bundle, start the recount", exitOK, &in, "incident", "key", leaked.ID,
		"--yes", "--since", wire.Time(since.Add(-time.Second)), "--reason", "drill", "--ticket", "DRILL", "--out",
		d.bundles, "--hindsight")
	if err != nil {
		return 0, err
	}
	d.setResult("revoked at event %d; %d signed since, %d shards, %d unknown", in.RevokedSeq, in.SignedSince,
		len(in.ByShard), len(in.UnknownShards))
	if in.SignedSince != forged || len(in.UnknownShards) != (min(forged, loaders)+1)/2 {
		return 0, failf("%d records of the attacker were sent, the incident lists %d in unknown shards %v", forged,
			in.SignedSince, in.UnknownShards)
	}
	return in.Hindsight, nil
}

// forgeWithKey signs with the leaked key. Even loaders write to shards of the attacker, odd ones to shards of honest
// agents, ahead of their epochs.
func (d *drill) forgeWithKey(ctx context.Context, count int) error {
	return d.step(fmt.Sprintf("an attacker signs %d records", count), func() (string, error) {
		statuses, err := d.cluster.load(ctx, count, func(i int) ([]byte, error) {
			shard := fmt.Sprintf("attacker-%02d", i%loaders)
			if i%2 == 1 {
				shard = fmt.Sprintf("lab-%02d", i%loaders)
			}
			return d.cluster.leaked.Signed(shard, int64(2*d.cfg.Submissions+i))
		})
		if err == nil && statuses[200] != count {
			err = failf("the attacker's records were answered %v; nothing would have to be undone", statuses)
		}
		return "accepted: the signature is right", err
	})
}

// attackerIsOut checks on every node that new records of the attacker are refused and old ones no longer accepted.
func (d *drill) attackerIsOut(ctx context.Context) error {
	return d.step("the attacker's records are refused on every node", func() (string, error) {
		for i := range d.cluster.nodes {
			body, err := d.cluster.leaked.Signed("attacker-00", int64(9*d.cfg.Submissions+i))
			if err != nil {
				return "", err
			}
			status, err := d.cluster.submit(ctx, d.cluster.client.At(i), body)
			if err != nil || status != 403 {
				return "", errors.Join(failf("node %d answered a new record of the attacker %d", i+1, status), err)
			}
			page, err := d.cluster.client.At(i).AuditPage(ctx, client.AuditQuery{
				Shard:       "lab-01",
				Outcome:     wire.OutcomeAccepted,
				Limit:       1000,
				PageTimeout: d.cluster.patience,
			})
			if err != nil {
				return "", err
			}
			for _, item := range page.Items {
				if item.Epoch >= int64(2*d.cfg.Submissions) {
					return "", failf("node %d still calls event %d accepted", i+1, item.Seq)
				}
			}
		}
		return "403", nil
	})
}

// bypass plays a lax policy that accepts unsigned records, which push the epochs of honest agents.
func (d *drill) bypass(ctx context.Context) error {
	if err := d.fill(ctx); err != nil {
		return err
	}
	good, err := d.plant(ctx)
	if err != nil {
		return err
	}
	forged := d.cfg.Submissions / 100
	if err := d.forge(ctx, forged); err != nil {
		return err
	}
	if err := d.behind(ctx, min(forged, loaders)); err != nil {
		return err
	}
	if err := d.freeze(ctx); err != nil {
		return err
	}
	var g wire.GenerationAnswer
	if err := d.command(ctx, "recount all history under the sound policy", exitOK, &g, "generation", "start",
		"--policy", good, "--reason", "drill", "--ticket", "DRILL"); err != nil {
		return err
	}
	if err := d.recounted(ctx, g.Generation, forged, min(forged, loaders)); err != nil {
		return err
	}
	if err := d.command(ctx, "the canary is refused", exitOK, nil, "canary"); err != nil {
		return err
	}
	if err := d.command(ctx, "thaw", exitOK, nil, "thaw", "--reason", "drill", "--ticket", "DRILL"); err != nil {
		return err
	}
	if err := d.honestPass(ctx, int64(d.cfg.Submissions)); err != nil {
		return err
	}
	return d.sameEverywhere(ctx)
}

// freeze sends the canaries before and after a freeze of all new records.
func (d *drill) freeze(ctx context.Context) error {
	var seen canary.Report
	if err := d.command(ctx, "the canary is accepted: incident", exitVerify, &seen, "canary"); err != nil {
		return err
	}
	d.setResult("%d of %d canaries let through", seen.LetThrough, seen.Sent)
	if err := d.command(ctx, "freeze", exitOK, nil, "freeze", "--reason", "canary accepted", "--ticket",
		"DRILL"); err != nil {
		return err
	}
	if err := d.frozen(ctx); err != nil {
		return err
	}
	seen = canary.Report{}
	if err := d.command(ctx, "the canary is stopped only by the freeze", exitVerify, &seen, "canary"); err != nil {
		return err
	}
	d.setResult("%d of %d canaries stopped only by the freeze", seen.Frozen, seen.Sent)
	if seen.Frozen != d.cluster.nodes || seen.LetThrough != 0 { // a lax policy accepts the unsigned one on each node
		return failf("%d canaries were accepted during the freeze, %d frozen", seen.LetThrough, seen.Frozen)
	}
	return nil
}

// plant applies a policy that asks for no signature, and returns the id of the one that was in force.
func (d *drill) plant(ctx context.Context) (good string, err error) {
	return good, d.step("a lax policy is planted", func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, d.cluster.patience)
		defer cancel()
		page, err := d.cluster.client.Policies(ctx)
		if err != nil {
			return "", err
		}
		for _, p := range page.Items {
			if p.InForce {
				good = p.ID
			}
		}
		lax := "kernel: 1\n" +
			"signature: {required: false, profiles: [f9, py, es, go, go-fold, py-utf8, ryu, bin, py-bin]}\n"
		p, err := d.cluster.client.PublishPolicy(ctx, wire.PolicyRequest{Document: lax, Op: wire.Op{Reason: "drill"}})
		if err != nil {
			return "", err
		}
		a, err := d.cluster.client.ApplyPolicy(ctx, p.ID, wire.ApplyRequest{Op: wire.Op{Reason: "drill"}})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("in force after event %d", a.Seq), nil
	})
}

// forge sends unsigned records into the shards of honest agents, ahead of their epochs.
func (d *drill) forge(ctx context.Context, count int) error {
	return d.step(fmt.Sprintf("%d unsigned records are accepted", count), func() (string, error) {
		statuses, err := d.cluster.load(ctx, count, func(i int) ([]byte, error) {
			return d.cluster.leaked.Unsigned(fmt.Sprintf("lab-%02d", i%loaders), int64(2*d.cfg.Submissions+i))
		})
		if err == nil && statuses[200] != count {
			err = failf("unsigned records were answered %v; nothing would have to be undone", statuses)
		}
		return "accepted: nobody asks for a signature", err
	})
}

// behind sends one honest record to every shard. Those whose epochs were pushed are escalated.
func (d *drill) behind(ctx context.Context, pushed int) error {
	return d.step("honest agents go on", func() (string, error) {
		statuses, err := d.cluster.load(ctx, loaders, func(i int) ([]byte, error) {
			return d.cluster.honest.Signed(fmt.Sprintf("lab-%02d", i), int64(d.cfg.Submissions/loaders)+2)
		})
		if err == nil && (statuses[202] != pushed || statuses[200] != loaders-pushed) {
			err = failf("they were answered %v, %d of them stand behind a forged epoch", statuses, pushed)
		}
		return fmt.Sprintf("%d of %d are escalated behind the forgeries", pushed, loaders), err
	})
}

// frozen checks that every node refuses new records and still answers repeated ones.
func (d *drill) frozen(ctx context.Context) error {
	return d.step("every node is frozen, reads and repeats are answered", func() (string, error) {
		repeat, err := d.cluster.honest.Signed("lab-00", 1)
		if err != nil {
			return "", err
		}
		for i := range d.cluster.nodes {
			at := d.cluster.client.At(i)
			fresh, err := d.cluster.honest.Signed("lab-00", int64(8*d.cfg.Submissions+i))
			if err != nil {
				return "", err
			}
			once, cancel := context.WithTimeout(ctx, d.cluster.patience/30) // a client repeats what got 503
			resp, err := at.Do(once, client.Request{Method: "POST", Path: client.SubmitPath, Body: fresh})
			cancel()
			if err == nil && resp.Status != 503 {
				return "", failf("node %d answered a new record %d during the freeze", i+1, resp.Status)
			}
			if repeated, err := d.cluster.repeated(ctx, at, repeat); !repeated {
				return "", errors.Join(failf("node %d does not answer a repeat during the freeze", i+1), err)
			}
		}
		return "503", nil
	})
}
