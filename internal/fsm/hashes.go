package fsm

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog" // only for the type of a hash; package log owns the tree

	"github.com/recount-ledger/recount/internal/projections"
)

// hashReader reads stored Merkle hashes for the Merkle helpers of package log.
type hashReader struct{ s projections.Store }

func (r hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		b, err := r.s.Get(hashKey(x))
		if err != nil {
			return nil, err
		}
		if len(b) != len(out[i]) {
			return nil, fmt.Errorf("fsm: stored hash %d is missing", x)
		}
		copy(out[i][:], b)
	}
	return out, nil
}
