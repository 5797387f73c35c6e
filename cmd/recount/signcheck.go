package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/recount-ledger/recount/sign"
)

// signWork returns the function that does the work which the flags ask for: signing or checking. profileNamed
// means that --profile was given.
func (a recordCommands) signWork(f signFlags, profileNamed bool) (func(io.Reader) error, error) {
	if f.verify {
		keys, err := f.verifier(profileNamed)
		return func(in io.Reader) error { return a.verifyAll(keys, in) }, err
	}
	if len(f.public) > 0 {
		return nil, usagef("--ed25519-pub goes with --verify; a private key signs")
	}
	s, err := f.signer(profileNamed)
	if err != nil {
		return nil, err
	}
	return func(in io.Reader) error { return s.signAll(in, a.out) }, nil
}

// verifier holds the keys of the flags.
func (f *signFlags) verifier(profileNamed bool) (*sign.Verifier, error) {
	if profileNamed || f.mode != "" || f.scheme != "" || f.setID {
		return nil,
			usagef("--verify finds scheme, profile and mode by itself and changes no record; leave out " +
				"--scheme, --profile, --mode and --pcs-id")
	}
	var keys []sign.Key
	for _, path := range f.public {
		text, err := readSetting("--ed25519-pub", path)
		if err != nil {
			return nil, err
		}
		k, err := sign.ReadPublicKey(text)
		if err != nil {
			return nil, usagef("--ed25519-pub %s: %w", path, err)
		}
		keys = append(keys, k)
	}
	if f.keyFile == "" && len(keys) > 0 {
		return sign.NewVerifier(keys...), nil
	}
	k, err := f.key()
	if err != nil {
		return nil, err
	}
	return sign.NewVerifier(append(keys, k)...), nil
}

// checkLine describes the signature of one record. Verifies is false when none of the keys did.
type checkLine struct {
	Record       int    `json:"record"`
	PCSID        string `json:"pcs_id"`
	Verifies     bool   `json:"verifies"`
	Scheme       string `json:"scheme"`
	InputsSigned bool   `json:"inputs_signed"`
	KeyID        string `json:"key_id"`
	Algorithm    string `json:"algorithm"`
	Profile      string `json:"profile"` // of pcs/1
	Mode         string `json:"mode"`
}

// verifyAll lists every record of in. That one does not verify is an error of its own exit code.
func (a recordCommands) verifyAll(keys *sign.Verifier, in io.Reader) error {
	l := newList(a.app, func(t *table, c checkLine) {
		t.row(c.Record, dash(c.PCSID), c.Verifies, dash(c.Scheme), dash(c.KeyID), dash(c.Algorithm),
			dash(c.Profile), dash(c.Mode))
	}, count("RECORD", 1), hexID("PCS_ID", 3), word("VERIFIES", 2), word("SCHEME", 5), keyID("KEY", 4),
		word("ALGORITHM", 6), word("PROFILE", 7), word("MODE", 8))
	values, bad := jsontext.NewDecoder(in), 0
	for n := 1; ; n++ {
		value, err := values.ReadValue()
		if errors.Is(err, io.EOF) && n > 1 {
			return errors.Join(l.end(), badSignatures(bad, n-1))
		}
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			return &codedError{exitUsage, fmt.Errorf("record %d: %w", n, err),
				"Every record must be one JSON object with unique names."}
		}
		c := checkOne(keys, value)
		if c.Record = n; !c.Verifies {
			bad++
		}
		if err := l.add(c); err != nil {
			return err
		}
	}
}

func badSignatures(bad, all int) error {
	if bad == 0 {
		return nil
	}
	return &codedError{exitVerify, fmt.Errorf("%d of %d records do not verify", bad, all),
		"Check the key, and that nothing was changed after signing; docs/signing.md shows both schemes step by step."}
}

// checkOne leaves out why a record does not verify: a node says it when the record is sent.
func checkOne(keys *sign.Verifier, body []byte) checkLine {
	s, err := keys.Verify(body)
	return checkLine{
		PCSID:        s.PCSID,
		Verifies:     err == nil,
		Scheme:       s.Scheme,
		InputsSigned: s.InputsSigned,
		KeyID:        s.KeyID,
		Algorithm:    s.Algorithm,
		Profile:      s.Profile,
		Mode:         s.Mode,
	}
}
