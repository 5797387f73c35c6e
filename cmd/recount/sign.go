package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// signer holds a key and the way it signs.
type signer struct {
	secret  []byte             // HMAC
	private ed25519.PrivateKey // Ed25519
	profile pcs.Profile
	mode    verify.Mode
	scheme  pcs.Scheme // UnknownScheme: the one that the record names
	forV1   bool       // --profile or --mode was given, which pcs/2 does not have
	setID   bool
}

type signFlags struct {
	keyFile, alg, scheme, profile, mode string
	setID, verify                       bool
	public                              []string // files, for verify
}

func (a *app) signCommand() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use: "sign [FILE]", Short: "Sign records and print them, one per line",
		Long: `sign reads JSON records from FILE or stdin, replaces the member sig (or adds it) and prints each record on one line.
All other members keep their order and their spelling.

--scheme pcs/2 sets the member sig_scheme and signs the whole record: every member but sig, in the canonical form of
docs/signing.md. --scheme pcs/1 signs the eight members that older clients sign. Without it the record's own sig_scheme
counts, and pcs/1 when it has none.

--verify signs nothing: it says which records verify with the key, and how each was signed. The exit code is 7 when one does not.

--alg says what the key file holds (default: ed25519 for a PEM file, else hmac): hmac: the secret text, one final line
feed is not part of it; ed25519: a private key as PEM (PKCS #8), or its 32-byte seed in base64 or hex.`,
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
			work, err := a.signWork(f, cmd.Flags().Changed("profile") || f.mode != "")
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
	flags.StringVar(&f.profile, "profile", "f9", "canonical form of pcs/1: f9, py, es, go, go-fold, py-bin; by the ledger's policy also py-utf8, ryu, bin")
	flags.StringVar(&f.mode, "mode", "", "for pcs/1: raw signs the canonical bytes, sha256 their hash (default: raw for hmac, sha256 for ed25519 and bin)")
	flags.BoolVar(&f.verify, "verify", false, "check signatures instead of making them")
	flags.StringArrayVar(&f.public, "ed25519-pub", nil, "with --verify: file with a public key (base64 or hex), repeatable")
	flags.BoolVar(&f.setID, "pcs-id", false, "compute pcs_id from merkle_root, epoch and shard_id")
	return cmd
}

func (f signFlags) signer() (s *signer, err error) {
	if f.keyFile == "" {
		return nil, &codedError{exitUsage, errors.New("--key-file is required"), "\"recount keygen hmac\" makes a key."}
	}
	s = &signer{setID: f.setID}
	if s.profile, err = pcs.ParseProfile(f.profile); err != nil {
		return nil, usagef("--profile %q: %w", f.profile, err)
	}
	text, err := readSetting("--key-file", f.keyFile)
	if err != nil {
		return nil, err
	}
	if err := s.readKey(f.alg, text); err != nil {
		return nil, usagef("--key-file %s: %w", f.keyFile, err)
	}
	if s.scheme = pcs.UnknownScheme; f.scheme != "" {
		if s.scheme, err = pcs.ParseScheme(f.scheme); err != nil {
			return nil, usagef("--scheme %q: must be pcs/1 or pcs/2", f.scheme)
		}
	}
	switch mode := f.mode; {
	case mode == "" && s.private == nil && s.profile != pcs.Bin:
		s.mode = verify.Raw
	case mode == "":
		s.mode = verify.SHA256
	default:
		if s.mode, err = verify.ParseMode(mode); err != nil || s.mode == verify.Whole {
			return nil, usagef("--mode %q: must be raw or sha256", mode)
		}
	}
	if s.profile == pcs.Bin && s.mode == verify.Raw {
		return nil, usagef("--profile bin is always signed with --mode sha256")
	}
	return s, nil
}

func (s *signer) readKey(alg string, text []byte) (err error) {
	block, _ := pem.Decode(text)
	switch {
	case alg == "ed25519" || alg == "" && block != nil:
		s.private, err = readPrivate(block, strings.TrimSpace(string(text)))
		return err
	case alg == "hmac", alg == "hmac-sha256", alg == "":
		if block != nil {
			return errors.New("a PEM file is not an HMAC secret; is it --alg ed25519?")
		}
		s.secret, err = verify.ReadSecret(text)
		return err
	}
	return fmt.Errorf("unknown --alg %q; known are hmac and ed25519", alg)
}

func readPrivate(block *pem.Block, text string) (ed25519.PrivateKey, error) {
	if block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		private, ok := key.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("a %T, not an Ed25519 key", key)
		}
		return private, nil
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if seed, err := decode(text); err == nil && len(seed) == ed25519.SeedSize {
			return ed25519.NewKeyFromSeed(seed), nil
		}
	}
	return nil, errors.New("neither a PEM private key nor a 32-byte seed in base64 or hex")
}

