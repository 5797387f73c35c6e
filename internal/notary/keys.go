package notary

import (
	"fmt"

	"github.com/recount-ledger/recount/evidence"
	"github.com/recount-ledger/recount/internal/secretfile"
)

// ReadKeys reads a file of secret keys (C2SP signed-note, one a line), all of which must carry the origin of the ledger
// as their name. No key of the file is in an error.
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
