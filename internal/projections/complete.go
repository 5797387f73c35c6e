package projections

import (
	"encoding/hex"
	"strings"
)

// HexRange returns the first and the last 32-byte id whose hex digits begin with prefix. ok is false if none
// can.
func HexRange(prefix string) (lo, hi [32]byte, ok bool) {
	if len(prefix) > 64 {
		return lo, hi, false
	}
	for _, x := range []struct {
		to   *[32]byte
		fill string
	}{{&lo, "0"}, {&hi, "f"}} {
		if _, err := hex.Decode(x.to[:], []byte(prefix+strings.Repeat(x.fill, 64-len(prefix)))); err != nil {
			return lo, hi, false
		}
	}
	return lo, hi, true
}

// Complete lists the pcs_ids with this prefix in order, at most limit. It reads no more rows than that.
func Complete(s Store, prefix string, limit int) (ids []string, err error) {
	lo, hi, ok := HexRange(prefix)
	if !ok || limit < 1 {
		return nil, nil
	}
	err = s.Scan(idKey(lo), append(idKey(hi), 0), false, func(k, _ []byte) bool {
		ids = append(ids, hex.EncodeToString(k[1:]))
		return len(ids) < limit
	})
	return ids, err
}
