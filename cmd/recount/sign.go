package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/sign"
)

type signFlags struct {
	keyFile, alg, scheme, profile, mode string
	setID, verify                       bool
	public                              []string // files, for verify
}

func (a recordCommands) signCommand() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use: "sign [FILE]", Short: "Sign records and print them, one per line",
		Long: `sign reads JSON records from FILE or stdin, replaces the member sig (or adds it) and prints each record on one line.
All other members keep their order and their spelling.

--scheme pcs/2 sets the member sig_scheme and signs the whole record: every member but sig, in the canonical form of
docs/signing.md. --scheme pcs/1 signs the eight members that older clients sign. Without it the record's own sig_scheme
applies, or pcs/1 if it has none.

--verify signs nothing. It prints which records verify with the key, and how each was signed. The exit code is 7 when one does not.

--alg names the kind of key in the key file (default: ed25519 for a PEM file, else hmac). For hmac the file has the secret text, and
one final line feed is ignored. For ed25519 it has a private key as PEM (PKCS #8), or its 32-byte seed in base64 or hex.`,
		Example: `  recount sign --key-file agent.key record.json
  recount sign --scheme pcs/2 --key-file agent.key record.json | recount sign --verify --key-file agent.key
  recount sign --verify --ed25519-pub agent.pub signed.ndjson
  recount sign --key-file agent.key --pcs-id --profile py --mode sha256 < records.ndjson | recount submit -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("sign takes one file, or stdin")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			work, err := a.signWork(f, cmd.Flags().Changed("profile"))
			if err != nil {
				return err
			}
			if len(args) == 0 || args[0] == "-" {
				return work(a.in)
			}
			in, err := openInput(args[0])
			if err != nil {
				return err
			}
			return errors.Join(work(in), in.Close())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.keyFile, "key-file", "", "file with the key (required)")
	flags.StringVar(&f.alg, "alg", "", "hmac or ed25519")
	flags.StringVar(&f.scheme, "scheme", "", "what is signed: pcs/1 (eight members) or pcs/2 (the whole record)")
	flags.StringVar(&f.profile, "profile", "f9",
		"canonical form of pcs/1: f9, py, es, go, go-fold, py-bin; by the ledger's policy also py-utf8, ryu, bin")
	flags.StringVar(&f.mode, "mode", "",
		"for pcs/1: raw signs the canonical bytes, sha256 their hash (default: raw for hmac, sha256 for "+
			"ed25519 and bin)")
	flags.BoolVar(&f.verify, "verify", false, "check signatures instead of making them")
	flags.StringArrayVar(&f.public, "ed25519-pub", nil,
		"with --verify: file with a public key (base64 or hex), repeatable")
	flags.BoolVar(&f.setID, "pcs-id", false, "compute pcs_id from merkle_root, epoch and shard_id")
	return cmd
}

func (f signFlags) key() (sign.Key, error) {
	if f.keyFile == "" {
		return sign.Key{}, &codedError{exitUsage, errors.New("--key-file is required"),
			"\"recount keygen hmac\" makes a key."}
	}
	text, err := readSetting("--key-file", f.keyFile)
	if err != nil {
		return sign.Key{}, err
	}
	key, err := sign.ReadKey(text, f.alg)
	if err != nil {
		return sign.Key{}, usagef("--key-file %s: %w", f.keyFile, err)
	}
	return key, nil
}

// signer takes the profile only if it was named, because records of pcs/2 have none.
func (f signFlags) signer(profileNamed bool) (*signer, error) {
	key, err := f.key()
	if err != nil {
		return nil, err
	}
	o := sign.Options{Scheme: f.scheme, Mode: f.mode}
	if profileNamed {
		o.Profile = f.profile
	}
	with, err := sign.New(key, o)
	if err != nil {
		return nil, usagef("--%w", err)
	}
	return &signer{with, f.setID}, nil
}

// signer signs records of an input.
type signer struct {
	with  *sign.Signer
	setID bool
}

// noRecord describes why no record could be read.
func noRecord(err error) string {
	if errors.Is(err, io.EOF) {
		return "the input holds none"
	}
	return strings.TrimPrefix(err.Error(), "jsontext: ")
}

// signAll signs every record of in and writes each on one line.
func (s *signer) signAll(in io.Reader, out io.Writer) error {
	values := jsontext.NewDecoder(in)
	for n := 1; ; n++ {
		value, err := values.ReadValue()
		if errors.Is(err, io.EOF) && n > 1 {
			return nil
		}
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			return &codedError{exitUsage, fmt.Errorf("record %d: %s", n, noRecord(err)),
				"Every record must be one JSON object with unique names."}
		}
		signed, err := s.sign(value)
		if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		if _, err := out.Write(append(signed, '\n')); err != nil {
			return err
		}
	}
}

// sign returns the record on one line with its signature.
func (s *signer) sign(value []byte) ([]byte, error) {
	o, err := sign.ParseObject(value)
	if err != nil {
		return nil, signError(err)
	}
	if s.setID {
		if err := o.SetID(); err != nil {
			return nil, &codedError{exitRejected, fmt.Errorf("--pcs-id: %w", err),
				"merkle_root and shard_id must be texts, epoch a whole number."}
		}
	}
	if err := s.with.SignObject(o); err != nil {
		return nil, signError(err)
	}
	return o.Text(), nil
}

// signError adds the exit code and what to do next.
func signError(err error) error {
	for _, c := range []struct {
		kind error
		code int
		next string
	}{
		{sign.ErrSyntax, exitUsage, ""},
		{sign.ErrOptions, exitUsage, "Leave out --profile and --mode, or choose --scheme pcs/1."},
		{sign.ErrRecord, exitRejected, "Mend the record; a node would refuse it with status 400."},
		{sign.ErrID, exitRejected, "Let --pcs-id compute it."},
		{sign.ErrNoCanonical, exitRejected, "Make the record simpler, or sign it with --scheme pcs/1."},
		{sign.ErrProfile, exitRejected, "Choose another --profile."},
	} {
		if errors.Is(err, c.kind) {
			return &codedError{c.code, err, c.next}
		}
	}
	return err
}
