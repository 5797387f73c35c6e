package main

import (
	"context"
	"fmt"
	"time"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/internal/incident"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// fill submits the honest records: loader w writes to shard lab-w, epochs rising.
func (d *drill) fill(ctx context.Context) error {
	return d.step(fmt.Sprintf("%d honest submissions", d.count), func() (string, error) {
		began := time.Now()
		statuses, err := d.cluster.load(ctx, d.count, func(i int) ([]byte, error) {
			return d.cluster.honest.make(fmt.Sprintf("lab-%02d", i%loaders), int64(i/loaders)+1)
		})
		if err == nil && statuses[200] != d.count {
			err = failf("honest records were answered %v", statuses)
		}
		return fmt.Sprintf("%.0f a second", float64(d.count)/time.Since(began).Seconds()), err
	})
}

// honestPass: after an incident the honest agents are answered 200 by every node.
func (d *drill) honestPass(ctx context.Context, epoch int64) error {
	return d.step("honest records pass on every node", func() (string, error) {
		for i := range d.cluster.nodes {
			body, err := d.cluster.honest.make(fmt.Sprintf("lab-%02d", i), epoch)
			if err != nil {
				return "", err
			}
			r, err := d.cluster.client.At(i).Submit(ctx, body)
			if err != nil || r.Status != 200 {
				return "", failf("node %d answered an honest record %+v: %w", i+1, r, err)
			}
		}
		return "200", nil
	})
}

// recounted builds the generation, holds its flips against what is expected, and activates it.
func (d *drill) recounted(ctx context.Context, n uint32, direct, knockOn int) error {
	number := fmt.Sprint(n)
	if err := d.command(ctx, "every node has rebuilt and compared all history", exitOK, nil, "generation",
		"status", number, "--wait"); err != nil {
		return err
	}
	var diff wire.DiffAnswer
	if err := d.command(ctx, "the difference", exitOK, &diff, "generation", "diff", number); err != nil {
		return err
	}
	d.tell("%d events, %d flips: %d direct, %d knock-on", diff.Events, diff.Flips, diff.Direct, diff.KnockOn)
	if diff.Direct != uint64(direct) || diff.KnockOn != uint64(knockOn) {
		return failf("%d direct and %d knock-on flips, want %d and %d", diff.Direct, diff.KnockOn, direct, knockOn)
	}
	var act wire.ActivateAnswer
	if err := d.command(ctx, "switch on every node", exitOK, &act, "generation", "activate", number, "--diff",
		diff.Digest, "--reason", "drill"); err != nil {
		return err
	}
	d.tell("generation %d answers after event %d; %d of %d voters reported the diff", act.Generation, act.Seq,
		len(act.Reporters), len(act.Reporters)+len(act.Absent))
	return nil
}

// key: a thief signs with a key of an agent, into shards of its own and over epochs of others.
func (d *drill) key(ctx context.Context) error {
	if err := d.command(ctx, "the expected shards are known", exitOK, nil, "known-shards", "add", "lab-*",
		"--reason", "drill"); err != nil {
		return err
	}
	if err := d.fill(ctx); err != nil {
		return err
	}
	leaked, err := verify.NewHMACKey([]byte(drillLeakedKey))
	if err != nil {
		return err
	}
	stolen, since := d.count/100, time.Now()
	if err := d.theft(ctx, stolen); err != nil {
		return err
	}
	if err := d.behind(ctx, min(stolen, loaders)/2); err != nil {
		return err
	}
	var in incident.Key
	err = d.command(ctx, "revoke, list, bundle, start the recount", exitOK, &in, "incident", "key", leaked.ID,
		"--yes", "--since", wire.Time(since.Add(-time.Second)), "--reason", "drill", "--ticket", "DRILL", "--out",
		d.out, "--hindsight")
	if err != nil {
		return err
	}
	d.tell("revoked at event %d; %d signed since, %d shards, %d unknown", in.RevokedSeq, in.SignedSince,
		len(in.ByShard), len(in.UnknownShards))
	if in.SignedSince != stolen || len(in.UnknownShards) != (min(stolen, loaders)+1)/2 {
		return failf("%d records of the thief were sent, the incident lists %d in unknown shards %v", stolen,
			in.SignedSince, in.UnknownShards)
	}
	if err := d.recounted(ctx, in.Hindsight, stolen, min(stolen, loaders)/2); err != nil {
		return err
	}
	if err := d.thiefIsOut(ctx); err != nil {
		return err
	}
	if err := d.honestPass(ctx, int64(d.count)); err != nil {
		return err
	}
	return d.sameEverywhere(ctx)
}

// theft signs with the leaked key: even loaders into shards of the thief, odd ones ahead of the honest agents' epochs.
func (d *drill) theft(ctx context.Context, count int) error {
	return d.step(fmt.Sprintf("a thief signs %d records", count), func() (string, error) {
		statuses, err := d.cluster.load(ctx, count, func(i int) ([]byte, error) {
			shard := fmt.Sprintf("thief-%02d", i%loaders)
			if i%2 == 1 {
				shard = fmt.Sprintf("lab-%02d", i%loaders)
			}
			return d.cluster.leak.make(shard, int64(2*d.count+i))
		})
		if err == nil && statuses[200] != count {
			err = failf("the thief's records were answered %v; nothing would have to be undone", statuses)
		}
		return "accepted: the signature is right", err
	})
}

// thiefIsOut: what the thief signed is refused as of now, and nothing new passes, on every node.
func (d *drill) thiefIsOut(ctx context.Context) error {
	return d.step("the thief's records are refused on every node", func() (string, error) {
		for i := range d.cluster.nodes {
			body, err := d.cluster.leak.make("thief-00", int64(9*d.count+i))
			if err != nil {
				return "", err
			}
			status, err := (&scratch{client: d.cluster.client.At(i)}).submit(ctx, body)
			if err != nil || status != 403 {
				return "", failf("node %d answered a new record of the thief %d: %w", i+1, status, err)
			}
			page, err := d.cluster.client.At(i).AuditPage(ctx, client.AuditQuery{
				Shard:   "lab-01",
				Outcome: wire.OutcomeAccepted,
				Limit:   1000,
			})
			if err != nil {
				return "", err
			}
			for _, item := range page.Items {
				if item.Epoch >= int64(2*d.count) {
					return "", failf("node %d still calls event %d accepted", i+1, item.Seq)
				}
			}
		}
		return "403", nil
	})
}

// bypass: a lax policy lets unsigned records in, which push the epochs of honest agents.
func (d *drill) bypass(ctx context.Context) error {
	if err := d.fill(ctx); err != nil {
		return err
	}
	good, err := d.plant(ctx)
	if err != nil {
		return err
	}
	forged := d.count / 100
	if err := d.forge(ctx, forged); err != nil {
		return err
	}
	if err := d.behind(ctx, min(forged, loaders)); err != nil {
		return err
	}
	birds := d.cluster.nodes // one unsigned canary per node is accepted
	var seen canaryReport
	if err := d.command(ctx, "the canary is accepted: incident", exitVerify, &seen, "canary"); err != nil {
		return err
	}
	d.tell("%d of %d canaries let through", seen.LetThrough, seen.Sent)
	if err := d.command(ctx, "freeze", exitOK, nil, "freeze", "--reason", "canary accepted", "--ticket",
		"DRILL"); err != nil {
		return err
	}
	if err := d.frozen(ctx); err != nil {
		return err
	}
	if err := d.command(ctx, "the canary is stopped only by the freeze", exitVerify, &seen, "canary"); err != nil {
		return err
	}
	if d.tell("%d of %d canaries stopped only by the freeze", seen.Frozen, seen.Sent); seen.Frozen != birds ||
		seen.LetThrough != 0 {
		return failf("%d canaries were accepted during the freeze, %d frozen", seen.LetThrough, seen.Frozen)
	}
	var g wire.GenerationAnswer
	if err := d.command(ctx, "recount all history under the sound policy", exitOK, &g, "generation", "start",
		"--policy", good, "--reason", "drill", "--ticket", "DRILL"); err != nil {
		return err
	}
	if err := d.recounted(ctx, g.Generation, forged, min(forged, loaders)); err != nil {
		return err
	}
	if err := d.command(ctx, "the canary is refused", exitOK, &seen, "canary"); err != nil {
		return err
	}
	if err := d.command(ctx, "thaw", exitOK, nil, "thaw", "--reason", "drill", "--ticket", "DRILL"); err != nil {
		return err
	}
	if err := d.honestPass(ctx, int64(d.count)); err != nil {
		return err
	}
	return d.sameEverywhere(ctx)
}

// plant applies a policy that asks for no signature, and returns the id of the one that was in force.
func (d *drill) plant(ctx context.Context) (good string, err error) {
	return good, d.step("a lax policy is planted", func() (string, error) {
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
		p, err := d.cluster.client.PublishPolicy(ctx, wire.PolicyRequest{Document: lax, Act: wire.Act{Reason: "drill"}})
		if err != nil {
			return "", err
		}
		a, err := d.cluster.client.ApplyPolicy(ctx, p.ID, wire.ApplyRequest{Act: wire.Act{Reason: "drill"}})
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
			return d.cluster.leak.bare(fmt.Sprintf("lab-%02d", i%loaders), int64(2*d.count+i))
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
			return d.cluster.honest.make(fmt.Sprintf("lab-%02d", i), int64(d.count/loaders)+2)
		})
		if err == nil && (statuses[202] != pushed || statuses[200] != loaders-pushed) {
			err = failf("they were answered %v, %d of them stand behind a forged epoch", statuses, pushed)
		}
		return fmt.Sprintf("%d of %d are escalated behind the forgeries", pushed, loaders), err
	})
}

// frozen: every node refuses new records and still answers old ones.
func (d *drill) frozen(ctx context.Context) error {
	return d.step("every node is frozen, reads and repeats are answered", func() (string, error) {
		repeat, err := d.cluster.honest.make("lab-00", 1)
		if err != nil {
			return "", err
		}
		for i := range d.cluster.nodes {
			at := d.cluster.client.At(i)
			fresh, err := d.cluster.honest.make("lab-00", int64(8*d.count+i))
			if err != nil {
				return "", err
			}
			once, cancel := context.WithTimeout(ctx, 2*time.Second)
			resp, err := at.Do(once, client.Request{Method: "POST", Path: client.SubmitPath, Body: fresh})
			cancel()
			if err == nil && resp.Status != 503 {
				return "", failf("node %d answered a new record %d during the freeze", i+1, resp.Status)
			}
			if r, err := at.Submit(ctx, repeat); err != nil || !r.Replayed {
				return "", failf("node %d does not answer a repeat during the freeze: %w", i+1, err)
			}
		}
		return "503", nil
	})
}
