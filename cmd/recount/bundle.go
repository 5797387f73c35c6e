package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// bundleCommands implements recount bundle.
type bundleCommands struct{ *app }

func (a bundleCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bundle", Short: "Get a record with all that its verdict depends on, and judge it again without a node",
		Example: `  recount bundle get 65c8f7093db94687 --out record.bundle
  recount bundle verify --key ledger.pub record.bundle`,
	}
	cmd.AddCommand(a.getCommand(), a.verifyCommand())
	return cmd
}

func (a bundleCommands) getCommand() *cobra.Command {
	var seq uint64
	var out string
	cmd := &cobra.Command{
		Use: "get PCS_ID", Short: "Get the bundle of a record", Args: exactArgs("PCS_ID"),
		Long: `get prints the bundle of a record: its receipt, the record itself, and the events that decide how it is judged, each with a proof.
"recount bundle verify" judges the record again without a node. The bundle has the outcomes of all generations that have answered
and are kept. A credential that may read events is needed.

A record that stands in no generation needs the event that its refusal named: --seq.`,
		Example: `  recount bundle get 65c8f7093db9468765c8f7093db9468765c8f7093db9468765c8f7093db94687 --out record.bundle
  recount bundle get 65c8f7093db9468765c8f7093db9468765c8f7093db9468765c8f7093db94687 | recount bundle verify --key ledger.pub`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return getEvidence(cmd.Context(), a.app, args[0], out,
				func(ctx context.Context, c *client.Client, id string) ([]byte, error) {
					return client.EvidenceOf(c).Bundle(ctx, id, seq)
				})
		},
	}
	cmd.Flags().Uint64Var(&seq, "seq", 0, "the event of one submission of the record; default: the one that stands")
	cmd.Flags().StringVar(&out, "out", "", "write it to this new file")
	return cmd
}

// maxBundle bounds the bytes of a bundle that is read.
const maxBundle = 64 << 20

