package notary

import (
	"fmt"
	"slices"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/secretfile"
)

// ReadKeys reads a file of secret keys (C2SP signed-note, one a line), all of which must carry the origin of
// the ledger as their name. No key of the file is in an error.
func ReadKeys(path, origin string) ([]evidence.SecretKey, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return nil, err
	}
	keys, err := evidence.ParseSecretKeys(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, k := range keys {
		if k.Public().Name() != origin {
			return nil, fmt.Errorf("%s: %w: the key %s is that of another ledger than %s; "+
				"recount-node checkpoint-key create makes one", path, evidence.ErrSignature, k, origin)
		}
	}
	return keys, nil
}

func sameKeys(a, b []evidence.SecretKey) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].String() != b[i].String() {
			return false
		}
	}
	return true
}

// ReadWitnesses reads a file with the witnesses of a ledger (C2SP tlog-policy). No file is a policy without
// any. A file of another ledger, or one without an URL of a witness, is an error.
func ReadWitnesses(path, origin string) (p evidence.WitnessPolicy, err error) {
	if path == "" {
		return p, nil
	}
	text, err := secretfile.ReadPublic(path)
	if err != nil {
		return p, err
	}
	if p, err = evidence.ParseWitnessPolicy(text); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	own := func(k evidence.PublicKey) bool { return k.Name() == origin }
	if len(p.Ledgers) > 0 && !slices.ContainsFunc(p.Ledgers, own) {
		return p, fmt.Errorf("%s: %w: it is about other ledgers than %s", path, evidence.ErrFormat, origin)
	}
	for _, w := range p.Witnesses {
		if w.URL == "" {
			return p, fmt.Errorf("%s: %w: the witness %s has no URL", path, evidence.ErrFormat, w.Name)
		}
	}
	return p, nil
}
