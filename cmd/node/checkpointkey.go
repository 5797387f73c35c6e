package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/cli"
	"github.com/recount-ledger/recount/internal/cluster/certs"
	"github.com/recount-ledger/recount/internal/secretfile"
)

// publicKeys is the output of the commands about checkpoint keys.
type publicKeys struct {
	File string   `json:"file"`
	Keys []string `json:"keys"` // public keys, C2SP signed-note
}

func checkpointKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "checkpoint-key", Short: "Make keys that sign checkpoints, and show their public keys",
		Long: `Make the key with which the nodes of a ledger sign its checkpoints, and show the public keys of a file. The commands contact
nothing, and no node needs to run.

Every node gets the same file (checkpoint_key_file). Give the public key to everybody who checks the ledger. A key belongs to
one cluster id: a ledger that was restored under another one needs a new key.`,
		Example: `  recount-node checkpoint-key create --cluster ledger --out checkpoint.key
  recount-node checkpoint-key show checkpoint.key`,
	}
	cmd.AddCommand(createCheckpointKey(), showCheckpointKey())
	return cmd
}

func createCheckpointKey() *cobra.Command {
	var clusterID, out, output string
	cmd := &cobra.Command{
		Use:   "create --cluster ID --out FILE",
		Short: "Make an Ed25519 key and print its public key",
		Args:  cli.None,
		Long: `Make an Ed25519 key, write it to a new file that only its owner can read, and print its public key.

To change the key, append the line of the new file to the file of every node. The nodes read it again within four seconds
and sign with both keys. Remove the old line once everybody who checks has the new public key. Keep the old public key:
older proofs need it.`,
		Example: `  recount-node checkpoint-key create --cluster ledger --out checkpoint.key`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return wrong(errors.New("--out is required: the new file"))
			}
			if err := certs.CheckID(clusterID); err != nil {
				return wrong(fmt.Errorf("--cluster: %q is no cluster id: %w", clusterID, err))
			}
			text, key, err := evidence.NewSecretKey(evidence.OriginOf(clusterID))
			if err != nil {
				return err
			}
			if err := writeSecret(out, text+"\n"); err != nil {
				return err
			}
			return printPublic(cmd.OutOrStdout(), output, out, []evidence.SecretKey{key})
		},
	}
	cmd.Flags().StringVar(&clusterID, "cluster", "", "cluster_id of the nodes (required)")
	cmd.Flags().StringVar(&out, "out", "", "write the key to this new file, mode 0600 (required)")
	outputFlag(cmd, &output)
	return cmd
}

// writeCheckpointKey makes the key with which the nodes of the cluster sign checkpoints, and a file with its
// public key, unless they are there.
func (d *devCluster) writeCheckpointKey(clusterID string) error {
	if isFile(filepath.Join(d.dir, checkpointKeyName)) {
		return nil
	}
	return newCheckpointKey(d.dir, clusterID)
}

// checkpointKeyName is the file of the key, and publicKeyName that of its public key, of a new cluster.
const (
	checkpointKeyName = "checkpoint.key"
	publicKeyName     = "ledger.pub"
)

// newCheckpointKey makes a key and a file with its public key, in a directory.
func newCheckpointKey(dir, clusterID string) error {
	text, key, err := evidence.NewSecretKey(evidence.OriginOf(clusterID))
	if err != nil {
		return err
	}
	public := []byte(key.Public().String() + "\n")
	if err := os.WriteFile(filepath.Join(dir, publicKeyName), public, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, checkpointKeyName), []byte(text+"\n"), 0o600)
}

func showCheckpointKey() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "show FILE",
		Short:   "Print the public keys of a file of checkpoint keys",
		Args:    exactly("FILE"),
		Example: `  recount-node checkpoint-key show /etc/recount/checkpoint.key`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := secretfile.Read(args[0])
			if err != nil {
				return wrong(err)
			}
			keys, err := evidence.ParseSecretKeys(string(text))
			if err != nil {
				return wrong(fmt.Errorf("%s: %w", args[0], err))
			}
			return printPublic(cmd.OutOrStdout(), output, args[0], keys)
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "table", "table (one key a line) or json")
	cli.Closed(cmd, "output", "table", "json")
}

func printPublic(out io.Writer, output, file string, keys []evidence.SecretKey) error {
	list := publicKeys{File: file}
	for _, k := range keys {
		list.Keys = append(list.Keys, k.Public().String())
	}
	if output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	for _, k := range list.Keys {
		if _, err := fmt.Fprintln(out, k); err != nil {
			return err
		}
	}
	return nil
}