// noRecord says in words why no record could be read.
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
			return &codedError{exitUsage, fmt.Errorf("record %d: %s", n, noRecord(err)), "Every record must be one JSON object with unique names."}
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
func (s *signer) sign(value jsontext.Value) ([]byte, error) {
	var m members
	if err := m.read(value); err != nil {
		return nil, &codedError{code: exitUsage, err: err}
	}
	if s.setID {
		if err := m.setID(); err != nil {
			return nil, err
		}
	}
	if err := s.setScheme(&m); err != nil {
		return nil, err
	}
	if err := m.set("sig", ""); err != nil {
		return nil, err
	}
	rec := pcs.Decode(m.text())
	fault, next := rec.Fault, "Mend the record; a node would refuse it with status 400."
	if fault == nil {
		fault, next = rec.CheckID(), "Let --pcs-id compute it."
	}
	if fault != nil {
		return nil, &codedError{exitRejected, fault, next}
	}
	message, err := s.message(rec, m.text())
	if err != nil {
		return nil, err
	}
	if err := m.set("sig", base64.StdEncoding.EncodeToString(s.signature(message))); err != nil {
		return nil, err
	}
	return m.text(), nil
}

// setScheme makes the record name the scheme that it is signed under; a record of pcs/1 need not.
func (s *signer) setScheme(m *members) error {
	if s.scheme == pcs.UnknownScheme || s.scheme == pcs.PCS1 && !slices.Contains(m.names, "sig_scheme") {
		return nil
	}
	return m.set("sig_scheme", s.scheme.String())
}

// message is what the algorithm signs.
func (s *signer) message(rec *pcs.Record, text []byte) ([]byte, error) {
	if rec.Scheme == pcs.PCS2 {
		if s.forV1 {
			return nil, usagef("scheme pcs/2 has no --profile and no --mode; leave them out, or choose --scheme pcs/1")
		}
		message, ok := rec.WholeMessage(nil)
		if !ok {
			_, err := pcs.AppendWhole(nil, text)
			return nil, &codedError{exitRejected, err, "Make the record simpler, or sign it with --scheme pcs/1."}
		}
		return message, nil
	}
	message, err := rec.AppendPayload(nil, s.profile)
	if err != nil {
		return nil, &codedError{exitRejected, err, "Choose another --profile."}
	}
	if s.mode == verify.SHA256 {
		sum := sha256.Sum256(message)
		message = sum[:]
	}
	return message, nil
}

func (s *signer) signature(message []byte) []byte {
	if s.private != nil {
		return ed25519.Sign(s.private, message)
	}
	mac := hmac.New(sha256.New, s.secret)
	mac.Write(message)
	return mac.Sum(nil)
}

// members is a JSON object whose members keep their order and their literals.
type members struct {
	names  []string
	values []jsontext.Value
}

func (m *members) read(object jsontext.Value) error {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return errors.Join(errors.New("not a JSON object"), err)
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		text := name.String() // the token is gone after the next read
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		value = value.Clone()
		if err := value.Compact(); err != nil {
			return err
		}
		m.names, m.values = append(m.names, text), append(m.values, value)
	}
	return nil
}

// set replaces the member or adds it at the end.
func (m *members) set(name, value string) error {
	text, err := jsontext.AppendQuote(nil, value)
	if err != nil {
		return err
	}
	for i, n := range m.names {
		if n == name {
			m.values[i] = text
			return nil
		}
	}
	m.names, m.values = append(m.names, name), append(m.values, text)
	return nil
}

// setID computes pcs_id from the members that name a record.
func (m *members) setID() error {
	var r struct {
		MerkleRoot string `json:"merkle_root"`
		Epoch      int64  `json:"epoch"`
		ShardID    string `json:"shard_id"`
	}
	if err := json.Unmarshal(m.text(), &r); err != nil {
		return &codedError{exitRejected, fmt.Errorf("--pcs-id: %w", err), "merkle_root and shard_id must be texts, epoch a whole number."}
	}
	return m.set("pcs_id", pcs.ID(r.MerkleRoot, r.Epoch, r.ShardID))
}

func (m *members) text() []byte {
	out := []byte{'{'}
	for i, name := range m.names {
		if i > 0 {
			out = append(out, ',')
		}
		out, _ = jsontext.AppendQuote(out, name) // a name that was read is valid UTF-8
		out = append(append(out, ':'), m.values[i]...)
	}
	return append(out, '}')
}