func (a bundleCommands) verifyCommand() *cobra.Command {
	var keyFile, secretFile string
	cmd := &cobra.Command{
		Use: "verify --key FILE [BUNDLE]", Short: "Judge the record of a bundle again and compare the verdicts",
		Long: `verify reads a bundle from a file, or from stdin. It checks the receipt and every hash and proof, checks the signature of the record, runs
the kernel and the policy again, and compares the result with the outcome that the ledger signed. It prints each thing that it
checked, and what it cannot check. It asks no node and needs no network.

FILE has the public keys that you trust, one a line, as "recount-node checkpoint-key show" prints them. Get them on a way that
the operator of the ledger does not control. A file with a changed bit is refused.

The secret of an HMAC key is in no ledger. Without --secret-file the MAC of the record is not checked, and everything else is.

Exit codes: 0 everything was checked and the verdicts are the same, 1 the bundle is refused, 2 wrong usage.`,
		Example: `  recount bundle verify --key ledger.pub record.bundle
  recount bundle get $ID | recount bundle verify --key ledger.pub
  recount bundle verify --key ledger.pub --secret-file agent.secret record.bundle`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := readPublicKeys(keyFile)
			if err != nil {
				return err
			}
			secret, err := readSetting("--secret-file", secretFile)
			if err != nil {
				return err
			}
			if secret != nil {
				if secret, err = verify.ReadSecret(secret); err != nil {
					return usagef("--secret-file %s: %w", secretFile, err)
				}
			}
			text, err := readEvidence(a.in, args, maxBundle)
			if err != nil {
				return err
			}
			return a.verify(text, secret, keys)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the public keys of the ledger (required)")
	cmd.Flags().StringVar(&secretFile, "secret-file", "", "file with the secret of the HMAC key that signed the record")
	return cmd
}

// checkedBundle is the result of a check.
type checkedBundle struct {
	Origin    string           `json:"origin"`
	Seq       uint64           `json:"seq"`
	PCSID     string           `json:"pcs_id"`
	ShardID   string           `json:"shard_id"`
	Epoch     int64            `json:"epoch"`
	LogTime   string           `json:"log_time"`
	Size      uint64           `json:"checkpoint_size"`
	Events    int              `json:"events"`
	Verdicts  []checkedVerdict `json:"verdicts"`
	Checks    []string         `json:"checks"`
	Unchecked []string         `json:"unchecked"`
}

// checkedVerdict is one outcome that was reproduced.
type checkedVerdict struct {
	Generation uint32                  `json:"generation"`
	Policy     string                  `json:"policy"`
	Kernel     int                     `json:"kernel"`
	Outcome    string                  `json:"outcome"`
	Accepted   bool                    `json:"accepted"`
	ReasonCode string                  `json:"reason_code"`
	Reason     string                  `json:"reason,omitempty"`
	KeyID      string                  `json:"key_id,omitempty"`
	Signature  evidence.SignatureCheck `json:"signature"`
}

func (a bundleCommands) verify(text, secret []byte, keys []evidence.PublicKey) error {
	b, err := evidence.ParseBundle(text)
	var c evidence.Reproduced
	if err == nil {
		c, err = b.Check(secret, keys...)
	}
	if err != nil {
		return &codedError{exitFailed, fmt.Errorf("the bundle is refused: %w", err),
			"Get it again from another node, and compare the public key with what the operator gave you."}
	}
	o := c.Outcome
	out := checkedBundle{Origin: b.Receipt.Origin, Seq: o.Seq, PCSID: o.PCSID, ShardID: o.ShardID, Epoch: o.Epoch,
		LogTime: wire.Time(time.Unix(0, o.LogTime)), Size: c.Checkpoint.Size, Events: c.Events}
	fields := []any{"event", out.Seq, "pcs_id", out.PCSID, "shard", out.ShardID, "epoch", out.Epoch,
		"log time", out.LogTime}
	for _, v := range c.Verdicts {
		o := v.Outcome
		out.Verdicts = append(out.Verdicts, reproducedVerdict(v))
		fields = append(fields, fmt.Sprintf("generation %d", o.Generation),
			fmt.Sprintf("%s (%s)", o.Outcome, o.ReasonCode()))
	}
	out.Checks, out.Unchecked = bundleChecks(b, c)
	if err := printChecks(a.app, out.Checks, out.Unchecked); err != nil {
		return err
	}
	return a.printFields(out, fields...)
}

func reproducedVerdict(v evidence.Verdict) checkedVerdict {
	o := v.Outcome
	return checkedVerdict{Generation: o.Generation, Policy: hex.EncodeToString(o.Policy[:]), Kernel: v.Kernel,
		Outcome: o.Outcome.String(), Accepted: o.Accepted, ReasonCode: o.ReasonCode(), Reason: o.ReasonText(),
		KeyID: o.KeyID, Signature: v.Signature}
}

// bundleChecks lists in words the checks that passed, and the rest.
func bundleChecks(b evidence.Bundle, c evidence.Reproduced) (checked, unchecked []string) {
	checked = append(checksOf(b.Receipt, c.Checked),
		fmt.Sprintf("%d events are leaves of that tree, and their payloads have the hashes of their leaves", c.Events))
	earlier := false
	for _, v := range c.Verdicts {
		o := v.Outcome
		about := fmt.Sprintf("generation %d: ", o.Generation)
		add := func(to *[]string, format string, args ...any) { *to = append(*to, about+fmt.Sprintf(format, args...)) }
		if o.Generation != b.Receipt.Generation {
			for _, k := range v.By {
				add(&checked, "the statement is signed by %s", k)
			}
		}
		switch v.Signature {
		case evidence.Verified:
			add(&checked, "the %s signature of the record is valid under key %s", o.Facts.Alg, o.KeyID)
		case evidence.Unsigned:
			add(&unchecked, "that no registered key signed the record: the outcome names none")
		case evidence.NotChecked:
			add(&unchecked, "the MAC of the record under key %s (--secret-file)", o.KeyID)
		}
		for _, e := range v.Earlier {
			earlier = true
			add(&checked, "event %d came before, and the ledger states: %s", e.Seq, e.Outcome)
		}
		add(&checked, "kernel %d and policy %x give the outcome that the ledger states: %s (%s)", v.Kernel, o.Policy,
			o.Outcome, o.ReasonCode())
	}
	if earlier {
		unchecked = append(unchecked, "the outcomes of the events before it, which have bundles of their own")
	}
	return checked, append(unchecked, "that no event was left out. Folding the whole ledger shows that")
}
