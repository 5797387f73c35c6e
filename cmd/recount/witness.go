package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/secretfile"
	"github.com/recount-ledger/recount/internal/witness"
)

// witnessCommands implements recount witness.
type witnessCommands struct{ *app }

func (a witnessCommands) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "witness", Short: "Watch that ledgers only grow, and cosign their checkpoints",
		Long: `A witness is a server that remembers the newest checkpoint of each ledger that it knows. It cosigns a newer one only when that grew from
the one that it has seen (C2SP tlog-witness). Run it on a machine that the operator of the ledger does not control.

When a ledger signs two checkpoints that contradict each other, the witness refuses the second one and keeps both.`,
		Example: `  recount witness key create --name witness.example --out witness.key
  recount witness serve --key-file witness.key --ledger ledger.pub --dir /var/lib/recount-witness
  recount witness list --dir /var/lib/recount-witness`,
	}
	cmd.AddCommand(a.keyCommand(), a.serveCommand(), a.listCommand())
	return cmd
}

func (a witnessCommands) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "Make the key of a witness, and show its public key",
		Example: `  recount witness key create --name witness.example --out witness.key`,
	}
	cmd.AddCommand(a.createKeyCommand(), a.showKeyCommand())
	return cmd
}

func (a witnessCommands) createKeyCommand() *cobra.Command {
	var name, out string
	cmd := &cobra.Command{
		Use: "create --name NAME --out FILE", Short: "Make an Ed25519 key and print its public key", Args: exactArgs(),
		Long: `create makes the key with which a witness cosigns, writes it to a new file that only its owner can read, and prints the public key.
Give the public key to the operators of ledgers, and to everybody who checks.

NAME identifies the witness to people, such as a host name without a scheme. Use a key for one witness only.`,
		Example: `  recount witness key create --name witness.example --out witness.key`,
		RunE: func(*cobra.Command, []string) error {
			if name == "" || out == "" {
				return usagef("--name and --out are required")
			}
			text, key, err := evidence.NewWitnessSecret(name)
			if err != nil {
				return usagef("--name: %w", err)
			}
			if err := vacant(false, out); err != nil {
				return err
			}
			if err := writeKey(out, []byte(text+"\n"), false); err != nil {
				return err
			}
			return a.printKeys([]evidence.WitnessKey{key.Public()})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the witness, without spaces and + (required)")
	cmd.Flags().StringVar(&out, "out", "", "write the key to this new file, mode 0600 (required)")
	return cmd
}

func (a witnessCommands) showKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Short: "Print the public keys of a file of keys", Args: exactArgs("FILE"),
		Example: `  recount witness key show witness.key`,
		RunE: func(_ *cobra.Command, args []string) error {
			secrets, err := witnessSecrets("FILE", args[0])
			if err != nil {
				return err
			}
			keys := make([]evidence.WitnessKey, len(secrets))
			for i, s := range secrets {
				keys[i] = s.Public()
			}
			return a.printKeys(keys)
		},
	}
}

func (a witnessCommands) printKeys(keys []evidence.WitnessKey) error {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.String()
	}
	if a.format != formatTable {
		return a.printJSON(map[string][]string{"keys": list})
	}
	for _, k := range list {
		if _, err := fmt.Fprintln(a.out, k); err != nil {
			return err
		}
	}
	return nil
}

// witnessSecrets reads the file with the secret keys of a witness.
func witnessSecrets(flag, path string) ([]evidence.WitnessSecret, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	keys, err := evidence.ParseWitnessSecrets(string(text))
	if err != nil {
		return nil, usagef("%s: %s: %w", flag, path, err)
	}
	return keys, nil
}

func (a witnessCommands) listCommand() *cobra.Command {
	var dir, keyFile, witnessFile string
	cmd := &cobra.Command{
		Use: "list --dir DIR", Short: "Show what a witness has seen, and the contradictions that it kept",
		Args: exactArgs(),
		Long: `list reads the directory of a witness, whether or not it runs. It shows each ledger with the size of the newest checkpoint that was
cosigned, and the contradictions that are kept. -o json names their files.

FORKS counts proven ones: the two notes in the file, both signed by the ledger, cannot belong to one growing ledger.
UNPROVEN counts refused checkpoints whose proof was wrong without showing more. Ask the ledger for a consistency proof between them.

With --key FILE, the public keys of ledgers, list checks the signatures in the files too. With --witness FILE, the public key of
this witness, it checks the cosignatures and shows their times. Exit code 7 when a fork is proven.`,
		Example: `  recount witness list --dir /var/lib/recount-witness
  recount witness list --dir /var/lib/recount-witness --key ledger.pub -o json`,
		RunE: func(*cobra.Command, []string) error {
			if dir == "" {
				return usagef("--dir is required: the directory of the witness")
			}
			trusted, err := readWitnesses(witnessFile, 0)
			if err != nil {
				return err
			}
			list, err := witness.List(dir, trusted.keys...)
			if errors.Is(err, os.ErrNotExist) {
				return usagef("--dir: %s is not the directory of a witness: %w", dir, err)
			}
			if err != nil {
				return err
			}
			if err := checkForks(keyFile, list); err != nil {
				return err
			}
			if err := a.showSeen(list); err != nil {
				return err
			}
			return forksError(list)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory of the witness (required)")
	cmd.Flags().StringVar(&keyFile, "key", "",
		"file with the public keys of the ledgers: check the signatures of forks")
	cmd.Flags().StringVar(&witnessFile, "witness", "",
		"file with the public keys of this witness: check its cosignatures, and show when they were made")
	return cmd
}

// checkForks checks the signatures in the files of proven forks.
func checkForks(keyFile string, list []witness.Seen) error {
	if keyFile == "" {
		return nil
	}
	keys, err := ledgerKeys("--key", keyFile)
	if err != nil {
		return err
	}
	for _, s := range list {
		for _, f := range s.Files {
			fork, err := witness.ReadFork(f.Path)
			if err == nil && f.Proven {
				err = fork.Check(keys...)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
		}
	}
	return nil
}

// ledgerKeys reads a file with public keys of ledgers.
func ledgerKeys(flag, path string) ([]evidence.PublicKey, error) {
	text, err := readSetting(flag, path)
	if err != nil {
		return nil, err
	}
	keys, err := evidence.ParsePublicKeys(string(text))
	if err != nil {
		return nil, usagef("%s %s: %w", flag, path, err)
	}
	return keys, nil
}

func (a witnessCommands) showSeen(list []witness.Seen) error {
	if a.format != formatTable {
		return a.printJSON(list)
	}
	t := a.table(text("ORIGIN", 1, 12), count("SIZE", 2), moment("COSIGNED", 3), count("FORKS", 4),
		count("UNPROVEN", 5), extra(column{Name: "ROOT"}))
	for _, s := range list {
		t.row(s.Origin, s.Size, dash(s.CosignedAt), s.Forks, s.Unproven, dash(s.Root))
	}
	return t.flush()
}

// forksError is the exit code of a list with a proven fork.
func forksError(list []witness.Seen) error {
	for _, s := range list {
		if s.Forks > 0 {
			return &codedError{exitVerify, fmt.Errorf("%s signed checkpoints that contradict each other", s.Origin),
				"Keep the files that -o json names, and show them to the other auditors. Trust no answer of this " +
					"ledger before its operator explains them."}
		}
	}
	return nil
}
