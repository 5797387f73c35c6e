package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/client"
	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/wire"
)

// receiptCommands implements recount receipt and recount proof.
type receiptCommands struct{ *app }

func (a receiptCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "receipt", Short: "Get receipts, which prove what the ledger says of a record",
		Example: `  recount receipt get 65c8f7093db94687 --out record.receipt`,
	}
	cmd.AddCommand(a.getCommand())
	return cmd
}

func (a receiptCommands) getCommand() *cobra.Command {
	var seq uint64
	var out string
	cmd := &cobra.Command{
		Use: "get PCS_ID", Short: "Get the receipt of a record", Args: exactArgs("PCS_ID"),
		Long: `get prints the receipt of the outcome that stands for a record: what the ledger says of it, signed, and a proof that its event is in
the ledger. "recount proof verify" checks it without a node. No credential is needed.

A refused record does not stand. Give the event that the refusal named with --seq.`,
		Example: `  recount receipt get 65c8f7093db9468765c8f7093db9468765c8f7093db9468765c8f7093db94687 --out record.receipt
  recount receipt get 65c8f7093db9468765c8f7093db9468765c8f7093db9468765c8f7093db94687 | recount proof verify --key ledger.pub`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return getEvidence(cmd.Context(), a.app, args[0], out,
				func(ctx context.Context, c *client.Client, id string) ([]byte, error) {
					return client.EvidenceOf(c).Receipt(ctx, id, seq)
				})
		},
	}
	cmd.Flags().Uint64Var(&seq, "seq", 0, "the event of one submission of the record; default: the one that stands")
	cmd.Flags().StringVar(&out, "out", "", "write it to this new file")
	return cmd
}

// getEvidence reads a text about a record and prints it, or writes it to a new file.
func getEvidence(ctx context.Context, a *app, record, out string,
	get func(context.Context, *client.Client, string) ([]byte, error)) error {
	text, err := call(ctx, a, func(ctx context.Context, c *client.Client) ([]byte, error) {
		id, err := recordID(ctx, c, record, client.Read{})
		if err != nil {
			return nil, err
		}
		return get(ctx, c, id)
	})
	if err != nil {
		return err
	}
	if out == "" {
		_, err = a.out.Write(text)
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return usagef("--out: %s exists; nothing was written", out)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// proofCommand is recount proof.
func (a receiptCommands) proofCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "proof", Short: "Check receipts without a node",
		Example: `  recount proof verify --key ledger.pub record.receipt`,
	}
	cmd.AddCommand(a.verifyCommand())
	return cmd
}

