package sign

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/recount-ledger/recount/internal/pcs"
	"github.com/recount-ledger/recount/internal/verify"
)

// Names of the schemes.
const (
	PCS1 = "pcs/1" // eight members, in a profile
	PCS2 = "pcs/2" // every member but sig
)

// Options say how a Signer signs. The zero value signs each record under the scheme that its sig_scheme names, and
// under pcs/1 with profile f9 when it names none.
type Options struct {
	// Scheme is PCS1 or PCS2. Sign sets sig_scheme to it. A record of pcs/1 that has no sig_scheme gets none.
	// Empty means the scheme of the record.
	Scheme string

	// Profile is the canonical form of pcs/1, one of Profiles(). Empty means f9. Every ledger takes f9, py, es, go,
	// go-fold and py-bin unless its policy says otherwise; py-utf8, ryu and bin need a policy that names them.
	// pcs/2 has no profile: naming one for such a record is an error.
	Profile string

	// Mode is the mode of pcs/1: "raw" the canonical text, "sha256" its SHA-256. Empty means raw for HMAC and sha256
	// for Ed25519 and for profile bin, which has no other. pcs/2 has no mode: naming one is an error.
	Mode string
}

// Profiles lists the names of the canonical forms of pcs/1.
func Profiles() (names []string) {
	for _, p := range pcs.AllProfiles.Slice() {
		names = append(names, p.String())
	}
	return names
}

// Signer signs records with one key. It is safe for concurrent use.
type Signer struct {
	key     Key
	scheme  pcs.Scheme // UnknownScheme: the one of the record
	profile pcs.Profile
	mode    verify.Mode
	forV1   bool // profile or mode was named, which pcs/2 does not have
}

// New makes a Signer. An error wraps ErrKey for a key that cannot sign and ErrOptions for options that do not fit. It
// begins with the option in lower case.
func New(key Key, o Options) (*Signer, error) {
	if !key.CanSign() {
		return nil, fail(ErrKey, fmt.Errorf("%s holds no private key", key.ID()))
	}
	s := &Signer{key: key, scheme: pcs.UnknownScheme, profile: pcs.F9, forV1: o.Profile != "" || o.Mode != ""}
	if err := s.apply(o); err != nil {
		return nil, fail(ErrOptions, err)
	}
	return s, nil
}

func (s *Signer) apply(o Options) (err error) {
	if o.Scheme != "" {
		if s.scheme, err = pcs.ParseScheme(o.Scheme); err != nil {
			return fmt.Errorf("scheme %q: must be pcs/1 or pcs/2", o.Scheme)
		}
	}
	if s.scheme == pcs.PCS2 && s.forV1 {
		return errors.New("scheme pcs/2 has no profile and no mode")
	}
	if o.Profile != "" {
		if s.profile, err = pcs.ParseProfile(o.Profile); err != nil {
			return fmt.Errorf("profile %q: must be one of %v", o.Profile, Profiles())
		}
	}
	if s.mode = verify.SHA256; o.Mode != "" {
		if s.mode, err = verify.ParseMode(o.Mode); err != nil || s.mode == verify.Whole {
			return fmt.Errorf("mode %q: must be raw or sha256", o.Mode)
		}
	} else if s.key.Algorithm() == HMACSHA256 && s.profile != pcs.Bin {
		s.mode = verify.Raw
	}
	if s.profile == pcs.Bin && s.mode == verify.Raw {
		return errors.New("profile bin is always signed with mode sha256")
	}
	return nil
}

// Sign returns the record on one line with its signature, without a line feed. All members but sig and sig_scheme
// keep their order and their spelling. The package comment lists the errors.
func (s *Signer) Sign(record []byte) ([]byte, error) {
	o, err := ParseObject(record)
	if err != nil {
		return nil, err
	}
	if err := s.SignObject(o); err != nil {
		return nil, err
	}
	return o.Text(), nil
}

// SignObject is Sign on an object, which gets the member sig. It does not change an object that it refuses.
func (s *Signer) SignObject(o *Object) error {
	to := o.Clone()
	if err := s.setScheme(to); err != nil {
		return err
	}
	if err := to.SetString("sig", ""); err != nil {
		return err
	}
	rec := pcs.Decode(to.Text())
	if rec.Fault != nil {
		return fail(ErrRecord, rec.Fault)
	}
	if fault := rec.CheckID(); fault != nil {
		return fail(ErrID, fault)
	}
	message, err := s.message(rec, to.Text())
	if err != nil {
		return err
	}
	sig, err := s.key.Sign(message)
	if err != nil {
		return err
	}
	if err := to.SetString("sig", base64.StdEncoding.EncodeToString(sig)); err != nil {
		return err
	}
	*o = *to
	return nil
}

// Message returns what the algorithm signs of a record as it stands: 78 bytes under pcs/2, the canonical text of the
// profile under pcs/1 in mode raw, 32 bytes in mode sha256. It sets no sig_scheme and checks no pcs_id, so a device
// that holds a key can sign what an agent has made ready. The record names the scheme. If the options name another one,
// the error wraps ErrOptions.
func (s *Signer) Message(record []byte) ([]byte, error) {
	rec := pcs.Decode(record)
	if rec.Scheme == pcs.UnknownScheme || rec.Fault != nil && rec.Fault.Class == pcs.ClassMalformed {
		return nil, fail(ErrRecord, rec.Fault)
	}
	if s.scheme != pcs.UnknownScheme && s.scheme != rec.Scheme {
		return nil, fail(ErrOptions, fmt.Errorf("scheme %s: the record is of scheme %s", s.scheme, rec.Scheme))
	}
	return s.message(rec, record)
}

// setScheme makes the record name the scheme that it is signed under; a record of pcs/1 need not.
func (s *Signer) setScheme(o *Object) error {
	_, names := o.Get("sig_scheme")
	if s.scheme == pcs.UnknownScheme || s.scheme == pcs.PCS1 && !names {
		return nil
	}
	return o.SetString("sig_scheme", s.scheme.String())
}

func (s *Signer) message(rec *pcs.Record, text []byte) ([]byte, error) {
	if rec.Scheme == pcs.PCS2 {
		if s.forV1 {
			return nil, fail(ErrOptions, errors.New("scheme pcs/2 of the record has no profile and no mode"))
		}
		message, ok := rec.PCS2Message(nil)
		if !ok {
			_, err := pcs.AppendCanonical(nil, text)
			return nil, fail(ErrNoCanonical, err)
		}
		return message, nil
	}
	message, err := rec.AppendPayload(nil, s.profile)
	if err != nil {
		return nil, fail(ErrProfile, err)
	}
	if s.mode == verify.SHA256 {
		sum := sha256.Sum256(message)
		message = sum[:]
	}
	return message, nil
}
