package export

import (
	"encoding/base64"
	"encoding/hex"
	"errors"

	"github.com/recount-ledger/recount/internal/verify"
	"github.com/recount-ledger/recount/wire"
)

// contents checks the contents of the files.
func (c *checker) contents() error {
	w := &walk{
		checker:  c,
		policies: map[string]verify.Policy{},
		keys:     map[string]wire.KeyAnswer{},
		claims:   map[uint64][]claim{},
	}
	if err := c.each(CheckPolicies, w.readPolicies); err != nil {
		return err
	}
	if err := c.each(CheckKeys, w.readKeys); err != nil {
		return err
	}
	if err := c.each(CheckGenerations, w.readGenerations); err != nil {
		return err
	}
	return w.run()
}

// each runs read and reports a file with a wrong format as a fault of the check.
func (c *checker) each(check string, read func() error) error {
	err := read()
	if errors.Is(err, ErrFormat) {
		c.fault(check, "%v", err)
		return nil
	}
	return err
}

// readPolicies checks that each policy has the hash of its canonical form as id, and that all listed ones are
// there.
func (w *walk) readPolicies() error {
	w.begin(CheckPolicies, "hash to their ids, as published")
	list, err := readList[wire.PolicyAnswer](w.checker, PoliciesFile)
	if err != nil {
		return err
	}
	w.page.Policies = list
	for _, p := range list {
		if _, err := hash(p.ID); err != nil {
			return err
		}
		w.looked(CheckPolicies)
		canonical, _ := policyFiles(p.ID)
		text, err := w.read(canonical, verify.MaxPolicyBytes)
		if err != nil {
			w.fault(CheckPolicies, "policy %s: %v", p.ID, err)
			continue
		}
		if got := sumOf(text); got != p.ID {
			w.fault(CheckPolicies, "%s hashes to %s", canonical, got)
		}
		policy, err := verify.ParsePolicy(text)
		if err != nil {
			w.fault(CheckPolicies, "policy %s: %v; a newer release may know it", p.ID, err)
			continue
		}
		w.policies[p.ID] = policy
		if p.Kernel != policy.Kernel || p.Rules != len(policy.Rules) || p.Canonical != nil || p.Source != "" {
			w.fault(CheckPolicies, "policy %.16s: %s says other things than %s", p.ID, PoliciesFile, canonical)
		}
		w.claimsOfPolicy(p)
	}
	if files := len(w.m.Files) - len(plainFiles); files != 2*len(list) {
		w.fault(CheckPolicies, "%s lists %d policies, and there are %d files of policies", PoliciesFile, len(list),
			files)
	}
	return nil
}

// readKeys checks that ids and fingerprints follow from the public keys.
func (w *walk) readKeys() error {
	w.begin(CheckKeys, "ids follow from public keys")
	list, err := readList[wire.KeyAnswer](w.checker, KeysFile)
	if err != nil {
		return err
	}
	for _, k := range list {
		w.looked(CheckKeys)
		if _, twice := w.keys[k.KeyID]; twice {
			w.fault(CheckKeys, "%q is listed twice", k.KeyID)
		}
		w.keys[k.KeyID] = k
		w.page.Keys = append(w.page.Keys, k)
		w.key(&k)
		w.claimsOfKey(k)
	}
	return nil
}

func (w *walk) key(k *wire.KeyAnswer) {
	switch k.Alg {
	case verify.HMACSHA256.String():
		fingerprint, err := hash(k.Fingerprint)
		if err != nil || k.KeyID != "hmac-"+hex.EncodeToString(fingerprint[:8]) || k.Public != "" {
			w.fault(CheckKeys, "%q is not named after its fingerprint", k.KeyID)
		}
	case verify.Ed25519.String():
		public, err := base64.StdEncoding.DecodeString(k.Public)
		if err != nil {
			w.fault(CheckKeys, "%q: the public key is no base64", k.KeyID)
			return
		}
		key, err := verify.NewEd25519Key(public)
		if err != nil || key.ID != k.KeyID || hex.EncodeToString(key.Fingerprint[:]) != k.Fingerprint {
			w.fault(CheckKeys, "%q does not follow from its public key", k.KeyID)
		}
	default:
		w.fault(CheckKeys, "%q has the algorithm %q, which this program does not know", k.KeyID, k.Alg)
	}
}

// public returns the public part of an Ed25519 key.
func (w *walk) public(id string) ([]byte, bool) {
	k, ok := w.keys[id]
	if !ok || k.Alg != verify.Ed25519.String() {
		return nil, false
	}
	public, err := base64.StdEncoding.DecodeString(k.Public)
	return public, err == nil
}