func (a receiptCommands) verifyCommand() *cobra.Command {
	var keyFile, witnessFile string
	var quorum int
	cmd := &cobra.Command{
		Use: "verify --key FILE [RECEIPT]", Short: "Check a receipt with the public key of its ledger",
		Long: `verify reads a receipt from a file, or from stdin, and prints each thing that it checked. It asks no node and needs no network.

FILE has the public keys that you trust, one a line, as "recount-node checkpoint-key show" prints them. Get them on a way that
the operator of the ledger does not control. A file with a changed bit is refused.

With --witness, at least --quorum of the witnesses in that file must have cosigned the checkpoint. They saw no other ledger under its
origin. Without it, nothing shows that others were shown the same ledger. It cannot check that the verdict is right.

Exit codes: 0 everything was checked, 1 the receipt is refused, 2 wrong usage.`,
		Example: `  recount proof verify --key ledger.pub record.receipt
  recount proof verify --key ledger.pub --witness witnesses.pub --quorum 2 record.receipt
  recount receipt get $ID | recount proof verify --key ledger.pub`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := readPublicKeys(keyFile)
			if err != nil {
				return err
			}
			w, err := readWitnesses(witnessFile, quorum)
			if err != nil {
				return err
			}
			b, err := readEvidence(a.in, args, maxReceipt)
			if err != nil {
				return err
			}
			return a.verify(b, keys, w)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the public keys of the ledger (required)")
	cmd.Flags().StringVar(&witnessFile, "witness", "", "file with the public keys of witnesses that must have cosigned")
	cmd.Flags().IntVar(&quorum, "quorum", 0, "how many of the witnesses must have; default: all of them")
	return cmd
}

// maxReceipt bounds the bytes of a receipt that is read.
const maxReceipt = 1 << 20

// readPublicKeys reads the file that --key names.
func readPublicKeys(file string) ([]evidence.PublicKey, error) {
	if file == "" {
		return nil, usagef("--key is required: a file with the public keys that you trust")
	}
	return ledgerKeys("--key", file)
}

// readEvidence reads the file that the argument names, or stdin.
func readEvidence(in io.Reader, args []string, most int64) ([]byte, error) {
	if len(args) > 0 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, usagef("%w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(b)) > most {
		err = usagef("more than %d bytes are read", most)
	}
	return b, err
}

// checkedReceipt is the result of a check.
type checkedReceipt struct {
	Origin     string   `json:"origin"`
	Seq        uint64   `json:"seq"`
	PCSID      string   `json:"pcs_id"`
	ShardID    string   `json:"shard_id"`
	Epoch      int64    `json:"epoch"`
	Outcome    string   `json:"outcome"`
	Accepted   bool     `json:"accepted"`
	ReasonCode string   `json:"reason_code"`
	LogTime    string   `json:"log_time"`
	Policy     string   `json:"policy"`
	Generation uint32   `json:"generation"`
	Size       uint64   `json:"checkpoint_size"`
	Checks     []string `json:"checks"`
}

func (a receiptCommands) verify(b []byte, keys []evidence.PublicKey, w witnesses) error {
	r, err := evidence.ParseReceipt(b)
	var c evidence.Checked
	if err == nil {
		c, err = r.Check(keys...)
	}
	var cosigned []string
	if err == nil {
		cosigned, err = w.check(r.Proof.Checkpoint)
	}
	if err != nil {
		return &codedError{exitFailed, fmt.Errorf("the receipt is refused: %w", err),
			"Get it again from another node, and compare the public key with what the operator gave you."}
	}
	o := c.Outcome
	out := checkedReceipt{Origin: r.Origin, Seq: o.Seq, PCSID: o.PCSID, ShardID: o.ShardID, Epoch: o.Epoch,
		Outcome: o.Outcome.String(), Accepted: o.Accepted, ReasonCode: o.ReasonCode(),
		LogTime: wire.Time(time.Unix(0, o.LogTime)), Policy: fmt.Sprintf("%x", o.Policy), Generation: o.Generation,
		Size: c.Checkpoint.Size, Checks: append(checksOf(r, c), cosigned...)}
	if err := printChecks(a.app, out.Checks, nil); err != nil {
		return err
	}
	return a.printFields(out, "event", out.Seq, "pcs_id", out.PCSID, "shard", out.ShardID, "epoch", out.Epoch,
		"outcome", out.Outcome, "accepted", out.Accepted, "reason", out.ReasonCode, "log time", out.LogTime,
		"policy", out.Policy, "generation", out.Generation)
}

// printChecks prints what was checked and what was not, unless a program reads the output.
func printChecks(a *app, checked, unchecked []string) error {
	if a.format != formatTable {
		return nil
	}
	var b strings.Builder
	for _, line := range checked {
		fmt.Fprintf(&b, "ok  %s\n", visible(line))
	}
	for _, line := range unchecked {
		fmt.Fprintf(&b, "--  not checked: %s\n", visible(line))
	}
	_, err := fmt.Fprintln(a.out, b.String())
	return err
}

// checksOf lists in words the checks that passed.
func checksOf(r evidence.Receipt, c evidence.Checked) (lines []string) {
	for _, k := range c.StatementBy {
		lines = append(lines, fmt.Sprintf("the statement is signed by %s", k))
	}
	for _, k := range c.CheckpointBy {
		lines = append(lines, fmt.Sprintf("the checkpoint of %d events is signed by %s", c.Checkpoint.Size, k))
	}
	return append(lines,
		fmt.Sprintf("event %d is leaf %d of the tree with root %x", r.Leaf.Seq, r.Proof.Index, c.Checkpoint.Root),
		fmt.Sprintf("the outcome row leads from state digest %x to %x", r.Before, r.State),
		"the outcome row is one of a submission, in its only encoding")
}
