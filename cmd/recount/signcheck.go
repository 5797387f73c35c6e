package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// signWork is what the flags ask for: signing or checking. forV1 says that a profile or a mode was named.
func (a *app) signWork(f signFlags, forV1 bool) (func(io.Reader) error, error) {
	if f.verify {
		ring, err := f.ring(forV1)
		return func(in io.Reader) error { return a.verifyAll(ring, in) }, err
	}
	if len(f.public) > 0 {
		return nil, usagef("--ed25519-pub goes with --verify; a private key signs")
	}
	s, err := f.signer()
	if err != nil {
		return nil, err
	}
	if s.forV1 = forV1; forV1 && s.scheme == pcs.PCS2 {
		return nil, usagef("--scheme pcs/2 has no --profile and no --mode")
	}
	return func(in io.Reader) error { return s.signAll(in, a.out) }, nil
}

// ring holds the keys of the flags.
func (f *signFlags) ring(forV1 bool) (*verify.Ring, error) {
	if forV1 || f.scheme != "" || f.setID {
		return nil, usagef("--verify finds scheme, profile and mode by itself and changes no record; leave out --scheme, --profile, --mode and --pcs-id")
	}
	var keys []verify.Key
	for _, path := range f.public {
		text, err := readSetting("--ed25519-pub", path)
		if err != nil {
			return nil, err
		}
		k, err := readTrialKey("--ed25519-pub", text)
		if err != nil {
			return nil, usagef("--ed25519-pub %s: %w", path, err)
		}
		keys = append(keys, k)
	}
	if f.keyFile == "" && len(keys) > 0 {
		return verify.NewRing(keys), nil
	}
	s, err := f.signer()
	if err != nil {
		return nil, err
	}
	own := verify.NewHMACKey
	material := s.secret
	if s.private != nil {
		own, material = verify.NewEd25519Key, s.private.Public().(ed25519.PublicKey)
	}
	k, err := own(material)
	if err != nil {
		return nil, usagef("--key-file %s: %w", f.keyFile, err)
	}
	return verify.NewRing(append(keys, k)), nil
}

// checkLine says how one record was signed; Verifies is false when none of the keys did.
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
func (a *app) verifyAll(ring *verify.Ring, in io.Reader) error {
	l := newList(a, func(t *table, c checkLine) {
		t.row(c.Record, dash(c.PCSID), c.Verifies, dash(c.Scheme), dash(c.KeyID), dash(c.Algorithm), dash(c.Profile), dash(c.Mode))
	}, count("RECORD", 1), hexID("PCS_ID", 3), word("VERIFIES", 2), word("SCHEME", 5), keyID("KEY", 4), word("ALGORITHM", 6), word("PROFILE", 7), word("MODE", 8))
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
			return &codedError{exitUsage, fmt.Errorf("record %d: %w", n, err), "Every record must be one JSON object with unique names."}
		}
		c := checkOne(ring, value)
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
	return &codedError{exitVerify, fmt.Errorf("%d of %d records do not verify", bad, all), "Check the key, and that nothing was changed after signing; docs/signing.md shows both schemes step by step."}
}

func checkOne(ring *verify.Ring, body []byte) checkLine {
	rec := pcs.Decode(body)
	c := checkLine{PCSID: rec.PCSID, Scheme: rec.Scheme.String()}
	f := ring.Check(rec, verify.Facts{})
	if !f.Valid() {
		return c
	}
	c.Verifies, c.InputsSigned, c.KeyID, c.Algorithm, c.Mode = true, f.InputsSigned(), f.KeyID, f.Alg.String(), f.Mode.String()
	if f.Scheme() == pcs.PCS1 {
		c.Profile = f.Profile.String()
	}
	return c
}
